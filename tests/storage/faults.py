"""Nine ways in which a database goes bad, and a harness that tells what callers see of each.

The harness knows nothing of a pool but how a session is lent, asked and returned: the stock pool
and ours are judged by the same code.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import signal
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg2
from psycopg2 import sql
from psycopg2.extensions import make_dsn
from storage.proxy import Proxy
from systems import WINDOWS

from lab_utils_mt.database import DatabaseUnavailable, PoolTimeout

THREADS = 16  # for each pool
MAXCONN = 4
CONNECT_TIMEOUT = 2  # seconds; the least that libpq knows
RATE = 20.0  # samples a second
JOIN = 30.0  # seconds in which everything ends once a fault is lifted

ROLE = "lab"  # limits do not apply to superusers


# Windows' clock ticks every 16 ms, and 32 threads share a processor or two.
_SLACK = 0.5 if WINDOWS else 0.0  # s


def allowance(timeout: float) -> float:
    """Return by how many seconds a checkout may outlast its timeout."""
    return max(0.1 * timeout, 0.05) + _SLACK


class Site:
    """A server that may be ill-treated, and an administrator's way in.

    Args:
        dsn: Where it is.
        folder: Its data, if it is on this system.
    """

    def __init__(self, dsn: str, folder: Path | None) -> None:
        self._folder = folder
        self._admin = psycopg2.connect(dsn)
        self._admin.autocommit = True
        self.ask(f"CREATE ROLE {ROLE} LOGIN")
        self.ask(f"CREATE DATABASE {ROLE} OWNER {ROLE}")
        self.dsn = str(make_dsn(dsn, user=ROLE, dbname=ROLE))

    def ask(self, query: Any, *values: object) -> list[Any]:
        """Return the rows of an answer."""
        with self._admin.cursor() as cursor:
            cursor.execute(query, values or None)
            return cursor.fetchall() if cursor.description else []

    def backends(self) -> list[int]:
        """Return the server's processes for the sessions that are not the administrator's."""
        rows = self.ask("SELECT pid FROM pg_stat_activity WHERE datname = %s", ROLE)
        return [pid for (pid,) in rows]

    def postmaster(self) -> int:
        """Return the server's first process."""
        assert self._folder is not None, "the server is on another system"
        text = Path(self._folder, "postmaster.pid").read_text(encoding="utf-8")
        return int(text.splitlines()[0])

    def close(self) -> None:
        """Leave the server as it was, and end the administrator's session."""
        self.ask(f"DROP DATABASE {ROLE} WITH (FORCE)")
        self.ask(f"DROP ROLE {ROLE}")
        self._admin.close()


@contextlib.contextmanager
def stopped(*processes: int) -> Iterator[None]:
    """Stop processes for a ``with`` block, as a debugger or a frozen disk would."""
    stop, go_on = signal.Signals["SIGSTOP"], signal.Signals["SIGCONT"]  # Windows has neither
    try:
        for pid in processes:
            os.kill(pid, stop)
        yield
    finally:
        for pid in processes:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, go_on)


@contextlib.contextmanager
def slots_exhausted(site: Site) -> Iterator[None]:
    """Let others have every session that the role may have beside those that exist."""
    others = [psycopg2.connect(site.dsn, application_name="others") for _ in range(2)]
    limit = sql.SQL("ALTER ROLE {} CONNECTION LIMIT {}").format
    role = sql.Identifier(ROLE)
    try:
        site.ask(limit(role, sql.Literal(len(site.backends()))))
        yield
    finally:
        for other in others:
            other.close()
        site.ask(limit(role, sql.Literal(-1)))


@dataclasses.dataclass(frozen=True)
class Fault:
    """One way to go bad."""

    begin: Callable[[Site, Proxy, float], contextlib.AbstractContextManager[Any]]
    cause: str  #: What the text of an error has: the reason given, or that there was no answer.
    at_server: bool = False  #: It is made at the server, so that no proxy is needed.
    shown: bool = False  #: Sessions that were idle are visibly dead: nobody may get one.


