"""The pool against a real server; each fault is first shown on the pool that it mends."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg2
import pytest
from psycopg2 import extensions as ext
from psycopg2_pool import PoolError, ThreadSafeConnectionPool
from storage.proxy import proxy
from systems import needs_fork

from lab_utils_mt._storage.errors import (
    CommitUnknown,
    DatabaseUnavailable,
    PoolClosed,
    PoolTimeout,
)
from lab_utils_mt._storage.pool import ConnectionPool
from lab_utils_mt._storage.session import Session


@pytest.fixture
def pool(database_dsn: str) -> Iterator[ConnectionPool]:
    """Return a pool of at most five sessions."""
    with ConnectionPool(dsn=database_dsn, maxconn=5, timeout=20.0) as opened:
        yield opened


@pytest.fixture
def stock(database_dsn: str) -> Iterator[Any]:
    """Return the unmended pool, of at most five sessions."""
    opened = ThreadSafeConnectionPool(minconn=0, maxconn=5, dsn=database_dsn)
    yield opened
    opened.clear()


@pytest.fixture
def deaf_port() -> Iterator[int]:
    """Return a port that takes connections, and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def ask(session: Any, query: str) -> Any:
    """Return the first value of a query's answer."""
    with session.cursor() as cursor:
        cursor.execute(query)
        return cursor.fetchone()[0]


def pid(session: Any) -> int:
    """Return the server's process for a session."""
    return int(session.info.backend_pid)


def most_sessions(pool: Any, admin: Any, threads: int = 32) -> int:
    """Let threads share a pool's idle sessions at the same time; return the server's count."""
    warm = [pool.getconn() for _ in range(5)]
    for session in warm:
        pool.putconn(session)
    barrier = threading.Barrier(threads + 1)
    done = threading.Event()

    def work() -> None:
        try:
            session = pool.getconn()
        except PoolError:
            barrier.wait(20)
            return
        barrier.wait(20)
        done.wait(20)
        session.close()
        pool.putconn(session)

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    barrier.wait(20)
    count = int(admin.sessions())
    done.set()
    for worker in workers:
        worker.join(20)
    return count


def test_stock_maxconn_is_not_a_limit(stock: Any, admin: Any) -> None:
    """Ten sessions, where five were promised: re-used ones are not counted."""
    assert most_sessions(stock, admin) == 10


def test_maxconn_is_a_limit(pool: ConnectionPool, admin: Any, wait_until: Any) -> None:
    """32 threads work at once, and the server never sees more than five sessions."""
    worst = [0]
    stop = threading.Event()

    def watch() -> None:
        while not stop.is_set():
            worst[0] = max(worst[0], admin.sessions())

    def work(number: int) -> None:
        for turn in range(20):
            with pool.connection() as session:
                ask(session, "SELECT 1")
                if (turn + number) % 10 == 0:
                    session.commit()
                    session.set_client_encoding("LATIN1")  # it cannot be lent again

    watcher = threading.Thread(target=watch)
    watcher.start()
    with ThreadPoolExecutor(32) as threads:
        results = [threads.submit(work, number) for number in range(32)]
    stop.set()
    watcher.join(20)
    for result in results:
        result.result(20)
    wait_until(lambda: pool.stats().size == pool.stats().idle)
    now = pool.stats()
    assert 1 <= worst[0] <= 5
    assert now.size == now.idle <= 5
    assert now.lost > 10
    assert now.lent == now.waiting == 0


def block_while_connecting(pool: Any, deaf_port: int) -> bool:
    """Return a session while another thread connects; tell if that thread was in the way."""
    lent = pool.getconn()
    other = pool.getconn()
    good = dict(pool.connect_kwargs)
    pool.connect_kwargs.update(host="127.0.0.1", port=deaf_port, connect_timeout=3)

    def connect() -> None:
        with contextlib.suppress(psycopg2.OperationalError):
            pool.putconn(pool.getconn())

    connecting = threading.Thread(target=connect)
    connecting.start()
    while pool.lock.acquire(blocking=False):  # until the stock pool has taken it, or 0.3 s passed
        pool.lock.release()
        connecting.join(0.05)
        if getattr(pool, "_turns", None) and pool.stats().size == 3:
            break
    returning = threading.Thread(target=pool.putconn, args=(lent,))
    returning.start()
    returning.join(1.0)
    blocked = returning.is_alive()
    connecting.join(20)
    returning.join(20)
    pool.connect_kwargs.clear()
    pool.connect_kwargs.update(good)
    pool.putconn(other)
    return blocked


