"""Who gets the next session?

The arithmetic of a pool, without any session being opened, used or closed: at most ``limit``
places, taken in the order of arrival. A place is *idle*, *lent*, or with a thread that is just
opening, cleaning or closing its session.
"""

from __future__ import annotations

import dataclasses
import threading
import time
import weakref
from collections import Counter, deque
from typing import Generic, TypeVar

from .errors import PoolClosed, PoolTimeout

S = TypeVar("S")

# A borrower that lost its session wakes nobody, and an untimed wait makes Ctrl-C dead on Windows.
_SLICE = 0.25


@dataclasses.dataclass(frozen=True)
class PoolStats:
    """A pool at one moment, and its counts since it was made."""

    maxconn: int  #: Most sessions at one time.
    size: int  #: Places taken: idle, lent, or being opened or closed.
    idle: int  #: Sessions that nobody uses.
    lent: int  #: Sessions that somebody uses.
    waiting: int  #: Threads that wait for a session.
    requests: int  #: Checkouts asked for.
    waited: int  #: Checkouts that had to wait for a session to come back.
    timeouts: int  #: Checkouts that waited in vain.
    opened: int  #: Sessions opened.
    failed: int  #: Sessions that could not be opened.
    lost: int  #: Sessions that died, or could not be made clean, and were replaced.
    leaked: int  #: Sessions that their borrower dropped without returning them.
    retried: int  #: Pieces of work run again, because their session died before the commit.
    closed: bool  #: Whether the pool was closed.

    def __str__(self) -> str:
        counts = ", ".join(f"{getattr(self, name)} {name}" for name in _COUNTS)
        return (
            f"{self.size} of {self.maxconn} sessions ({self.lent} lent, {self.idle} idle),"
            f" {self.waiting} waiting, {counts}"
        )


class _Waiter(Generic[S]):
    __slots__ = ("gate", "served", "session")

    def __init__(self) -> None:
        self.gate = threading.Lock()
        self.gate.acquire()
        self.served = False
        self.session: S | None = None


def _wake(waiters: list[_Waiter[S]]) -> None:
    for waiter in waiters:
        waiter.gate.release()


