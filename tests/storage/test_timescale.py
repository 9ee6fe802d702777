"""Hypertables where they can be made, plain tables elsewhere."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import psycopg2
import pytest
from worlds import APACHE, TIMESCALE, UNLOADED, execute, new_database, select, server

from lab_utils_mt._storage.timescale import Extension, find_extension, obstacle
from lab_utils_mt.database import Database, InvalidValue


class Answering:
    """A cursor that has one answer: the states of a server that cannot be had for a test."""

    def __init__(self, *row: Any) -> None:
        self.row = row

    def execute(self, query: str, values: object) -> None:
        """Accept the question."""

    def fetchone(self) -> tuple[Any, ...]:
        """Answer it."""
        return self.row


@pytest.mark.parametrize(
    ("available", "created", "loaded", "licence", "state"),
    [
        (False, False, False, None, Extension.ABSENT),
        (True, False, False, None, Extension.NOT_PRELOADED),
        (True, True, False, "timescale", Extension.NOT_PRELOADED),
        (True, False, True, "apache", Extension.NOT_CREATED),
        (True, True, True, "apache", Extension.APACHE),
        (True, True, True, "timescale", Extension.USABLE),
        (True, True, True, None, Extension.USABLE),
    ],
)
def test_the_states_are_told_apart(
    available: bool, created: bool, loaded: bool, licence: str | None, state: Extension
) -> None:
    """By what the server's catalogue says; each text says what to do."""
    cursor: Any = Answering(available, created, loaded, licence)
    assert find_extension(cursor) is state
    assert state.has_hypertables == (state in {Extension.APACHE, Extension.USABLE})


@pytest.mark.parametrize(
    ("kind", "extension", "state"),
    [
        (*UNLOADED.values, False, Extension.NOT_PRELOADED),
        (*TIMESCALE.values, False, Extension.NOT_CREATED),
        (*APACHE.values, True, Extension.APACHE),
        (*TIMESCALE.values, True, Extension.USABLE),
    ],
)
@pytest.mark.timescaledb
def test_a_real_server_is_asked_without_harm(
    kind: Any, extension: bool, state: Extension, postgres_dsn: str
) -> None:
    """The session survives, also that of a user without any rights."""
    with new_database(server(kind, postgres_dsn), extension) as dsn, Database(dsn=dsn) as database:
        role = database.pool.connect_kwargs["dbname"].replace("test", "role")
        select(database, f"CREATE ROLE {role}; SELECT 1")
        try:
            with database.transaction() as session, session.cursor() as cursor:
                assert find_extension(cursor) is state
                cursor.execute(f"SET LOCAL ROLE {role}")
                assert find_extension(cursor) is state
                assert obstacle(cursor, "nothing")
                cursor.execute("SELECT 1")
        finally:
            select(database, f"DROP ROLE {role}; SELECT 1")


def test_a_plain_server_is_asked_without_harm(database: Database) -> None:
    """As a user without any rights too."""
    with database.transaction() as session, session.cursor() as cursor:
        expected = find_extension(cursor)
        cursor.execute("CREATE ROLE nobody_special; SET LOCAL ROLE nobody_special")
        assert find_extension(cursor) is expected
        session.rollback()


def test_a_plain_table_has_an_index_and_a_warning(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """The log says what is missed, and what to do."""
    with database.transaction() as session, session.cursor() as cursor:
        if find_extension(cursor) is Extension.USABLE:
            pytest.skip("this server has TimescaleDB")
    with caplog.at_level(logging.WARNING, "lab_utils_mt.database"):
        database.create_timescale_db("cryo")
    assert "not a hypertable" in caplog.text
    assert "TimescaleDB" in caplog.text
    with database.transaction() as session, session.cursor() as cursor:
        cursor.execute("SELECT indexdef FROM pg_indexes WHERE tablename = 'cryo'")
        assert '("time" DESC)' in cursor.fetchall()[0][0]


@pytest.fixture(params=[TIMESCALE, APACHE])
def timescale(request: pytest.FixtureRequest, postgres_dsn: str) -> Iterator[Database]:
    """Return a database with TimescaleDB, of either licence."""
    with (
        new_database(server(request.param, postgres_dsn)) as dsn,
        Database(dsn=dsn) as connected,
    ):
        yield connected


def test_a_hypertable_is_made_where_it_can_be(
    timescale: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """Without a warning, in any schema, and it takes rows."""
    select(timescale, "CREATE SCHEMA lab; SELECT 1")
    for name in ("cryo", "lab.Cryo"):
        timescale.create_timescale_db(name)
        timescale.new_entry(name, ["time"], ["2026-01-01"])
        with pytest.raises(psycopg2.errors.DuplicateTable):
            timescale.create_timescale_db(name)
        timescale.create_timescale_db(name, if_not_exists=True)
    assert "not a hypertable" not in caplog.text
    found = select(timescale, "SELECT hypertable_name FROM timescaledb_information.hypertables")
    assert sorted(found) == [("Cryo",), ("cryo",)]


def test_the_length_of_a_chunk_can_be_chosen(timescale: Database) -> None:
    """By default it is TimescaleDB's own."""
    timescale.create_timescale_db("a")
    timescale.create_timescale_db("b", chunk=timedelta(hours=6))
    found = select(
        timescale,
        "SELECT hypertable_name, time_interval FROM timescaledb_information.dimensions",
    )
    assert dict(found) == {"a": timedelta(days=7), "b": timedelta(hours=6)}


@pytest.mark.parametrize("chunk", [5, "1 day", timedelta(0), timedelta(milliseconds=1)])
def test_a_chunk_is_at_least_a_second_long(chunk: Any) -> None:
    """Nobody is connected to."""
    with pytest.raises(InvalidValue, match="chunk must be"):
        Database().create_timescale_db("a", chunk=chunk)


@pytest.mark.parametrize("kind", ["plain", UNLOADED])
def test_a_plain_table_has_no_chunks(
    kind: str, postgres_dsn: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The argument does no harm; the log says why."""
    with (
        new_database(server(kind, postgres_dsn), False) as dsn,
        Database(dsn=dsn) as database,
    ):
        database.create_timescale_db("cryo", chunk=timedelta(hours=1))
        assert database.check_table("cryo")
        assert execute(dsn, "SELECT count(*) FROM pg_indexes WHERE tablename = 'cryo'") == [(1,)]
    assert "not a hypertable" in caplog.text
