"""How do many threads share a few sessions, whatever happens to the database?

``psycopg2_pool`` 1.2 connects while it holds its lock, does not enforce ``maxconn``, hands out
dead sessions, takes any session back in any state, and hides the caller's error behind its own.
This pool is one of its kind, with each of these mended.
"""

from __future__ import annotations

import contextlib
import math
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import psycopg2
from psycopg2_pool import PoolError, ThreadSafeConnectionPool

from .backoff import Backoff
from .cleaning import clean
from .closing import Closing
from .forking import tell_of_fork
from .guard import Guard, call_limit, note_loan
from .login import Login
from .opening import Opening
from .places import PoolStats
from .session import Session, commit, set_statement_timeout
from .turns import Turns

T = TypeVar("T")

_TRANSACTION, _ALONE, _READ = "transaction", "alone", "read"
_FRESH = 30.0  # seconds that a session may be idle before it must show that it is alive
_CLOSE_WAIT = 2.0  # seconds
_CLOSED_BY_USER = 1  # what psycopg2 says then; 2 is a connection that was lost


class ConnectionPool(ThreadSafeConnectionPool):  # type: ignore[misc]
    """At most ``maxconn`` sessions with one database, shared by any number of threads.

    Nothing is opened before somebody asks for it. Threads that wait are served in the order of
    their arrival, for no longer than they want to wait. While the database is away, the pool tries
    again at a measured pace. A session is made as good as new before somebody else gets it. A
    forked child starts with an empty pool.

    Args:
        maxconn: Most sessions at one time.
        timeout: Seconds that a checkout may take, waiting and connecting together.
        max_waiting: Most threads that may wait while all sessions are in use; None for any number.
        idle_timeout: Seconds after which a session that nobody used is closed; 0 keeps it.
        statement_timeout: Seconds that a statement may take; None for no limit. The server ends it;
            if it does not, the connection is cut.
        lock_timeout: Seconds that a statement may wait for a lock; None for no limit.
        idle_in_transaction_timeout: Seconds that a borrower may do nothing inside a transaction;
            None for no limit.
        leak_warning: Seconds after which the log names who borrowed a session; None for never.
        connect_kwargs: As for :func:`psycopg2.connect`. ``connect_timeout`` is in seconds.

    Raises:
        ValueError: ``maxconn`` is less than 1.
        psycopg2.ProgrammingError: A connection parameter has an unknown name.
    """

    def __init__(
        self,
        *,
        maxconn: int = 8,
        timeout: float = 30.0,
        max_waiting: int | None = None,
        idle_timeout: float = 600.0,
        statement_timeout: float | None = None,
        lock_timeout: float | None = None,
        idle_in_transaction_timeout: float | None = None,
        leak_warning: float | None = None,
        **connect_kwargs: Any,
    ) -> None:
        if maxconn < 1:
            raise ValueError(f"maxconn must be at least 1, not {maxconn}")
        limits = {
            "statement_timeout": statement_timeout,
            "lock_timeout": lock_timeout,
            "idle_in_transaction_session_timeout": idle_in_transaction_timeout,
        }
        login = Login(connect_kwargs, limits)
        super().__init__(minconn=0, maxconn=maxconn, idle_timeout=idle_timeout, **login.parameters)
        login.parameters = self.connect_kwargs
        self._login = login
        self.timeout = timeout
        self._call_limit = call_limit(statement_timeout)
        self._backoff = Backoff()
        self._turns: Turns[Session] = Turns(maxconn, max_waiting, _FRESH)
        self._closing = Closing(self._turns)
        times = (statement_timeout, idle_timeout, leak_warning)
        self._guard = Guard(self._turns, self._closing, *times)
        self._opening = Opening(login, self._turns, self._backoff, self._guard, self._closing)
        self._turns.on_demand = self._opening.call
        # None of the parts knows the pool, so it can be garbage collected while threads of it run.
        weakref.finalize(self, self._guard.stop).atexit = False
        self._show_turns()
        tell_of_fork(self)

    def _show_turns(self) -> None:
        """Keep the parent's documented attributes true."""
        self.lock = self._turns.lock
        self.idle_connections = self._turns.idle
        self.return_times = self._turns.return_times
        self.connections_in_use = self._turns.lent

    def __repr__(self) -> str:
        now = self.stats()
        state = "closed" if now.closed else "open"
        outage = self._backoff.outage
        return (
            f"<{type(self).__name__} {state}, {now.size} of {now.maxconn} sessions"
            f" ({now.lent} lent, {now.idle} idle), {now.waiting} waiting"
            f"{f', no new session for {outage}' if outage else ''}>"
        )

    def __enter__(self) -> ConnectionPool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def stats(self) -> PoolStats:
        """Report the pool's numbers, all of one moment."""
        return self._turns.stats()

    @contextlib.contextmanager
    def connection(
        self, timeout: float | None = None, *, statement_timeout: float | None = None
    ) -> Iterator[Session]:
        """Lend a session for a ``with`` block: commit at its end, roll back on an exception.

        Args:
            timeout: Seconds that the checkout may take; default: the pool's.
            statement_timeout: Seconds that a statement of this transaction may take, ``math.inf``
                for any number; default: the pool's.

        Raises:
            PoolTimeout: No session came back in time.
            TooManyRequests: Too many threads wait already.
            PoolClosed: The pool is closed.
            DatabaseUnavailable: No session can be opened.
            CommitUnknown: The session was lost during the COMMIT.
        """
        lent = self._lend_freely(self._deadline(timeout), 3)
        try:
            if statement_timeout is not None:
                set_statement_timeout(lent, statement_timeout)
                lent.call_limit = call_limit(statement_timeout)
            yield lent
            commit(lent)
        except GeneratorExit:
            # It may be the garbage collector that ends the caller's generator, while this very
            # thread holds one of our locks: then the session is dropped, which needs none.
            if not self._is_locked():
                self._take_back(lent)
            raise
        except BaseException:
            self._take_back(lent)
            raise
        self._take_back(lent)

    def run(
        self,
        function: Callable[[Session], T],
        idempotent: bool = False,
        timeout: float | None = None,
        *,
        transaction: bool = True,
    ) -> T:
        """Call ``function(session)`` in a transaction and commit.

        Args:
            function: The work; its result is returned.
            idempotent: The function may be called again if its session dies before the COMMIT was
                sent: once, and besides with any session that was open when the first one died.
            timeout: Seconds that all checkouts together may take; default: the pool's.
            transaction: False lets each statement be a transaction of its own, as some must be;
                there is nothing to commit then.

        Raises:
            CommitUnknown: The session was lost during the COMMIT; it is never repeated.
        """
        mode = _TRANSACTION if transaction else _ALONE
        return self._repeat(function, self._deadline(timeout), mode, idempotent)

    def read(self, function: Callable[[Session], T], timeout: float | None = None) -> T:
        """Call ``function(session)``, which only reads: it may be repeated, nothing is committed.

        The arguments are those of :meth:`run`.
        """
        return self._repeat(function, self._deadline(timeout), _READ, True)

    def _repeat(
        self, function: Callable[[Session], T], deadline: float, mode: str, repeatable: bool
    ) -> T:
        done: list[T] = []
        # Whether a session is alive shows when it is used, which costs nothing; if it is not, the
        # next one is looked at first.
        lent = self._turns.take(deadline) if repeatable else self._checkout(deadline)
        if self._attempt(lent, function, mode, done, repeatable):
            return done[0]
        now = self._backoff.era
        while not done:
            self._turns.count("retried")
            lent = self._checkout(deadline)
            # What ended the first session may just be ending all that were open then.
            self._attempt(lent, function, mode, done, repeatable=lent.era < now)
        return done[0]

    def _attempt(
        self,
        lent: Session,
        function: Callable[[Session], T],
        mode: str,
        done: list[T],
        repeatable: bool,
    ) -> bool:
        """Append the result, or return False: the session died before the COMMIT was sent."""
        try:
            lent.call_limit = self._call_limit
            if mode == _TRANSACTION:
                lent.begin()
            elif mode == _READ:
                lent.begin_reading()
            try:
                result = function(lent)
            except psycopg2.Error:
                if repeatable and lent.is_lost and not lent.was_cut:
                    return False
                raise
            if mode == _TRANSACTION:
                commit(lent)
            done.append(result)
            return True
        finally:
            self._take_back(lent)

    def getconn(self, timeout: float | None = None) -> Session:
        """Check a session out; :meth:`connection` is the safer way.

        Args:
            timeout: Seconds that it may take; default: the pool's.

        Raises:
            psycopg2.OperationalError: One of those of :meth:`connection`.
        """
        return self._lend_freely(self._deadline(timeout), 1)

    def putconn(self, conn: Session) -> None:
        """Return a session, in any state; nothing that the database does can make this fail.

        Raises:
            psycopg2_pool.PoolError: The session was not lent by this pool, or was returned before.
        """
        if not self._take_back(conn):
            raise PoolError(
                "this session is not lent by this pool: it was returned before, or is"
                " another pool's"
            )

    def open_beside(self) -> Session:
        """Open a session that does not count as one of the pool's: who asks for it ends it.

        Raises:
            DatabaseUnavailable: There is none to be had.
        """
        return self._login.open(self._guard.watch)

    @property
    def place(self) -> str:
        """Which database the newest session is with; empty until there was one."""
        return self._login.place

    def clear(self) -> None:
        """Close all sessions that nobody uses, and wait until they are."""
        self._closing.add(self._turns.take_idle())
        self._closing.join(_CLOSE_WAIT)

    def close(self) -> None:
        """Close the pool: waiters get :class:`PoolClosed`, lent sessions are closed on return."""
        self._turns.close()
        self._opening.close()
        self.clear()
        self._guard.end(_CLOSE_WAIT)

    def _deadline(self, timeout: float | None) -> float:
        seconds = self.timeout if timeout is None else timeout
        if math.isnan(seconds):
            raise ValueError("timeout must be a number of seconds, not nan")
        return time.monotonic() + seconds

    def _lend_freely(self, deadline: float, depth: int) -> Session:
        """Lend a session to somebody who may do anything with it."""
        lent = self._checkout(deadline)
        try:
            lent.begin_freely()
            self._guard.lend(lent, note_loan(depth))
        except BaseException:
            self._take_back(lent)
            raise
        return lent

    def _checkout(self, deadline: float) -> Session:
        lent = self._turns.take(deadline)
        while not lent.is_quiet():
            self._turns.take_back(lent)
            self._backoff.lost(lent.era)
            self._closing.add([lent], "lost")
            lent = self._turns.take(deadline, again=True)
        lent.call_limit = self._call_limit
        return lent

    def _take_back(self, lent: Session) -> bool:
        if not self._turns.take_back(lent):
            return False
        placed, reason = False, ""
        try:
            if lent.was_lent:
                self._guard.take_back(lent)
            if not clean(lent):
                reason = "lost"
                if lent.is_lost and lent.closed != _CLOSED_BY_USER:
                    self._backoff.lost(lent.era)
            elif self._turns.put_back(lent):
                placed = True
                self._backoff.proved(lent.era)
        finally:
            if not placed:
                self._closing.add([lent], reason)
        return True

    def _is_locked(self) -> bool:
        parts = (self._turns, self._guard, self._closing, self._backoff)
        for part in parts:
            if not part.lock.acquire(timeout=0.1):  # others hold it for a moment only
                return True
            part.lock.release()
        return False

    def forget_parent(self) -> None:
        """Start anew in a forked child; psycopg2 leaves the parent's sessions alone there."""
        for part in (self._turns, self._backoff, self._closing, self._guard, self._opening):
            part.forget_all()
        self._show_turns()
