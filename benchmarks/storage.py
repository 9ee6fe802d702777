"""What does the library cost, beside bare psycopg2 on the same server?

One embedded PostgreSQL, made for the occasion. Each contestant writes into a table of its own, from
a process of its own that it has warmed up before; they take turns, again and again. Every row is
committed durably: bare psycopg2 does exactly what is written under its name below, in a loop.
"""

from __future__ import annotations

import argparse
import dataclasses
import io
import logging
import os
import random
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta, timezone
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import psycopg2
from psycopg2_pool import ThreadSafeConnectionPool
from tables import show

from lab_utils_mt.database import Database, DataType, EmbeddedPostgres

COLUMNS = ["pressure", "flow", "heat"]
ROW = [1.5, -2.25e-7, 293.15]
THREADS = 32
CALLS = 100  # checkouts between two looks at the clock
TRIPS = 10  # calls of check_table, of which the server counts the statements

Act = Callable[[], object]


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a contestant works."""

    dsn: str
    table: str
    rows: int  # of a COPY


def bare_insert(place: Place) -> Act:
    """Return INSERT and COMMIT on a connection of its own."""
    connection = psycopg2.connect(place.dsn)
    cursor = connection.cursor()
    statement = f"INSERT INTO {place.table} ({', '.join(COLUMNS)}) VALUES (%s, %s, %s)"

    def act() -> None:
        cursor.execute(statement, ROW)
        connection.commit()

    return act


def bare(place: Place, threads: int = 1) -> list[Act]:
    """Insert; each thread has its own connection."""
    return [bare_insert(place) for _ in range(threads)]


def connect(place: Place, threads: int = 1) -> Any:
    """Return a Database."""
    database = Database(dsn=place.dsn, maxconn=max(8, threads))
    database.connect()
    return database


def ours(place: Place, threads: int = 1) -> list[Act]:
    """Insert with ``new_entry``; the threads share a Database."""
    database = connect(place, threads)
    return [lambda: database.new_entry(place.table, COLUMNS, ROW)] * threads


def original(place: Place) -> list[Act]:
    """Insert with lab_utils 0.5.12, which knows no connection string."""
    parts = psycopg2.extensions.parse_dsn(place.dsn)
    database = import_module("lab_utils.database").Database(
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
    """Format the rows in the plainest way, COPY, COMMIT."""
    connection, data = psycopg2.connect(place.dsn), readings(place.rows)
    cursor, columns = connection.cursor(), ", ".join(["time", *COLUMNS])
    statement = f"COPY {place.table} ({columns}) FROM STDIN"

    def act() -> None:
        text = io.StringIO("\n".join("\t".join(map(str, row)) for row in data))
        cursor.copy_expert(statement, text)
        connection.commit()

    return [act]


def ours_copy(place: Place) -> list[Act]:
    """Store the rows with ``new_entries``."""
    database, data = connect(place), readings(place.rows)
    return [lambda: database.new_entries(place.table, ["time", *COLUMNS], data)]


def cycles(pool: Any) -> list[Act]:
    """Check out a session and return it, unused."""

    return [lambda: [pool.putconn(pool.getconn()) for _ in range(CALLS)]]


CONTESTANTS: dict[str, Callable[[Place], list[Act]]] = {
    "psycopg2": bare,
    "lab_utils 0.5.12": original,
    "lab_utils_mt": ours,
    f"psycopg2, {THREADS} threads": partial(bare, threads=THREADS),
    f"lab_utils_mt, {THREADS} threads": partial(ours, threads=THREADS),
    "psycopg2 COPY": bare_copy,
    "lab_utils_mt new_entries": ours_copy,
    "psycopg2_pool": lambda place: cycles(ThreadSafeConnectionPool(minconn=1, dsn=place.dsn)),
    "lab_utils_mt pool": lambda place: cycles(connect(place).pool),
}


def repeat(acts: list[Act], seconds: float) -> float:
    """Do it again and again for some time, each act in its thread; return how often a second."""
    counts = [0] * len(acts)
    start = threading.Barrier(len(acts) + 1)
    end = float("inf")

    def work(number: int, act: Act) -> None:
        count = 0
        start.wait()
        while time.perf_counter() < end:
            act()
            count += 1
        counts[number] = count

    threads = [threading.Thread(target=work, args=one) for one in enumerate(acts)]
    for thread in threads:
        thread.start()
    began = time.perf_counter()
    end = began + seconds
    start.wait()
    for thread in threads:
        thread.join()
    return sum(counts) / (time.perf_counter() - began)


def contend(name: str, place: Place) -> None:
    """Be a contestant: for each number of seconds on stdin, print the acts per second."""
    acts = CONTESTANTS[name](place)
    repeat(acts, 0.2)
    print("ready", flush=True)
    for line in sys.stdin:
        print(repeat(acts, float(line)), flush=True)


class Contestant:
    """A process that waits for its turns, and what it reached in each."""

    def __init__(self, name: str, place: Place, path: str | None) -> None:
        self.name = name
        self.results: list[float] = []
        pipe = subprocess.PIPE
        command = [sys.executable, "-W", "ignore", __file__, "--contestant", name]
        command += ["--dsn", place.dsn, "--table", place.table, "--rows", str(place.rows)]
        paths = os.pathsep.join(filter(None, [path, os.environ.get("PYTHONPATH")]))
        variables = {**os.environ, "PYTHONPATH": paths}
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=variables)
        self._answer()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.name} ended: see above")
        return line

    def turn(self, seconds: float) -> None:
        """Let it work, and note the acts per second."""
        assert self._process.stdin is not None
        print(seconds, file=self._process.stdin, flush=True)
        self.results.append(float(self._answer()))

    def end(self) -> None:
        """Send it home."""
        self._process.communicate(timeout=60)


@dataclasses.dataclass(frozen=True)
class Question:
    """What is compared: the last one named is ours, the bars are its ratios to the others."""

    title: str
    unit: str
    names: tuple[str, ...]
    bars: tuple[float, ...] = ()
    factor: int = 1  # units in one act
    most: float | None = None  # microseconds that one unit may take


def questions(rows: int, with_original: bool) -> list[Question]:
    """Return all that is asked."""
    old = ("lab_utils 0.5.12",) if with_original else ()
    one = ("psycopg2", *old, "lab_utils_mt")
    many = (f"psycopg2, {THREADS} threads", f"lab_utils_mt, {THREADS} threads")
    copy = ("psycopg2 COPY", "lab_utils_mt new_entries")
    return [
        Question("insert + commit, 1 thread", "rows/s", one, (0.8, 1.0)[: len(one) - 1]),
        Question(f"insert + commit, {THREADS} threads", "rows/s", many, (0.9,)),
        Question(f"COPY, {rows} rows a commit", "rows/s", copy, (0.8,), rows),
        Question("checkout + return", "µs", ("psycopg2_pool", "lab_utils_mt pool"), (), CALLS, 20),
    ]


def measure(question: Question, dsn: str, options: argparse.Namespace) -> list[Contestant]:
    """Let the contestants take turns."""
    contestants = []
    try:
        for number, name in enumerate(question.names):
            place = Place(dsn, f"race_{number}", options.rows)
            make_table(place)
            contestants.append(Contestant(name, place, options.original))
        for turn in range(options.rounds):
            for one in contestants if turn % 2 else reversed(contestants):
                one.turn(options.seconds)
    finally:
        for one in contestants:
            one.end()
    return contestants


def make_table(place: Place) -> None:
    """Make a table of four columns with an index on its times, the same for all."""
    with Database(dsn=place.dsn) as database:
        with database.transaction() as session, session.cursor() as cursor:
            cursor.execute(f"DROP TABLE IF EXISTS {place.table}")
        database.create_timescale_db(place.table)
        for column in COLUMNS:
            database.new_column(place.table, column, DataType.double)


def judge(question: Question, contestants: list[Contestant]) -> Iterable[tuple[list[str], bool]]:
    """Return a line of the table for each contestant, and if a bar was missed."""
    values = [[one * question.factor for one in each.results] for each in contestants]
    if question.unit == "µs":
        values = [[1e6 / one for one in each] for each in values]
    middles = [statistics.median(each) for each in values]
    for each, value, middle in zip(contestants, values, middles, strict=True):
        digits = 0 if middle > 100 else 1  # noqa: PLR2004  (three digits are enough)
        numbers = [f"{one:,.{digits}f}" for one in (middle, min(value), max(value))]
        line = [question.title, each.name, numbers[0], f"{numbers[1]} to {numbers[2]}"]
        if each is not contestants[-1]:
            yield [*line, question.unit, "", ""], False
            continue
        ratios = [middle / other for other in middles[:-1]]
        missed = any(ratio < bar for ratio, bar in zip(ratios, question.bars, strict=False))
        wanted = [f">= {bar:.1f}" for bar in question.bars]
        if question.most is not None:
            missed = middle > question.most
            wanted = [f"<= {question.most:.0f} {question.unit}"]
        shown = ", ".join(f"{ratio:.2f}" for ratio in ratios)
        yield [*line, question.unit, shown, ", ".join(wanted) + " MISSED" * missed], missed


def count_statements(dsn: str, log: Path) -> float:
    """Return the round trips of one ``check_table``: the server notes each statement it is sent."""
    with Database(dsn=dsn) as admin, admin.transaction() as session, session.cursor() as cursor:
        cursor.execute("ALTER DATABASE postgres SET log_statement = 'all'")
    with Database(dsn=dsn) as database:
        database.check_table("race_0")
        before = log.read_text(encoding="utf-8").count("LOG:  statement: ")
        for _ in range(TRIPS):
            database.check_table("race_0")
        return (log.read_text(encoding="utf-8").count("LOG:  statement: ") - before) / TRIPS


def main() -> None:
    """Measure everything; the exit status is 1 if a bar was missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="default 7")
    parser.add_argument("--rows", type=int, default=10_000, help="of a COPY, default 10000")
    parser.add_argument("--seconds", type=float, default=1.0, help="of each turn, default 1")
    parser.add_argument("--original", metavar="FOLDER", help="where lab_utils 0.5.12 is")
    parser.add_argument("--contestant", choices=CONTESTANTS, help=argparse.SUPPRESS)
    parser.add_argument("--dsn", help=argparse.SUPPRESS)
    parser.add_argument("--table", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.contestant:
        contend(options.contestant, Place(options.dsn, options.table, options.rows))
        return
    logging.getLogger("lab_utils_mt").setLevel(logging.ERROR)  # a plain table is what is meant
    lines, missed = [], False
    with EmbeddedPostgres() as server:
        for question in questions(options.rows, bool(options.original)):
            for line, failed in judge(question, measure(question, server.dsn, options)):
                lines.append(line)
                missed = missed or failed
        trips = count_statements(server.dsn, server.folder / "log")
    late = trips > 1
    most = "<= 1" + " MISSED" * late
    lines.append(["check_table", "lab_utils_mt", f"{trips:g}", "", "round trips", "", most])
    show(lines)
    if missed or late:
        sys.exit("a bar was missed")


if __name__ == "__main__":
    main()