def test_stock_blocks_everybody_while_one_connects(stock: Any, deaf_port: int) -> None:
    """It holds its lock while it connects."""
    assert block_while_connecting(stock, deaf_port)


def test_nobody_is_blocked_while_one_connects(pool: ConnectionPool, deaf_port: int) -> None:
    """A session can be returned, and lent again, while another thread waits for the network."""
    assert not block_while_connecting(pool, deaf_port)
    with pool.connection() as session:
        assert ask(session, "SELECT 1") == 1


def idle_sessions(pool: Any, number: int) -> None:
    """Fill a pool with idle sessions."""
    for session in [pool.getconn() for _ in range(number)]:
        pool.putconn(session)


def test_stock_hands_out_dead_sessions(stock: Any, admin: Any) -> None:
    """After a restart of the server, every idle session is dead, and is lent all the same."""
    idle_sessions(stock, 3)
    admin.terminate()
    for session in [stock.getconn() for _ in range(3)]:
        with pytest.raises(psycopg2.OperationalError):
            ask(session, "SELECT 1")
        stock.putconn(session)


def test_dead_sessions_are_replaced(pool: ConnectionPool, admin: Any) -> None:
    """No borrower notices that the server ended all idle sessions."""
    idle_sessions(pool, 3)
    admin.terminate()
    for session in [pool.getconn() for _ in range(3)]:
        assert ask(session, "SELECT 1") == 1
        pool.putconn(session)
    assert pool.stats().lost == 3
    assert pool.stats().size == 3


def fail_in_transaction(pool: Any, admin: Any) -> None:
    """Lose the session in a transaction, then fail for a reason of one's own."""
    session = pool.getconn()
    try:
        ask(session, "SELECT 1")
        admin.terminate()
        raise KeyError("the caller's own")
    finally:
        pool.putconn(session)


def lose_in_block(pool: ConnectionPool, admin: Any, error: Exception | None = None) -> None:
    """Lose the session in a block, which then ends, or raises."""
    with pool.connection() as session:
        ask(session, "SELECT 1")
        admin.terminate()
        if error:
            raise error


def test_stock_hides_the_callers_error(stock: Any, admin: Any) -> None:
    """Returning a session that died in a transaction raises."""
    with pytest.raises(psycopg2.Error):
        fail_in_transaction(stock, admin)


def test_the_callers_error_is_not_hidden(pool: ConnectionPool, admin: Any) -> None:
    """Returning a session never fails because of the database."""
    with pytest.raises(KeyError, match="the caller's own"):
        fail_in_transaction(pool, admin)
    with pytest.raises(KeyError):
        lose_in_block(pool, admin, KeyError())
    pool._closing.join(20)
    assert pool.stats().size == 0
    assert pool.stats().lost == 2


def test_stock_needs_the_database_to_be_made() -> None:
    """Its constructor connects."""
    with pytest.raises(psycopg2.OperationalError):
        ThreadSafeConnectionPool(minconn=1, dsn="host=127.0.0.1 port=1 dbname=x user=x")


def test_the_database_may_be_down_when_the_pool_is_made() -> None:
    """The first checkout says what is wrong, without the password."""
    dsn = "host=127.0.0.1 port=1 dbname=x user=x password=secret"
    with ConnectionPool(dsn=dsn) as pool:
        with pytest.raises(DatabaseUnavailable, match="database 'x' on host 127") as caught:
            pool.getconn()
        assert "secret" not in f"{caught.value}{caught.value.__cause__}{pool!r}{pool.stats()}"
        assert "\n" not in str(caught.value)
        assert isinstance(caught.value, psycopg2.OperationalError)
        assert pool.stats().failed == 1
        assert pool.stats().size == 0


def test_stock_lends_a_session_twice(stock: Any) -> None:
    """After a second return two borrowers share a session, or it is closed under the first."""
    session = stock.getconn()
    stock.putconn(session)
    stock.putconn(session)
    first, second = stock.getconn(), stock.getconn()
    assert first is second or first.closed
    stock.putconn(second)


