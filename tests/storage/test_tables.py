"""What is asked about tables and columns, and how new ones come to be."""

from __future__ import annotations

import contextlib
import enum
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


def test_an_index_or_a_sequence_is_no_table(database: Database) -> None:
    """For none of those that look; its columns are not told either."""
    select(database, "CREATE TABLE cryo (id SERIAL, n INT); CREATE INDEX i ON cryo (n); SELECT 1")
    for name in ("i", "cryo_id_seq"):
        assert database.check_table(name) is False
        for column in ("n", "last_value"):
            assert database.check_column(name, column) is False
        for call in (
            lambda name=name: database.get_list_columns(name),
            lambda name=name: database.new_column(name, "a", DataType.int),
            lambda name=name: database.retrieve_entries(name),
            lambda name=name: database.new_entries(name, ["n"], [[1]]),
        ):
            with pytest.raises(psycopg2.IntegrityError, match=f"table {name} does not exist"):
                call()


class Claim:
    """It lies about its class, and about its text."""

    def __init__(self, kind: type) -> None:
        self.kind = kind

    @property
    def __class__(self) -> Any:
        return self.kind

    @__class__.setter
    def __class__(self, _: Any) -> None:
        raise AttributeError

    def __str__(self) -> str:
        return "INT; DROP TABLE cryo"


def test_what_describes_a_column_is_ours(database: Database) -> None:
    """Whatever it claims to be; a single constraint is told how to be written."""
    database.create_timescale_db("cryo")
    wrong: Any
    for wrong in (Claim(DataType), "INT", DataType, None, 5):
        with pytest.raises(TypeError, match="column a: use a DataType"):
            database.new_column("cryo", "a", wrong)
    for wrong in ([Claim(Constraint)], ["CHECK (a > 0)"], "ab", [DataType.int]):
        with pytest.raises(TypeError, match="column a: use a Constraint"):
            database.new_column("cryo", "a", DataType.int, wrong)
    for wrong in (Constraint.positive, 5):
        with pytest.raises(TypeError, match=r"column a: .*write \[Constraint\.positive\]"):
            database.new_column("cryo", "a", DataType.int, wrong)
    assert database.get_list_columns("cryo") == [["time", "timestamp with time zone"]]
    database.new_column("cryo", "a", DataType.int, (Constraint.positive,))  # type: ignore[arg-type]
    assert database.check_column("cryo", "a")


def test_the_name_of_a_column_may_be_a_member_of_an_enum(database: Database) -> None:
    """That is a str."""

    class Name(str, enum.Enum):
        """Names."""

        CRYO = "cryo"

    database.create_timescale_db(Name.CRYO)
    for _ in range(2):
        database.new_column(Name.CRYO, Name.CRYO, DataType.int)
    assert database.check_table(Name.CRYO)
    assert database.check_column(Name.CRYO, Name.CRYO)
    assert [name for name, _ in database.get_list_columns(Name.CRYO)] == ["time", "cryo"]
