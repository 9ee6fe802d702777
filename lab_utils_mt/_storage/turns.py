"""Who gets the next session?

The arithmetic of a pool, without any session being opened, used or closed: at most ``limit``
places, and a queue of those who want a session, served in the order of arrival. They never open one
themselves: that is for openers, which are hired here and work elsewhere.
"""

from __future__ import annotations

import dataclasses
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Generic

from .errors import DatabaseUnavailable, PoolClosed, PoolTimeout, TooManyRequests
from .places import Places, PoolStats, S

# A borrower that lost its session wakes nobody, and an untimed wait makes Ctrl-C dead on Windows.
_SLICE = 0.25


class _Waiter(Generic[S]):
    __slots__ = ("error", "gate", "session")

    def __init__(self) -> None:
        self.gate = threading.Lock()
        self.gate.acquire()
        self.session: S | None = None
        self.error: Exception | None = None


def _wake(waiters: list[_Waiter[S]]) -> None:
    for waiter in waiters:
        waiter.gate.release()


@dataclasses.dataclass(frozen=True)
class Place(Generic[S]):
    """A place that an opener owns: to open a session, or to prove one that was idle for long."""

    stale: S | None = None


class Turns(Places[S]):
    """Places for sessions, and the queue of those who want one.

    Args:
        limit: Most places.
        max_waiting: Most that may wait while all places are taken; None for any number.
        fresh: Seconds after which an idle session must be proved before it is lent.
    """

    def __init__(
        self,
        limit: int,
        max_waiting: int | None = None,
        fresh: float = 30.0,
    ) -> None:
        super().__init__(limit, fresh)
        self._max_waiting = max_waiting
        #: Called, outside the lock, when somebody waits and an opener may be needed.
        self.on_demand: Callable[[], object] = _ignore

    def forget_all(self) -> None:
        """Start anew, as a forked child must."""
        super().forget_all()
        self._waiters: deque[_Waiter[S]] = deque()
        self._openers = 0
        self._failure: DatabaseUnavailable | None = None  # of the last attempt to open a session

    def take(self, deadline: float, *, again: bool = False) -> S:
        """Wait for a session.

        Args:
            deadline: Latest moment, on :func:`time.monotonic`'s clock.
            again: The session just taken was dead: do not stand in the queue a second time.

        Raises:
            PoolClosed: There are no more turns.
            PoolTimeout: The turn did not come in time.
            TooManyRequests: Too many wait already.
            DatabaseUnavailable: No session could be opened in time.
        """
        with self.lock:
            self._refuse_if_closed()
            self._counts["requests"] += not again
            if not self._waiters and self._is_fresh():
                return self._lend_idle()
            waiter: _Waiter[S] = _Waiter()
            self._enqueue(waiter, again)
            served = self._serve()
        _wake(served)
        self._wait(waiter, deadline)
        assert waiter.session is not None
        return waiter.session

    def _enqueue(self, waiter: _Waiter[S], again: bool) -> None:
        if again:
            self._waiters.appendleft(waiter)
            return
        free = self.limit - self._lent
        if self._max_waiting is not None and len(self._waiters) >= free + self._max_waiting:
            self._counts["rejected"] += 1
            raise TooManyRequests(
                f"{len(self._waiters)} threads wait for a database session already, and"
                f" max_waiting is {self._max_waiting}: try again later, keep sessions for shorter,"
                " or raise maxconn"
            )
        self._counts["waited"] += 1
        self._waiters.append(waiter)

    def _wait(self, waiter: _Waiter[S], deadline: float) -> None:
        try:
            while True:
                self.on_demand()
                left = deadline - time.monotonic()
                if waiter.gate.acquire(timeout=min(_SLICE, max(0.0, left))):
                    break
                if left <= 0 or self._serve_again(waiter):
                    break
        except BaseException:
            self._withdraw(waiter)
            raise
        self._settle(waiter)

    def _serve_again(self, waiter: _Waiter[S]) -> bool:
        """Look for sessions that were dropped; tell whether the waiter has one, or an error."""
        with self.lock:
            served = self._serve()
        _wake(served)
        return waiter.session is not None or waiter.error is not None

    def _settle(self, waiter: _Waiter[S]) -> None:
        """A turn that came at the last moment counts; else say why there was none."""
        with self.lock:
            if waiter.session is not None:
                return
            if waiter.error is not None:
                raise waiter.error
            self._refuse_if_closed()
            self._waiters.remove(waiter)
            self._counts["timeouts"] += 1
            error = self._reason()
        raise error from self._failure

    def _reason(self) -> PoolTimeout | DatabaseUnavailable:
        if self._lent >= self.limit:
            return PoolTimeout(
                f"all {self.limit} database sessions stayed in use until the time was up: keep"
                " sessions for shorter, or raise maxconn or timeout"
            )
        if self._failure is not None:
            return DatabaseUnavailable(f"{self._failure} (still so when the time was up)")
        if self._openers:
            return DatabaseUnavailable(
                "no database session could be opened before the time was up, the server has not"
                " answered yet: check that it is well, or raise timeout"
            )
        return PoolTimeout(
            f"{self._lent} of {self.limit} database sessions are lent, and the others were still"
            " being cleaned or closed when the time was up: raise timeout"
        )

    def _withdraw(self, waiter: _Waiter[S]) -> None:
        """Undo a wait that an exception ended, such as Ctrl-C.

        A session that was lent at that very moment is dropped, and its place collected.
        """
        with self.lock:
            if waiter in self._waiters:
                self._waiters.remove(waiter)
            if waiter.session is None or not self._return(waiter.session):
                return
            if not self._closed:
                self._park(waiter.session)
                served = self._serve()
            else:
                self._size -= 1
                served = []
        _wake(served)

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise PoolClosed("the connection pool is closed")

    def _serve(self, proved: int = 0) -> list[_Waiter[S]]:
        """Give what is idle to those who wait; they must be woken after the lock is released.

        Args:
            proved: How many sessions have just shown that they are alive.
        """
        self._collect_leaked()
        served: list[_Waiter[S]] = []
        while self._waiters and (self._is_fresh() or len(served) < proved):
            waiter = self._waiters.popleft()
            waiter.session = self._lend_idle()
            served.append(waiter)
        return served

    def hire(self, width: int) -> bool:
        """Tell whether another opener is needed, of whom ``width`` may work; it is then hired."""
        with self.lock:
            if self._openers >= width or not self._is_work_left(self._openers):
                return False
            self._openers += 1
            return True

    def keep(self, width: int) -> bool:
        """Tell whether an opener is still needed; else it is dismissed."""
        with self.lock:
            needed = self._openers <= width and self._is_work_left(self._openers - 1)
            self._openers -= not needed
            return needed

    def dismiss(self) -> None:
        """Note that an opener ended by itself."""
        with self.lock:
            self._openers -= 1

    def _is_work_left(self, at_work: int) -> bool:
        self._collect_leaked()
        possible = self.idle or self._size < self.limit
        return bool(not self._closed and len(self._waiters) > at_work and possible)

    def claim(self, *, may_open: bool = True) -> Place[S] | None:
        """Let an opener own a place, or None if there is none to be had.

        It must then :meth:`admit` a session, or :meth:`vacate` the place.

        Args:
            may_open: A new session may be opened now, not only an idle one be proved.
        """
        with self.lock:
            if self._closed or not self._waiters:
                return None
            if self.idle:  # too long idle to be lent, else it would have been
                session = self.idle.pop()
                del self.return_times[session]
                return Place(session)
            if self._size >= self.limit or not may_open:
                return None
            self._size += 1
            return Place()

    def admit(self, session: S, *, new: bool = True) -> bool:
        """Take in a session just opened, or proved, in one's own place.

        Returns:
            False if the pool was closed meanwhile: close it, and vacate.
        """
        with self.lock:
            self._counts["opened"] += new
            self._failure = None
            if self._closed:
                return False
            self._park(session)
            served = self._serve(proved=1)
        _wake(served)
        return True

    def put_back(self, session: S) -> bool:
        """Let the next one have a session; False if the pool is closed: close it, and vacate."""
        with self.lock:
            if self._closed:
                return False
            self._park(session)
            served = self._serve() if self._waiters else []
        _wake(served)
        return True

    def vacate(self, reason: str = "") -> None:
        """Give a place up; ``reason`` is the count to raise, if any."""
        with self.lock:
            self._size -= 1
            if reason:
                self._counts[reason] += 1
            wanted = bool(self._waiters)
        if wanted:
            self.on_demand()

    def fail(self, error: DatabaseUnavailable, *, at_once: bool = False) -> None:
        """Keep why a session could not be opened, for those who wait.

        Args:
            error: The reason.
            at_once: Waiting is in vain: tell all who wait now.
        """
        told: list[_Waiter[S]] = []
        with self.lock:
            self._failure = error
            if at_once:
                told = list(self._waiters)
                self._waiters.clear()
                for waiter in told:
                    waiter.error = _copy(error)
        _wake(told)

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
            return self._stats(len(self._waiters))


def _ignore() -> None:
    pass


def _copy(error: DatabaseUnavailable) -> DatabaseUnavailable:
    # Each thread raises its own: a traceback belongs to one.
    copy = DatabaseUnavailable(*error.args)
    copy.__cause__, copy.lasting = error.__cause__, error.lasting
    return copy
