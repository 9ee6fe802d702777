"""How long does it last, when was it, and where does a bucket of readings begin?

All buckets count from one Monday, midnight UTC, which is where TimescaleDB's own begin. A day
has 24 hours: buckets know nothing of time zones and of daylight saving.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from typing import Any

from psycopg2 import sql

from .errors import InvalidValue
from .plain import plain

_FIRST_BUCKET = datetime(2000, 1, 3, tzinfo=timezone.utc)
_BEFORE_ALL_READINGS = datetime(2, 1, 1, tzinfo=timezone.utc)
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MICROSECOND = timedelta(microseconds=1)
_SHORTEST, _LONGEST = timedelta(milliseconds=1), timedelta(days=3660)
_DATE_BIN = 140000  # the first version of PostgreSQL that has it

_UNITS = {
    "w": timedelta(weeks=1),
    "d": timedelta(days=1),
    "h": timedelta(hours=1),
    "min": timedelta(minutes=1),
    "s": timedelta(seconds=1),
    "ms": timedelta(milliseconds=1),
}
_WIDTH = re.compile(f"([1-9][0-9]{{0,8}})({'|'.join(_UNITS)})", re.ASCII)


def parse_width(width: Any) -> timedelta:
    """Return a bucket's width, given as a text such as "10min", in seconds, or as a timedelta.

    Raises:
        InvalidValue: It is none of these, or not between 1 ms and 3660 days.
    """
    try:
        span = _span(width)
    except (OverflowError, ValueError):  # an endless number of seconds, or none at all
        span = None
    if span is None or not _SHORTEST <= span <= _LONGEST:
        raise InvalidValue(
            f"bucket width {width!r} cannot be used: give a number and one of"
            f' {" ".join(_UNITS)}, as in "10min", or a timedelta, from 1 ms to 3660 days'
        )
    return span


def _span(width: Any) -> timedelta | None:
    if isinstance(width, timedelta):
        return _exact(width)
    if isinstance(width, (int, float)) and not isinstance(width, bool):
        return timedelta(seconds=width)
    found = _WIDTH.fullmatch(plain(width)) if isinstance(width, str) else None
    return int(found[1]) * _UNITS[found[2]] if found else None


def _exact(span: timedelta) -> timedelta:
    # Of a subclass, such as pandas' Timedelta, only what every timedelta has.
    return timedelta(span.days, span.seconds, span.microseconds)


def name_width(width: Any) -> str:
    """Return the text that stands for a width in the name of a view: "1min", "90s".

    A text stands for itself; all else is counted in the longest of d, h, min, s and ms of which
    it is a whole number: two weeks are "14d".

    Raises:
        InvalidValue: It is no width, or not a whole number of milliseconds.
    """
    span = parse_width(width)
    if isinstance(width, str):
        return str.__str__(width)
    for unit, length in _UNITS.items():
        if unit != "w" and span % length == timedelta(0):
            return f"{span // length}{unit}"
    raise InvalidValue(f"bucket width {width!r} cannot be used: it must be whole milliseconds")


def check_span(name: str, span: Any, least: timedelta = _MICROSECOND) -> timedelta:
    """Return a span of time.

    Raises:
        InvalidValue: It is no timedelta, or too short.
    """
    if not isinstance(span, timedelta):
        raise InvalidValue(f"{name} must be a timedelta, not {type(span).__name__}")
    if span < least:
        raise InvalidValue(f"{name} must be at least {least.total_seconds():g} s, not {span}")
    return _exact(span)


def check_moment(name: str, moment: Any) -> datetime:
    """Return a point in time with its zone; without one, it is this computer's local time.

    Raises:
        InvalidValue: It is no datetime, or cannot be converted.
    """
    if not isinstance(moment, datetime):
        raise InvalidValue(f"{name} must be a datetime, not {type(moment).__name__}")
    if moment != moment:  # noqa: PLR0124  (pandas' NaT, which is a datetime, but no time)
        raise InvalidValue(f"{name} must be a point in time, not {moment}")
    exact = _exact_moment(moment)
    if exact.utcoffset() is not None:
        return exact
    try:
        return exact.astimezone()
    except (OverflowError, OSError, TypeError, ValueError) as error:
        raise InvalidValue(f"{name} = {moment} has no local time: {error}") from error


def _exact_moment(moment: datetime) -> datetime:
    # pandas' Timestamp is a datetime that refuses to be local time.
    return datetime(
        moment.year,
        moment.month,
        moment.day,
        moment.hour,
        moment.minute,
        moment.second,
        moment.microsecond,
        moment.tzinfo,
        fold=moment.fold,
    )


def bucket_of(column: sql.Identifier, width: timedelta, server_version: int) -> sql.Composed:
    """Return the expression for the beginning of the bucket that a point in time is in."""
    if server_version < _DATE_BIN:
        return _bucket_by_arithmetic(column, width)
    # Until 16.3, 15.7 and 14.12, date_bin() was wrong about times before its origin.
    origin = _FIRST_BUCKET - (_FIRST_BUCKET - _BEFORE_ALL_READINGS) // width * width
    return sql.SQL("date_bin({width}, {column}, {origin})").format(
        width=sql.Literal(width), column=column, origin=sql.Literal(origin)
    )


def _bucket_by_arithmetic(column: sql.Identifier, width: timedelta) -> sql.Composed:
    # Whole microseconds: a quotient of floating-point numbers may fall into the bucket before, and
    # a number of microseconds since the epoch is only exact, as one, for some 285 years.
    offset = (_FIRST_BUCKET - _EPOCH) % width // _MICROSECOND
    now = sql.SQL(
        "(extract(epoch FROM date_trunc('minute', {0}))::bigint * 1000000"
        " + extract(microseconds FROM {0})::bigint)"
    ).format(column)
    start = sql.SQL("({now} - mod(mod({now} - {offset}, {width}) + {width}, {width}))").format(
        now=now,
        offset=sql.Literal(offset),
        width=sql.SQL("{}::bigint").format(sql.Literal(width // _MICROSECOND)),
    )
    return sql.SQL(
        "CASE WHEN isfinite({column}) THEN TIMESTAMPTZ 'epoch'"
        " + INTERVAL '1 second' * ({start} / 1000000)"
        " + INTERVAL '1 microsecond' * mod({start}, 1000000) ELSE {column} END"
    ).format(column=column, start=start)
