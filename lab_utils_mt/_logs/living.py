"""Which sinks are there, and how do they all end?

At the end of the program all of them get :data:`EXIT_TIMEOUT` seconds together, those that tell
of the others last.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
import weakref
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .sink import SinkHandler

EXIT_TIMEOUT = 3.0  # s

# Guards _sinks.
_lock = threading.RLock()
_sinks: weakref.WeakSet[SinkHandler] = weakref.WeakSet()
_exit_deadline: float | None = None


def add(sink: SinkHandler) -> None:
    """Remember a sink until it is garbage."""
    with _lock:
        _sinks.add(sink)


def all_sinks() -> list[SinkHandler]:
    """Return the sinks that take records, by title."""
    with _lock:
        found = list(_sinks)
    return sorted((sink for sink in found if not sink.closed), key=lambda sink: sink.title)


def status_lines() -> list[str]:
    """Return the status command's lines about the sinks; none if there are no sinks."""
    lines = [f"  {sink.status()}" for sink in all_sinks()]
    return ["logging:", *lines] if lines else []


def time_left(timeout: float) -> float:
    """Return how long a sink may wait: less than usual when the program ends."""
    if _exit_deadline is None:
        return timeout
    return min(timeout, max(0.0, _exit_deadline - time.monotonic()))


def settle(sinks: Iterable[SinkHandler], timeout: float) -> None:
    """Let sinks deliver what waits, all at once; bounded, also if none of them works."""
    deadline = time.monotonic() + timeout
    sinks = list(sinks)
    for sink in sinks:
        sink.hurry()
    for sink in sinks:
        sink.await_settled(deadline - time.monotonic())


def close_all(sinks: Iterable[SinkHandler], timeout: float) -> None:
    """End sinks: those behind a network first, as the others may have to tell what is lost."""
    sinks = list(sinks)
    deadline = time.monotonic() + timeout
    for local in (False, True):
        group = [sink for sink in sinks if sink.is_local is local]
        settle(group, deadline - time.monotonic())
        for sink in group:
            sink.finish()


def _at_exit() -> None:
    # Not closed: other functions that run at the end may log. logging.shutdown() closes them.
    global _exit_deadline  # noqa: PLW0603  (a process ends once)
    _exit_deadline = time.monotonic() + EXIT_TIMEOUT
    sinks = all_sinks()
    for local in (False, True):
        group = [sink for sink in sinks if sink.is_local is local]
        settle(group, _exit_deadline - time.monotonic())


def _in_child() -> None:
    global _lock, _exit_deadline
    _lock, _exit_deadline = threading.RLock(), None
    for sink in list(_sinks):
        sink.forget_parent()


atexit.register(_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
