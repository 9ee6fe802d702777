"""When may the next session be opened, and how many at once?

After a failure one attempt at a time, 0.5 s, 1 s, 2 s and from then on 4 s apart, each 10 % more or
less so that several daemons do not knock in step: at most 20 a minute, however many threads wait.
Each success doubles the number of attempts that may run side by side.
"""

from __future__ import annotations

import dataclasses
import random
import threading
import time

_FIRST = 0.5  # seconds
_MOST = 4.0  # seconds; with the jitter and a login still less than 5 s after the server is back
_JITTER = 0.1
_MOST_WIDTH = 1024


@dataclasses.dataclass(frozen=True)
class Outage:
    """A time without any new session."""

    began: float  #: On :func:`time.monotonic`'s clock.
    attempts: int

    def __str__(self) -> str:
        tried = "1 attempt" if self.attempts == 1 else f"{self.attempts} attempts"
        return f"{time.monotonic() - self.began:.1f} s, {tried}"


class Backoff:
    """The pace of one pool's attempts to open a session."""

    def __init__(self) -> None:
        self.forget_all()

    def forget_all(self) -> None:
        """Start anew, as a forked child must."""
        # Guards everything below.
        self.lock = threading.Lock()
        self._width = 1
        self._era = 0  # how often something went wrong
        self._suspect = False  # no session of this era came back in good order yet
        self._failures = 0  # since one did
        self._not_before = 0.0
        self._outage: Outage | None = None

    @property
    def width(self) -> int:
        """How many attempts may run side by side."""
        return self._width

    @property
    def era(self) -> int:
        """Changes when something goes wrong: tells sessions opened before from those after."""
        return self._era

    def delay(self) -> float:
        """Return the seconds until the next attempt; 0 if it may begin."""
        return max(0.0, self._not_before - time.monotonic())

    def failed(self, era: int) -> bool:
        """Note that no session could be opened; True if this begins an outage.

        Args:
            era: When the attempt began: those that failed side by side count once.
        """
        with self.lock:
            before = self._outage
            began, attempts = (before.began, before.attempts) if before else (time.monotonic(), 0)
            self._outage = Outage(began, attempts + 1)
            if era == self._era:
                self._slow_down()
            return before is None

    def opened(self) -> Outage | None:
        """Note that a session was opened; return the outage that this ends, if any."""
        with self.lock:
            ended, self._outage = self._outage, None
            self._width = min(2 * self._width, _MOST_WIDTH)
            return ended

    def lost(self, era: int) -> None:
        """Note that a session of that era died.

        The first is met with an attempt at once. If those that were opened since die as well, the
        server only seems to be back: that counts as failures.
        """
        with self.lock:
            if era != self._era:
                return  # it died of what was noted already
            if self._suspect:
                self._slow_down()
            else:
                self._begin_era()

    def _begin_era(self) -> None:
        self._suspect = True
        self._era += 1
        self._width = 1

    def _slow_down(self) -> None:
        self._begin_era()
        self._failures += 1
        pause = min(_MOST, _FIRST * 2 ** min(self._failures - 1, 10))
        jitter = random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311  (no secret)
        self._not_before = time.monotonic() + pause * jitter

    def proved(self, era: int) -> None:
        """Note that a session of that era came back in good order: what went wrong is over."""
        if self._suspect:
            with self.lock:
                if era == self._era:
                    self._suspect, self._failures = False, 0

    @property
    def outage(self) -> Outage | None:
        """What is going on, if no session could be opened."""
        return self._outage
