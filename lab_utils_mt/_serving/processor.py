"""On which processor are clients served?

Python runs one thread at a time. If its threads are spread over the processors, each turn means to
wake another processor, which takes longer than to answer a short command.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys

logger = logging.getLogger("lab_utils_mt.server")


def one_processor() -> int | None:
    """Return a processor for all clients of this process, None if the system lets us choose none.

    Several servers on one computer get different ones, as a rule.
    """
    if sys.platform == "linux":
        allowed = sorted(os.sched_getaffinity(0))
        return allowed[os.getpid() % len(allowed)]
    logger.warning("one_processor has no effect: only Linux lets a thread choose")
    return None


def stay_on(processor: int | None) -> None:
    """Keep the calling thread, and those that it starts, on a processor."""
    if sys.platform == "linux" and processor is not None:
        with contextlib.suppress(OSError):  # it may have been taken from us meanwhile
            os.sched_setaffinity(0, {processor})  # of this thread only
