"""Views of sums, bucket by bucket."""

from __future__ import annotations

import logging
import math
import random
import statistics
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from typing import Any

import psycopg2
import pytest
from psycopg2 import errors, sql
from worlds import ALL, TIMESCALE, bucket, fill, new_database, select, server

from lab_utils_mt.database import Database, DataType, InvalidName, InvalidValue

START = datetime(2025, 10, 25, 22, tzinfo=timezone.utc)  # the night when Zurich's clocks go back
ZURICH = "-c timezone=Europe/Zurich"
SUMS: dict[str, Callable[[list[Any]], Any]] = {
    "avg": statistics.fmean,
    "min": min,
    "max": max,
    "count": len,
    "sum": sum,
    "stddev": lambda values: statistics.stdev(values) if len(values) > 1 else None,
    "first": lambda values: values[0],
    "last": lambda values: values[-1],
}


@pytest.fixture(params=ALL)
def database(request: pytest.FixtureRequest, postgres_dsn: str) -> Iterator[Database]:
    """Return a database of each kind, whose sessions are in Zurich."""
    with (
        new_database(server(request.param, postgres_dsn), options=ZURICH) as dsn,
        Database(dsn=dsn) as connected,
    ):
        yield connected


def readings(number: int, step: timedelta) -> list[tuple[datetime, float | None, int]]:
    """Return rows whose sums are exact in every order; every seventh lacks a reading."""
    chance = random.Random(number)
    return [
        (START + i * step, chance.randrange(-4096, 4096) / 8 if i % 7 else None, i)
        for i in range(number)
    ]


def views(database: Database) -> dict[str, int]:
    """Return the name and the identity of each view."""
    found = select(database, "SELECT relname, oid FROM pg_class WHERE relkind = 'v'"
                             " AND relnamespace = 'public'::regnamespace")  # fmt: skip
    return dict(found)  # type: ignore[arg-type]


def rows_of(database: Database, view: str) -> list[tuple[Any, ...]]:
    """Return a view's rows in the order of time."""
    return select(database, f"SELECT * FROM {view} ORDER BY time")


@pytest.mark.parametrize("width", ["90s", "7min", "1h", "1d", "1w"])
def test_a_view_holds_what_python_computes(database: Database, width: str) -> None:
    """Every aggregate, before and after the initial refresh, across the change of the clocks."""
    rows = readings(2000, timedelta(seconds=23))
    fill(database, rows[:1500])
    database.create_aggregate_view("cryo", widths=[width], aggregates=list(SUMS))
    with database.transaction() as session, session.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO cryo (time, sample, count) VALUES (%s, %s, %s)", rows[1500:]
        )
    # Those readings are as late as can be: TimescaleDB shows them when it has refreshed its view.
    refresh(database, f"cryo_{width}")
    span = {"90s": 90, "7min": 420, "1h": 3600, "1d": 86_400, "1w": 604_800}[width]
    groups: dict[datetime, list[Any]] = {}
    for row in rows:
        groups.setdefault(bucket(row[0], timedelta(seconds=span)), []).append(row)
    found = rows_of(database, f"cryo_{width}")
    assert [row[0] for row in found] == sorted(groups)
    for time, *values in found:
        for place, half in [(1, values[:8]), (2, values[8:])]:
            known = [row[place] for row in groups[time] if row[place] is not None]
            wanted = [function(known) for function in SUMS.values()]
            assert [value and float(value) for value in half] == pytest.approx(wanted)


def refresh(database: Database, view: str) -> None:
    """Bring a view up to date, if it is one that has to be."""

    def call(session: Any) -> None:
        with session.plain_cursor() as cursor:
            cursor.execute("SELECT relname FROM pg_class WHERE relname = 'continuous_aggregates'")
            if not cursor.fetchone():
                return
            cursor.execute("SELECT FROM timescaledb_information.continuous_aggregates"
                           " WHERE view_name = %s", (view,))  # fmt: skip
            if cursor.fetchone() is not None:
                cursor.execute("CALL refresh_continuous_aggregate(%s, NULL, NULL)", (view,))

    database.pool.run(call, transaction=False)


def test_by_default_there_are_means_of_each_minute(database: Database) -> None:
    """Of every column of numbers, and of no other; called as in 0.5.4."""
    fill(database, [(START, 1.0, 1), (START + timedelta(seconds=59), 2.0, 3)])
    for kind in ("short", "long", "float", "bool", "time"):
        database.new_column("cryo", f"a_{kind}", DataType[kind])
    select(database, "ALTER TABLE cryo ADD COLUMN a_numeric numeric; SELECT 1")
    database.create_aggregate_view("cryo")
    assert [name for name, _ in database.get_list_columns("cryo_1min")] == [
        "time", "sample_avg", "count_avg", "a_short_avg", "a_long_avg", "a_float_avg",
        "a_numeric_avg",
    ]  # fmt: skip
    assert rows_of(database, "cryo_1min")[0][:3] == (START, 1.5, 2)
    assert database.read("cryo_1min", ["sample_avg"])["sample_avg"].mean == [1.5]


