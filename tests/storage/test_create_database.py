"""New databases."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg2
import pytest
from psycopg2 import errors, sql
from psycopg2.extensions import make_dsn
from worlds import ALL, UNLOADED, execute, server

from lab_utils_mt.database import Database, InvalidName, InvalidValue, PoolClosed

EXTENSIONS = "SELECT extname FROM pg_extension WHERE extname = 'timescaledb'"
OWNER = "SELECT rolname FROM pg_database JOIN pg_roles ON pg_roles.oid = datdba WHERE datname = %s"


class Place:
    """A server, a database on it, and names that nobody has yet."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self.name = f"test_{uuid.uuid4().hex}"
        self.role = self.name.replace("_", "-")

    def new(self) -> str:
        """Return the new database's connection string."""
        return str(make_dsn(self.dsn, dbname=self.name))

    def user(self) -> str:
        """Return the connection string of the role that is not a superuser."""
        return str(make_dsn(self.dsn, user=self.role))


@pytest.fixture(params=[*ALL, UNLOADED])
def place(request: pytest.FixtureRequest, postgres_dsn: str) -> Iterator[Place]:
    """Return a place of each kind; it is left as it was."""
    found = Place(server(request.param, postgres_dsn))
    name, role = sql.Identifier(found.name), sql.Identifier(found.role)
    execute(found.dsn, sql.SQL("CREATE ROLE {} LOGIN").format(role))
    yield found
    execute(found.dsn, sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))
    execute(found.dsn, sql.SQL("DROP ROLE {}").format(role))


@pytest.fixture
def database(place: Place) -> Iterator[Database]:
    """Return a connected Database."""
    with Database(dsn=place.dsn) as connected:
        yield connected


def preloaded(place: Place) -> bool:
    """Tell if the server loads TimescaleDB."""
    found = execute(place.dsn, "SELECT current_setting('shared_preload_libraries')")
    return "timescaledb" in found[0][0]


def test_a_database_is_made_with_the_extension_where_there_is_one(
    place: Place, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """Elsewhere it stands without, and the log says what is missed, and what to do."""
    database.create_database(place.name)
    assert bool(execute(place.new(), EXTENSIONS)) == preloaded(place)
    assert ("has no TimescaleDB" in caplog.text) != preloaded(place)
    with Database(dsn=place.new()) as new:
        new.create_timescale_db("cryo")
        new.new_entry("cryo", ["time"], ["2025-01-01"])


def test_the_owner_may_have_any_name(place: Place, database: Database) -> None:
    """As 0.5.4's own, cw-beam, which has a hyphen."""
    database.create_database(place.name, place.role, timescaledb_extension=False)
    assert execute(place.dsn, OWNER, (place.name,)) == [(place.role,)]
    assert execute(place.new(), EXTENSIONS) == []


def test_the_owner_is_postgres_by_default(place: Place, database: Database) -> None:
    """Whoever asks."""
    database.create_database(place.name, timescaledb_extension=False)
    assert execute(place.dsn, OWNER, (place.name,)) == [("postgres",)]


def test_a_hostile_owner_is_only_a_name_that_nobody_has(place: Place, database: Database) -> None:
    """It is a value, not a part of the statement."""
    for owner in ("x'; DROP ROLE y; --", 'x" y', "%s", "%(a)s", "x\\'y"):
        with pytest.raises(errors.UndefinedObject, match=r"make the owner's role first") as caught:
            database.create_database(place.name, owner)
        assert place.name in str(caught.value)
    for bad in ("", None, 5, "a\0b", "a\udc00"):
        with pytest.raises(InvalidValue, match="owner"):
            database.create_database(place.name, bad)  # type: ignore[arg-type]
    assert not execute(place.dsn, OWNER, (place.name,))


def test_a_database_that_exists_is_an_error(place: Place, database: Database) -> None:
    """Unless the caller allows for it: then it gets the extension that it may lack."""
    database.create_database(place.name, timescaledb_extension=False)
    with pytest.raises(errors.DuplicateDatabase, match=f"{place.name} .*if_not_exists"):
        database.create_database(place.name)
    database.create_database(place.name, if_not_exists=True)
    assert bool(execute(place.new(), EXTENSIONS)) == preloaded(place)
    assert database.check_table("pg_catalog.pg_class")


def test_who_may_not_make_databases_is_told_what_to_do(place: Place) -> None:
    """The one that exists is fine all the same."""
    with Database(dsn=place.user()) as database:
        with pytest.raises(errors.InsufficientPrivilege, match="CREATEDB") as caught:
            database.create_database(place.name, place.role)
        assert place.name in str(caught.value)
        name = execute(place.dsn, "SELECT current_database()")[0][0]
        database.create_database(name, if_not_exists=True, timescaledb_extension=False)


def test_who_may_not_make_the_extension_is_told_what_is_missed(
    place: Place, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """The database stands."""
    database.create_database(place.name, timescaledb_extension=False)
    execute(place.dsn, sql.SQL("REVOKE CREATE ON DATABASE {} FROM PUBLIC").format(
        sql.Identifier(place.name)))  # fmt: skip
    with Database(dsn=place.user()) as weak:
        weak.create_database(place.name, if_not_exists=True)
    assert f"database {place.name} is there, but has no TimescaleDB" in caplog.text
    assert execute(place.new(), EXTENSIONS) == []


def test_a_new_database_that_cannot_be_entered_stands(
    place: Place, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """As through a connection pooler that does not know it; the log says so."""
    database.create_database(place.name, timescaledb_extension=False)
    execute(place.dsn, sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(
        sql.Identifier(place.name)))  # fmt: skip
    database.create_database(place.name, if_not_exists=True)
    assert "has no TimescaleDB" in caplog.text
    assert "not currently accepting" in caplog.text


def test_many_threads_may_make_the_same_database(place: Place) -> None:
    """One of them does, or all are content."""

    def make(number: int) -> str:
        with contextlib.suppress(errors.ObjectInUse):  # template1, by the others
            try:
                database.create_database(place.name, if_not_exists=number % 2 > 0)
            except errors.DuplicateDatabase:
                return "exists"
        return "made"

    with Database(dsn=place.dsn) as database, ThreadPoolExecutor(6) as threads:
        results = list(threads.map(make, range(6)))
    assert results[1::2] == ["made"] * 3
    assert results[::2].count("made") <= 1
    assert bool(execute(place.new(), EXTENSIONS)) == preloaded(place)


@pytest.mark.parametrize(
    "name", ["", "a b", "a-b", 'a"b', "a.b", "a%s", "a;b", "é", "a" * 64, None]
)
def test_hostile_names_never_reach_the_server(name: Any) -> None:
    """Nobody is connected to."""
    with pytest.raises(InvalidName, match=r"database name .* is refused"):
        Database().create_database(name)


def test_nobody_makes_a_database_without_a_connection() -> None:
    """The error is that of every other method."""
    with pytest.raises(PoolClosed, match="connect"):
        Database().create_database("a")
    assert issubclass(PoolClosed, psycopg2.Error)
