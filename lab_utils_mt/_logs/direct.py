"""What does a handler without a queue do when it cannot write?

The record is lost. Those who log are not disturbed, and nothing shows the record, which may hold
secrets; but people are told, once when it begins and once when it is over.
"""

from __future__ import annotations

import logging
import sys
import time
from typing import TYPE_CHECKING

from .._commands.telling import age
from .health import ABOUT, explain, logger
from .line import LineFormatter
from .snapshot import finished

_plain = LineFormatter("%(message)s")


class DirectHandler(logging.Handler):
    """A handler whose records are written before the call that logs returns.

    Attributes:
        title: What it is called in reports.
    """

    title = "a log"
    # Guarded by the handler's own lock, which logging makes anew in a forked child.
    _lost = 0
    _lost_since: float | None = None

    def write_records(self, records: list[logging.LogRecord]) -> int:
        """Write records, and return how many of the first are written, at least one.

        Raises:
            Exception: None is written.
        """
        raise NotImplementedError

    def text_of(self, record: logging.LogRecord) -> str:
        """Return what is to be written; also if the formatter does not fit the record."""
        try:
            return self.format(record)
        except Exception as error:  # noqa: BLE001  (a user's formatter may do anything)
            reason = f"(its formatter raises {type(error).__name__})"
        try:
            return f"{_plain.format(finished(record))} {reason}"
        except Exception:  # noqa: BLE001  (the record itself is not one)
            return f"ERROR    a record that cannot be written {reason}"

    if not TYPE_CHECKING:  # its result was None before Python 3.12

        def handle(self, record):
            """Write a record if the filters let it pass; never raises an Exception."""
            # Not under the lock: who reports a failure there, and waits for the lock of another
            # handler that does the same, waits for ever.
            passed = self.filter(record)
            if isinstance(passed, logging.LogRecord):
                record = passed
            if passed:
                self.emit(record)
            return passed

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record; never raises an Exception."""
        if record.__dict__.get(ABOUT) == id(self):
            return
        try:
            self.write_records([record])
        except Exception:  # noqa: BLE001  (no fault of a log is one of the program's)
            self.handleError(record)
        else:
            if self._lost_since is not None:
                self._works_again()

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  (logging's name)
        """Tell that records are lost, if that is news; called where the error is handled."""
        error = sys.exc_info()[1]
        self.acquire()
        try:
            self._lost += 1
            is_news = self._lost_since is None
            if self._lost_since is None:
                self._lost_since = time.monotonic()
        finally:
            self.release()
        if is_news:
            self._report(
                logging.WARNING,
                "%s does not work: %s; what is logged is lost until it does",
                self.title,
                explain(error) if error else "for an unknown reason",
            )

    def _works_again(self) -> None:
        self.acquire()
        try:
            lost, since = self._lost, self._lost_since
            self._lost, self._lost_since = 0, None
        finally:
            self.release()
        if since is not None:
            took = age(time.monotonic() - since)
            self._report(
                logging.INFO, "%s works again after %s; %d records are lost", self.title, took, lost
            )

    def _report(self, level: int, message: str, *args: object) -> None:
        logger.log(level, message, *args, extra={ABOUT: id(self)})
