"""What is asked about tables and columns, and how new ones come to be."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg2
import pytest
from worlds import ALL, new_database, select, server

from lab_utils_mt._storage import tables
from lab_utils_mt.database import Constraint, Database, DataType, InvalidName


@pytest.fixture(params=ALL)
def database(request: pytest.FixtureRequest, postgres_dsn: str) -> Iterator[Database]:
    """Return a database of each kind."""
    with (
        new_database(server(request.param, postgres_dsn)) as dsn,
        Database(dsn=dsn) as connected,
    ):
        yield connected


def test_columns_are_listed_with_their_types(database: Database) -> None:
    """In the order of the table, without those that were removed; as 0.5.12 lists them."""
    database.create_timescale_db("cryo")
    for one in DataType:
        database.new_column("cryo", f"a_{one.name}", one)
    select(database, 'ALTER TABLE cryo DROP COLUMN a_int, ADD "odd name" numeric(5, 2); SELECT 1')
    assert database.get_list_columns("cryo") == [
        ["time", "timestamp with time zone"],
        ["a_bool", "boolean"],
        ["a_short", "smallint"],
        ["a_long", "bigint"],
        ["a_float", "real"],
        ["a_double", "double precision"],
        ["a_string", "text"],
        ["a_time", "timestamp with time zone"],
        ["odd name", "numeric"],
    ]


def test_columns_of_a_view_and_of_another_schema_are_listed(database: Database) -> None:
    """Names keep their case."""
    select(
        database,
        'CREATE SCHEMA "Lab"; CREATE TABLE "Lab"."T" (a int);'
        'CREATE VIEW "Lab".v AS SELECT a AS "B" FROM "Lab"."T"; SELECT 1',
    )
    assert database.get_list_columns("Lab.T") == [["a", "integer"]]
    assert database.get_list_columns("Lab.v") == [["B", "integer"]]


def test_the_columns_of_a_missing_table_are_an_error(database: Database) -> None:
    """Of the old class; it names the table."""
    with pytest.raises(psycopg2.IntegrityError, match="table absent does not exist"):
        database.get_list_columns("absent")
    with pytest.raises(psycopg2.IntegrityError, match=r"table public\.absent does not exist"):
        database.new_column("public.absent", "a", DataType.int)


@pytest.mark.parametrize("name", ["", "a b", 'a"', "a%s", "a;b", "é", "a" * 64, None, 5])
def test_hostile_names_are_refused(database_dsn: str, name: Any) -> None:
    """By every method, before anything is sent."""
    with Database(dsn=database_dsn) as database:
        for call in (
            lambda: database.get_list_columns(name),
            lambda: database.check_table(name),
            lambda: database.check_column(name, "a"),
            lambda: database.check_column("a", name),
            lambda: database.create_timescale_db(name),
            lambda: database.new_column(name, "a", DataType.int),
            lambda: database.new_column("a", name, DataType.int),
        ):
            with pytest.raises(InvalidName, match="is refused"):
                call()


class Counting(psycopg2.extensions.connection):
    """A session that counts the statements it sends."""

    sent = 0

    def plain_cursor(self) -> psycopg2.extensions.cursor:
        """Return a cursor that counts."""
        return self.cursor(cursor_factory=CountingCursor)


class CountingCursor(psycopg2.extensions.cursor):
    """Tells its session."""

    def execute(self, query: Any, values: Any = None) -> None:
        """Send."""
        self.connection.sent += 1
        super().execute(query, values)


def test_checks_and_listings_take_one_round_trip(database: Database) -> None:
    """Also the addition of a column that exists, as at every start of a daemon."""
    database.create_timescale_db("cryo")
    calls: list[Callable[[Any], Any]] = [
        lambda session: tables.table_exists(session, "cryo"),
        lambda session: tables.column_exists(session, "cryo", "time"),
        lambda session: tables.list_columns(session, "cryo"),
        lambda session: tables.add_column(session, "cryo", "time", DataType.time, []),
    ]
    with contextlib.closing(psycopg2.connect(database.dsn, connection_factory=Counting)) as session:
        for number, call in enumerate(calls, 1):
            assert call(session) is not False
            assert session.sent == number


def test_many_threads_may_add_columns(database: Database) -> None:
    """The same ones, while others insert and look."""
    database.create_timescale_db("cryo")
    together = threading.Barrier(16)

    def work(number: int) -> bool:
        together.wait(30)
        for column in range(8):
            name = f"column_{(column + number) % 8}"
            database.new_column("cryo", name, DataType.double, [Constraint.positive])
            database.new_entry("cryo", [name], [number])
            if not database.check_column("cryo", name):
                return False
        return True

    with ThreadPoolExecutor(16) as threads:
        assert all(threads.map(work, range(16)))
    assert len(database.get_list_columns("cryo")) == 9
    assert select(database, "SELECT count(*) FROM cryo") == [(128,)]
    checks = (
        "SELECT count(*) FROM pg_constraint WHERE contype = 'c' AND conrelid = 'cryo'::regclass"
    )
    assert select(database, checks) == [(8,)]


def test_many_threads_may_make_the_same_table(database: Database) -> None:
    """Called by both of its names."""
    names = ["cryo", "public.cryo"] * 8

    with ThreadPoolExecutor(16) as threads:
        list(
            threads.map(lambda name: database.create_timescale_db(name, if_not_exists=True), names)
        )
    assert database.check_table("cryo")
