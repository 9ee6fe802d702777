"""What does each of the documented operations do in a transaction?

Every function takes a session whose transaction is somebody else's to commit. They leave nothing
behind in the session, so that returning it to its pool costs nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

import psycopg2

from . import sql, timescale
from .columns import Constraint, DataType
from .session import Session

#: What the server calls the types that can be summed up
NUMBERS = frozenset({"smallint", "integer", "bigint", "real", "double precision", "numeric"})


def _answer(session: Session, query: str, values: tuple[Any, ...] = ()) -> Any:
    with session.plain_cursor() as cursor:
        cursor.execute(query, values)
        row = cursor.fetchone()
    assert row is not None
    return row[0]


def version(session: Session) -> str:
    """Return the server's own description of its version."""
    return str(_answer(session, sql.VERSION))


def table_exists(session: Session, table: str) -> bool:
    """Tell if there is a table, or a view, of that name."""
    return bool(_answer(session, sql.TABLE_EXISTS, (sql.quoted_table(table),)))


def column_exists(session: Session, table: str, column: str) -> bool:
    """Tell if a table has a column of that name."""
    (name,) = sql.plain_columns([column])
    return bool(_answer(session, sql.COLUMN_EXISTS, (sql.quoted_table(table), name)))


def list_columns(session: Session, table: str) -> list[list[str]]:
    """Return the columns of a table, or of a view: each one's name and type, in their order.

    Raises:
        psycopg2.IntegrityError: There is no such table.
    """
    with session.plain_cursor() as cursor:
        cursor.execute(sql.COLUMNS_AND_TYPES, (sql.quoted_table(table),))
        rows = cursor.fetchall()
    if not rows:
        raise psycopg2.IntegrityError(
            f"table {table} does not exist in database {session.info.dbname}: check its name,"
            " or make it with create_timescale_db()"
        )
    return [[str(name), str(kind)] for name, kind in rows]


def create_time_table(
    session: Session,
    table: str,
    default_now: bool,
    if_not_exists: bool,
    chunk: timedelta | None = None,
) -> None:
    """Make a table with a column ``time``, a hypertable where that is possible."""
    with session.plain_cursor() as cursor:
        if if_not_exists:
            # CREATE TABLE IF NOT EXISTS fails if two sessions run it at the same moment.
            cursor.execute(sql.ONE_AT_A_TIME, sql.schema_and_name(table))
            if table_exists(session, table):
                return
        cursor.execute(sql.create_time_table(table, default_now))
        timescale.index_by_time(cursor, table, chunk)


def check_kinds(column: str, data_type: Any, constraints: Any) -> list[Constraint]:
    """Make sure that what describes a new column is ours: it reaches SQL as text.

    Returns:
        The constraints as a list.

    Raises:
        TypeError: It is not.
    """
    if constraints is not None and not isinstance(constraints, Iterable):
        raise TypeError(
            f"column {column}: constraints must be a list, not {constraints!r}: write"
            " [Constraint.positive], for one too"
        )
    wanted = list(constraints or ())
    for value, kind in [(data_type, DataType), *((one, Constraint) for one in wanted)]:
        if type(value) is not kind:  # an object may lie about its __class__
            raise TypeError(f"column {column}: use a {kind.__name__}, not {value!r}")
    return wanted


def add_column(
    session: Session,
    table: str,
    column: str,
    data_type: DataType,
    constraints: Sequence[Constraint],
) -> None:
    """Add a column, unless there is one of that name.

    Raises:
        psycopg2.IntegrityError: There is no such table.
    """
    statement = sql.add_column(table, column, data_type, constraints)
    (plain,) = sql.plain_columns([column])
    if any(name == plain for name, _ in list_columns(session, table)):
        return  # without the exclusive lock that even a needless ALTER TABLE takes
    with session.plain_cursor() as cursor:
        cursor.execute(statement)