def test_the_newest_readings_show_at_once(database: Database) -> None:
    """Nobody has to wait for a refresh."""
    now = datetime.now(timezone.utc).replace(microsecond=0)
    fill(database, [(now - timedelta(hours=1), 1.0, 1)])
    database.create_aggregate_view("cryo", widths=["10s"], aggregates=["count"])
    for i in range(3):
        database.new_entry("cryo", ["time", "sample"], [now + timedelta(seconds=i * 10), 1.0])
        assert len(rows_of(database, "cryo_10s")) == 2 + i


def test_an_empty_table_has_empty_views(database: Database) -> None:
    """And they fill."""
    fill(database, [])
    database.create_aggregate_view("cryo", widths=("1min", timedelta(hours=1)))
    assert rows_of(database, "cryo_1h") == []
    database.new_entry("cryo", ["sample"], [1.0])
    assert len(rows_of(database, "cryo_1min")) == len(rows_of(database, "cryo_1h")) == 1


def test_the_index_may_have_another_name_and_the_table_a_schema(database: Database) -> None:
    """The view is in the table's schema; names keep their case."""
    select(
        database,
        'CREATE SCHEMA lab; CREATE TABLE lab."Cryo" ("When" timestamptz NOT NULL, "A" int);'
        """INSERT INTO lab."Cryo" VALUES ('2025-01-01 00:00:30+00', 5); SELECT 1""",
    )
    database.create_aggregate_view("lab.Cryo", "When", aggregates=["max"])
    assert database.get_list_columns("lab.Cryo_1min") == [
        ["When", "timestamp with time zone"],
        ["A_max", "integer"],
    ]
    found = database.read("lab.Cryo_1min", ["A_max"], index_name="When")["A_max"]
    assert found.times == [datetime(2025, 1, 1, tzinfo=timezone.utc)]


def test_recreating_picks_up_new_columns(database: Database) -> None:
    """And leaves alone what would be the same again, and every view of another name."""
    fill(database, readings(10, timedelta(minutes=1)))
    select(database, "CREATE VIEW my_cryo_view AS SELECT * FROM cryo; SELECT 1")
    database.create_aggregate_view("cryo", widths=["1min", "1h"])
    before = views(database)
    database.create_aggregate_view("cryo", widths=["1min", "1h"])
    assert views(database) == before
    database.new_column("cryo", "extra", DataType.double)
    database.create_aggregate_view("cryo", recreate=False, widths=["1min"])
    assert views(database) == before
    database.create_aggregate_view("cryo", widths=["1min"])
    after = views(database)
    assert {name for name in after if after[name] != before.get(name)} <= {"cryo_1min"}
    assert after.keys() == before.keys()
    assert database.check_column("cryo_1min", "extra_avg")
    assert not database.check_column("cryo_1h", "extra_avg")
    database.create_aggregate_view("cryo", widths=["1h"], aggregates=["max"])
    assert database.check_column("cryo_1h", "extra_max")


@pytest.mark.parametrize("recreate", [True, False])
@pytest.mark.parametrize(
    "thing",
    [
        "CREATE TABLE cryo_1min (a int)",
        "CREATE VIEW cryo_1min AS SELECT 1 AS time",
        "CREATE MATERIALIZED VIEW cryo_1min AS SELECT * FROM cryo",
        "CREATE SEQUENCE cryo_1min",
        "CREATE TABLE other (time timestamptz);CREATE VIEW cryo_1min AS SELECT time FROM other",
    ],
)
def test_what_is_in_the_way_stays(database: Database, thing: str, recreate: bool) -> None:
    """All views are made, or none."""
    fill(database, [])
    select(database, f"{thing}; SELECT 1")
    before = select(database, "SELECT oid FROM pg_class WHERE relname = 'cryo_1min'")
    with pytest.raises(errors.DuplicateTable, match=r"cryo_1min exists.*nothing"):
        database.create_aggregate_view("cryo", recreate=recreate, widths=["1h", "1min"])
    assert select(database, "SELECT oid FROM pg_class WHERE relname = 'cryo_1min'") == before
    assert not database.check_table("cryo_1h")


