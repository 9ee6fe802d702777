"""Sinks that the tests hold in their hands: real queues and threads, and a place of our own."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Iterator

from daemons import TIMEOUT, wait_until

from lab_utils_mt._logs.sink import SinkHandler

REPORTS = logging.getLogger("lab_utils_mt.logging")


class Shelf(SinkHandler):
    """Keeps what it is given; can be made to fail, to refuse and to hang."""

    def __init__(self, title: str = "shelf", capacity: int = 1000, batch: int = 1) -> None:
        super().__init__(title, capacity)
        self.batch = batch
        self.kept: list[logging.LogRecord] = []
        self.fault: Exception | None = None
        self.attempts = 0
        self.gate = threading.Event()
        self.gate.set()

    def deliver(self, records: list[logging.LogRecord]) -> int:
        self.attempts += 1
        self.gate.wait(TIMEOUT)
        if self.fault is not None:
            raise self.fault
        self.kept += records
        return len(records)

    def interrupt(self) -> None:
        self.gate.set()

    @property
    def texts(self) -> list[str]:
        """The messages that arrived."""
        return [record.getMessage() for record in self.kept]


class Ear(logging.Handler):
    """Hears what the sinks report."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.heard.append(record.getMessage())


@contextlib.contextmanager
def listening() -> Iterator[list[str]]:
    """Give what the sinks report meanwhile."""
    ear, level = Ear(), REPORTS.level
    REPORTS.addHandler(ear)
    REPORTS.setLevel(logging.DEBUG)
    try:
        yield ear.heard
    finally:
        REPORTS.removeHandler(ear)
        REPORTS.setLevel(level)


@contextlib.contextmanager
def logging_to(*handlers: logging.Handler) -> Iterator[logging.Logger]:
    """Give a logger of its own with these handlers; close them at the end."""
    logger = logging.Logger("lab", logging.DEBUG)
    logger.handlers = list(handlers)
    try:
        yield logger
    finally:
        for handler in handlers:
            handler.close()


def await_counts(sink: SinkHandler, **expected: int) -> None:
    """Wait until the counts are these; they add up at any moment."""

    def reached() -> bool:
        counts = sink.counts
        assert counts.raised == counts.sent + counts.queued + counts.dropped
        return all(getattr(counts, name) == value for name, value in expected.items())

    wait_until(reached, f"{expected} of {sink.title}")
