"""Everything through a PgBouncer that lends the server's sessions for one transaction at a time."""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg2
import pytest
from psycopg2 import errors as pg_errors
from storage import pgbouncer
from storage.pgbouncer import PgBouncer

from lab_utils_mt.database import Database, DataType

pytestmark = pytest.mark.skipif(pgbouncer.PROGRAM is None, reason=pgbouncer.MISSING)

# It refuses the limits of a session when one is opened, or drops them without a word.
MANNERS = {"refuses options": "", "ignores options": "options"}

LIMITS = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")


@pytest.fixture(params=list(MANNERS.values()), ids=list(MANNERS))
def bouncer(request: pytest.FixtureRequest, database_dsn: str) -> Iterator[PgBouncer]:
    """Return a PgBouncer with two sessions for everybody, in either manner."""
    with pgbouncer.running(database_dsn, ignore_startup_parameters=request.param) as started:
        yield started


@pytest.fixture
def narrow(database_dsn: str) -> Iterator[PgBouncer]:
    """Return a PgBouncer with one session for everybody."""
    with pgbouncer.running(database_dsn, default_pool_size=1) as started:
        yield started


@contextlib.contextmanager
def connected(dsn: str, **attributes: object) -> Iterator[Database]:
    """Connect with settings of one's own for a ``with`` block."""
    database = Database(dsn=dsn)
    for name, value in attributes.items():
        setattr(database, name, value)
    with database:
        yield database


@contextlib.contextmanager
def stock(dsn: str) -> Iterator[Callable[[str], Any]]:
    """Connect with bare psycopg2, in autocommit; lend a function that asks."""
    with contextlib.closing(psycopg2.connect(dsn)) as session:
        session.autocommit = True
        yield lambda query: ask(session, query)


def ask(session: Any, query: str) -> Any:
    """Return the first value of a query's answer."""
    with session.cursor() as cursor:
        cursor.execute(query)
        return cursor.fetchone()[0] if cursor.description else None


def plain(query: str) -> Callable[[Any], Any]:
    """Return the work that asks as the library itself does."""

    def work(session: Any) -> Any:
        with session.plain_cursor() as cursor:
            cursor.execute(query)
            return cursor.fetchone()[0]

    return work


def limits(session: Any) -> list[str]:
    """Return the limits that are in force."""
    return [ask(session, f"SHOW {name}") for name in LIMITS]


def test_stock_options_are_refused(narrow: PgBouncer) -> None:
    """A session cannot be opened with limits of its own."""
    with pytest.raises(psycopg2.OperationalError, match="unsupported startup parameter"):
        psycopg2.connect(narrow.dsn, options="-c statement_timeout=1000")


def test_stock_settings_reach_everybody(narrow: PgBouncer) -> None:
    """What one client sets, another one has; and DISCARD ALL takes away what is another's."""
    with stock(narrow.dsn) as first, stock(narrow.dsn) as second:
        first("SET statement_timeout = '7s'")
        assert second("SHOW statement_timeout") == "7s"
        second("DISCARD ALL")
        assert first("SHOW statement_timeout") == "0"


def write_and_read(database: Database, threads: int) -> None:
    """Use every part of a Database, from many threads; whatever comes out is what went in."""
    database.create_timescale_db("cryo")
    database.create_timescale_db("cryo", if_not_exists=True)
    for column, kind in {
        "who": DataType.int,
        "turn": DataType.int,
        "note": DataType.string,
    }.items():
        database.new_column("cryo", column, kind)
        database.new_column("cryo", column, kind)

    def work(number: int) -> None:
        for turn in range(10):
            database.new_entry("cryo", ["who", "turn", "note"], [number, turn, f"{number}'s µ%"])
            assert database.check_table("cryo")
            assert not database.check_column("cryo", f"missing_{turn}")

    with ThreadPoolExecutor(threads) as pool:
        for result in [pool.submit(work, number) for number in range(threads)]:
            result.result(60)
    with database.transaction() as session, session.cursor() as cursor:
        cursor.execute("SELECT who, turn, note FROM cryo ORDER BY who, turn")
        found = cursor.fetchall()
    assert found == [(who, turn, f"{who}'s µ%") for who in range(threads) for turn in range(10)]


def test_every_method_works_from_many_threads(bouncer: PgBouncer) -> None:
    """Sixteen threads, eight sessions of the pool, two of the server."""
    with connected(bouncer.dsn) as database:
        write_and_read(database, 16)
        with pytest.raises(psycopg2.IntegrityError, match="column missing"):
            database.new_entry("cryo", ["missing"], [1], check_columns=True)
        with pytest.raises(psycopg2.IntegrityError):
            database.new_column("nowhere", "x", DataType.int)
        with pytest.raises(psycopg2.DataError):
            database.new_entry("cryo", ["turn"], [2**40])
        database.new_entry("cryo", ["turn"], [1], check_columns=True)
    assert len(bouncer.tell("SHOW SERVERS")) <= 2


