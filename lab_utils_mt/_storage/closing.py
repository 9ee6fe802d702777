"""Who closes the sessions that nobody wants any more?

A thread of its own: nobody else waits until the server has let go of them.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable

from .cleaning import end
from .session import Session
from .turns import Turns


class Closing:
    """Closes sessions, and gives their places up."""

    def __init__(self, turns: Turns[Session]) -> None:
        self._turns = turns
        self.forget_all()

    def forget_all(self) -> None:
        """Start anew, as a forked child must."""
        # Guards the two below.
        self.lock = threading.Lock()
        self._unwanted: deque[tuple[Session, str]] = deque()
        self._thread: threading.Thread | None = None

    def add(self, sessions: Iterable[Session], reason: str = "") -> None:
        """Close sessions soon; ``reason`` is the pool's count to raise for each."""
        with self.lock:
            self._unwanted.extend((session, reason) for session in sessions)
            if self._thread is not None or not self._unwanted:
                return
            thread = threading.Thread(target=self._work, name="database-closer", daemon=True)
            try:
                thread.start()  # under the lock, or somebody might join it before
            except RuntimeError:  # no more threads
                thread = threading.current_thread()
            self._thread = thread
        if thread is threading.current_thread():
            self._work()

    def join(self, timeout: float) -> None:
        """Wait until all are closed."""
        with self.lock:
            thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout)

    def _work(self) -> None:
        try:
            while batch := self._take():
                self._end(batch)
        except BaseException:
            with self.lock:
                self._thread = None
            raise

    def _end(self, batch: list[tuple[Session, str]]) -> None:
        try:
            end(*(session for session, _ in batch))
        finally:
            for _, reason in batch:
                self._turns.vacate(reason)

    def _take(self) -> list[tuple[Session, str]]:
        with self.lock:
            batch = list(self._unwanted)
            self._unwanted.clear()
            if not batch:
                self._thread = None
        return batch
