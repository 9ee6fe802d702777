"""What happens when somebody presses Ctrl-C, or the system asks the program to end?"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

# SIGBREAK is Ctrl-Break and the closing of the console on Windows, and exists only there.
_NAMES = ("SIGINT", "SIGTERM", "SIGBREAK")


@contextlib.contextmanager
def handling(handler: Callable[[int, FrameType | None], object]) -> Iterator[None]:
    """Let ``handler(signum, frame)`` answer the signals that ask a program to end.

    Only the main thread may change that: in any other thread this does nothing. Afterwards the
    handlers are as before. A signal whose handler was not installed from Python belongs to the
    program that embeds Python, which alone could put it back: it is left alone.
    """
    previous: dict[signal.Signals, Callable[[int, FrameType | None], object] | int] = {}
    try:
        if threading.current_thread() is threading.main_thread():
            for signum in _ending_signals():
                before = signal.getsignal(signum)
                if before is not None:
                    previous[signum] = before
                    signal.signal(signum, handler)
        yield
    finally:
        for signum, before in previous.items():
            signal.signal(signum, before)


def _ending_signals() -> list[signal.Signals]:
    return [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]
