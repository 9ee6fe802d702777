"""How do many threads share a few sessions, whatever happens to the database?

``psycopg2_pool`` 1.2 connects while it holds its lock, does not enforce ``maxconn``, hands out
dead sessions, takes any session back in any state, and hides the caller's error behind its own.
This pool is one of its kind, with each of these mended.
"""

from __future__ import annotations

import contextlib
import os
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import psycopg2
from psycopg2_pool import PoolError, ThreadSafeConnectionPool

from . import session as sessions
from .errors import PoolClosed
from .session import Session
from .turns import PoolStats, Turns

T = TypeVar("T")


class ConnectionPool(ThreadSafeConnectionPool):  # type: ignore[misc]
    """At most ``maxconn`` sessions with one database, shared by any number of threads.

    Nothing is opened before somebody asks for it. Threads that wait are served in the order of
    their arrival. A session is rolled back and made as good as new before somebody else gets it.
    A forked child starts with an empty pool.

    Args:
        maxconn: Most sessions at one time.
        timeout: Seconds that a checkout may take, waiting and connecting together.
        idle_timeout: Seconds after which a session that nobody used is closed, at the next use of
            the pool: in a pool that nobody uses, all stay open. 0 keeps them.
        statement_timeout: Seconds that a statement may take; None for no limit. The server ends
            it, and needs a working link to do so.
        lock_timeout: Seconds that a statement may wait for a lock; None for no limit.
        idle_in_transaction_timeout: Seconds that a borrower may do nothing inside a transaction;
            None for no limit.
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
        idle_timeout: float = 600.0,
        statement_timeout: float | None = None,
        lock_timeout: float | None = None,
        idle_in_transaction_timeout: float | None = None,
        **connect_kwargs: Any,
    ) -> None:
        if maxconn < 1:
            raise ValueError(f"maxconn must be at least 1, not {maxconn}")
        limits = {
            "statement_timeout": statement_timeout,
            "lock_timeout": lock_timeout,
            "idle_in_transaction_session_timeout": idle_in_transaction_timeout,
        }
        parameters = sessions.complete(connect_kwargs, limits)
        super().__init__(minconn=0, maxconn=maxconn, idle_timeout=idle_timeout, **parameters)
        self.timeout = timeout
        self._turns: Turns[Session] = Turns(maxconn)
        self._show_turns()
        _pools.add(self)

    def _show_turns(self) -> None:
        """Keep the parent's documented attributes true."""
        self.lock = self._turns.lock
        self.idle_connections = self._turns.idle
        self.return_times = self._turns.return_times
        self.connections_in_use = self._turns.lent

    def __repr__(self) -> str:
        now = self.stats()
        state = "closed" if now.closed else "open"
        return (
            f"<{type(self).__name__} {state}, {now.size} of {now.maxconn} sessions"
            f" ({now.lent} lent, {now.idle} idle), {now.waiting} waiting>"
        )

    def __enter__(self) -> ConnectionPool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def stats(self) -> PoolStats:
        """Report the pool's numbers, all of one moment."""
        return self._turns.stats()

    @contextlib.contextmanager
    def connection(self, timeout: float | None = None) -> Iterator[Session]:
        """Lend a session for a ``with`` block: commit at its end, roll back on an exception.

        Args:
            timeout: Seconds that the checkout may take; default: the pool's.

        Raises:
            PoolTimeout: No session came back in time.
            PoolClosed: The pool is closed.
            DatabaseUnavailable: No session can be opened.
            CommitUnknown: The session was lost during the COMMIT.
        """
        lent = self.getconn(timeout)
        try:
            yield lent
            if lent.pid != os.getpid():
                raise PoolError("this session belongs to the parent process: open another one")
            sessions.commit(lent)
        finally:
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
            idempotent: The function may be called once more if its session dies before the COMMIT
                was sent.
            timeout: Seconds that all checkouts together may take; default: the pool's.
            transaction: False lets each statement be a transaction of its own, as some must be;
                there is nothing to commit then.

        Raises:
            CommitUnknown: The session was lost during the COMMIT; it is never repeated.
        """
        deadline = self._deadline(timeout)
        attempt = self._attempt(function, deadline, idempotent, transaction)
        if attempt is None:
            self._turns.count("retried")
            attempt = self._attempt(function, deadline, False, transaction)
        assert attempt is not None
        return attempt[0]

    def read(self, function: Callable[[Session], T], timeout: float | None = None) -> T:
        """Call ``function(session)``, which only reads: it may be repeated, nothing is committed.

        Args:
            function: The work; its result is returned.
            timeout: Seconds that all checkouts together may take; default: the pool's.
        """
        return self.run(function, idempotent=True, timeout=timeout, transaction=False)

    def _attempt(
        self,
        function: Callable[[Session], T],
        deadline: float,
        repeatable: bool,
        transaction: bool,
    ) -> tuple[T] | None:
        """Return the result, or None if the session died before the COMMIT was sent."""
        lent = self._checkout(deadline)
        try:
            lent.autocommit = not transaction
            try:
                result = function(lent)
            except psycopg2.Error:
                if repeatable and lent.closed:
                    return None
                raise
            if transaction:
                sessions.commit(lent)
            return (result,)
        finally:
            self._take_back(lent)

    def getconn(self, timeout: float | None = None) -> Session:
        """Check a session out; :meth:`connection` is the safer way.

        Args:
            timeout: Seconds that it may take; default: the pool's.

        Raises:
            PoolTimeout: No session came back in time.
            PoolClosed: The pool is closed.
            DatabaseUnavailable: No session can be opened.
        """
        return self._checkout(self._deadline(timeout))

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

    def clear(self) -> None:
        """Close all sessions that nobody uses."""
        self._retire(self._turns.take_idle())

    def close(self) -> None:
        """Close the pool: waiters get :class:`PoolClosed`, lent sessions are closed on return.

        Does nothing if it is closed already.
        """
        self._turns.close()
        self.clear()

    def _deadline(self, timeout: float | None) -> float:
        return time.monotonic() + (self.timeout if timeout is None else timeout)

    def _checkout(self, deadline: float) -> Session:
        lent = self._turns.take(deadline)
        if lent is not None:
            if sessions.is_quiet(lent):
                return lent
            self._turns.take_back(lent)
            self._turns.count("lost")
            sessions.end(lent)
        return self._open(deadline)

    def _open(self, deadline: float) -> Session:
        """Open a session in a place that this thread owns already."""
        try:
            opened = sessions.open_session(self.connect_kwargs, deadline)
        except BaseException as error:
            self._turns.note_failure(str(error))
            self._turns.vacate("failed")
            raise
        if not self._turns.admit(opened):
            self._retire([opened])
            raise PoolClosed("the connection pool was closed")
        return opened

    def _take_back(self, lent: Session) -> bool:
        if not self._turns.take_back(lent):
            return False
        try:
            usable = sessions.clean(lent)
        except BaseException:
            self._retire([lent])
            raise
        if not usable:
            self._retire([lent], "lost")
        elif not self._turns.put_back(lent):
            self._retire([lent])
        if self.idle_timeout:
            self._retire(self._turns.take_idle(time.monotonic() - self.idle_timeout))
        return True

    def _retire(self, unwanted: list[Session], reason: str = "") -> None:
        for one in unwanted:
            try:
                sessions.end(one)
            finally:
                self._turns.vacate(reason)

    def _forget_parent(self) -> None:
        # Closing these would end the parent's sessions; psycopg2 leaves a session alone when it
        # is garbage collected in another process.
        self._turns.forget_all()
        self._show_turns()


_pools: weakref.WeakSet[ConnectionPool] = weakref.WeakSet()


def _forget_parents() -> None:
    for pool in list(_pools):
        pool._forget_parent()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_parents)
