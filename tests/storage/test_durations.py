"""Widths, points in time, and where buckets begin."""

from __future__ import annotations

import contextlib
import os
import random
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone, tzinfo

import psycopg2
import pytest
from psycopg2 import sql
from systems import needs_zones
from worlds import MONDAY, bucket

from lab_utils_mt._storage.durations import (
    bucket_of,
    check_moment,
    check_span,
    name_width,
    parse_width,
)
from lab_utils_mt.database import InvalidValue

WIDTHS = [
    timedelta(milliseconds=1), timedelta(milliseconds=100), timedelta(seconds=1.5),
    timedelta(minutes=1), timedelta(minutes=7), timedelta(hours=1), timedelta(hours=25),
    timedelta(days=1), timedelta(weeks=1), timedelta(days=3660),
]  # fmt: skip


@pytest.mark.parametrize(
    ("given", "span", "name"),
    [
        ("1min", timedelta(minutes=1), "1min"),
        ("60s", timedelta(minutes=1), "60s"),
        ("250ms", timedelta(milliseconds=250), "250ms"),
        ("2w", timedelta(days=14), "2w"),
        (timedelta(days=7), timedelta(days=7), "7d"),
        (timedelta(days=14), timedelta(days=14), "14d"),
        (timedelta(minutes=90), timedelta(minutes=90), "90min"),
        (timedelta(seconds=0.5), timedelta(seconds=0.5), "500ms"),
        (600, timedelta(minutes=10), "10min"),
        (0.25, timedelta(seconds=0.25), "250ms"),
    ],
)
def test_widths_are_texts_seconds_or_timedeltas(given: object, span: timedelta, name: str) -> None:
    """Each has a name: a text itself, anything else in the longest of the units up to days."""
    assert parse_width(given) == span
    assert name_width(given) == name


@pytest.mark.parametrize(
    "width",
    [
        "", "1", "min", "0min", "-1s", "1 min", "1m", "1.5h", "1min\n", "١min", "9999999999s", "1y",
        "1min; DROP TABLE x", None, True, [1], 0, -1, 0.0001, float("nan"), float("inf"), 1e300,
        timedelta(0), timedelta(seconds=-1), timedelta(days=3661), "3661d", b"1min",
    ],
)  # fmt: skip
def test_other_widths_are_refused(width: object) -> None:
    """The error shows it, and what to write."""
    with pytest.raises(InvalidValue, match="10min"):
        parse_width(width)


def test_a_view_is_not_named_after_microseconds() -> None:
    """Its name could not be read."""
    with pytest.raises(InvalidValue, match="whole milliseconds"):
        name_width(timedelta(microseconds=1500))


@contextlib.contextmanager
def local_zone(name: str) -> Iterator[None]:
    """Move this computer."""
    old = os.environ.get("TZ")
    os.environ["TZ"] = name
    time.tzset()
    try:
        yield
    finally:
        if old is None:
            del os.environ["TZ"]
        else:
            os.environ["TZ"] = old
        time.tzset()


@needs_zones
def test_without_a_zone_it_is_local_time() -> None:
    """Also in the hour that there is twice."""
    with local_zone("Europe/Zurich"):
        summer = check_moment("start", datetime(2025, 10, 26, 2, 30))
        winter = check_moment("start", datetime(2025, 10, 26, 2, 30, fold=1))
    assert summer == datetime(2025, 10, 26, 0, 30, tzinfo=timezone.utc)
    assert winter - summer == timedelta(hours=1)


class Timestamp(datetime):
    """A datetime that refuses to be local, as that of pandas does."""

    def astimezone(self, tz: tzinfo | None = None) -> Timestamp:
        """Refuse."""
        raise TypeError("Cannot convert tz-naive Timestamp, use tz_localize to localize")


class NotATime(datetime):
    """A datetime that is none, as that of pandas."""

    __hash__ = datetime.__hash__

    def __eq__(self, other: object) -> bool:
        return False

    def __ne__(self, other: object) -> bool:
        return True