def test_many_rows_at_once(bouncer: PgBouncer) -> None:
    """COPY needs one session from its begin to its end, and has it."""
    with connected(bouncer.dsn) as database:
        database.create_timescale_db("cryo")
        database.new_column("cryo", "x", DataType.double)

        def work(number: int) -> None:
            database.new_entries("cryo", ["x"], [[float(number)] for _ in range(1000)])

        with ThreadPoolExecutor(8) as pool:
            for result in [pool.submit(work, number) for number in range(8)]:
                result.result(60)
        assert database.pool.read(plain("SELECT count(*) FROM cryo")) == 8000
        assert database.pool.read(plain("SELECT sum(x) FROM cryo")) == 28_000.0


def test_the_methods_of_later_releases_work(bouncer: PgBouncer) -> None:
    """Also those that ask for a session alone, or for several statements."""
    with connected(bouncer.dsn) as database:
        with database.transaction() as session:
            ask(session, "CREATE TABLE runs (id SERIAL PRIMARY KEY, note TEXT)")
        with ThreadPoolExecutor(8) as pool:
            results = [pool.submit(database.fetch_next_serial_id, "runs") for _ in range(16)]
            numbers = [result.result(60) for result in results]
        assert len(set(numbers)) == 16
        assert database.check_empty_table("runs")
        database.new_entry("runs", ["id", "note"], [numbers[0], "began"])
        database.update_measurement("runs", numbers[0], ["note"], ["done"])
        found = database.retrieve_entries("runs", {"id": numbers[0]}, as_rows=True)
        assert found == [{"id": numbers[0], "note": "done"}]
        database.create_timescale_db("cryo")
        database.new_column("cryo", "x", DataType.double)
        database.new_entry("cryo", ["x"], [4.2])
        latest = database.fetch_latest_value("cryo", "x")
        assert latest is not None
        assert latest[1:] == (4.2,)
        database.create_aggregate_view("cryo")
        assert database.pool.read(plain("SELECT x_avg FROM cryo_1min")) == 4.2


def test_a_transaction_is_whole_or_not_at_all(bouncer: PgBouncer) -> None:
    """As without PgBouncer."""
    with connected(bouncer.dsn) as database:
        with database.transaction() as session:
            ask(session, "CREATE TABLE t (x int)")
        with (
            pytest.raises(pg_errors.DivisionByZero),
            database.transaction() as session,
        ):
            ask(session, "INSERT INTO t VALUES (1)")
            ask(session, "SELECT 1/0")
        assert database.pool.read(plain("SELECT count(*) FROM t")) == 0


def test_each_database_has_its_own_limits(bouncer: PgBouncer) -> None:
    """They are in force in each transaction, though the server's sessions are shared."""
    mine = {"statement_timeout": 7.0, "lock_timeout": 3.0, "idle_in_transaction_timeout": 5.0}
    yours = {"statement_timeout": 11.0, "lock_timeout": 2.0, "idle_in_transaction_timeout": 4.0}
    with connected(bouncer.dsn, **mine) as first, connected(bouncer.dsn, **yours) as second:

        def work(database: Database, wanted: list[str]) -> None:
            for _ in range(10):
                with database.transaction() as session:
                    assert limits(session) == wanted
                one = database.pool.run(plain("SHOW statement_timeout"))
                two = database.pool.read(plain("SHOW statement_timeout"))
                assert [one, two] == [wanted[0]] * 2

        with ThreadPoolExecutor(8) as pool:
            results = [pool.submit(work, first, ["7s", "3s", "5s"]) for _ in range(4)]
            results += [pool.submit(work, second, ["11s", "2s", "4s"]) for _ in range(4)]
            for result in results:
                result.result(60)
    with stock(bouncer.dsn) as other:
        assert [other(f"SHOW {name}") for name in LIMITS] == ["0", "0", "0"]


def test_limits_hold_after_a_rollback_and_after_an_error(bouncer: PgBouncer) -> None:
    """Each transaction of a block has them, not only its first."""
    with connected(bouncer.dsn, statement_timeout=7.0) as database:
        with database.transaction() as session:
            assert ask(session, "SHOW statement_timeout") == "7s"
            session.rollback()
            assert ask(session, "SHOW statement_timeout") == "7s"
            session.commit()
            assert ask(session, "SHOW statement_timeout") == "7s"
            with pytest.raises(pg_errors.SyntaxError):
                ask(session, "nonsense")
            session.rollback()
            assert ask(session, "SHOW statement_timeout") == "7s"
        with stock(bouncer.dsn) as other:
            assert other("SHOW statement_timeout") == "0"


@pytest.mark.parametrize("way", ["transaction", "run", "read"])
def test_a_statement_that_takes_too_long_is_ended(bouncer: PgBouncer, way: str) -> None:
    """By the server, and the session can be used afterwards."""
    query = "SELECT pg_sleep(15)"
    with connected(bouncer.dsn, statement_timeout=0.5) as database:
        with pytest.raises(pg_errors.QueryCanceled, match="statement timeout"):
            if way == "transaction":
                with database.transaction() as session:
                    ask(session, query)
            else:
                getattr(database.pool, way)(plain(query))
        assert database.pool.read(plain("SELECT 1")) == 1
        assert database.pool.stats().lost == 0


