"""Which places does a pool have, and who has them?

A place is *idle*, *lent*, or with a thread that is just opening, cleaning, proving or closing its
session. Everything here is called under the lock, or takes it.
"""

from __future__ import annotations

import dataclasses
import threading
import time
import weakref
from collections import Counter, deque
from typing import Generic, TypeVar

S = TypeVar("S")


@dataclasses.dataclass(frozen=True)
class PoolStats:
    """A pool at one moment, and its counts since it was made."""

    maxconn: int  #: Most sessions at one time.
    size: int  #: Places taken: idle, lent, or being opened or closed.
    idle: int  #: Sessions that nobody uses.
    lent: int  #: Sessions that somebody uses.
    waiting: int  #: Threads that wait for a session.
    requests: int  #: Checkouts asked for.
    waited: int  #: Checkouts that had to wait.
    timeouts: int  #: Checkouts that waited in vain.
    rejected: int  #: Checkouts that were refused because too many waited already.
    opened: int  #: Sessions opened.
    failed: int  #: Sessions that could not be opened.
    lost: int  #: Sessions that died, or could not be made clean, and were replaced.
    cut: int  #: Sessions whose line was cut because a call on them did not return.
    leaked: int  #: Sessions that their borrower dropped without returning them.
    retried: int  #: Pieces of work run again, because their session died before the commit.
    closed: bool  #: Whether the pool was closed.

    def __str__(self) -> str:
        counts = ", ".join(f"{getattr(self, name)} {name}" for name in _COUNTS)
        return (
            f"{self.size} of {self.maxconn} sessions ({self.lent} lent, {self.idle} idle),"
            f" {self.waiting} waiting, {counts}"
        )


class Places(Generic[S]):
    """Places for at most ``limit`` sessions.

    Args:
        limit: Most places.
        fresh: Seconds after which an idle session must be proved before it is lent.
    """

    def __init__(self, limit: int, fresh: float) -> None:
        self.limit = limit
        self._fresh = fresh
        self._closed = False
        self.forget_all()

    def forget_all(self) -> None:
        """Start anew, as a forked child must: the lock may be held by a thread it does not have.

        What was closed stays closed.
        """
        # Guards everything below, and what is added in a subclass. Not held while a session is
        # opened, used or closed, nor while a waiter is woken.
        self.lock = threading.Lock()
        self.idle: deque[S] = deque()
        self.return_times: dict[S, float] = {}
        self.lent: weakref.WeakSet[S] = weakref.WeakSet()
        self._lent = 0  # exceeds len(self.lent) by those that were garbage collected
        self._size = 0
        self._counts: Counter[str] = Counter()

    def _is_fresh(self) -> bool:
        if not self.idle:
            return False
        return time.monotonic() - self.return_times[self.idle[-1]] < self._fresh

    def _lend_idle(self) -> S:
        # In an order in which an interrupt costs no place: what is lent and dropped is collected.
        session = self.idle[-1]  # the one used last: the others can grow old and be closed
        self.lent.add(session)
        self._lent += 1
        self.idle.pop()
        del self.return_times[session]
        return session

    def _collect_leaked(self) -> None:
        leaked = self._lent - len(self.lent)
        if leaked > 0:
            self._lent -= leaked
            self._size -= leaked
            self._counts["leaked"] += leaked

    def _park(self, session: S) -> None:
        self.return_times[session] = time.monotonic()
        self.idle.append(session)

    def _return(self, session: S) -> bool:
        if session not in self.lent:
            return False
        self.lent.discard(session)
        self._lent -= 1
        return True

    def take_back(self, session: S) -> bool:
        """Accept a session from its borrower, who keeps the place; False if it was not lent."""
        with self.lock:
            return self._return(session)

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

    def count(self, event: str) -> None:
        """Raise a count by one."""
        with self.lock:
            self._counts[event] += 1

    def _stats(self, waiting: int) -> PoolStats:
        self._collect_leaked()
        counts = {name: self._counts[name] for name in _COUNTS}
        return PoolStats(
            maxconn=self.limit,
            size=self._size,
            idle=len(self.idle),
            lent=self._lent,
            waiting=waiting,
            closed=self._closed,
            **counts,
        )


_COUNTS = (
    "requests",
    "waited",
    "timeouts",
    "rejected",
    "opened",
    "failed",
    "lost",
    "cut",
    "leaked",
    "retried",
)
