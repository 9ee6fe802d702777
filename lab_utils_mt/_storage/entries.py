"""What do the documented operations do with rows?

Every function that takes a session leaves its transaction to somebody else to commit, and nothing
behind in the session.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from datetime import timezone
from typing import Any

import psycopg2
from psycopg2 import errors as pg
from psycopg2.sql import Composed

from . import sql
from .conditions import clause, parsed
from .errors import InvalidValue
from .pool import ConnectionPool
from .session import Session
from .values import FAILURES, explain, sendable, sendable_row

_MISSING = (pg.UndefinedTable, pg.UndefinedColumn, pg.InvalidSchemaName)
_TIMESTAMPTZ = 1184
# What pandas calls the types, by the server's numbers: without and with NULLs.
_DTYPES: dict[int, tuple[str | None, str | None]] = {
    16: ("bool", "boolean"),
    **dict.fromkeys((20, 21, 23, 26), ("int64", "Int64")),
    **dict.fromkeys((700, 701), ("float64", "float64")),
    1114: ("datetime64[us]", "datetime64[us]"),
    _TIMESTAMPTZ: ("datetime64[us, UTC]", "datetime64[us, UTC]"),
    **dict.fromkeys((19, 25, 1042, 1043, 1186), (None, None)),  # as pandas finds best
}
_IN_ORDER_OF = ("time", "id")


@contextlib.contextmanager
def _found(table: str) -> Iterator[None]:
    """Tell, as 0.5.x does, that a table or a column is not there.

    Raises:
        psycopg2.IntegrityError: It is not.
    """
    try:
        yield
    except _MISSING as error:
        reason = str(error).strip().partition("\n")[0]
        raise psycopg2.IntegrityError(
            f"table {table}: {reason}: check the name, or make it first"
        ) from error


@contextlib.contextmanager
def _readable(table: str) -> Iterator[None]:
    """Name the table in the error about a value that Python has no form for.

    Raises:
        psycopg2.DataError: There is one, such as a time before the year 1 or after 9999.
    """
    try:
        yield
    except (ValueError, OverflowError) as error:
        raise psycopg2.DataError(
            f"table {table}: Python cannot hold one of the values ({error}): in a transaction(),"
            " SELECT that column as a text, as in time::text"
        ) from error


def known_columns(session: Session, table: str) -> dict[str, str]:
    """Return a table's columns, each with the kind of its type.

    The kind is ``integer``, or the letter of the type's category in ``pg_type.typcategory``.

    Raises:
        psycopg2.IntegrityError: The table does not exist.
    """
    with session.plain_cursor() as cursor:
        cursor.execute(sql.COLUMN_KINDS, (sql.quoted_table(table),))
        known = dict(cursor.fetchall())
    if not known:
        raise psycopg2.IntegrityError(f"table {table} does not exist: check the name, or make it")
    return known


def check_columns(session: Session, table: str, columns: Sequence[str]) -> dict[str, str]:
    """Make sure that a table has these columns, by plain names, and return all that it has.

    Raises:
        psycopg2.IntegrityError: The table or one of the columns does not exist.
    """
    known = known_columns(session, table)
    missing = ", ".join(column for column in columns if column not in known)
    if missing:
        raise psycopg2.IntegrityError(
            f"table {table} has no column {missing}: check the name, or make it first"
        )
    return known


def store_row(
    pool: ConnectionPool,
    table: str,
    columns: Sequence[str],
    data: Sequence[Any],
    look_first: bool,
) -> None:
    """Add one row in a transaction of its own; when this returns, it is committed.

    Raises:
        InvalidValue: The row cannot be stored, and was not sent.
        CommitUnknown: Nobody knows if it is; names the table.
    """
    row = sendable_row(table, columns, data)
    statement = sql.insert_row(table, columns)

    def insert(session: Session) -> None:
        if look_first:
            check_columns(session, table, sql.plain_columns(columns))
        session.command(statement, row)

    try:
        pool.run(insert, idempotent=True)
    except FAILURES as error:
        explain(error, table, columns, data)
        raise


def _pairs(table: str, columns: Any, values: Any, pairs: Any) -> tuple[Any, Any]:
    if pairs is None:
        if columns is None or values is None:
            raise InvalidValue(f"table {table}: nothing to change: give columns and values")
        return columns, values
    try:
        both = [(column, value) for column, value in pairs]
    except (TypeError, ValueError):
        raise InvalidValue(
            f'table {table}: pairs must be a list such as [("sample", 4.2)], not {pairs!r}'
        ) from None
    return [column for column, _ in both], [value for _, value in both]


def update_row(
    pool: ConnectionPool,
    table: str,
    row_id: Any,
    columns: Sequence[str] | None,
    values: Sequence[Any] | None,
    pairs: Sequence[tuple[str, Any]] | None,
) -> None:
    """Change the row of that id, in a transaction of its own.

    Raises:
        psycopg2.IntegrityError: There is no such row, column or table.
        InvalidValue: There is nothing to change, or a value cannot be stored.
    """
    names, given = _pairs(table, columns, values, pairs)
    row = [*sendable_row(table, names, given), sendable(row_id, table, "id")]
    statement = sql.update_row(table, list(names))

    def update(session: Session) -> None:
        with session.plain_cursor() as cursor, _found(table):
            cursor.execute(statement, row)
            if not cursor.rowcount:
                raise psycopg2.IntegrityError(f"there is no row with id {row_id!r}")

    try:
        pool.run(update, idempotent=True)
    except FAILURES as error:
        explain(error, table, names, given)
        raise


def _first(pool: ConnectionPool, table: str, query: Composed, values: Sequence[Any] = ()) -> Any:
    """Return the first row, None if there is none, and the columns' names."""

    def fetch(session: Session) -> Any:
        with session.plain_cursor() as cursor, _found(table), _readable(table):
            cursor.execute(query, values)
            assert cursor.description is not None
            return cursor.fetchone(), [column.name for column in cursor.description]

    return pool.read(fetch)


