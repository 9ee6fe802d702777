"""What does each of the documented operations do in a transaction?

Every function takes a session whose transaction is somebody else's to commit. They leave nothing
behind in the session, so that returning it to its pool costs nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg2

from . import sql, timescale
from .columns import Constraint, DataType
from .errors import CommitUnknown
from .pool import ConnectionPool
from .session import Session
from .values import check_row, naming


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
    sql.column_identifier(column)
    return bool(_answer(session, sql.COLUMN_EXISTS, (sql.quoted_table(table), column)))


def create_time_table(session: Session, table: str, default_now: bool, if_not_exists: bool) -> None:
    """Make a table with a column ``time``, a hypertable where that is possible."""
    with session.plain_cursor() as cursor:
        if if_not_exists:
            # CREATE TABLE IF NOT EXISTS fails if two sessions run it at the same moment.
            cursor.execute(sql.ONE_AT_A_TIME, sql.schema_and_name(table))
            if table_exists(session, table):
                return
        cursor.execute(sql.create_time_table(table, default_now))
        timescale.index_by_time(cursor, table)


def check_kinds(column: str, data_type: Any, constraints: Sequence[Any]) -> None:
    """Make sure that what describes a new column is ours: it reaches SQL as text.

    Raises:
        TypeError: It is not.
    """
    for value, kind in [(data_type, DataType), *((one, Constraint) for one in constraints)]:
        if not isinstance(value, kind):
            raise TypeError(f"column {column}: use a {kind.__name__}, not {value!r}")


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
    if column_exists(session, table, column):
        return  # without the exclusive lock that even a needless ALTER TABLE takes
    if not table_exists(session, table):
        raise psycopg2.IntegrityError(f"table {table} does not exist: column {column} not added")
    with session.plain_cursor() as cursor:
        cursor.execute(statement)


def check_columns(session: Session, table: str, columns: Sequence[str]) -> None:
    """Make sure that a table has these columns.

    Raises:
        psycopg2.IntegrityError: The table or one of the columns does not exist.
    """
    with session.plain_cursor() as cursor:
        cursor.execute(sql.COLUMNS, (sql.quoted_table(table),))
        known = {row[0] for row in cursor.fetchall()}
    if not known:
        raise psycopg2.IntegrityError(f"table {table} does not exist: nothing was written")
    missing = ", ".join(column for column in columns if column not in known)
    if missing:
        raise psycopg2.IntegrityError(f"table {table} has no column {missing}: nothing was written")


def insert_row(session: Session, table: str, columns: Sequence[str], data: Sequence[Any]) -> None:
    """Add one row."""
    statement = sql.insert(table, tuple(columns))
    with session.plain_cursor() as cursor, naming(table, columns, data):
        cursor.execute(statement.text(cursor), data)


def store_row(
    pool: ConnectionPool,
    table: str,
    columns: Sequence[str],
    data: Sequence[Any],
    look_first: bool,
) -> None:
    """Add one row in a transaction of its own; when this returns, it is committed.

    Raises:
        CommitUnknown: Nobody knows if it is; names the table.
    """
    check_row(table, columns, data)

    def insert(session: Session) -> None:
        if look_first:
            check_columns(session, table, columns)
        insert_row(session, table, columns, data)

    try:
        pool.run(insert, idempotent=True)
    except CommitUnknown as error:
        error.args = (f"table {table}: {error}",)
        raise
