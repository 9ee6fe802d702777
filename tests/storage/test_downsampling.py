"""Reading series, whole and in buckets."""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import psycopg2
import pytest
from worlds import ALL, TIMESCALE, bucket, fill, new_database, select, server

from lab_utils_mt._storage.downsampling import Trace
from lab_utils_mt.database import Database, DataType, InvalidName, InvalidValue

# The clocks of Zurich went forward at 01:00 UTC.
START = datetime(2025, 3, 29, 22, tzinfo=timezone.utc)
ZURICH = "-c timezone=Europe/Zurich"


@pytest.fixture(params=ALL)
def database(request: pytest.FixtureRequest, postgres_dsn: str) -> Iterator[Database]:
    """Return a database of each kind, whose sessions are in Zurich."""
    with (
        new_database(server(request.param, postgres_dsn), options=ZURICH) as dsn,
        Database(dsn=dsn) as connected,
    ):
        yield connected


def readings(number: int, step: timedelta) -> list[tuple[datetime, float, int]]:
    """Return rows whose sums are exact in every order."""
    chance = random.Random(number)
    return [(START + i * step, chance.randrange(-4096, 4096) / 8, i) for i in range(number)]


def expected(rows: list[tuple[datetime, float, int]], width: timedelta, place: int) -> Trace:
    """Sum up rows in Python."""
    found: dict[datetime, list[float]] = {}
    for row in rows:
        found.setdefault(bucket(row[0], width), []).append(row[place])
    times = sorted(found)
    return Trace(
        times,
        [statistics.fmean(found[time]) for time in times],
        [min(found[time]) for time in times],
        [max(found[time]) for time in times],
    )


@pytest.mark.parametrize(
    "width", ["7min", 90.0, 3600, timedelta(hours=5), timedelta(days=1)], ids=str
)
def test_buckets_are_those_that_python_computes(database: Database, width: Any) -> None:
    """Across the hour that the clocks leave out; only readings between the limits count."""
    rows = readings(3000, timedelta(seconds=17))
    random.Random(1).shuffle(rows)
    fill(database, rows)
    start, end = START + timedelta(minutes=30), START + timedelta(hours=10)
    inside = [row for row in rows if start <= row[0] < end]
    span = timedelta(minutes=7) if width == "7min" else width
    span = span if isinstance(span, timedelta) else timedelta(seconds=span)
    found = database.read("cryo", ["count", "sample", "count"], start, end, bucket=width)
    assert list(found) == ["count", "sample"]
    assert found["sample"] == expected(inside, span, 1)
    assert found["count"] == expected(inside, span, 2)
    assert all(time.tzinfo is not None for time in found["count"].times)


def test_without_buckets_every_reading_comes_as_it_is(database: Database) -> None:
    """In the order of time; the start is inclusive, the end is not."""
    rows = readings(50, timedelta(seconds=1))
    fill(database, rows[::-1])
    found = database.read("cryo", ["sample", "note"], rows[10][0], rows[40][0])
    assert found["sample"].times == [row[0] for row in rows[10:40]]
    assert found["sample"].mean == [row[1] for row in rows[10:40]]
    assert found["sample"].mean is found["sample"].min is found["sample"].max
    assert found["note"].mean == ["x"] * 30
    assert len(found["note"]) == 30
    assert len(database.read("cryo", ["count"], end=rows[10][0])["count"]) == 10
    assert len(database.read("cryo", ["count"])["count"]) == 50


def test_naive_limits_are_local_time(database: Database) -> None:
    """Of this computer, not of the server's session."""
    rows = readings(100, timedelta(minutes=1))
    fill(database, rows)
    here = rows[50][0].astimezone().replace(tzinfo=None)
    assert database.read("cryo", ["count"], here)["count"].mean == list(range(50, 100))


