"""Deleting old readings, batch by batch."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from typing import Any

import psycopg2
import pytest
from worlds import ALL, fill, new_database, select, server

from lab_utils_mt.database import Database, InvalidName, InvalidValue

START = datetime(2025, 3, 30, tzinfo=timezone.utc)


@pytest.fixture(params=ALL)
def database(request: pytest.FixtureRequest, postgres_dsn: str) -> Iterator[Database]:
    """Return a database of each kind, with readings of five days."""
    with (
        new_database(server(request.param, postgres_dsn)) as dsn,
        Database(dsn=dsn) as connected,
    ):
        fill(connected, [(START + timedelta(minutes=10 * i), 1.0, i) for i in range(720)])
        yield connected


@pytest.mark.parametrize("batch", [1, 7, 300, 720, 10_000])
def test_what_is_older_is_deleted_and_counted(database: Database, batch: int) -> None:
    """Whatever the size of a batch; the limit itself stays."""
    if batch == 1:
        database.delete_before("cryo", START + timedelta(minutes=6950))
    limit = START + timedelta(minutes=7000)
    assert database.delete_before("cryo", limit, batch=batch) == (5 if batch == 1 else 700)
    assert select(database, "SELECT min(count), count(*) FROM cryo") == [(700, 20)]
    assert database.delete_before("cryo", limit, batch=batch) == 0


def test_rows_of_one_time_are_not_separated(database: Database) -> None:
    """They may be more than a batch."""
    select(database, "INSERT INTO cryo SELECT %s, 0, 0 FROM generate_series(1, 500) RETURNING 1",
           (START,))  # fmt: skip
    assert database.delete_before("cryo", START + timedelta(minutes=15), batch=10) == 502


def test_an_age_is_taken_from_the_servers_clock(database: Database) -> None:
    """This computer's may be years wrong."""
    (now,) = select(database, "SELECT now()")[0]
    database.new_entry("cryo", ["time", "count"], [now - timedelta(hours=2), 1])
    database.new_entry("cryo", ["time", "count"], [now - timedelta(minutes=30), 2])
    assert database.delete_before("cryo", timedelta(hours=1)) == 721
    assert select(database, "SELECT count FROM cryo") == [(2,)]


def test_a_naive_time_is_local(database: Database) -> None:
    """As everywhere."""
    here = (START + timedelta(hours=1)).astimezone().replace(tzinfo=None)
    assert database.delete_before("cryo", here) == 6


def test_each_batch_is_a_transaction_of_its_own(database: Database) -> None:
    """What was deleted before an error stays deleted."""
    select(
        database,
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'not this one'; END $$;"
        "CREATE TRIGGER refuse BEFORE DELETE ON cryo FOR EACH ROW"
        " WHEN (old.count = 250) EXECUTE FUNCTION refuse(); SELECT 1",
    )
    with pytest.raises(psycopg2.errors.RaiseException):
        database.delete_before("cryo", START + timedelta(days=9), batch=100)
    assert select(database, "SELECT min(count), count(*) FROM cryo") == [(200, 520)]


def test_rows_that_a_trigger_keeps_are_passed_by(database: Database) -> None:
    """What comes after them is deleted; only what is gone counts."""
    select(
        database,
        "CREATE FUNCTION spare() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RETURN NULL; END $$;"
        "CREATE TRIGGER spare BEFORE DELETE ON cryo FOR EACH ROW"
        " WHEN (old.count < 250) EXECUTE FUNCTION spare(); SELECT 1",
    )
    assert database.delete_before("cryo", START + timedelta(days=9), batch=100) == 470
    assert select(database, "SELECT max(count), count(*) FROM cryo") == [(249, 250)]


def test_times_that_python_does_not_have_are_deleted_too(database: Database) -> None:
    """Before the first year, and without beginning."""
    select(
        database,
        "CREATE TABLE odd (time timestamptz); INSERT INTO odd VALUES ('-infinity'),"
        "('0044-03-15 BC'), ('0001-01-01'), ('infinity'), (NULL); SELECT 1",
    )
    assert database.delete_before("odd", START, batch=1) == 3
    assert select(database, "SELECT count(*) FROM odd") == [(2,)]


def test_a_column_that_is_no_time_is_named(database: Database) -> None:
    """By the server's error, with what to do."""
    with pytest.raises(psycopg2.ProgrammingError, match=r"table cryo, column note.*index_name"):
        database.delete_before("cryo", START, index_name="note")


@pytest.mark.parametrize("age", [timedelta(days=365 * 2100), timedelta.max])
def test_an_age_beyond_the_calendar_is_refused(database: Database, age: timedelta) -> None:
    """Nothing is that old."""
    with pytest.raises(InvalidValue, match=r"table cryo: before = .* ago"):
        database.delete_before("cryo", age)


def test_several_threads_delete_every_row_once(database: Database) -> None:
    """Together they count what there was."""

    def delete(_: int) -> int:
        return database.delete_before("cryo", START + timedelta(days=9), batch=20)

    with ThreadPoolExecutor(6) as threads:
        assert sum(threads.map(delete, range(6))) == 720


def test_an_empty_table_has_nothing_to_delete(database: Database) -> None:
    """Not an error."""
    database.create_timescale_db("empty")
    assert database.delete_before("empty", datetime.now(timezone.utc)) == 0


def test_what_is_missing_is_named(database: Database) -> None:
    """By an error of the old class."""
    with pytest.raises(psycopg2.IntegrityError, match="table absent does not exist"):
        database.delete_before("absent", START)
    with pytest.raises(psycopg2.IntegrityError, match="has no column absent"):
        database.delete_before("cryo", START, index_name="absent")
    assert select(database, "SELECT count(*) FROM cryo") == [(720,)]


def test_bad_arguments_are_refused() -> None:
    """Before anybody is connected to: an age that is not positive would delete the future."""
    nobody: Any = Database()
    for before in (None, 5, "2025-01-01", timedelta(0), timedelta(days=-1)):
        with pytest.raises(InvalidValue, match="before must be"):
            nobody.delete_before("cryo", before)
    for batch in (0, -1, True, 1.5, None):
        with pytest.raises(InvalidValue, match="batch must be"):
            nobody.delete_before("cryo", START, batch=batch)
    for name in ("a b", 'a"', "a%s", "a;b", None):
        for arguments in ({"table_name": name}, {"table_name": "a", "index_name": name}):
            with pytest.raises(InvalidName):
                nobody.delete_before(before=START, **arguments)
