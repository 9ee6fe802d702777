"""How do old readings leave a table, without anybody having to wait for it?"""

from __future__ import annotations

import dataclasses
from datetime import datetime, timedelta
from typing import Any

import psycopg2
from psycopg2.sql import SQL

from . import sql
from .durations import check_moment, check_span
from .errors import InvalidValue
from .pool import ConnectionPool
from .session import Session

# By time, not by row number: those of a hypertable's chunks are not unique.
_DELETE = """
    DELETE FROM {table} WHERE {time} < %(before)s AND {time} <= (
        SELECT max({time}) FROM (
            SELECT {time} FROM {table} WHERE {time} < %(before)s ORDER BY {time} LIMIT %(batch)s
        ) AS oldest
    )
"""


@dataclasses.dataclass(frozen=True)
class Order:
    """Which rows a caller wants to be rid of: those before a point in time, or above an age."""

    table: str
    index: str
    before: datetime | timedelta
    batch: int


def check_order(table: str, index: str, before: Any, batch: Any) -> Order:
    """Check what a caller wants, before anything is sent.

    Raises:
        InvalidName: A name is not in the allow-list.
        InvalidValue: Anything else; an age that is not positive would delete the future.
    """
    sql.table_identifier(table)
    sql.column_identifier(index)
    if not isinstance(batch, int) or isinstance(batch, bool) or batch < 1:
        raise InvalidValue(f"batch must be a whole number of rows, at least 1, not {batch!r}")
    if isinstance(before, timedelta):
        return Order(table, index, check_span("before", before), batch)
    return Order(table, index, check_moment("before", before), batch)


def delete_before(pool: ConnectionPool, order: Order) -> int:
    """Delete old rows, batch by batch, and tell how many these were.

    Raises:
        psycopg2.IntegrityError: The table or its index column does not exist.
    """
    limit = pool.read(lambda session: _limit(session, order.before))
    total = 0
    try:
        while deleted := pool.run(lambda session: _delete(session, order, limit), idempotent=True):
            total += deleted
    except (psycopg2.errors.UndefinedTable, psycopg2.errors.UndefinedColumn) as error:
        raise psycopg2.IntegrityError(
            f"table {order.table} does not exist, or has no column {order.index}"
        ) from error
    return total


def _delete(session: Session, order: Order, limit: datetime) -> int:
    statement = SQL(_DELETE).format(
        table=sql.table_identifier(order.table), time=sql.column_identifier(order.index)
    )
    with session.plain_cursor() as cursor:
        cursor.execute(statement, {"before": limit, "batch": order.batch})
        return cursor.rowcount


def _limit(session: Session, before: datetime | timedelta) -> datetime:
    """Return the time that was then by the server's clock: a PC's may be years wrong."""
    if isinstance(before, datetime):
        return before
    with session.plain_cursor() as cursor:
        cursor.execute("SELECT now() - %s", (before,))
        row = cursor.fetchone()
    assert row is not None
    moment: datetime = row[0]
    return moment