def test_a_second_return_is_refused(pool: ConnectionPool) -> None:
    """No session gets two borrowers."""
    session = pool.getconn()
    pool.putconn(session)
    with pytest.raises(PoolError, match="not lent by this pool"):
        pool.putconn(session)
    first, second = pool.getconn(), pool.getconn()
    assert first is not second
    pool.putconn(first)
    pool.putconn(second)


def test_stock_takes_anybodys_session(stock: Any, database_dsn: str) -> None:
    """A foreign connection becomes one of the pool's."""
    foreign = psycopg2.connect(database_dsn)
    stock.putconn(foreign)
    assert stock.getconn() is foreign
    stock.putconn(foreign)


def test_a_foreign_session_is_refused(pool: ConnectionPool, database_dsn: str) -> None:
    """It stays its owner's, open."""
    foreign: Any = psycopg2.connect(database_dsn)
    with pytest.raises(PoolError):
        pool.putconn(foreign)
    assert not foreign.closed
    foreign.close()


STATES: dict[str, tuple[Callable[[Any], object], Callable[[Any], object]]] = {
    "autocommit": (
        lambda session: setattr(session, "autocommit", True),
        lambda session: session.autocommit,
    ),
    "setting": (
        lambda session: ask(session, "SELECT set_config('work_mem', '77MB', false)"),
        lambda session: ask(session, "SHOW work_mem") == "77MB",
    ),
    "temporary table": (
        lambda session: session.cursor().execute("CREATE TEMP TABLE mine (x int)"),
        lambda session: ask(session, "SELECT to_regclass('mine')"),
    ),
    "advisory lock": (
        lambda session: session.cursor().execute("SELECT pg_advisory_lock(1)"),
        lambda session: ask(
            session,
            "SELECT count(*) FROM pg_locks WHERE locktype='advisory' AND pid = pg_backend_pid()",
        ),
    ),
    "listen": (
        lambda session: session.cursor().execute("LISTEN news"),
        lambda session: ask(session, "SELECT count(*) FROM pg_listening_channels()"),
    ),
    "prepared statement": (
        lambda session: session.cursor().execute("PREPARE p AS SELECT 1"),
        lambda session: ask(session, "SELECT count(*) FROM pg_prepared_statements"),
    ),
    "isolation level": (
        lambda session: session.set_session("serializable", readonly=True),
        lambda session: session.isolation_level is not None or session.readonly,
    ),
    "isolation level, autocommit": (
        lambda session: session.set_session("serializable", readonly=True, autocommit=True),
        lambda session: ask(session, "SHOW default_transaction_read_only") == "on",
    ),
    "encoding": (
        lambda session: session.set_client_encoding("LATIN1"),
        lambda session: session.encoding != "UTF8",
    ),
    "time zone": (
        lambda session: session.cursor().execute("SET TIME ZONE 'Asia/Tokyo'"),
        lambda session: ask(session, "SHOW TIME ZONE") == "Asia/Tokyo",
    ),
}


def leave_behind(pool: Any, state: str) -> bool:
    """Return a session in a state; tell if the next borrower finds it so."""
    soil, is_soiled = STATES[state]
    session = pool.getconn()
    soil(session)
    if not session.autocommit:
        session.commit()
    pool.putconn(session)
    session = pool.getconn()
    found = bool(is_soiled(session))
    pool.putconn(session)
    return found


@pytest.mark.parametrize("state", STATES)
def test_stock_passes_state_on(stock: Any, state: str) -> None:
    """Whatever a borrower sets, the next one gets."""
    assert leave_behind(stock, state)


@pytest.mark.parametrize("state", STATES)
def test_no_state_is_passed_on(pool: ConnectionPool, state: str, wait_until: Any) -> None:
    """The next borrower gets a session as good as new."""
    assert not leave_behind(pool, state)
    wait_until(lambda: pool.stats().size == pool.stats().idle == 1)


def test_a_transaction_of_ones_own_is_rolled_back(pool: ConnectionPool) -> None:
    """BEGIN in autocommit mode is a transaction that the driver does not know."""
    session = pool.getconn()
    session.autocommit = True
    session.cursor().execute("BEGIN; CREATE TABLE t (x int)")
    pool.putconn(session)
    with pool.connection() as other:
        assert ask(other, "SELECT to_regclass('t')") is None
    assert pool.stats().size == 1