class Turns(Generic[S]):
    """Places for at most ``limit`` sessions, and the queue of those who want one."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._closed = False
        self.forget_all()

    def forget_all(self) -> None:
        """Start anew, as a forked child must: the lock may be held by a thread it does not have.

        What was closed stays closed.
        """
        # Guards everything below. Not held while a session is opened, used or closed, nor while
        # a waiter is woken.
        self.lock = threading.Lock()
        self.idle: deque[S] = deque()
        self.return_times: dict[S, float] = {}
        self.lent: weakref.WeakSet[S] = weakref.WeakSet()
        self._lent = 0  # exceeds len(self.lent) by those that were garbage collected
        self._size = 0
        self._waiters: deque[_Waiter[S]] = deque()
        self._failure = ""  # why the last session could not be opened; none since one was
        self._counts: Counter[str] = Counter()

    def take(self, deadline: float) -> S | None:
        """Wait for a turn.

        Args:
            deadline: Latest moment, on :func:`time.monotonic`'s clock.

        Returns:
            An idle session, now lent, or None: the caller now owns a place, and must either
            :meth:`admit` a new session or :meth:`vacate`.

        Raises:
            PoolClosed: There are no more turns.
            PoolTimeout: The turn did not come in time.
        """
        waiter: _Waiter[S] = _Waiter()
        with self.lock:
            self._refuse_if_closed()
            self._counts["requests"] += 1
            self._waiters.append(waiter)
            served = self._serve()
            self._counts["waited"] += not waiter.served
        _wake(served)
        if not waiter.served:
            self._wait(waiter, deadline)
        return waiter.session

    def _wait(self, waiter: _Waiter[S], deadline: float) -> None:
        try:
            while True:
                left = deadline - time.monotonic()
                if waiter.gate.acquire(timeout=min(_SLICE, max(0.0, left))):
                    break
                self._serve_again()
                if left <= 0:
                    break
        except BaseException:
            self._withdraw(waiter)
            raise
        self._settle(waiter)

    def _serve_again(self) -> None:
        with self.lock:
            served = self._serve()
        _wake(served)

    def _settle(self, waiter: _Waiter[S]) -> None:
        """A turn that came at the last moment counts; else say why there was none."""
        with self.lock:
            if waiter.served:
                return
            self._refuse_if_closed()
            self._waiters.remove(waiter)
            self._counts["timeouts"] += 1
            lent, failure = self._lent, self._failure
        raise PoolTimeout(self._reason(lent, failure))

    def _reason(self, lent: int, failure: str) -> str:
        if lent < self.limit:
            last = f" (last failure: {failure})" if failure else ""
            return (
                f"only {lent} of {self.limit} database sessions are lent, but the others were still"
                f" being opened or cleaned when the time was up{last}: check that the server"
                " answers, or raise timeout"
            )
        return (
            f"all {self.limit} database sessions stayed in use ({lent} lent) until the time was"
            " up: keep sessions for shorter, or raise maxconn or timeout"
        )

    def _withdraw(self, waiter: _Waiter[S]) -> None:
        """Undo a wait that an exception ended, such as Ctrl-C."""
        with self.lock:
            if not waiter.served:
                if waiter in self._waiters:
                    self._waiters.remove(waiter)
                return
        if waiter.session is None:
            self.vacate()
        else:
            self.take_back(waiter.session)
            self.put_back(waiter.session)

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise PoolClosed("the connection pool is closed")

    def _serve(self) -> list[_Waiter[S]]:
        """Give what is free to those who wait; they must be woken after the lock is released."""
        self._collect_leaked()
        served = []
        while self._waiters and (self.idle or self._size < self.limit):
            waiter = self._waiters.popleft()
            if self.idle:
                waiter.session = self._lend_idle()
            else:
                self._size += 1  # a place without a session: the waiter is to open one
            waiter.served = True
            served.append(waiter)
        return served

    def _lend_idle(self) -> S:
        session = self.idle.pop()  # the one used last: the others can grow old and be closed
        del self.return_times[session]
        self._mark_lent(session)
        return session

    def _mark_lent(self, session: S) -> None:
        self.lent.add(session)
        self._lent += 1

    def _collect_leaked(self) -> None:
        leaked = self._lent - len(self.lent)
        if leaked > 0:
            self._lent -= leaked
            self._size -= leaked
            self._counts["leaked"] += leaked

    def admit(self, session: S) -> bool:
        """Lend a session just opened in one's own place; False if the pool was closed meanwhile."""
        with self.lock:
            self._counts["opened"] += 1
            self._failure = ""
            if self._closed:
                return False
            self._mark_lent(session)
            return True

    def take_back(self, session: S) -> bool:
        """Accept a session from its borrower, who keeps the place; False if it was not lent."""
        with self.lock:
            if session not in self.lent:
                return False
            self.lent.discard(session)
            self._lent -= 1
            return True

    def put_back(self, session: S) -> bool:
        """Let the next one have a session; False if the pool is closed: close it, and vacate."""
        with self.lock:
            if self._closed:
                return False
            self.idle.append(session)
            self.return_times[session] = time.monotonic()
            served = self._serve()
        _wake(served)
        return True

    def vacate(self, reason: str = "") -> None:
        """Let the next one have the place; ``reason`` is the count to raise, if any."""
        with self.lock:
            self._size -= 1
            if reason:
                self._counts[reason] += 1
            served = self._serve()
        _wake(served)

    def note_failure(self, reason: str) -> None:
        """Keep why a session could not be opened, for those who wait for one."""
        with self.lock:
            self._failure = reason

    def count(self, event: str) -> None:
        """Raise a count by one."""
        with self.lock:
            self._counts[event] += 1

    def take_idle(self, older_than: float | None = None) -> list[S]:
        """Remove idle sessions, all or those returned before that moment; places stay taken."""
        taken = []
        with self.lock:
            while self.idle:
                returned = self.return_times[self.idle[0]]
                if older_than is not None and returned >= older_than:
                    break
                session = self.idle.popleft()
                del self.return_times[session]
                taken.append(session)
        return taken

    def close(self) -> None:
        """End the queue: those who wait, and all who come, get :class:`PoolClosed`."""
        with self.lock:
            self._closed = True
            waiting = list(self._waiters)
            self._waiters.clear()
        _wake(waiting)

    def stats(self) -> PoolStats:
        """Report all numbers of one moment."""
        with self.lock:
            self._collect_leaked()
            counts = {name: self._counts[name] for name in _COUNTS}
            return PoolStats(
                maxconn=self.limit,
                size=self._size,
                idle=len(self.idle),
                lent=self._lent,
                waiting=len(self._waiters),
                closed=self._closed,
                **counts,
            )


_COUNTS = ("requests", "waited", "timeouts", "opened", "failed", "lost", "leaked", "retried")