def test_datetimes_of_pandas_are_datetimes() -> None:
    """But for the one that is no time; what is sent is a datetime and nothing else."""
    found = check_moment("start", Timestamp(2025, 1, 1, 12))
    assert found == datetime(2025, 1, 1, 12).astimezone()
    assert type(found) is type(check_moment("start", Timestamp(2025, 1, 1, tzinfo=timezone.utc)))
    with pytest.raises(InvalidValue, match="start must be a point in time"):
        check_moment("start", NotATime(2025, 1, 1))


class Nowhere(tzinfo):
    """A zone that does not tell its offset: as good as none."""

    def utcoffset(self, when: datetime | None) -> None:
        """Tell nothing."""

    dst = tzname = utcoffset  # type: ignore[assignment]


@pytest.mark.parametrize(
    "moment", [None, "2025-01-01", 5, datetime.min, MONDAY.date(), datetime.max, timedelta(1)]
)
def test_other_moments_are_refused(moment: object) -> None:
    """By the name of the argument."""
    if isinstance(moment, datetime):
        with contextlib.suppress(InvalidValue):  # depends on the zone
            assert check_moment("start", moment).tzinfo is not None
        return
    with pytest.raises(InvalidValue, match="start must be a datetime, not"):
        check_moment("start", moment)


def test_a_zone_without_an_offset_is_none() -> None:
    """It is local time, or refused, but never sent as it is."""
    with contextlib.suppress(InvalidValue):
        assert check_moment("end", datetime(2025, 1, 1, tzinfo=Nowhere())).utcoffset() is not None


@pytest.mark.parametrize("span", [None, 5, "1 day", timedelta(0), timedelta(days=-1)])
def test_other_spans_are_refused(span: object) -> None:
    """By the name of the argument."""
    with pytest.raises(InvalidValue, match="keep must be"):
        check_span("keep", span)


@pytest.mark.parametrize("width", WIDTHS, ids=str)
@pytest.mark.parametrize("version", [130000, 0])
def test_the_server_begins_buckets_where_python_does(
    database_dsn: str, width: timedelta, version: int
) -> None:
    """By date_bin() and by arithmetic, before and after the first bucket, at its very limits."""
    chance = random.Random(f"{width}")  # the same for each run
    moments = [MONDAY + timedelta(microseconds=chance.randrange(-(10**15), 10**15))
               for _ in range(500)]  # fmt: skip
    moments += [moment.replace(year=year) for moment in moments[:40] for year in (21, 1601, 9980)
                if (moment.month, moment.day) != (2, 29)]  # fmt: skip
    for limit in [bucket(moment, width) for moment in moments]:
        moments += [limit, limit - timedelta(microseconds=1), limit + timedelta(microseconds=1)]
    with contextlib.closing(psycopg2.connect(database_dsn)) as connection:
        cursor = connection.cursor()
        cursor.execute("SET timezone TO 'Europe/Zurich'")
        if connection.server_version < 140000 and version == 0:
            pytest.skip("this server has no date_bin()")
        start = bucket_of(sql.Identifier("t"), width, version or connection.server_version)
        cursor.execute(sql.SQL("SELECT t, {} FROM unnest(%s) AS t").format(start), (moments,))
        for moment, found in cursor.fetchall():
            assert found == bucket(moment, width), moment


@pytest.mark.parametrize("version", [130000, 0])
def test_the_ends_of_time_are_buckets_of_their_own(database_dsn: str, version: int) -> None:
    """A reading at infinity does not break a view."""
    with contextlib.closing(psycopg2.connect(database_dsn)) as connection:
        start = bucket_of(sql.Identifier("t"), WIDTHS[3], version or connection.server_version)
        if connection.server_version < 140000 and version == 0:
            pytest.skip("this server has no date_bin()")
        cursor = connection.cursor()
        cursor.execute(
            sql.SQL(
                "SELECT {} = t FROM unnest('{{infinity,-infinity}}'::timestamptz[]) AS t"
            ).format(start)
        )
        assert cursor.fetchall() == [(True,), (True,)]