def test_the_librarys_own_work_costs_no_reset(pool: ConnectionPool) -> None:
    """It leaves nothing behind to be forgotten; what others did may have."""

    def prepare(session: Session) -> None:
        with session.plain_cursor() as cursor:
            cursor.execute("PREPARE mine AS SELECT 1")

    count = "SELECT count(*) FROM pg_prepared_statements"
    pool.run(prepare)
    assert pool.read(lambda session: ask(session, count)) == 1
    with pool.connection():
        pass
    assert pool.read(lambda session: ask(session, count)) == 0


def test_a_block_commits_or_rolls_back(pool: ConnectionPool) -> None:
    """At its end, and on an exception."""
    with pool.connection() as session:
        session.cursor().execute("CREATE TABLE t (x int)")
    with pytest.raises(psycopg2.errors.DivisionByZero), pool.connection() as session:
        session.cursor().execute("INSERT INTO t VALUES (1); SELECT 1/0")
    with pool.connection() as session:
        assert ask(session, "SELECT count(*) FROM t") == 0


def test_a_failed_commit_is_told(pool: ConnectionPool, admin: Any) -> None:
    """Nobody believes that data are stored when they are not."""
    with pytest.raises(psycopg2.Error):
        lose_in_block(pool, admin)
    pool._closing.join(20)
    assert pool.stats().size == 0


def test_run_repeats_idempotent_work_once(pool: ConnectionPool, admin: Any) -> None:
    """The session died before the commit: nothing had happened yet."""
    calls = []

    def work(session: Any) -> int:
        calls.append(pid(session))
        if len(calls) == 1:
            ask(session, "SELECT 1")
            admin.terminate()
        return int(ask(session, "SELECT 42"))

    assert pool.run(work, idempotent=True) == 42
    assert len(calls) == 2
    assert pool.stats().retried == 1


def test_run_does_not_repeat_other_work(pool: ConnectionPool, admin: Any) -> None:
    """Nor idempotent work that failed for a reason of its own."""
    calls = []

    def lose(session: Any) -> None:
        calls.append(1)
        admin.terminate()
        ask(session, "SELECT 1")

    with pytest.raises(psycopg2.OperationalError):
        pool.run(lose)
    assert len(calls) == 1
    with pytest.raises(psycopg2.errors.DivisionByZero):
        pool.run(lambda session: ask(session, "SELECT 1/0"), idempotent=True)
    assert pool.stats().retried == 0


def test_run_does_not_repeat_a_commit_in_doubt(pool: ConnectionPool, admin: Any) -> None:
    """Once COMMIT was sent, nobody knows what became of it."""
    calls = []

    def work(session: Any) -> None:
        calls.append(1)
        ask(session, "SELECT 1")
        admin.terminate()  # noticed by the COMMIT only

    with pytest.raises(psycopg2.Error):
        pool.run(work, idempotent=True)
    assert len(calls) == 1


def test_a_checkout_ends_with_its_timeout(pool: ConnectionPool) -> None:
    """All sessions are lent: PoolTimeout, which old code knows as PoolError."""
    lent = [pool.getconn() for _ in range(5)]
    with pytest.raises(PoolTimeout, match="raise maxconn or timeout") as caught:
        pool.getconn(timeout=0.05)
    assert isinstance(caught.value, PoolError)
    assert isinstance(caught.value, psycopg2.OperationalError)
    for session in lent:
        pool.putconn(session)


def test_the_timeout_covers_connecting(database_dsn: str, deaf_port: int) -> None:
    """A mute server is given up when the time is up, not after the 2 s of its own limit."""
    where = {"host": "127.0.0.1", "port": deaf_port, "connect_timeout": 2}
    with ConnectionPool(dsn=database_dsn, **where) as pool:  # type: ignore[arg-type]
        began = time.monotonic()
        with pytest.raises(DatabaseUnavailable, match="has not answered yet"):
            pool.getconn(timeout=0.2)
        assert time.monotonic() - began < 1.5
        with pytest.raises(DatabaseUnavailable, match="timeout expired"):
            pool.getconn(timeout=20)


