"""How does a handler of another kind become one that never holds up its callers?"""

from __future__ import annotations

import logging
from typing import Protocol

from .sink import SinkHandler


class Writer(Protocol):
    """A handler that can write several records at once."""

    def write_records(self, records: list[logging.LogRecord]) -> int:
        """Write records, and return how many of the first are written.

        Raises:
            OSError: None is written.
        """

    def close(self) -> None:
        """Free what it holds."""


class QueuedHandler(SinkHandler):
    """Puts a queue and a thread in front of a console or a file.

    Args:
        title: What the sink is called.
        writer: The handler behind it, closed with this one.
        capacity: Most records that wait.
    """

    batch = 1000
    longest_pause = 4.0
    is_local = True

    def __init__(self, title: str, writer: Writer, capacity: int) -> None:
        super().__init__(title, capacity)
        self.writer = writer
        _keep_from_shutdown(writer)

    def deliver(self, records: list[logging.LogRecord]) -> int:
        """Write records with the handler behind this one."""
        return self.writer.write_records(records)

    def finish(self) -> None:
        """Close the handler behind this one."""
        self.writer.close()


def _keep_from_shutdown(writer: object) -> None:
    """See to it that nobody but its sink waits for a handler that may hang in a write."""
    # The registry of logging.shutdown(), which takes the lock of each handler in it.
    with logging._lock:  # type: ignore[attr-defined]
        known = logging._handlerList  # type: ignore[attr-defined]
        known[:] = [reference for reference in known if reference() is not writer]
