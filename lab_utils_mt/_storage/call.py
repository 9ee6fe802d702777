"""Since when does the driver wait for an answer?"""

from __future__ import annotations

import time


class Call:
    """A call of the driver that has not returned."""

    __slots__ = ("began", "limit")

    def __init__(self, limit: float | None) -> None:
        self.began = time.monotonic()
        self.limit = limit

    def is_overdue(self, now: float) -> bool:
        """Tell whether it should have returned by now."""
        return self.limit is not None and now - self.began > self.limit