def test_null_is_no_reading(database: Database) -> None:
    """Neither a raw one nor one of a bucket; a column of nothing has an empty trace."""
    fill(database, [(START, None, 1), (START + timedelta(seconds=1), 2.0, None),
                    (START + timedelta(hours=1), None, 3)])  # fmt: skip
    for width in (None, "1min"):
        found = database.read("cryo", ["sample", "count"], bucket=width)
        assert found["sample"].mean == [2.0]
        assert found["count"].mean == [1, 3]
        assert found["count"].times == [START, START + timedelta(hours=1)]
    select(database, "UPDATE cryo SET count = NULL RETURNING 1")
    assert database.read("cryo", ["count"], bucket=60) == {"count": Trace([], [], [], [])}


@pytest.mark.parametrize("width", [None, "1min"])
def test_a_reading_without_a_time_is_at_no_point(database: Database, width: str | None) -> None:
    """Others made the table."""
    select(
        database,
        "CREATE TABLE odd (time timestamptz, x float8);"
        "INSERT INTO odd VALUES (NULL, 1), ('2025-01-01 00:00Z', 2); SELECT 1",
    )
    assert database.read("odd", ["x"], bucket=width)["x"].mean == [2.0]


@pytest.mark.parametrize(("moment", "width"), [("0044-03-15 BC", None), ("0001-01-02", "3660d")])
def test_years_that_python_does_not_have_are_named(
    database: Database, moment: str, width: str | None
) -> None:
    """Instead of the driver's ValueError; the limits leave them out."""
    select(database, "CREATE TABLE odd (time timestamptz, x float8);"
                     f"INSERT INTO odd VALUES ('{moment}', 2); SELECT 1")  # fmt: skip
    with pytest.raises(psycopg2.DataError, match=r"table odd has .*start and end"):
        database.read("odd", ["x"], bucket=width)
    assert len(database.read("odd", ["x"], START, bucket=width)["x"]) == 0


def test_what_cannot_be_summed_up_names_the_table(database: Database) -> None:
    """A mean may be too great for a float."""
    fill(database, [(START, 1e308, 1), (START, 1e308, 1)])
    with pytest.raises(psycopg2.DataError, match=r"table cryo: .*without a bucket"):
        database.read("cryo", ["sample"], bucket="1h")


def test_nan_and_infinity_are_readings(database: Database) -> None:
    """To PostgreSQL, NaN is greater than every number."""
    nan, infinity = math.nan, math.inf
    buckets = [[1.0, nan], [nan, nan], [infinity, 1.0], [-infinity, infinity]]
    hour = timedelta(hours=1)
    fill(database, [(START + i * hour + timedelta(seconds=s), value, 0)
                    for i, pair in enumerate(buckets) for s, value in enumerate(pair)])  # fmt: skip
    found = database.read("cryo", ["sample"], bucket=hour)["sample"]
    assert [str(value) for value in found.min] == ["1.0", "nan", "1.0", "-inf"]
    assert [str(value) for value in found.max] == ["nan", "nan", "inf", "inf"]
    assert [str(value) for value in found.mean] == ["nan", "nan", "inf", "nan"]
    raw = database.read("cryo", ["sample"])["sample"].mean
    assert list(map(str, raw)) == [str(value) for pair in buckets for value in pair]


@pytest.mark.parametrize("kind", ["smallint", "bigint", "real", "numeric"])
def test_all_kinds_of_numbers_become_floats(database: Database, kind: str) -> None:
    """Raw readings keep their types."""
    database.create_timescale_db("other")
    select(database, f"ALTER TABLE other ADD COLUMN value {kind}; SELECT 1")
    database.new_entry("other", ["time", "value"], [START, 2])
    database.new_entry("other", ["time", "value"], [START + timedelta(seconds=1), 3])
    found = database.read("other", ["value"], bucket="1h")["value"]
    assert (found.min, found.mean, found.max) == ([2.0], [2.5], [3.0])
    assert {type(value) for value in found.min + found.mean + found.max} == {float}
    assert database.read("other", ["value"])["value"].mean == [Decimal(2), Decimal(3)]