@pytest.mark.parametrize(
    ("table", "index", "message"),
    [
        ("absent", "time", "table absent does not exist"),
        ("cryo", "absent", "table cryo has no column absent"),
        ("cryo", "sample", "column sample is double precision, not TIMESTAMPTZ"),
        ("bare", "time", "table bare has no column of numbers"),
    ],
)
def test_what_is_missing_is_named(database: Database, table: str, index: str, message: str) -> None:
    """By an error of the old class."""
    fill(database, [])
    database.create_timescale_db("bare")
    with pytest.raises(psycopg2.IntegrityError, match=message):
        database.create_aggregate_view(table, index)
    assert views(database) == {}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"widths": []}, "widths is empty"),
        ({"widths": "1min"}, "widths must be a list"),
        ({"widths": 5}, "widths must be a list"),
        ({"widths": ["1 min"]}, "'1 min'"),
        ({"widths": ['1min"; DROP TABLE cryo; --']}, "DROP TABLE"),
        ({"aggregates": []}, "aggregates is empty"),
        ({"aggregates": "avg"}, "aggregates must be a list"),
        ({"aggregates": ["mean"]}, "aggregate 'mean' is unknown"),
        ({"aggregates": ["avg", ["max"]]}, "unknown"),
        ({"refresh": 60}, "refresh must be a timedelta"),
        ({"refresh": timedelta(milliseconds=1)}, "refresh must be at least 1 s"),
    ],
)
def test_bad_arguments_are_refused(arguments: Any, message: str) -> None:
    """Before anybody is connected to."""
    with pytest.raises(InvalidValue, match=message):
        Database().create_aggregate_view("cryo", **arguments)


@pytest.mark.parametrize(
    ("table", "index"),
    [("a b", "time"), ('a"', "time"), ("a%s", "time"), ("a;b", "time"), (None, "time"),
     ("a", "ti me"), ("a", "%s"), ("a" * 59, "time"), ("s." + "a" * 59, "time")],
)  # fmt: skip
def test_hostile_and_long_names_never_reach_the_server(table: Any, index: str) -> None:
    """Nobody is connected to; the name of a view counts."""
    with pytest.raises(InvalidName, match="is refused"):
        Database().create_aggregate_view(table, index)


def test_a_column_whose_sum_has_no_name_is_an_error(database: Database) -> None:
    """The server would cut off the end without a word."""
    fill(database, [])
    database.new_column("cryo", "a" * 60, DataType.double)
    with pytest.raises(InvalidName, match="a_avg"):
        database.create_aggregate_view("cryo")
    select(database, f'ALTER TABLE cryo RENAME {"a" * 60} TO "b % c"; SELECT 1')
    with pytest.raises(InvalidName, match="b % c"):
        database.create_aggregate_view("cryo")
    assert views(database) == {}


def test_many_threads_may_make_the_same_views(database: Database) -> None:
    """And others insert meanwhile; every thread finds them right when it is done."""
    fill(database, readings(2000, timedelta(minutes=1)))
    columns = [("sample",), ("sample", "count")]

    def make(number: int) -> int:
        if number % 4 == 0:
            database.new_column("cryo", f"column_{number}", DataType.double)
        database.create_aggregate_view(
            "cryo", recreate=number % 3 > 0, widths=["1min", "1h"], aggregates=["avg", "max"]
        )
        database.new_entry("cryo", columns[number % 2], [1.0, 2][: number % 2 + 1])
        return len(database.read("cryo_1h", ["sample_avg"])["sample_avg"])

    with ThreadPoolExecutor(8) as threads:
        counts = list(threads.map(make, range(16)))
    assert min(counts) >= 33
    database.create_aggregate_view("cryo", widths=["1min", "1h"], aggregates=["avg", "max"])
    assert database.check_column("cryo_1h", "column_12_max")
    assert set(views(database)) == {"cryo_1min", "cryo_1h"}


def test_a_plain_view_says_so(database: Database, caplog: pytest.LogCaptureFixture) -> None:
    """In the log, once it is made, with the reason."""
    fill(database, [])
    with caplog.at_level(logging.INFO, "lab_utils_mt.database"):
        database.create_aggregate_view("cryo", widths=["1min", "1h"])
    continuous = select(database, "SELECT 1 FROM pg_class WHERE relname ~ '^_materialized_hyp'")
    assert ("cryo_1min, cryo_1h are plain views" in caplog.text) == (not continuous)


def policies(database: Database) -> list[tuple[Any, ...]]:
    """Return what the server does about its continuous aggregates."""
    return select(
        database,
        "SELECT schedule_interval, (config->>'end_offset')::interval,"
        " (config->>'start_offset')::interval FROM timescaledb_information.jobs"
        " WHERE proc_name = 'policy_refresh_continuous_aggregate' ORDER BY 1",
    )


@pytest.fixture
def timescale(postgres_dsn: str) -> Iterator[Database]:
    """Return a database with all of TimescaleDB."""
    with (
        new_database(server("timescale", postgres_dsn)) as dsn,
        Database(dsn=dsn) as connected,
    ):
        yield connected


