"""How do people learn that a sink has failed?

Once when it fails, once when it is back, by all sinks but itself; and at any time by the status.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from .line import escape
from .redaction import redact

if TYPE_CHECKING:
    from .sink import SinkHandler

logger = logging.getLogger("lab_utils_mt.logging")

ABOUT = "_lab_utils_mt_sink"
"""The field of a report that names the sink it is about."""

FAREWELL = -1
"""Stands there instead in what is told at the end: other sinks that end could not deliver it."""

_REFUSALS_APART = 60.0  # s


def explain(error: BaseException) -> str:
    """Return an exception as one line that holds no secret."""
    text = escape(redact(str(error).strip()))
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def age(seconds: float) -> str:
    """Return a duration to read."""
    return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"  # noqa: PLR2004


class Health:
    """Tell failures of one sink apart from their repetitions. Its worker's alone, but for reads.

    Args:
        sink: Whose health it is.
    """

    def __init__(self, sink: SinkHandler) -> None:
        self._sink = sink
        self.forget_parent()

    def forget_parent(self) -> None:
        """Start anew."""
        self.fault: str | None = None
        self._since = 0.0
        self._refusals_from = float("-inf")
        self._dropped_before = 0

    def failed(self, reason: str) -> None:
        """Note that a delivery failed."""
        news = self.fault is None
        if news:
            self._since = time.monotonic()
            self._dropped_before = self._sink.counts.dropped
        self.fault = reason
        if news:
            self._report(
                logging.WARNING,
                "%s does not work: %s; it is tried again, and what is logged waits",
                self._sink.title,
                reason,
            )

    def delivered(self) -> None:
        """Note that a delivery succeeded."""
        if self.fault is None:
            return
        took, self.fault = time.monotonic() - self._since, None
        dropped = self._sink.counts.dropped - self._dropped_before
        self._report(
            logging.INFO,
            "%s works again after %s; %d records are lost",
            self._sink.title,
            age(took),
            dropped,
        )

    def refused(self, reason: str) -> None:
        """Note that the other end will never take a record."""
        now = time.monotonic()
        if now >= self._refusals_from:
            self._refusals_from = now + _REFUSALS_APART
            self._report(logging.WARNING, "%s refuses what is logged: %s", self._sink.title, reason)

    def overflowed(self) -> None:
        """Note that a record was dropped for want of a place; called by the one who logs it."""
        self._report(
            logging.WARNING,
            "%s is too slow: its queue of %d records is full, and records are lost",
            self._sink.title,
            self._sink.capacity,
        )

    def caught_up(self) -> None:
        """Note that nothing waits any more."""
        lost = self._sink.counts.dropped
        self._report(logging.INFO, "%s has caught up; %d records are lost", self._sink.title, lost)

    def lost_at_the_end(self, count: int) -> None:
        """Note that the sink was closed before it could deliver everything."""
        text = "%s is closed: %d records are lost"
        logger.warning(text, self._sink.title, count, extra={ABOUT: FAREWELL})

    def _report(self, level: int, message: str, *args: object) -> None:
        logger.log(level, message, *args, extra={ABOUT: id(self._sink)})

    def __str__(self) -> str:
        if self.fault is not None:
            return f"down for {age(time.monotonic() - self._since)}: {self.fault}"
        return "falls behind" if self._sink.overflowing else "ok"
