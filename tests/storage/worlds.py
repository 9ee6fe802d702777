"""Servers of all kinds: plain PostgreSQL, and TimescaleDB with either licence."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import psycopg2
import pytest
from psycopg2 import sql
from psycopg2.extensions import make_dsn

from lab_utils_mt.database import Database, DataType

_VARIABLES = {
    "timescale": "LAB_UTILS_MT_TEST_TIMESCALE_DSN",
    "apache": "LAB_UTILS_MT_TEST_TIMESCALE_APACHE_DSN",
    "unloaded": "LAB_UTILS_MT_TEST_TIMESCALE_UNLOADED_DSN",
}
TIMESCALE = pytest.param("timescale", marks=pytest.mark.timescaledb)
APACHE = pytest.param("apache", marks=pytest.mark.timescaledb)
UNLOADED = pytest.param("unloaded", marks=pytest.mark.timescaledb)
ALL = ["plain", TIMESCALE, APACHE]

MONDAY = datetime(2000, 1, 3, tzinfo=timezone.utc)


def server(kind: str, plain_dsn: str) -> str:
    """Return a server's connection string, or skip the test."""
    if kind == "plain":
        return plain_dsn
    dsn = os.environ.get(_VARIABLES[kind], "")
    if not dsn:
        pytest.skip(f"{_VARIABLES[kind]} is not set")
    return dsn


def execute(dsn: str, query: Any, values: Any = None) -> list[tuple[Any, ...]]:
    """Run one statement in a session of its own, outside a transaction; return its rows."""
    with contextlib.closing(psycopg2.connect(dsn)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(query, values)
            return cursor.fetchall() if cursor.description else []


@contextlib.contextmanager
def new_database(dsn: str, extension: bool = True, options: str = "") -> Iterator[str]:
    """Make a database on a server, with TimescaleDB if it can; return its connection string."""
    name = sql.Identifier(f"test_{uuid.uuid4().hex}")
    execute(dsn, sql.SQL("CREATE DATABASE {}").format(name))
    own = str(make_dsn(dsn, dbname=name.strings[0], **({"options": options} if options else {})))
    try:
        loaded = execute(dsn, "SELECT setting ~ 'timescaledb' FROM pg_settings"
                              " WHERE name = 'shared_preload_libraries'")  # fmt: skip
        if extension and loaded == [(True,)]:
            execute(own, "CREATE EXTENSION IF NOT EXISTS timescaledb")
        yield own
    finally:
        execute(dsn, sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))


def bucket(moment: datetime, width: timedelta) -> datetime:
    """Return where a bucket begins, computed the slow and sure way."""
    return MONDAY + (moment - MONDAY) // width * width


def fill(database: Database, rows: list[tuple[Any, ...]], table: str = "cryo") -> None:
    """Make a table of two columns of numbers and one of text, and store rows in it."""
    database.create_timescale_db(table, if_not_exists=True, chunk=timedelta(days=1))
    for name, kind in [("sample", DataType.double), ("count", DataType.int)]:
        database.new_column(table, name, kind)
    database.new_column(table, "note", DataType.string)
    query = sql.SQL("INSERT INTO {} (time, sample, count, note) VALUES (%s, %s, %s, 'x')")
    with database.transaction() as session, session.cursor() as cursor:
        cursor.executemany(query.format(sql.Identifier(*table.split("."))), rows)


def select(database: Database, query: str, values: Any = None) -> list[tuple[Any, ...]]:
    """Return the rows of a query."""
    with database.transaction() as session, session.cursor() as cursor:
        cursor.execute(query, values)
        return list(cursor.fetchall())