@pytest.mark.timescaledb
def test_the_server_refreshes_once_per_bucket(timescale: Database) -> None:
    """At most once a minute; as often as wished; or never."""
    second, minute, hour = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1)
    fill(timescale, readings(10, minute))
    timescale.create_aggregate_view("cryo", widths=["1s", "1h"])
    assert policies(timescale) == [(minute, second, None), (hour, hour, None)]
    timescale.create_aggregate_view("cryo", widths=["1s"], refresh=second)
    timescale.create_aggregate_view("cryo", widths=["1h"], refresh=False)
    assert policies(timescale) == [(second, second, None)]
    timescale.create_aggregate_view("cryo", recreate=False, widths=["1s", "1h", "1d"])
    assert policies(timescale) == [(second, second, None), (hour * 24, hour * 24, None)]


@pytest.mark.timescaledb
def test_what_was_there_is_computed_in_advance(timescale: Database) -> None:
    """But for the bucket of now: its sums would be out of date at once."""
    fill(timescale, [*readings(100, timedelta(minutes=1)),
                     (datetime.now(timezone.utc), 1.0, 1)])  # fmt: skip
    timescale.create_aggregate_view("cryo", aggregates=["count"])
    (name,) = select(
        timescale,
        "SELECT materialization_hypertable_schema, materialization_hypertable_name"
        " FROM timescaledb_information.continuous_aggregates",
    )
    stored = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(*name))
    assert select(timescale, stored) == [(100,)]  # type: ignore[arg-type]
    assert len(rows_of(timescale, "cryo_1min")) == 101


@pytest.mark.timescaledb
def test_a_plain_view_becomes_continuous_when_it_can(timescale: Database) -> None:
    """As when a lab installs TimescaleDB later."""
    select(timescale, "CREATE TABLE cryo (time timestamptz NOT NULL, a double precision);"
                      "INSERT INTO cryo VALUES (now() - interval '1 d', 1); SELECT 1")  # fmt: skip
    timescale.create_aggregate_view("cryo")
    assert policies(timescale) == []
    before = rows_of(timescale, "cryo_1min")
    select(timescale, "SELECT create_hypertable('cryo', 'time', migrate_data => true)")
    timescale.create_aggregate_view("cryo")
    assert len(policies(timescale)) == 1
    assert rows_of(timescale, "cryo_1min") == before


@pytest.mark.timescaledb
def test_a_view_that_cannot_be_filled_yet_is_right_nevertheless(
    timescale: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """The log says that it is slower until the server has refreshed it."""
    fill(timescale, [])
    insert = "INSERT INTO cryo SELECT %s + i * interval '1 s', i FROM generate_series(1, %s) AS i"
    select(timescale, f"{insert} RETURNING 1", (START, 300_000))
    with Database(dsn=timescale.dsn) as hasty:
        hasty.close()
        hasty.statement_timeout = 0.25
        hasty.connect()
        with caplog.at_level(logging.WARNING, "lab_utils_mt.database"):
            try:
                hasty.create_aggregate_view("cryo", widths=["1s"], aggregates=["avg", "stddev"])
            except errors.QueryCanceled:
                pytest.skip("this server is too slow to make a view")
    assert "view cryo_1s is right" in caplog.text
    assert select(timescale, "SELECT count(*) FROM cryo_1s") == [(300_000,)]
    timescale.create_aggregate_view("cryo", aggregates=["count"])
    assert select(timescale, "SELECT sum(sample_count) FROM cryo_1min") == [(300_000,)]


@pytest.mark.parametrize("kind", [TIMESCALE])
def test_both_worlds_hold_the_same(kind: str, postgres_dsn: str) -> None:
    """Plain PostgreSQL and TimescaleDB, every width and aggregate."""
    rows = readings(3000, timedelta(seconds=37))
    widths = ["250ms", "10s", "7min", timedelta(hours=25), "2w"]
    found = []
    for dsn in (postgres_dsn, server(kind, postgres_dsn)):
        with new_database(dsn) as own, Database(dsn=own) as database:
            fill(database, rows)
            database.create_aggregate_view("cryo", widths=widths, aggregates=list(SUMS))
            names = sorted(views(database))
            found.append((names, [rows_of(database, name) for name in names]))
    assert found[0][0] == found[1][0]
    for plain, continuous in zip(found[0][1], found[1][1], strict=True):
        assert len(plain) == len(continuous)
        for one, other in zip(plain, continuous, strict=True):
            assert one[0] == other[0]
            assert all(map(alike, one[1:], other[1:]))


def alike(one: Any, other: Any) -> bool:
    """Compare; a standard deviation depends on the order of the rows in its last digits."""
    if one is None or other is None:
        return one is other
    return math.isclose(one, other, rel_tol=1e-12)