def _by_proxy(act: Callable[[Proxy, float], None]) -> Any:
    @contextlib.contextmanager
    def begin(site: Site, proxy: Proxy, timeout: float) -> Iterator[None]:
        act(proxy, timeout)
        try:
            yield
        finally:
            proxy.lift()

    return begin


# How the pool puts it depends on whether an attempt was given up already.
_SILENT = "has not answered yet|timeout expired|closed the connection"
# Windows has other words for them, and numbers.
_REFUSED = "[Rr]efused|10061"
_RESET = "reset by peer|closed the connection|10053|10054"
if WINDOWS:  # where it takes longer than the shortest limit to be told so
    _REFUSED, _RESET = f"{_REFUSED}|{_SILENT}", f"{_RESET}|{_SILENT}"

FAULTS = {
    "refused": Fault(_by_proxy(lambda proxy, _: proxy.refuse()), _REFUSED, shown=True),
    "deaf": Fault(_by_proxy(lambda proxy, _: proxy.deafen()), _SILENT),
    "mute after accept": Fault(_by_proxy(lambda proxy, _: proxy.mute()), _SILENT),
    "black hole": Fault(_by_proxy(lambda proxy, _: proxy.black_hole()), _SILENT),
    "reset mid-query": Fault(_by_proxy(lambda proxy, _: proxy.reset_answers()), _RESET),
    "stopped server": Fault(
        lambda site, _, __: stopped(site.postmaster()), _SILENT, at_server=True
    ),
    "stopped backend": Fault(
        lambda site, _, __: stopped(*site.backends()), _SILENT, at_server=True
    ),
    "slow login": Fault(_by_proxy(lambda proxy, late: proxy.slow_login(1.5 * late)), _SILENT),
    "slots exhausted": Fault(
        lambda site, _, __: slots_exhausted(site), "too many connections", at_server=True
    ),
}


class Lender:
    """A pool, ours or the stock one, by the same few calls."""

    def __init__(self, name: str, pool: Any, lend: Callable[[float], Any]) -> None:
        self.name = name
        self.pool = pool
        self.lend = lend

    def use(self, session: Any) -> None:
        """Ask a session a question, and return it."""
        try:
            with getattr(session, "plain_cursor", session.cursor)() as cursor:
                cursor.execute("SELECT 1")
                assert cursor.fetchone() == (1,)
        finally:
            self.pool.putconn(session)

    def warm_up(self, number: int) -> None:
        """Let the pool have so many idle sessions."""
        sessions = [self.lend(JOIN) for _ in range(number)]
        for session in sessions:
            self.use(session)

    def recover(self, limit: float) -> float:
        """Return the seconds after which a session is lent that works; give up at ``limit``."""
        start = time.monotonic()
        while time.monotonic() - start < limit:
            with contextlib.suppress(psycopg2.Error):
                self.use(self.lend(1.0))
                return time.monotonic() - start
            time.sleep(0.01)
        return float("inf")


@dataclasses.dataclass
class Visit:
    """What one thread saw; times are in seconds."""

    lender: str
    checkout: float = 0.0
    refusal: Exception | None = None
    query: float = 0.0
    failure: Exception | None = None

    @property
    def outcome(self) -> str:
        """What became of the thread, in a word or two."""
        if self.refusal:
            return type(self.refusal).__name__
        return f"{type(self.failure).__name__} from a query" if self.failure else "served"


