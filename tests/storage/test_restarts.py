"""A server that restarts under load, loses single sessions, or stays away for a while."""

from __future__ import annotations

import contextlib
import itertools
import random
import statistics
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import psycopg2
import pytest
from daemons import wait_until
from psycopg2.extensions import make_dsn
from psycopg2_pool import ThreadSafeConnectionPool
from storage.faults import Sampler
from storage.proxy import proxy
from systems import WINDOWS, needs_embedded

from lab_utils_mt._storage.pool import ConnectionPool
from lab_utils_mt.database import CommitUnknown, Database, DatabaseUnavailable, EmbeddedPostgres

THREADS = 16
MAXCONN = 8
RECOVERY = 5.0  # seconds
RESTARTS = ["fast", "immediate"] * 10
KILLS = 50 if WINDOWS else 200  # where each takes longer
OUTAGE = 12.0  # seconds
PAUSES = [0.5, 1.0, 2.0, 4.0, 4.0]  # seconds between attempts, each 10 % more or less
NAME = "load"


@pytest.fixture
def server() -> Iterator[EmbeddedPostgres]:
    """Return a server of the test's own, for its processes change."""
    with EmbeddedPostgres() as started:
        yield started


@pytest.fixture
def note(request: pytest.FixtureRequest) -> Callable[[str, object], None]:
    """Return a function that keeps what was measured for ``--junitxml``."""
    return lambda name, value: request.node.user_properties.append((name, value))


@contextlib.contextmanager
def connected(dsn: str, **more: Any) -> Iterator[Database]:
    """Return a database with all its sessions open, a table to read and one to write."""
    named = make_dsn(dsn, application_name=NAME)
    with Database(dsn=named, maxconn=MAXCONN, **more) as database:
        database.create_timescale_db("cryo")
        database.pool.run(lambda session: execute(session, "CREATE TABLE kept (id INT UNIQUE)"))
        borrow_all(database)
        yield database


def borrow_all(database: Database) -> None:
    """Have all sessions at the same time."""
    with contextlib.ExitStack() as stack:
        for _ in range(MAXCONN):
            stack.enter_context(database.transaction(5.0))


def execute(session: Any, query: str, *values: object) -> Any:
    """Return the first value of a query's answer, if it has any."""
    with getattr(session, "plain_cursor", session.cursor)() as cursor:
        cursor.execute(query, values)
        row = cursor.fetchone() if cursor.description else None
        return row and row[0]


def restart(server: EmbeddedPostgres, mode: str) -> None:
    """Restart a server; return once it accepts sessions."""
    postmaster: Any = server._postmaster
    log = str(server.folder / "log")
    done = postmaster._pg_ctl("restart", "-m", mode, "-w", "-t", "60", "-l", log)
    assert done.returncode == 0, postmaster._last_words()


class Load:
    """Threads that do one piece of work after another, until the end of a ``with`` block."""

    def __init__(self, *work: Callable[[int], object], threads: int = THREADS) -> None:
        self.errors: list[str] = []  # which work, and the error with its traceback
        self.last = [0.0] * threads  # when each thread's last piece of work was done
        self.pieces = [0] * threads
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(number, work[number % len(work)]), name="load")
            for number in range(threads)
        ]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        wait_until(lambda: all(self.last), "the first piece of work of each thread")
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)

    def _run(self, number: int, work: Callable[[int], object]) -> None:
        turn = number
        while not self._stop.wait(0.002):
            turn += len(self._threads)
            try:
                work(turn)
            except Exception:
                self.errors.append(f"{work.__name__}: {traceback.format_exc()}")
            else:
                self.last[number] = time.monotonic()
                self.pieces[number] += 1

    def recovery(self, since: float) -> tuple[float, float]:
        """Wait until each thread did a piece of work; return when the first did, and the last."""
        done = [0.0] * len(self.last)
        deadline = since + 20.0
        while not all(done):
            assert time.monotonic() < deadline, "some threads do not recover"
            time.sleep(0.002)
            done = [
                before or (now if now > since else 0.0)
                for before, now in zip(done, self.last, strict=True)
            ]
        return min(done) - since, max(done) - since


class Writer:
    """Writes numbers that may be written twice, and keeps what it was told of each."""

    def __init__(self, pool: ConnectionPool) -> None:
        self._pool = pool
        self.acknowledged: list[int] = []
        self.doubts = 0

    def write(self, number: int) -> None:
        """Write a number; a COMMIT in doubt is no error of the pool, but a fact."""
        query = "INSERT INTO kept VALUES (%s) ON CONFLICT DO NOTHING"
        try:
            self._pool.run(lambda session: execute(session, query, number), idempotent=True)
        except CommitUnknown:
            self.doubts += 1
        else:
            self.acknowledged.append(number)

    def lost(self) -> int:
        """Count the numbers that were acknowledged, and are not there."""
        query = "SELECT count(*) FROM kept WHERE id = ANY (%s)"
        found = self._pool.read(lambda session: execute(session, query, self.acknowledged))
        return len(self.acknowledged) - int(found)


def the_load(database: Database, writer: Writer) -> Load:
    """Read in three ways, and write, each from four threads."""

    def read(_: int) -> None:
        database.pool.read(lambda session: execute(session, "SELECT count(*) FROM cryo"))

    def look_for_table(_: int) -> None:
        assert database.check_table("cryo")

    def look_for_column(_: int) -> None:
        assert database.check_column("cryo", "time")

    return Load(read, look_for_table, look_for_column, writer.write)