def test_an_empty_table_has_empty_traces(database: Database) -> None:
    """Not an error."""
    fill(database, [])
    empty = {"sample": Trace([], [], [], [])}
    assert database.read("cryo", ["sample"]) == empty
    assert database.read("cryo", ["sample"], bucket=timedelta(days=1)) == empty


@pytest.mark.parametrize("bucket_width", [None, "1min"])
@pytest.mark.parametrize(
    ("table", "columns", "index", "message"),
    [
        ("nothing", ["a"], "time", "table nothing does not exist"),
        ("cryo", ["sample", "absent"], "time", "table cryo has no column absent"),
        ("cryo", ["sample"], "absent", "table cryo has no column absent"),
    ],
)
def test_what_is_missing_is_named(
    database: Database,
    table: str,
    columns: list[str],
    index: str,
    message: str,
    bucket_width: str | None,
) -> None:
    """The connection is good afterwards."""
    fill(database, [])
    with pytest.raises(psycopg2.IntegrityError, match=message):
        database.read(table, columns, bucket=bucket_width, index_name=index)
    assert database.check_table("cryo")


@pytest.mark.parametrize(
    ("kind", "name"),
    [(DataType.string, "text"), (DataType.bool, "boolean"), (DataType.time, "timestamp")],
)
def test_what_has_no_mean_is_named(database: Database, kind: DataType, name: str) -> None:
    """With its type; read whole, it is fine."""
    fill(database, readings(1, timedelta(1)))
    database.new_column("cryo", "odd", kind)
    with pytest.raises(psycopg2.IntegrityError, match=f"column odd is {name}.*without a bucket"):
        database.read("cryo", ["sample", "odd"], bucket=60)
    assert len(database.read("cryo", ["sample", "odd"])["odd"]) == 0


@pytest.mark.parametrize("columns", ["sample", b"a", None, 5, []])
def test_columns_must_be_a_list(columns: Any) -> None:
    """With something in it; nobody is connected to."""
    with pytest.raises(InvalidValue, match=r"table cryo: .*columns"):
        Database().read("cryo", columns)


@pytest.mark.parametrize("name", ["a b", 'a"b', "a%sb", "a;b", "é", "a" * 64, "", None])
def test_hostile_names_never_reach_the_server(name: Any) -> None:
    """Not as a table's, not as a column's: nobody is connected to."""
    for table, columns, index in [(name, ["a"], "time"), ("a", [name], "time"), ("a", ["b"], name)]:
        with pytest.raises(InvalidName):
            Database().read(table, columns, index_name=index)


def test_a_year_comes_as_a_thousand_points(database: Database) -> None:
    """A million readings stay with the server."""
    database.create_timescale_db("long")
    database.new_column("long", "value", DataType.double)
    select(
        database,
        "INSERT INTO long SELECT %s::timestamptz + i * interval '31.536 s', i %% 1000"
        " FROM generate_series(0, 999999) AS i RETURNING 1",
        (bucket(START, timedelta(seconds=31_536)),),
    )
    found = database.read("long", ["value"], bucket=31_536)["value"]
    assert len(found) == 1000
    assert set(found.mean) == {499.5}
    assert (set(found.min), set(found.max)) == ({0.0}, {999.0})


@pytest.mark.parametrize("kind", [TIMESCALE])
def test_both_worlds_read_the_same(kind: str, postgres_dsn: str) -> None:
    """Plain PostgreSQL and TimescaleDB, to the last bit."""
    rows = readings(2000, timedelta(seconds=41))
    found = []
    for dsn in (postgres_dsn, server(kind, postgres_dsn)):
        with new_database(dsn) as own, Database(dsn=own) as database:
            fill(database, rows)
            found.append(database.read("cryo", ["sample", "count"], bucket="13min"))
    assert found[0] == found[1]
