"""The PostgreSQL that the tests use: an embedded one, or the one that the environment names."""

from __future__ import annotations

import contextlib
import os
import socket
import uuid
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import psycopg2
import pytest
from daemons import wait_until
from psycopg2 import sql
from psycopg2.extensions import make_dsn

from lab_utils_mt._storage.postmaster import Postmaster
from lab_utils_mt.database import Database, EmbeddedPostgres


@contextlib.contextmanager
def postgres_on_tcp() -> Iterator[str]:
    """Run an embedded server on a port of 127.0.0.1, as on Windows; yield its connection string.

    A suite that runs under Wine gets this string in LAB_UTILS_MT_TEST_DSN, for unix sockets do not
    reach there.
    """
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    listen = f"-h 127.0.0.1 -p {port} -k ''"
    with mock.patch.object(Postmaster, "_listen_options", return_value=listen):
        server = EmbeddedPostgres().start()
    try:
        yield server.dsn
    finally:
        server.stop()


@pytest.fixture(scope="session")
def postgres_dsn() -> Iterator[str]:
    """Return the connection string of a server on which databases may be made."""
    given = os.environ.get("LAB_UTILS_MT_TEST_DSN")
    if given:
        yield given
        return
    with EmbeddedPostgres() as server:
        yield server.dsn


class Admin:
    """What a test does to a server behind the library's back."""

    def __init__(self, dsn: str, name: str) -> None:
        self.name = name
        self._connection = psycopg2.connect(dsn)
        self._connection.autocommit = True

    def ask(self, query: Any, *values: object) -> Any:
        """Return the first row's first value, or None."""
        with self._connection.cursor() as cursor:
            cursor.execute(query, values or None)
            row = cursor.fetchone() if cursor.description else None
        return row and row[0]

    def sessions(self) -> int:
        """Count the sessions with the test's database."""
        return int(self.ask("SELECT count(*) FROM pg_stat_activity WHERE datname = %s", self.name))

    def terminate(self) -> None:
        """Kill the sessions with the test's database, and wait until they are dead."""
        self.ask(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = %s",
            self.name,
        )
        wait_until(lambda: self.sessions() == 0)

    def close(self) -> None:
        """End the admin's own session."""
        self._connection.close()


@pytest.fixture(name="wait_until")
def wait_until_fixture() -> Callable[..., None]:
    """Return the function that waits for something to become true, or fails."""
    return wait_until


@pytest.fixture
def admin(postgres_dsn: str) -> Iterator[Admin]:
    """Make a database for one test, and an admin of it."""
    name = f"test_{uuid.uuid4().hex}"
    helper = Admin(postgres_dsn, name)
    helper.ask(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    yield helper
    helper.ask(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
    helper.close()


@pytest.fixture
def database_dsn(postgres_dsn: str, admin: Admin) -> str:
    """Return the connection string of a database that only this test uses."""
    return str(make_dsn(postgres_dsn, dbname=admin.name))


@pytest.fixture
def database(database_dsn: str) -> Iterator[Database]:
    """Return a connected Database that only this test uses."""
    with Database(dsn=database_dsn) as connected:
        yield connected
