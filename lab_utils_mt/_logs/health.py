"""How do people learn that a sink has failed?

Once when it fails, once when it is back, by all sinks but itself; and at any time by the status.
"""

from __future__ import annotations

import contextlib
import logging
import sys
import time
from typing import TYPE_CHECKING

from . import living
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
_PATIENCE = 60.0  # s that the other end may ask for without a word


def explain(error: BaseException) -> str:
    """Return an exception as one line that holds no secret."""
    try:
        text = escape(redact(str(error).strip()))
    except Exception:  # noqa: BLE001  (an exception's own code may do anything)
        text = ""
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def age(seconds: float) -> str:
    """Return a duration to read."""
    return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"  # noqa: PLR2004


def _last_resort(text: str) -> None:
    with contextlib.suppress(OSError, ValueError):
        if sys.stderr is not None:
            sys.stderr.write(f"WARNING  {escape(redact(text))}\n")


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
        self._refusal: str | None = None
        self._was_asked_to_wait = False
        self._used_after_the_end = False
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
        self._refusal, self._was_asked_to_wait = None, False
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
        self._refusal = reason
        now = time.monotonic()
        if now >= self._refusals_from:
            self._refusals_from = now + _REFUSALS_APART
            self._report(logging.WARNING, "%s refuses what is logged: %s", self._sink.title, reason)

    def asked_to_wait(self, seconds: float) -> None:
        """Note that the other end asked for patience."""
        if seconds > _PATIENCE and not self._was_asked_to_wait:
            self._was_asked_to_wait = True
            self._report(
                logging.WARNING,
                "%s asks for %s of patience; what is logged waits",
                self._sink.title,
                age(seconds),
            )

    def overflowed(self) -> None:
        """Note that a record was dropped for want of a place; called by the one who logs it."""
        self._report(
            logging.WARNING,
            "%s is too slow: its queue of %d records is full, and records are lost",
            self._sink.title,
            self._sink.capacity,
        )

    def used_after_the_end(self) -> None:
        """Note that a closed sink is still given records; that is right at the program's end."""
        if not self._used_after_the_end and not living.is_ending():
            self._used_after_the_end = True
            _last_resort(
                f"{self._sink.title} was closed by logging.shutdown() or a new configuration, and"
                " what is logged is lost: call configure_logging() again"
            )

    def caught_up(self) -> None:
        """Note that nothing waits any more."""
        lost = self._sink.counts.dropped
        self._report(logging.INFO, "%s has caught up; %d records are lost", self._sink.title, lost)

    def lost_at_the_end(self, count: int) -> None:
        """Note that the sink was closed before it could deliver everything."""
        text = "%s is closed: %d records are lost, or not confirmed"
        self._report(logging.WARNING, text, self._sink.title, count, about=FAREWELL)

    def _report(self, level: int, message: str, *args: object, about: int | None = None) -> None:
        about = id(self._sink) if about is None else about
        # A handler of a user's may raise; no sink stops working for that.
        with contextlib.suppress(Exception):
            logger.log(level, message, *args, extra={ABOUT: about})
            if level >= logging.WARNING and not self._is_heard():
                _last_resort(message % args)

    def _is_heard(self) -> bool:
        """Tell whether anybody but this sink takes a report."""
        if any(sink.works for sink in living.all_sinks() if sink is not self._sink):
            return True
        place: logging.Logger | None = logger
        while place is not None:
            if not all(getattr(handler, "is_ours", False) for handler in place.handlers):
                return True
            place = place.parent if place.propagate else None
        return not logger.hasHandlers()  # then the standard library's last resort has taken it

    def __str__(self) -> str:
        if self.fault is not None:
            return f"down for {age(time.monotonic() - self._since)}: {self.fault}"
        if self._sink.asked_to_wait:
            return f"asked to wait {age(self._sink.asked_to_wait)}"
        if self._refusal is not None:
            return f"refuses: {escape(redact(self._refusal))}"
        return "falls behind" if self._sink.overflowing else "ok"
