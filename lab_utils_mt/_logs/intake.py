"""How does one record reach several sinks, is copied once, and meets no sink that is closed?"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Sequence

from . import living
from .sink import SinkHandler, TakingHandler
from .snapshot import snapshot


class Shift:
    """Some sinks, and the threads that are just giving them a record.

    A deque, as its methods are atomic: whoever logs takes no lock here.
    """

    def __init__(self, sinks: Sequence[SinkHandler]) -> None:
        self.sinks = tuple(sinks)
        self.inside: deque[None] = deque()

    def await_end(self, patience: float = 1.0) -> None:
        """Wait until no thread gives these sinks a record any more.

        Args:
            patience: Seconds after which a thread that does not come to an end is left alone.
        """
        deadline = time.monotonic() + patience
        while self.inside and time.monotonic() < deadline:
            time.sleep(0.001)


class Intake(TakingHandler):
    """The one handler that a configuration gives to the root logger.

    Args:
        sinks: Where records of their level go.
    """

    def __init__(self, sinks: Sequence[SinkHandler]) -> None:
        super().__init__()
        self._shift = Shift(sinks)

    @property
    def sinks(self) -> tuple[SinkHandler, ...]:
        """Where records of their level go."""
        return self._shift.sinks

    def relieve(self, sinks: Sequence[SinkHandler]) -> Shift:
        """Take other sinks, and return the old ones, which threads may be giving a record yet."""
        old, self._shift = self._shift, Shift(sinks)
        return old

    def emit(self, record: logging.LogRecord) -> None:
        """Give a record to the sinks."""
        own = snapshot(record)
        shift = self._enter()
        try:
            for sink in shift.sinks:
                if own.levelno >= sink.level and sink.filter(own):
                    sink.accept(own)
        finally:
            shift.inside.pop()

    def _enter(self) -> Shift:
        while True:
            shift = self._shift
            shift.inside.append(None)
            if shift is self._shift:
                return shift
            shift.inside.pop()  # it was relieved meanwhile, and may not have seen us

    def flush(self) -> None:
        """Wait until the sinks have delivered what they can; bounded."""
        living.settle(self.sinks, living.time_left(SinkHandler.flush_timeout))