@dataclasses.dataclass
class Crowd:
    """What all threads saw."""

    timeout: float
    visits: list[Visit]
    stuck: list[str]  #: Where each thread stood that did not end in time.

    @property
    def overshoots(self) -> list[float]:
        """By how many seconds the checkouts outlasted their timeout, the worst last."""
        return sorted(max(0.0, visit.checkout - self.timeout) for visit in self.visits)

    def summary(self) -> Counter[str]:
        """Count what became of the threads, by pool and outcome."""
        outcomes = (f"{visit.lender}: {visit.outcome}" for visit in self.visits)
        return Counter(outcomes) + Counter({"stuck": len(self.stuck)})

    def late(self) -> list[str]:
        """Say which checkouts, or queries, took longer than they may."""
        checkout = self.timeout + allowance(self.timeout)
        query = checkout + max(0.1 * self.timeout, 0.25)  # which is when the watchdog cuts it
        return [
            f"late: {visit.lender}, checkout {visit.checkout:.3f} s, query {visit.query:.3f} s"
            for visit in self.visits
            if visit.checkout > checkout or visit.query > query
        ]

    def wrong(self, fault: Fault) -> list[str]:
        """Say what no noise of the machine explains."""
        found = [f"stuck:\n{stack}" for stack in self.stuck]
        for visit in self.visits:
            refusal, failure = visit.refusal, visit.failure
            if refusal and not re.search(fault.cause, str(refusal)):
                found.append(f"{visit.lender}: does not tell the cause: {refusal}")
            if refusal and not isinstance(refusal, PoolTimeout | DatabaseUnavailable):
                found.append(f"{visit.lender}: foreign error {refusal!r}")
            if failure and fault.shown:
                found.append(f"{visit.lender}: was lent a dead session, {failure!r}")
            elif failure and not isinstance(failure, psycopg2.Error):
                found.append(f"{visit.lender}: foreign error {failure!r} from a query")
        return found


def _visit(lender: Lender, timeout: float, visit: Visit) -> None:
    start = time.monotonic()
    try:
        session = lender.lend(timeout)
    except Exception as error:
        visit.refusal = error
        return
    finally:
        visit.checkout = time.monotonic() - start
    start = time.monotonic()
    try:
        lender.use(session)
    except Exception as error:
        visit.failure = error
    visit.query = time.monotonic() - start


def _stack(thread: threading.Thread) -> str:
    frame = sys._current_frames().get(thread.ident or 0)
    return "".join(traceback.format_stack(frame)[-4:])


def send(
    lenders: list[Lender],
    timeout: float,
    bound: float,
    fault: contextlib.AbstractContextManager[Any],
) -> Crowd:
    """Send all threads at one moment into a fault, and lift it at the end of ``bound`` seconds.

    Or earlier, once all have come back. When this returns, all have, or it fails.
    """
    visits: list[Visit] = []
    barrier = threading.Barrier(THREADS * len(lenders))

    def work(lender: Lender) -> None:
        barrier.wait(JOIN)
        visit = Visit(lender.name)
        _visit(lender, timeout, visit)
        visits.append(visit)

    threads = [
        threading.Thread(target=work, args=(lender,), name=f"visitor-{lender.name}", daemon=True)
        for lender in lenders
        for _ in range(THREADS)
    ]
    with fault:
        for thread in threads:
            thread.start()
        _join(threads, bound)
        seen = Crowd(timeout, list(visits), [_stack(one) for one in threads if one.is_alive()])
    _join(threads, JOIN)
    assert not any(thread.is_alive() for thread in threads), "hangs although the fault was lifted"
    return seen


def _join(threads: list[threading.Thread], limit: float) -> None:
    deadline = time.monotonic() + limit
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))


class Sampler:
    """Asks the server 20 times a second how many sessions each application has."""

    def __init__(self, dsn: str) -> None:
        self.most: Counter[str] = Counter()
        self.samples = 0
        self._dsn = str(make_dsn(dsn, application_name="sampler"))
        self._connection: Any = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="sampler")

    def __enter__(self) -> Sampler:
        self._sample()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(JOIN)
        if self._connection is not None:
            self._connection.close()

    def _work(self) -> None:
        while not self._stop.wait(1 / RATE):
            try:
                self._sample()
            except psycopg2.Error:  # the server restarts
                self._connection = None

    def _sample(self) -> None:
        if self._connection is None:
            self._connection = psycopg2.connect(self._dsn, connect_timeout=CONNECT_TIMEOUT)
            self._connection.autocommit = True
        with self._connection.cursor() as cursor:
            cursor.execute("SELECT application_name, count(*) FROM pg_stat_activity GROUP BY 1")
            for name, count in cursor.fetchall():
                self.most[name] = max(self.most[name], count)
        self.samples += 1
