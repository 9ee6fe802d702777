"""How do old readings leave a table, without anybody having to wait for it?"""

from __future__ import annotations

import dataclasses
import functools
from datetime import datetime, timedelta
from typing import Any

import psycopg2
from psycopg2 import errors
from psycopg2.sql import SQL

from . import sql
from .durations import check_moment, check_span
from .errors import InvalidValue
from .explaining import explain
from .plain import plain
from .pool import ConnectionPool
from .session import Session

# By time, not by row number: those of a hypertable's chunks are not unique. The end of a batch is
# where the next one begins: a trigger may have kept all its rows. As JSON, a time is written the
# same way in every session, also if Python has no such year.
_DELETE = """
    WITH batch AS (
        SELECT max({time}) AS last FROM (
            SELECT {time} FROM {table} WHERE {time} < %(before)s{after}
            ORDER BY {time} LIMIT %(batch)s
        ) AS oldest
    ), deleted AS (
        DELETE FROM {table}
        WHERE {time} < %(before)s{after} AND {time} <= (SELECT last FROM batch) RETURNING 1
    )
    SELECT to_json(last) #>> '{{}}', (SELECT count(*) FROM deleted) FROM batch
"""
_AFTER = " AND {time} > %(after)s"


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
    table, index = plain(table), plain(index)
    sql.table_identifier(table)
    sql.column_identifier(index)
    if not isinstance(batch, int) or isinstance(batch, bool) or batch < 1:
        raise InvalidValue(f"batch must be a whole number of rows, at least 1, not {batch!r}")
    if isinstance(before, timedelta):
        return Order(table, index, check_span("before", before), batch)
    return Order(table, index, check_moment("before", before), batch)


def delete_before(pool: ConnectionPool, order: Order) -> int:
    """Delete old rows, batch by batch, and tell how many are gone.

    Raises:
        psycopg2.IntegrityError: The table or its index column does not exist.
    """
    limit = pool.read(lambda session: _limit(session, order))
    total, last = 0, None
    while True:
        work = functools.partial(_delete, order=order, limit=limit, after=last)
        last, deleted = pool.run(work, idempotent=True)
        total += deleted
        if last is None:
            return total


def _delete(
    session: Session, order: Order, limit: datetime, after: str | None
) -> tuple[str | None, int]:
    """Return the last time of a batch, None if there was none, and how many rows are gone."""
    time = sql.column_identifier(order.index)
    statement = SQL(_DELETE).format(
        table=sql.table_identifier(order.table),
        time=time,
        after=SQL("" if after is None else _AFTER).format(time=time),
    )
    try:
        with session.plain_cursor() as cursor:
            cursor.execute(statement, {"before": limit, "batch": order.batch, "after": after})
            row = cursor.fetchone()
    except (errors.UndefinedTable, errors.UndefinedColumn) as error:
        raise psycopg2.IntegrityError(
            f"table {order.table} does not exist, or has no column {order.index}"
        ) from error
    except (psycopg2.ProgrammingError, psycopg2.DataError) as error:
        advice = "index_name must name a column of times of a table whose rows you may delete"
        explain(error, f"table {order.table}, column {order.index}", advice)
        raise
    assert row is not None
    return row[0], row[1]


def _limit(session: Session, order: Order) -> datetime:
    """Return the time that was then by the server's clock: a PC's may be years wrong."""
    if isinstance(order.before, datetime):
        return order.before
    try:
        with session.plain_cursor() as cursor:
            cursor.execute("SELECT now() - %s", (order.before,))
            row = cursor.fetchone()
    except (ValueError, OverflowError, psycopg2.DataError) as error:
        raise InvalidValue(
            f"table {order.table}: before = {order.before} ago is no year from 1 to 9999:"
            " give an age that readings can have"
        ) from error
    assert row is not None
    moment: datetime = row[0]
    return moment
