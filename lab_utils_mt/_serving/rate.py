"""Has this been said just now?"""

from __future__ import annotations

import threading
import time


class RateLimit:
    """Let one event pass in each interval, and count the others.

    Args:
        interval: Seconds from one event that passes to the next.
    """

    def __init__(self, interval: float) -> None:
        self._interval = interval
        # Guards the two below.
        self._lock = threading.Lock()
        self._next = float("-inf")
        self._held_back = 0

    def passes(self) -> int | None:
        """Return how many events were held back since the last that passed, None to hold back."""
        now = time.monotonic()
        with self._lock:
            if now < self._next:
                self._held_back += 1
                return None
            self._next = now + self._interval
            held_back, self._held_back = self._held_back, 0
            return held_back
