"""How does one record reach several sinks, and is copied once?"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from . import living
from .sink import SinkHandler, is_inner
from .snapshot import snapshot


class Intake(logging.Handler):
    """The one handler that :func:`.configuring.configure_logging` gives to a logger.

    Args:
        sinks: Where records of their level go.
    """

    def __init__(self, sinks: Sequence[SinkHandler]) -> None:
        super().__init__(min((sink.level for sink in sinks), default=logging.CRITICAL))
        self.sinks = tuple(sinks)

    if not TYPE_CHECKING:  # its result was None before Python 3.12

        def handle(self, record):
            """Give a record to the sinks; never waits, never raises."""
            passed = self.filter(record)
            if isinstance(passed, logging.LogRecord):
                record = passed
            if passed and not is_inner(record):
                self.emit(record)
            return passed

    def emit(self, record: logging.LogRecord) -> None:
        """Give a record to the sinks."""
        own = snapshot(record)
        for sink in self.sinks:
            if own.levelno >= sink.level and sink.filter(own):
                sink.accept(own)

    def flush(self) -> None:
        """Wait until the sinks have delivered what they can; bounded."""
        living.settle(self.sinks, living.time_left(SinkHandler.flush_timeout))