def newest_row(
    pool: ConnectionPool, table: str, columns: str | Sequence[str] | None
) -> tuple[Any, ...] | None:
    """Return the time and the columns of the row with the latest time, None if there is no row.

    Raises:
        psycopg2.IntegrityError: The table or a column does not exist.
    """
    wanted = [columns] if isinstance(columns, str) else columns
    row, names = _first(pool, table, sql.newest_row(table, wanted))
    if row is None or wanted is not None:
        return row  # type: ignore[no-any-return]
    position = names.index("time")
    return (row[position], *row[:position], *row[position + 1 :])


def is_empty(pool: ConnectionPool, table: str) -> bool:
    """Tell if a table has no row.

    Raises:
        psycopg2.IntegrityError: It does not exist.
    """
    row, _ = _first(pool, table, sql.is_empty(table))
    return bool(row[0])


def next_id(pool: ConnectionPool, table: str) -> int:
    """Take a number from the sequence of the column ``id``.

    Raises:
        psycopg2.IntegrityError: There is no such table, column or sequence.
    """
    name = sql.quoted_table(table)

    def take(session: Session) -> Any:
        with session.plain_cursor() as cursor, _found(table):
            cursor.execute(sql.NEXT_ID, (name,))
            return cursor.fetchone()

    (number,) = pool.run(take, idempotent=True)  # done twice, it only leaves a gap
    if number is None:
        raise psycopg2.IntegrityError(
            f"table {table}: column id has no sequence to take a number from: make it"
            " BIGINT GENERATED BY DEFAULT AS IDENTITY"
        )
    return int(number)


def fetch_rows(
    pool: ConnectionPool, table: str, conditions: Any
) -> tuple[dict[str, int], list[tuple[Any, ...]]]:
    """Return all columns with their types' numbers, and the rows for which all conditions hold.

    They are in the order of the columns ``time`` and ``id``, as far as there are any.

    Raises:
        psycopg2.IntegrityError: The table or a column does not exist.
        InvalidValue: A condition cannot be used.
    """
    wanted = parsed(table, conditions)
    columns = [one.column for one in wanted]
    both = [clause(one) for one in wanted]
    values = [value for _, bound in both for value in bound]

    def fetch(session: Session) -> tuple[dict[str, int], list[tuple[Any, ...]]]:
        known = check_columns(session, table, columns)
        order = [name for name in _IN_ORDER_OF if name in known]
        query = sql.select_rows(table, [text for text, _ in both], order)
        with session.plain_cursor() as cursor, _readable(table):
            cursor.execute(query, values)
            assert cursor.description is not None
            return {one.name: one.type_code for one in cursor.description}, cursor.fetchall()

    try:
        return pool.read(fetch)
    except FAILURES as error:
        explain(error, table, columns, [one.value for one in wanted])
        raise


def retrieve(pool: ConnectionPool, table: str, conditions: Any, as_rows: bool) -> Any:
    """Return those rows as a pandas DataFrame, or, without pandas, as a list of dicts."""
    columns, rows = fetch_rows(pool, table, conditions)
    if not as_rows:
        try:
            import pandas  # noqa: PLC0415  (an extra, which takes a second to import)
        except ModuleNotFoundError as error:
            if error.name != "pandas":
                raise
        else:
            with _readable(table):
                return _frame(pandas, columns, rows)
    return [dict(zip(columns, row, strict=True)) for row in rows]


def _frame(pandas: Any, columns: dict[str, int], rows: list[tuple[Any, ...]]) -> Any:
    # Left to itself, pandas makes floats of integers if one is missing, and no times of times
    # whose offsets differ.
    series = {}
    for position, (name, kind) in enumerate(columns.items()):
        values = [row[position] for row in rows]
        if kind == _TIMESTAMPTZ:
            values = [one and one.astimezone(timezone.utc) for one in values]
        series[name] = pandas.Series(values, dtype=_dtype(kind, None in values))
    return pandas.DataFrame(series, index=range(len(rows)))


def _dtype(kind: int, with_gaps: bool) -> str | None:
    without, with_some = _DTYPES.get(kind, ("object", "object"))
    return with_some if with_gaps else without