def assert_nothing_lost(database: Database, writer: Writer) -> None:
    """Every place is back, and every acknowledged number is there."""
    assert writer.lost() == 0
    stats = database.pool.stats
    wait_until(lambda: stats().size == stats().idle, f"the rest of {database!r}")
    assert (stats().lent, stats().waiting) == (0, 0)
    borrow_all(database)


@needs_embedded
@pytest.mark.timeout(300)
def test_restarts_under_load_are_not_seen(
    server: EmbeddedPostgres, note: Callable[[str, object], None]
) -> None:
    """20 of them, each second one a crash: no error, work again within 5 s, never too many."""
    recoveries = []
    with connected(server.dsn) as database, Sampler(server.dsn) as sampler:
        writer = Writer(database.pool)
        with the_load(database, writer) as load:
            for mode in RESTARTS:
                restart(server, mode)
                recoveries.append(load.recovery(time.monotonic()))
                time.sleep(random.uniform(0.05, 0.3))  # some more load; not to wait for anything
        first, last = (sorted(column) for column in zip(*recoveries, strict=True))
        note("first_p50_max", (statistics.median(first), first[-1]))
        note("last_p50_max", (statistics.median(last), last[-1]))
        note("pieces", sum(load.pieces))
        note("doubts", writer.doubts)
        note("stats", str(database.pool.stats()))
        note("samples", (sampler.samples, dict(sampler.most)))
        assert not load.errors, "\n".join(load.errors[:3])
        assert last[-1] <= RECOVERY, last
        assert_nothing_lost(database, writer)
    assert 0 < sampler.most[NAME] <= MAXCONN


@needs_embedded
def test_the_stock_pool_hands_a_restart_to_its_callers(server: EmbeddedPostgres) -> None:
    """One restart, with a session for each thread: its readers get errors."""
    pool = ThreadSafeConnectionPool(minconn=0, maxconn=MAXCONN, dsn=server.dsn, connect_timeout=2)

    def read(_: int) -> None:
        session = pool.getconn()
        try:
            execute(session, "SELECT 1")
        finally:
            pool.putconn(session)

    with Load(read, threads=MAXCONN) as load:
        assert not load.errors
        restart(server, "fast")
        load.recovery(time.monotonic())
    pool.clear()
    assert any("OperationalError" in error for error in load.errors), load.errors


def test_killed_sessions_are_not_seen(
    database_dsn: str, note: Callable[[str, object], None]
) -> None:
    """200 sessions are ended by an administrator, whatever they are doing."""
    with (
        connected(database_dsn) as database,
        contextlib.closing(psycopg2.connect(database_dsn)) as admin,
        Sampler(database_dsn) as sampler,
    ):
        admin.autocommit = True
        writer = Writer(database.pool)
        with the_load(database, writer) as load:
            for _ in range(KILLS):
                wait_until(lambda: kill_one(admin), "a session to kill")
                load.recovery(time.monotonic())  # a piece of work is repeated only once
        note("pieces", sum(load.pieces))
        note("doubts", writer.doubts)
        note("stats", str(database.pool.stats()))
        note("samples", (sampler.samples, dict(sampler.most)))
        assert not load.errors, "\n".join(load.errors[:3])
        assert_nothing_lost(database, writer)
    assert 0 < sampler.most[NAME] <= MAXCONN


def kill_one(admin: Any) -> bool:
    """End one session of the load, and wait until it is gone; False if there are too few."""
    query = "SELECT pid FROM pg_stat_activity WHERE application_name = %s"
    with admin.cursor() as cursor:
        cursor.execute(query, (NAME,))
        sessions = [pid for (pid,) in cursor.fetchall()]
    if len(sessions) < MAXCONN - 2:
        return False
    victim = random.choice(sessions)
    execute(admin, "SELECT pg_terminate_backend(%s)", victim)
    query = "SELECT count(*) FROM pg_stat_activity WHERE pid = %s"
    wait_until(lambda: execute(admin, query, victim) == 0, "the end of a killed session")
    time.sleep(random.uniform(0.01, 0.03))  # so that they are found in all states
    return True


@needs_embedded
def test_a_server_that_is_away_is_asked_at_a_measured_pace(
    server: EmbeddedPostgres, note: Callable[[str, object], None]
) -> None:
    """16 threads want sessions all the time, half of them impatiently; the pace is one pool's."""
    postmaster: Any = server._postmaster
    with proxy(server.dsn) as line, connected(line.dsn) as database:

        def wait_long(_: int) -> None:
            database.pool.read(lambda session: execute(session, "SELECT 1"), timeout=60.0)

        def wait_a_little(_: int) -> None:
            with contextlib.suppress(DatabaseUnavailable):
                database.pool.read(lambda session: execute(session, "SELECT 1"), timeout=0.3)

        with Load(wait_long, wait_a_little) as load:
            already = len(line.arrivals)
            postmaster.stop()
            down = time.monotonic()
            while time.monotonic() < down + OUTAGE:
                time.sleep(0.1)
            attempts = line.arrivals[already:]
            postmaster.start()
            first, last = load.recovery(time.monotonic())
        gaps = [later - earlier for earlier, later in itertools.pairwise(attempts)]
        note("gaps", gaps)
        note("recovery", (first, last))
        note("opened_at_recovery", len(line.arrivals) - already - len(attempts))
        assert not load.errors, "\n".join(load.errors[:3])
        assert len(PAUSES) <= len(attempts) <= len(PAUSES) + 2, gaps
        for gap, pause in zip(gaps, PAUSES, strict=False):
            assert 0.9 * pause - 0.05 < gap < 1.1 * pause + 0.5, gaps  # an attempt takes time, too
        assert last <= RECOVERY