def test_a_lock_is_not_waited_for_too_long(bouncer: PgBouncer, database_dsn: str) -> None:
    """A table that somebody has locked costs a call lock_timeout, not for ever."""
    with connected(bouncer.dsn, lock_timeout=0.3) as database:
        database.create_timescale_db("cryo")
        database.new_column("cryo", "x", DataType.int)
        with contextlib.closing(psycopg2.connect(database_dsn)) as holder:
            ask(holder, "LOCK TABLE cryo IN ACCESS EXCLUSIVE MODE")
            release = threading.Timer(15.0, holder.rollback)  # should there be no limit
            release.start()
            with pytest.raises(pg_errors.LockNotAvailable):
                database.new_entry("cryo", ["x"], [1])
            release.cancel()
            release.join(20)
        database.new_entry("cryo", ["x"], [2])


def test_nothing_is_left_on_the_servers_session(narrow: PgBouncer) -> None:
    """No setting, no lock; and what another client keeps there is not thrown away."""
    with stock(narrow.dsn) as other:
        other("PREPARE canary AS SELECT 42")
        with connected(narrow.dsn) as database:
            write_and_read(database, 4)
            with database.transaction() as session:
                ask(session, "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE")
                assert ask(session, "SHOW transaction_isolation") == "serializable"
        assert other("EXECUTE canary") == 42
        assert other("SHOW default_transaction_isolation") == "read committed"
        assert [other(f"SHOW {name}") for name in LIMITS] == ["0", "0", "0"]
        assert other("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == 0


def test_sessions_that_the_server_ended_are_not_noticed(bouncer: PgBouncer, admin: Any) -> None:
    """PgBouncer opens new ones."""
    with connected(bouncer.dsn) as database:
        database.create_timescale_db("cryo")
        for _ in range(3):
            admin.terminate()
            assert database.check_table("cryo")


def test_a_read_waits_for_a_pause_to_end(bouncer: PgBouncer, wait_until: Any) -> None:
    """PAUSE is how an administrator restarts the server without anybody's noticing."""
    with connected(bouncer.dsn) as database, ThreadPoolExecutor(1) as thread:
        database.create_timescale_db("cryo")
        bouncer.tell("PAUSE")
        answer = thread.submit(database.check_table, "cryo")
        try:
            wait_until(lambda: any(pool["cl_waiting"] for pool in bouncer.tell("SHOW POOLS")))
        finally:
            bouncer.tell("RESUME")
        assert answer.result(30)


def test_reads_see_no_restart(bouncer: PgBouncer, wait_until: Any) -> None:
    """Eight threads read while PgBouncer is restarted, again and again: none gets an error."""
    reads = [0] * 8
    stop = threading.Event()

    def work(database: Database, number: int) -> None:
        while not stop.is_set():
            assert database.check_table("cryo")
            reads[number] += 1

    def everybody_reads() -> None:
        before = list(reads)
        wait_until(
            lambda: (
                any(one.done() for one in workers)
                or all(now > then for now, then in zip(reads, before, strict=True))
            ),
            "a read by each thread",
        )

    with connected(bouncer.dsn) as database, ThreadPoolExecutor(8) as threads:
        database.create_timescale_db("cryo")
        workers = [threads.submit(work, database, number) for number in range(8)]
        try:
            for _ in range(5):
                everybody_reads()
                bouncer.stop()
                bouncer.start()
            everybody_reads()
        finally:
            stop.set()
        for worker in workers:
            worker.result(60)
        assert database.pool.stats().size <= database.maxconn


def test_a_row_is_stored_once_or_in_doubt(bouncer: PgBouncer, admin: Any, wait_until: Any) -> None:
    """Restarts under writers: what was acknowledged is there, and there once."""
    acknowledged: list[list[int]] = [[] for _ in range(4)]
    doubtful: list[int] = []
    stop = threading.Event()

    def work(database: Database, number: int) -> None:
        for turn in range(number, 10**9, 4):
            if stop.is_set():
                return
            try:
                database.new_entry("cryo", ["x"], [turn])
                acknowledged[number].append(turn)
            except psycopg2.OperationalError:
                doubtful.append(turn)

    with connected(bouncer.dsn) as database, ThreadPoolExecutor(4) as threads:
        database.create_timescale_db("cryo")
        database.new_column("cryo", "x", DataType.int)
        workers = [threads.submit(work, database, number) for number in range(4)]
        try:
            for _ in range(3):
                before = sum(map(len, acknowledged))
                wait_until(lambda count=before: sum(map(len, acknowledged)) > count + 20)
                bouncer.stop()
                bouncer.start()
            before = sum(map(len, acknowledged))
            wait_until(lambda: sum(map(len, acknowledged)) > before + 20)
        finally:
            stop.set()
        for worker in workers:
            worker.result(60)
        rows = database.pool.read(plain("SELECT array_agg(x ORDER BY x) FROM cryo"))
    certain = sorted(itertools.chain.from_iterable(acknowledged))
    assert len(set(rows)) == len(rows)
    assert set(certain) <= set(rows)
    assert set(rows) <= {*certain, *doubtful}
