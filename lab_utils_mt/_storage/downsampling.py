"""What does a plot need of a million readings?"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

import psycopg2
from psycopg2.sql import SQL, Composable, Composed

from . import sql, tables
from .durations import bucket_of, check_moment, parse_width
from .errors import InvalidValue
from .explaining import explain
from .plain import plain
from .session import Session

_SUMMARY = "min({0})::float8, avg({0})::float8, max({0})::float8"
_PER_COLUMN = 3


@dataclasses.dataclass(frozen=True)
class Trace:
    """The readings of one column in the order of time; the four lists are equally long.

    Fit for a plot::

        plt.plot(trace.times, trace.mean)
        plt.fill_between(trace.times, trace.min, trace.max, alpha=0.3)

    Each time is a bucket's beginning. Without buckets it is a reading's own, and mean, min and
    max are one list, the readings as they are stored.
    """

    times: list[datetime]  #: With time zone
    mean: list[Any]  #: Arithmetic mean
    min: list[Any]  #: Least reading; NaN only if all are NaN
    max: list[Any]  #: Greatest reading; NaN if one is NaN

    def __len__(self) -> int:
        return len(self.times)


@dataclasses.dataclass(frozen=True)
class Request:
    """Which readings a caller wants to see."""

    table: str
    index: str
    columns: tuple[str, ...]
    start: datetime | None
    end: datetime | None
    bucket: timedelta | None


def check_request(
    table: str, index: str, columns: Any, start: Any, end: Any, bucket: Any
) -> Request:
    """Check what a caller wants to see, before anything is sent.

    Raises:
        InvalidName: A name is not in the allow-list.
        InvalidValue: Anything else.
    """
    table, index = plain(table), plain(index)
    sql.table_identifier(table)
    sql.column_identifier(index)
    return Request(
        table,
        index,
        _names(table, columns),
        None if start is None else check_moment("start", start),
        None if end is None else check_moment("end", end),
        None if bucket is None else parse_width(bucket),
    )


def _names(table: str, columns: Any) -> tuple[str, ...]:
    if not isinstance(columns, Iterable) or isinstance(columns, (str, bytes)):
        raise InvalidValue(
            f"table {table}: columns must be a list, not {type(columns).__name__}:"
            ' write ["sample"], for one column too'
        )
    names = tuple(map(plain, columns))
    if not names:
        raise InvalidValue(f"table {table}: no columns: give at least one")
    for name in names:
        sql.column_identifier(name)
    return tuple(dict.fromkeys(names))


def read(session: Session, request: Request) -> dict[str, Trace]:
    """Read columns in one round trip; the server does the sums.

    Raises:
        psycopg2.IntegrityError: The table or a column does not exist, or has no numbers.
    """
    query = _query(request, session.server_version)
    limits = [limit for limit in (request.start, request.end) if limit is not None]
    try:
        with session.plain_cursor() as cursor:
            cursor.execute(query, limits)
            rows = cursor.fetchall()
    except psycopg2.ProgrammingError as error:
        _explain(session, request)
        explain(error, f"table {request.table}", "check the columns, and your rights")
        raise
    except psycopg2.DataError as error:
        advice = "its numbers are too great to be summed up: read it without a bucket"
        explain(error, f"table {request.table}", advice)
        raise
    except (ValueError, OverflowError) as error:  # the driver's, not the server's
        raise psycopg2.DataError(
            f"table {request.table} has readings, or buckets that begin, outside the years 1 to"
            f" 9999, which Python does not have: leave them out by start and end ({error})"
        ) from error
    split = _whole if request.bucket is None else _summed
    return {name: split(rows, place) for place, name in enumerate(request.columns)}


def _query(request: Request, server_version: int) -> Composed:
    time = sql.column_identifier(request.index)
    columns = [sql.column_identifier(name) for name in request.columns]
    bucket: Composable = time
    values: Sequence[Composable] = columns
    groups = SQL("")
    if request.bucket is not None:
        bucket = bucket_of(time, request.bucket, server_version)
        values = [SQL(_SUMMARY).format(column) for column in columns]
        groups = SQL("GROUP BY 1 ")
    return SQL("SELECT {bucket}, {values} FROM {table} {where}{groups}ORDER BY 1").format(
        bucket=bucket,
        values=SQL(", ").join(values),
        table=sql.table_identifier(request.table),
        where=_where(request),
        groups=groups,
    )


def _where(request: Request) -> Composed:
    time = sql.column_identifier(request.index)
    limits = [(">=", request.start), ("<", request.end)]
    conditions = [
        SQL("{} " + sign + " %s").format(time) for sign, limit in limits if limit is not None
    ]
    # A table that somebody else made may have readings without a time: they are at no point.
    conditions = conditions or [SQL("{} IS NOT NULL").format(time)]
    return SQL("WHERE {} ").format(SQL(" AND ").join(conditions))


def _whole(rows: list[tuple[Any, ...]], place: int) -> Trace:
    found = [(row[0], row[place + 1]) for row in rows if row[place + 1] is not None]
    values = [value for _, value in found]
    return Trace([time for time, _ in found], values, values, values)


def _summed(rows: list[tuple[Any, ...]], place: int) -> Trace:
    least = 1 + _PER_COLUMN * place
    found = [row for row in rows if row[least] is not None]
    times, least_values, means, greatest_values = (
        [row[number] for row in found] for number in (0, least, least + 1, least + 2)
    )
    return Trace(times, means, least_values, greatest_values)


def _explain(session: Session, request: Request) -> None:
    """Raise what tells more than the server's own error, if there is such a thing."""
    types = dict(tables.list_columns(session, request.table))
    for name in (request.index, *request.columns):
        if name not in types:
            raise psycopg2.IntegrityError(f"table {request.table} has no column {name}")
    for name in request.columns if request.bucket is not None else ():
        if types[name] not in tables.NUMBERS:
            raise psycopg2.IntegrityError(
                f"table {request.table}: column {name} is {types[name]}: only numbers can be"
                " summed up; read it without a bucket"
            )