def test_a_closed_pool_says_so(pool: ConnectionPool, admin: Any, wait_until: Any) -> None:
    """Idle sessions are closed at once, lent ones on return; closing twice is harmless."""
    idle_sessions(pool, 3)
    lent = pool.getconn()
    pool.close()
    pool.close()
    wait_until(lambda: admin.sessions() == 1)
    assert ask(lent, "SELECT 1") == 1
    with pytest.raises(PoolClosed):
        pool.getconn()
    pool.putconn(lent)
    wait_until(lambda: bool(lent.closed))
    wait_until(lambda: admin.sessions() == 0 == pool.stats().size)
    assert repr(pool) == ("<ConnectionPool closed, 0 of 5 sessions (0 lent, 0 idle), 0 waiting>")


def test_a_pool_closed_while_connecting_keeps_nothing(
    pool: ConnectionPool, monkeypatch: pytest.MonkeyPatch, wait_until: Any, admin: Any
) -> None:
    """The session that arrives too late is closed."""
    complete = pool._turns.admit
    monkeypatch.setattr(
        pool._turns, "admit", lambda session, new: (pool.close(), complete(session, new=new))[1]
    )
    with pytest.raises(PoolClosed):
        pool.getconn()
    wait_until(lambda: pool.stats().size == 0)
    assert admin.sessions() == 0


def test_dropped_sessions_give_their_places_back(pool: ConnectionPool) -> None:
    """A borrower that forgets to return a session harms nobody for ever."""
    for _ in range(5):
        pool.getconn()
    gc.collect()
    lent = [pool.getconn(timeout=5) for _ in range(5)]
    assert pool.stats().leaked == 5
    assert pool.stats().size == 5
    for session in lent:
        pool.putconn(session)


def test_unused_sessions_are_closed_after_a_while(database_dsn: str, wait_until: Any) -> None:
    """The one used last is kept; the others grow old."""
    with ConnectionPool(dsn=database_dsn, idle_timeout=0.2) as pool:
        idle_sessions(pool, 3)
        assert pool.stats().size == 3

        def shrunk() -> bool:
            with pool.connection():
                pass
            return pool.stats().size == 1

        wait_until(shrunk)


def test_limits_are_set_on_the_server(database_dsn: str) -> None:
    """By connection parameters: no session is without them."""
    limits = {"statement_timeout": 1.5, "lock_timeout": None, "idle_in_transaction_timeout": 7.0}
    with ConnectionPool(dsn=database_dsn, application_name="cryostat", **limits) as pool:  # type: ignore[arg-type]
        with pool.connection() as session:
            assert ask(session, "SHOW statement_timeout") == "1500ms"
            assert ask(session, "SHOW lock_timeout") == "0"
            assert ask(session, "SHOW idle_in_transaction_session_timeout") == "7s"
            assert ask(session, "SHOW application_name") == "cryostat"
            parameters = session.info.dsn_parameters
        assert parameters["keepalives_idle"] == "30"
        assert parameters["tcp_user_timeout"] == "15000"
        with pool.connection() as session:
            assert ask(session, "SHOW statement_timeout") == "1500ms"


