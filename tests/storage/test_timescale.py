"""Hypertables where they can be made, plain tables elsewhere."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from typing import Any

import psycopg2
import pytest
from psycopg2 import sql

from lab_utils_mt._storage.timescale import Extension, find_extension
from lab_utils_mt.database import Database

DSN = os.environ.get("LAB_UTILS_MT_TEST_TIMESCALE_DSN", "")


class Answering:
    """A cursor that has one answer: the states of a server that cannot be had for a test."""

    def __init__(self, *row: bool) -> None:
        self.row = row

    def execute(self, query: str, values: object) -> None:
        """Accept the question."""

    def fetchone(self) -> tuple[bool, ...]:
        """Answer it."""
        return self.row


@pytest.mark.parametrize(
    ("available", "created", "loaded", "state"),
    [
        (False, False, False, Extension.ABSENT),
        (True, False, False, Extension.NOT_PRELOADED),
        (True, True, False, Extension.NOT_PRELOADED),
        (True, False, True, Extension.NOT_CREATED),
        (True, True, True, Extension.USABLE),
    ],
)
def test_the_states_are_told_apart(
    available: bool, created: bool, loaded: bool, state: Extension
) -> None:
    """By what the server's catalogue says."""
    cursor: Any = Answering(available, created, loaded)
    assert find_extension(cursor) is state


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


@pytest.fixture
def hypertable() -> Iterator[tuple[Database, str]]:
    """Return a database with TimescaleDB, and a name for a table."""
    if not DSN:
        pytest.skip("LAB_UTILS_MT_TEST_TIMESCALE_DSN is not set")
    name = f"test_{os.getpid()}"
    with Database(dsn=DSN) as database:
        yield database, name
        with database.transaction() as session, session.cursor() as cursor:
            cursor.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(sql.Identifier(name)))


@pytest.mark.timescaledb
def test_a_hypertable_is_made_where_it_can_be(
    hypertable: tuple[Database, str], caplog: pytest.LogCaptureFixture
) -> None:
    """Without a warning, and it takes rows."""
    database, name = hypertable
    database.create_timescale_db(name)
    assert "not a hypertable" not in caplog.text
    database.new_entry(name, ["time"], ["2026-01-01"])
    with database.transaction() as session, session.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM timescaledb_information.hypertables WHERE hypertable_name = %s",
            (name,),
        )
        assert cursor.fetchone() == (1,)
    with pytest.raises(psycopg2.errors.DuplicateTable):
        database.create_timescale_db(name)
