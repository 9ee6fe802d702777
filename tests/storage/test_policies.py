"""What TimescaleDB is told to do by itself, and what is said where it cannot."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import psycopg2
import pytest
from worlds import APACHE, TIMESCALE, UNLOADED, fill, new_database, select, server

from lab_utils_mt.database import Database, InvalidName, InvalidValue

DAY, HOUR = timedelta(days=1), timedelta(hours=1)


@pytest.fixture(params=["plain", APACHE, UNLOADED])
def poor(request: pytest.FixtureRequest, postgres_dsn: str) -> Iterator[Database]:
    """Return a database of each kind that has no policies."""
    with (
        new_database(server(request.param, postgres_dsn)) as dsn,
        Database(dsn=dsn) as connected,
    ):
        if request.param == "plain" and select(
            connected, "SELECT 1 FROM pg_extension WHERE extname = 'timescaledb'"
        ):
            pytest.skip("this server has TimescaleDB")
        yield connected


@pytest.fixture(params=[TIMESCALE])
def rich(request: pytest.FixtureRequest, postgres_dsn: str) -> Iterator[Database]:
    """Return a database with all of TimescaleDB."""
    with (
        new_database(server(request.param, postgres_dsn)) as dsn,
        Database(dsn=dsn) as connected,
    ):
        yield connected


def jobs(database: Database, name: str, key: str) -> list[tuple[Any, ...]]:
    """Return a setting of the jobs of a kind."""
    return select(
        database,
        "SELECT hypertable_name, (config->>%s)::interval FROM timescaledb_information.jobs"
        " WHERE proc_name = %s ORDER BY 1",
        (key, name),
    )


def run(database: Database, name: str) -> None:
    """Let the jobs of a kind do now what they would do later."""

    def call(session: Any) -> None:
        with session.plain_cursor() as cursor:
            cursor.execute(
                "SELECT job_id FROM timescaledb_information.jobs WHERE proc_name = %s", (name,)
            )
            for (job,) in cursor.fetchall():
                cursor.execute("CALL run_job(%s)", (job,))

    database.pool.run(call, transaction=False)


def old_and_new(database: Database) -> None:
    """Store readings of 100 days, one each hour, up to now."""
    now = datetime.now(timezone.utc)
    fill(database, [(now - timedelta(hours=i), 1.0, i) for i in range(2400)])


def test_retention_elsewhere_is_up_to_the_lab(
    poor: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """The log says what to call; nothing is said about what nobody wants."""
    fill(poor, [])
    caplog.clear()
    assert poor.set_retention("cryo", None) is False
    assert poor.set_compression("cryo", None) is False
    assert not caplog.text
    assert poor.set_retention("cryo", DAY) is False
    assert "call delete_before() regularly. Reason: " in caplog.text
    assert poor.set_compression("cryo", DAY) is False
    assert "table cryo: the server compresses no old readings. Reason: " in caplog.text


def test_a_table_that_is_no_hypertable_is_told_apart(
    rich: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """It can become one."""
    select(rich, "CREATE TABLE plain (time timestamptz NOT NULL); SELECT 1")
    assert rich.set_retention("plain", DAY) is False
    assert "it is not a hypertable" in caplog.text


def test_the_advice_can_be_followed(rich: Database, caplog: pytest.LogCaptureFixture) -> None:
    """Also with capitals; a view gets another one."""
    select(rich, 'CREATE TABLE "Mixed" (time timestamptz NOT NULL, a int);'
                 'CREATE VIEW seen AS SELECT * FROM "Mixed"; SELECT 1')  # fmt: skip
    assert rich.set_retention("seen", DAY) is False
    assert "it is a view" in caplog.text
    assert "create_hypertable" not in caplog.text
    assert rich.set_retention("Mixed", DAY) is False
    (advice,) = re.findall(r"SELECT .*create_hypertable\(.*\)", caplog.text)
    select(rich, advice)
    assert rich.set_retention("Mixed", DAY) is True


def test_retention_is_replaced_and_removed(rich: Database) -> None:
    """There is one policy at most."""
    fill(rich, [])
    for keep in (DAY, 7 * DAY, 7 * DAY):
        assert rich.set_retention("cryo", keep) is True
        assert jobs(rich, "policy_retention", "drop_after") == [("cryo", keep)]
    for _ in range(2):
        assert rich.set_retention("cryo", None) is True
        assert jobs(rich, "policy_retention", "drop_after") == []


@pytest.mark.parametrize("before", [True, False])
def test_views_keep_what_retention_removes(rich: Database, before: bool) -> None:
    """Whichever of the two was set first; a late reading of what is kept counts."""
    old_and_new(rich)
    if before:
        rich.create_aggregate_view("cryo", widths=["1h"], aggregates=["count"])
    rich.set_retention("cryo", 30 * DAY)
    if not before:
        rich.create_aggregate_view("cryo", widths=["1h"], aggregates=["count"])
    counted = "SELECT sum(count_count) FROM cryo_1h"
    assert select(rich, counted) == [(2400,)]
    run(rich, "policy_retention")
    (left,) = select(rich, "SELECT count(*) FROM cryo")[0]
    assert 30 * 24 <= left <= 32 * 24
    late = datetime.now(timezone.utc) - 20 * DAY
    rich.new_entry("cryo", ["time", "count"], [late, 1])
    run(rich, "policy_refresh_continuous_aggregate")
    assert select(rich, counted) == [(2401,)]
    rich.create_aggregate_view("cryo", widths=["1h"], aggregates=["count"])
    assert select(rich, counted) == [(2401,)]


def test_without_retention_views_follow_the_table(rich: Database) -> None:
    """What is deleted, or comes late, is in the next refresh."""
    old_and_new(rich)
    rich.create_aggregate_view("cryo", widths=["1h"], aggregates=["count"])
    assert jobs(rich, "policy_refresh_continuous_aggregate", "start_offset")[0][1] is None
    assert rich.delete_before("cryo", 50 * DAY) == 1200
    run(rich, "policy_refresh_continuous_aggregate")
    assert select(rich, "SELECT sum(count_count) FROM cryo_1h") == [(1200,)]


@pytest.mark.parametrize("keep", [None, 60 * DAY])
def test_what_was_summed_up_stays_when_retention_is_lifted(
    rich: Database, keep: timedelta | None
) -> None:
    """No refresh looks at times whose readings are gone, however the view is set up again."""
    old_and_new(rich)
    rich.create_aggregate_view("cryo", widths=["1h"], aggregates=["count"])
    rich.set_retention("cryo", 30 * DAY)
    run(rich, "policy_retention")
    rich.set_retention("cryo", keep)
    rich.create_aggregate_view("cryo", widths=["1h"], aggregates=["count"])
    run(rich, "policy_refresh_continuous_aggregate")
    assert select(rich, "SELECT sum(count_count) FROM cryo_1h") == [(2400,)]
    assert jobs(rich, "policy_refresh_continuous_aggregate", "start_offset")[0][1] == 30 * DAY


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize(
    ("keep", "width", "refresh", "message"),
    [
        (2 * DAY, "1w", True, "keep at least 21 days"),
        (HOUR, "1h", True, "keep at least 3:00:00"),
        (3 * HOUR - timedelta(seconds=1), "1h", True, "keep at least 3:00:00"),
        (HOUR, "1min", 30 * DAY, "keep at least 30 days, 0:02:00"),
        (30 * DAY, "1min", False, "never refreshed"),
    ],
)
def test_readings_are_not_removed_before_they_are_summed_up(
    rich: Database, before: bool, keep: timedelta, width: str, refresh: Any, message: str
) -> None:
    """Whichever of the two is set first; what was set stays."""
    fill(rich, [])

    def view() -> None:
        rich.create_aggregate_view("cryo", widths=[width], refresh=refresh)

    first, second = (view, lambda: rich.set_retention("cryo", keep))[:: 1 if before else -1]
    first()
    with pytest.raises(InvalidValue, match=message):
        second()
    assert bool(jobs(rich, "policy_retention", "drop_after")) is not before
    assert rich.check_table(f"cryo_{width}") is before


def test_the_shortest_retention_of_a_view_loses_nothing(rich: Database) -> None:
    """Every bucket is still there when its readings are not, refresh for refresh."""
    rich.create_timescale_db("cryo", chunk=HOUR)
    now = datetime.now(timezone.utc)
    fill(rich, [(now - timedelta(minutes=i), 1.0, i) for i in range(600)])
    rich.create_aggregate_view("cryo", widths=["1h"], aggregates=["count"])
    rich.set_retention("cryo", 3 * HOUR)
    for name in ("policy_retention", "policy_refresh_continuous_aggregate") * 2:
        run(rich, name)
        rich.new_entry("cryo", ["time", "count"], [now - 4 * HOUR, 1])  # too late to count
    assert select(rich, "SELECT count(*) < 300 FROM cryo") == [(True,)]
    assert select(rich, "SELECT sum(count_count) FROM cryo_1h") == [(600,)]


def test_what_is_not_computed_yet_is_before_it_may_go(rich: Database) -> None:
    """Readings that came after the last refresh, and are old already."""
    fill(rich, [])
    rich.create_aggregate_view("cryo", widths=["1h"], aggregates=["count"])
    old_and_new(rich)
    rich.set_retention("cryo", 30 * DAY)
    run(rich, "policy_retention")
    run(rich, "policy_refresh_continuous_aggregate")
    assert select(rich, "SELECT sum(count_count) FROM cryo_1h") == [(2400,)]


def test_compression_is_set_replaced_and_removed(rich: Database) -> None:
    """Compressed readings can be read, added to and deleted as before."""
    old_and_new(rich)
    assert rich.set_compression("cryo", 30 * DAY, segment_by=["note", "count"]) is True
    segments = select(rich, "SELECT attname FROM timescaledb_information.compression_settings"
                            " WHERE segmentby_column_index IS NOT NULL ORDER BY 1")  # fmt: skip
    assert segments == [("count",), ("note",)]
    assert rich.set_compression("cryo", 40 * DAY, segment_by=["note"]) is True
    assert rich.set_compression("cryo", 40 * DAY) is True
    assert jobs(rich, "policy_compression", "compress_after") == [("cryo", 40 * DAY)]
    run(rich, "policy_compression")
    compressed = (
        "SELECT count(*) FROM timescaledb_information.chunks"
        " WHERE is_compressed AND hypertable_name = 'cryo'"
    )
    assert select(rich, compressed)[0][0] > 50
    assert rich.set_compression("cryo", 50 * DAY, segment_by=["note"]) is True
    assert len(rich.read("cryo", ["count"])["count"]) == 2400
    rich.new_entry("cryo", ["time", "count"], [datetime.now(timezone.utc) - 60 * DAY, 1])
    assert rich.delete_before("cryo", 50 * DAY, batch=100) == 1201
    assert rich.set_compression("cryo", None) is True
    assert jobs(rich, "policy_compression", "compress_after") == []
    assert select(rich, compressed)[0][0] > 0


def test_what_is_missing_is_named(poor: Database) -> None:
    """Also where nothing could be done anyway."""
    fill(poor, [])
    with pytest.raises(psycopg2.IntegrityError, match="table absent does not exist"):
        poor.set_retention("absent", DAY)
    with pytest.raises(psycopg2.IntegrityError, match="table absent does not exist"):
        poor.set_compression("absent", DAY)
    with pytest.raises(psycopg2.IntegrityError, match="table cryo has no column absent"):
        poor.set_compression("cryo", DAY, segment_by=["note", "absent"])


def test_bad_arguments_are_refused() -> None:
    """Before anybody is connected to."""
    nobody: Any = Database()
    for bad in (5, "1 day", timedelta(0), -DAY):
        with pytest.raises(InvalidValue, match="keep must be"):
            nobody.set_retention("cryo", bad)
        with pytest.raises(InvalidValue, match="after must be"):
            nobody.set_compression("cryo", bad)
    with pytest.raises(InvalidValue, match="table cryo: keep must be at most"):
        nobody.set_retention("cryo", timedelta.max)
    for columns in ("note", 5, b"a"):
        with pytest.raises(InvalidValue, match="segment_by must be a list"):
            nobody.set_compression("cryo", DAY, segment_by=columns)
    for name in ("a b", 'a"', "a%s", None):
        with pytest.raises(InvalidName):
            nobody.set_compression("cryo", DAY, segment_by=[name])