def test_own_options_are_kept(database_dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the connection string, or else of the environment."""
    monkeypatch.setenv("PGOPTIONS", "-c work_mem=11MB")
    with ConnectionPool(dsn=database_dsn) as pool, pool.connection() as session:
        assert ask(session, "SHOW work_mem") == "11MB"
    dsn = ext.make_dsn(database_dsn, options="-c work_mem=12MB")
    with ConnectionPool(dsn=dsn) as pool, pool.connection() as session:
        assert ask(session, "SHOW work_mem") == "12MB"


def test_wrong_arguments_are_refused_at_once() -> None:
    """Not at the first checkout."""
    with pytest.raises(ValueError, match="maxconn must be at least 1"):
        ConnectionPool(maxconn=0)
    with pytest.raises(psycopg2.ProgrammingError, match="hots"):
        ConnectionPool(hots="localhost")


@needs_fork
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_leaves_the_parents_sessions_alone(pool: ConnectionPool) -> None:
    """It opens its own, and what it does not own it does not close, not even on its exit."""
    idle_sessions(pool, 2)
    status = -1
    with pool.connection() as mine:
        child = os.fork()
        if child == 0:
            code = 1
            try:
                with pool.connection() as own:
                    code = 0 if pid(own) != pid(mine) and ask(own, "SELECT 1") == 1 else 2
                pool.close()
                gc.collect()
            finally:
                os._exit(code)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert ask(mine, "SELECT 1") == 1
    assert status == 0
    for session in [pool.getconn() for _ in range(3)]:
        assert ask(session, "SELECT 1") == 1
        pool.putconn(session)
    assert pool.stats().lost == 0


@needs_fork
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_does_not_commit_for_its_parent(pool: ConnectionPool) -> None:
    """A block that began in the parent ends with an error in the child."""
    with pool.connection() as session:
        session.cursor().execute("CREATE TABLE t (x int)")
    child = None
    try:
        with pool.connection() as session:
            session.cursor().execute("INSERT INTO t VALUES (1)")
            child = os.fork()
    except PoolError:
        os._exit(0)
    except BaseException:
        os._exit(1)
    if child == 0:
        os._exit(2)
    assert child is not None
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    with pool.connection() as session:
        assert ask(session, "SELECT count(*) FROM t") == 1


def test_a_signal_handler_can_raise_in_a_wait(pool: ConnectionPool) -> None:
    """Ctrl-C ends a wait, and costs no place."""
    # A shell starts background jobs with SIGINT ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    lent = [pool.getconn() for _ in range(5)]
    timer = threading.Timer(0.1, signal.raise_signal, (signal.SIGINT,))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        pool.getconn(timeout=20)
    timer.join(20)
    signal.signal(signal.SIGINT, before)
    for session in lent:
        pool.putconn(session)
    assert pool.stats().waiting == 0
    assert pool.stats().size == pool.stats().idle == 5


def test_both_attempts_share_one_deadline(
    pool: ConnectionPool, admin: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A retry does not begin to wait anew."""
    deadlines: list[float] = []
    take = pool._turns.take
    monkeypatch.setattr(
        pool._turns, "take", lambda deadline: (deadlines.append(deadline), take(deadline))[1]
    )

    def work(session: Any) -> None:
        if len(deadlines) == 1:
            admin.terminate()
        ask(session, "SELECT 1")

    pool.run(work, idempotent=True, timeout=20)
    assert len(deadlines) == 2
    assert len(set(deadlines)) == 1


def test_who_waits_gets_the_next_session_after_an_outage(
    database_dsn: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It is told once that the database is away, and once that it is back."""
    caplog.set_level("INFO", "lab_utils_mt.database")
    with proxy(database_dsn) as line, ConnectionPool(dsn=line.dsn, maxconn=2) as pool:
        with pool.connection() as session:
            assert ask(session, "SELECT 1") == 1
        line.refuse()
        with pytest.raises(DatabaseUnavailable, match="still so when the time was up"):
            pool.getconn(timeout=2.0)
        assert "no new session for" in repr(pool)
        assert "attempts" in repr(pool)
        restorer = threading.Timer(0.5, line.lift)
        restorer.start()
        with pool.connection(timeout=20) as session:
            assert ask(session, "SELECT 1") == 1
        restorer.join(20)
        assert "no new session for" not in repr(pool)
    told = [record.message for record in caplog.records]
    assert [text for text in told if "trying again" in text] == told[:1]
    assert len([text for text in told if "can be reached again" in text]) == 1


def test_a_refused_login_is_told_at_once(database_dsn: str) -> None:
    """Also in a pool that worked before: waiting does not create a database."""
    with ConnectionPool(dsn=database_dsn, timeout=60) as pool:
        with pool.connection() as session:
            assert ask(session, "SELECT 1") == 1
        pool.clear()
        pool.connect_kwargs["dbname"] = "nobody_made_it"
        began = time.monotonic()
        with pytest.raises(DatabaseUnavailable, match="does not exist; check the database's name"):
            pool.getconn()
        assert time.monotonic() - began < 20


def test_a_stuck_call_is_cut(database_dsn: str, caplog: pytest.LogCaptureFixture) -> None:
    """The server is not reached any more, so its own limit does not help."""
    gone = pytest.raises(DatabaseUnavailable, match="did not answer in time")
    with contextlib.ExitStack() as stack:
        line = stack.enter_context(proxy(database_dsn))
        pool = stack.enter_context(ConnectionPool(dsn=line.dsn, statement_timeout=0.5))
        with gone, pool.connection() as session:
            assert ask(session, "SELECT 1") == 1
            line.black_hole()
            ask(session, "SELECT 1")
        line.lift()
        with pool.connection() as session:
            assert ask(session, "SELECT 1") == 1
        assert pool.stats().cut == 1
    assert "did not return within 0.75 s" in caplog.text


def test_the_server_ends_a_slow_statement_first(pool: ConnectionPool) -> None:
    """Then the session lives on; and a transaction may have a limit of its own."""
    with ConnectionPool(statement_timeout=0.3, **pool.connect_kwargs) as quick:
        with pytest.raises(psycopg2.errors.QueryCanceled), quick.connection() as session:
            ask(session, "SELECT pg_sleep(60)")
        with quick.connection(statement_timeout=20.0) as session:
            assert ask(session, "SELECT 1 FROM pg_sleep(0.9)") == 1
        with quick.connection() as session:
            assert ask(session, "SHOW statement_timeout") == "300ms"
        assert quick.stats().cut == 0
        assert quick.stats().lost == 0


def test_a_forgotten_session_is_told_with_who_forgot_it(
    database_dsn: str, caplog: pytest.LogCaptureFixture, wait_until: Any
) -> None:
    """The stack of the borrower is in the log; both for a long loan and for a dropped one."""
    with ConnectionPool(dsn=database_dsn, maxconn=1, leak_warning=0.2) as pool:

        def forgetful() -> None:
            kept = pool.getconn()
            wait_until(lambda: "has been in use for" in caplog.text)
            assert kept

        forgetful()
        gc.collect()
        wait_until(lambda: "dropped without being returned" in caplog.text)
        with pool.connection() as session:
            assert ask(session, "SELECT 1") == 1
    assert caplog.text.count("in forgetful") == 2
    assert caplog.text.count("has been in use for") == 1


def test_a_dropped_pool_leaves_nothing(database_dsn: str, admin: Any, wait_until: Any) -> None:
    """Without close(): its sessions and threads end by themselves."""
    pool = ConnectionPool(dsn=database_dsn, idle_timeout=1.0)
    idle_sessions(pool, 2)
    assert admin.sessions() == 2
    del pool
    gc.collect()
    wait_until(lambda: admin.sessions() == 0)


def test_a_session_idle_for_long_is_asked_first(database_dsn: str) -> None:
    """What a firewall forgot about is not lent."""
    with proxy(database_dsn) as line, ConnectionPool(dsn=line.dsn, maxconn=2) as pool:
        idle_sessions(pool, 2)
        pool._turns._fresh = 0.0
        with pool.connection() as session:
            assert ask(session, "SELECT 1") == 1
        assert (pool.stats().opened, pool.stats().lost) == (2, 0)
        line.black_hole()
        with pytest.raises(DatabaseUnavailable, match="has not answered yet"):
            pool.getconn(timeout=1.0)
        line.lift()
        pool._turns._fresh = 30.0
        with pool.connection() as session:
            assert ask(session, "SELECT 1") == 1


@needs_fork
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_childs_pool_is_closed_if_it_was(pool: ConnectionPool) -> None:
    """It does not open again by itself."""
    pool.close()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            pool.getconn()
        except PoolClosed:
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_read_whose_session_dies_at_its_end_is_no_doubtful_commit(
    database_dsn: str, admin: Any
) -> None:
    """There is nothing to commit; the result is known."""

    def read(session: Session) -> int:
        with session.plain_cursor() as cursor:
            cursor.execute("SELECT 42")
            row = cursor.fetchone()
        admin.terminate()
        assert row is not None
        return int(row[0])

    with ConnectionPool(dsn=database_dsn) as pool:
        assert pool.read(read) == 42
        with pytest.raises(CommitUnknown):
            pool.run(read)


def test_a_login_that_goes_silent_does_not_stop_the_pool(database_dsn: str) -> None:
    """The server takes the password, and never says another word."""
    with contextlib.ExitStack() as stack:
        line = stack.enter_context(proxy(database_dsn))
        where: Any = {"connect_timeout": 1}
        pool = stack.enter_context(ConnectionPool(dsn=line.dsn, maxconn=1, **where))
        original = pool._login._prepare

        def prepare(session: Session, watch: Any) -> None:
            line.black_hole()
            try:
                original(session, watch)
            finally:
                line.lift()

        pool._login._prepare = prepare  # type: ignore[method-assign]
        with pytest.raises(DatabaseUnavailable):
            pool.getconn(timeout=20)
        pool._login._prepare = original  # type: ignore[method-assign]
        with pool.connection(timeout=20) as session:
            assert ask(session, "SELECT 1") == 1


@pytest.mark.parametrize("error", [OSError("no more files"), RuntimeError("no more threads")])
def test_an_opener_that_lacks_something_is_not_the_last(
    pool: ConnectionPool, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """File descriptors, or threads: it is told, and tried again."""
    with monkeypatch.context() as patch:

        def fail(*_: object) -> None:
            raise error

        patch.setattr(Session, "keep_line", fail)
        with pytest.raises(DatabaseUnavailable, match="no more"):
            pool.getconn()
    with pool.connection() as session:
        assert ask(session, "SELECT 1") == 1
    assert pool.stats().size == 1


def test_wrong_time_limits_are_refused(pool: ConnectionPool) -> None:
    """They would mean something else to the server, to the guard and to the wait."""
    with pytest.raises(ValueError, match="timeout must be a number of seconds"):
        pool.getconn(timeout=float("nan"))
    for wrong in (0, -1.0, float("nan")):
        with (
            pytest.raises(ValueError, match="statement_timeout must be greater than 0"),
            pool.connection(statement_timeout=wrong),
        ):
            pass
    assert pool.stats().lent == 0


def test_a_limit_of_ones_own_outlasts_ones_own_commit(pool: ConnectionPool) -> None:
    """It is that of the block; the next borrower has the pool's."""
    with pool.connection(statement_timeout=77.0) as session:
        assert ask(session, "SHOW statement_timeout") == "77s"
        session.commit()
        assert ask(session, "SHOW statement_timeout") == "77s"
    with pool.connection() as session:
        assert ask(session, "SHOW statement_timeout") == "0"


def test_a_dropped_generator_returns_its_session(pool: ConnectionPool) -> None:
    """Also if that happens while one of the pool's locks is held: then it is closed."""

    def rows() -> Iterator[int]:
        with pool.connection() as session:
            yield ask(session, "SELECT 1")

    generator = rows()
    next(generator)
    generator.close()
    assert (pool.stats().lent, pool.stats().idle) == (0, 1)
    generator = rows()
    next(generator)
    with pool.lock:
        del generator
    gc.collect()
    assert (pool.stats().lent, pool.stats().leaked) == (0, 1)
    with pool.connection() as session:
        assert ask(session, "SELECT 1") == 1


def test_closing_leaves_no_thread(database_dsn: str) -> None:
    """When close() returns, nothing of an unused pool is left."""
    before = set(threading.enumerate())
    for _ in range(5):
        with ConnectionPool(dsn=database_dsn) as pool:
            idle_sessions(pool, 2)
        wait = [one for one in set(threading.enumerate()) - before if "opener" not in one.name]
        assert not wait


@needs_fork
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_does_not_commit_the_work_of_its_parent(pool: ConnectionPool) -> None:
    """Not in run() either."""
    child = []

    def work(session: Session) -> None:
        session.command("CREATE TABLE t (x int)")
        child.append(os.fork())
        if child[0]:
            raise KeyError("the parent changes its mind")

    try:
        pool.run(work)
    except KeyError:
        pass
    except PoolError:
        os._exit(0)
    except BaseException:
        os._exit(1)
    if not child[0]:
        os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child[0], 0)[1]) == 0
    assert pool.read(lambda session: ask(session, "SELECT to_regclass('t')")) is None


@pytest.mark.parametrize("endless", [None, -1, 0, "0"])
def test_a_login_may_take_for_ever(database_dsn: str, endless: Any) -> None:
    """As libpq understands it."""
    with ConnectionPool(dsn=database_dsn, connect_timeout=endless) as pool:
        with pool.connection() as session:
            assert ask(session, "SELECT 1") == 1
        assert pool.stats().cut == 0


def test_a_dropped_generator_waits_for_others_locks(pool: ConnectionPool) -> None:
    """They hold them for a moment only; the session is not given up for that."""

    def rows() -> Iterator[int]:
        with pool.connection() as session:
            yield ask(session, "SELECT 1")

    generator = rows()
    next(generator)
    held = threading.Event()

    def hold() -> None:
        with pool._backoff.lock:
            held.set()
            time.sleep(0.02)

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait(20)
    generator.close()
    holder.join(20)
    assert (pool.stats().lent, pool.stats().idle) == (0, 1)
