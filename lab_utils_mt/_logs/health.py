"""How do people learn that a sink has failed?

Once when it fails, once when it is back, by all sinks but itself; and at any time by the status.
"""

from __future__ import annotations

import contextlib
import logging
import time
from typing import TYPE_CHECKING

from .._commands.telling import age
from . import last_resort, living
from .line import escape
from .redaction import redact

if TYPE_CHECKING:
    from .sink import SinkHandler

logger = logging.getLogger("lab_utils_mt.logging")

ABOUT = "_lab_utils_mt_sink"
"""The field of a report that names the sink it is about."""

HEARD = "_lab_utils_mt_heard"
"""The field of a report that each sink leaves a mark in which takes it."""

FAREWELL = -1
"""Stands there instead in what is told at the end: other sinks that end could not deliver it."""

_REPORTS_APART = 60.0  # s
_PATIENCE = 60.0  # s that the other end may ask for without a word


def explain(error: BaseException) -> str:
    """Return an exception as one line that holds no secret."""
    try:
        text = escape(redact(str(error).strip()))
    except Exception:  # noqa: BLE001  (an exception's own code may do anything)
        text = ""
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _is_heard_by_others(level: int) -> bool:
    """Tell whether a handler that is no sink takes a report, or nobody wants to hear it."""
    place: logging.Logger | None = logger
    while place is not None:
        for handler in place.handlers:
            if not getattr(handler, "is_ours", False) and level >= handler.level:
                return True
        place = place.parent if place.propagate else None
    # Without any handler, the standard library's last resort has taken it.
    return not (logger.isEnabledFor(level) and logger.hasHandlers())


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
        self._is_told = False
        self._faults = 0  # since the last report
        self._faults_from = float("-inf")
        self._refusals_from = float("-inf")
        self._dropped_before = 0

    def failed(self, reason: str) -> None:
        """Note that a delivery failed."""
        now = time.monotonic()
        if self.fault is None:
            self._since, self._is_told = now, False
            self._dropped_before = self._sink.counts.dropped
            self._faults += 1
        self.fault = reason
        # One that comes and goes is told of once a minute: two such sinks would feed each other.
        if not self._is_told and now >= self._faults_from:
            self._faults_from, self._is_told = now + _REPORTS_APART, True
            often = f" ({self._faults} times since the last report)" if self._faults > 1 else ""
            self._faults = 0
            self._report(
                logging.WARNING,
                "%s does not work: %s%s; it is tried again, and up to %d records wait",
                self._sink.title,
                reason,
                often,
                self._sink.capacity,
            )

    def delivered(self) -> None:
        """Note that a delivery succeeded."""
        self._refusal, self._was_asked_to_wait = None, False
        if self.fault is None:
            return
        took, self.fault = time.monotonic() - self._since, None
        dropped = self._sink.counts.dropped - self._dropped_before
        if self._is_told:
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
            self._refusals_from = now + _REPORTS_APART
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
            self._tell_at_last(
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
        heard: list[bool] = []
        # A handler of a user's may raise; no sink stops working for that.
        with contextlib.suppress(Exception):
            logger.log(level, message, *args, extra={ABOUT: about, HEARD: heard})
            if level >= logging.WARNING and not heard and not _is_heard_by_others(level):
                self._tell_at_last(message % args)

    def _tell_at_last(self, text: str) -> None:
        last_resort.tell(text)
        if living.is_ending():
            last_resort.settle()

    def __str__(self) -> str:
        if self.fault is not None:
            return f"down for {age(time.monotonic() - self._since)}: {self.fault}"
        if self._sink.asked_to_wait:
            return f"asked to wait {age(self._sink.asked_to_wait)}"
        if self._refusal is not None:
            return f"refuses: {escape(redact(self._refusal))}"
        return "falls behind" if self._sink.overflowing else "ok"
