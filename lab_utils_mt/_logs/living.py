"""Which sinks are there, and how do they all end?

At the end of the program all of them get :data:`EXIT_TIMEOUT` seconds together, those that tell
of the others last.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
import threading
import time
import weakref
from collections.abc import Iterable
from typing import TYPE_CHECKING

from . import last_resort

if TYPE_CHECKING:
    from .sink import SinkHandler

EXIT_TIMEOUT = 3.0  # s
_MORE_FOR_LOCAL = 0.5  # s, to tell what the others have lost
LAST_WORDS = 0.2  # s for threads to end once nothing holds them

# Guards _sinks.
_lock = threading.RLock()
_sinks: weakref.WeakSet[SinkHandler] = weakref.WeakSet()
_exit_deadline: float | None = None
_left_out = 0
_watched = 0  # the child of multiprocessing whose end is watched


def add(sink: SinkHandler) -> None:
    """Remember a sink until it is garbage."""
    with _lock:
        _sinks.add(sink)
    _watch_the_end_of_a_process()


def all_sinks() -> list[SinkHandler]:
    """Return the sinks that take records, by title."""
    with _lock:
        found = list(_sinks)
    return sorted((sink for sink in found if not sink.closed), key=lambda sink: sink.title)


def status_lines() -> list[str]:
    """Return the status command's lines about the sinks; none if there are no sinks."""
    lines = [f"  {sink.status()}" for sink in all_sinks()]
    if _left_out:
        lines.append(f"  left out: {_left_out} records of the threads that deliver")
    return ["logging:", *lines] if lines else []


def leave_out() -> None:
    """Count a record that was made while others were delivered, and is not."""
    global _left_out  # noqa: PLW0603  (the process's own)
    _left_out += 1


def is_ending() -> bool:
    """Tell whether the program is at its end."""
    return _exit_deadline is not None


def time_left(timeout: float, local: bool = False) -> float:
    """Return how long a sink may wait: less than usual when the program ends."""
    if _exit_deadline is None:
        return timeout
    deadline = _exit_deadline + (_MORE_FOR_LOCAL if local else 0.0)
    return min(timeout, max(0.0, deadline - time.monotonic()))


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
            sink.stop()
        last_words = time.monotonic() + LAST_WORDS
        for sink in group:
            sink.join(last_words - time.monotonic())


def _at_exit() -> None:
    # Not closed: other functions that run at the end may log. logging.shutdown() closes them.
    global _exit_deadline  # noqa: PLW0603  (a process ends once)
    _exit_deadline = time.monotonic() + EXIT_TIMEOUT
    sinks = all_sinks()
    for local in (False, True):
        settle([sink for sink in sinks if sink.is_local is local], time_left(EXIT_TIMEOUT, local))
    # What hangs or is down ends now, while the others can tell what that costs.
    for sink in [sink for sink in sinks if sink.counts.queued]:
        sink.stop()


def _in_child() -> None:
    global _lock, _exit_deadline
    _lock, _exit_deadline = threading.RLock(), None
    last_resort.forget_parent()
    for sink in list(_sinks):
        with contextlib.suppress(Exception):  # another thread was just making it
            sink.forget_parent()
    processes = sys.modules.get("multiprocessing.util")
    if processes is not None:
        processes.register_after_fork(_watch_the_end_of_a_process, lambda watch: watch())


def _watch_the_end_of_a_process() -> None:
    """Be called at the end of a child of multiprocessing, too, which never comes to atexit."""
    global _watched  # noqa: PLW0603  (the process's own)
    processes = sys.modules.get("multiprocessing.process")
    if _watched == os.getpid() or processes is None or processes.parent_process() is None:
        return
    _watched = os.getpid()
    from multiprocessing import util  # noqa: PLC0415  (only such a child has it for certain)

    util.Finalize(None, _at_exit, exitpriority=0)


atexit.register(_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
