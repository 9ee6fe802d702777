"""How does a command show what the library logs, without being drowned in it?"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator

_MOST = 5  # a fault of the database may be logged by each of a hundred clients


class _Notes(logging.Handler):
    def __init__(self, say: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self._say = say
        self._left = _MOST

    def emit(self, record: logging.LogRecord) -> None:
        """Show the first records, one line each."""
        if self._left > 0:
            self._left -= 1
            try:
                self._say(f"log: {_in_one_line(record)}")
            except (OSError, ValueError):  # nobody reads on; the program itself will notice
                self.handleError(record)


def _in_one_line(record: logging.LogRecord) -> str:
    text = record.getMessage()
    error = record.exc_info[1] if record.exc_info else None
    if error is not None:
        text = f"{text}: {type(error).__name__}: {error}"
    return " ".join(text.split())


@contextlib.contextmanager
def showing_log(say: Callable[[str], None]) -> Iterator[None]:
    """Show the first warnings and errors that the library logs in this block.

    Args:
        say: Writes a line.
    """
    logger = logging.getLogger("lab_utils_mt")
    handler = _Notes(say)
    logger.addHandler(handler)
    propagates, logger.propagate = logger.propagate, False
    try:
        yield
    finally:
        logger.propagate = propagates
        logger.removeHandler(handler)
