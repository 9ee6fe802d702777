"""How does a process end with the one that started it, however that one ends?"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable


def end_with_parent(farewell: Callable[[], object] = lambda: None) -> None:
    """Watch the standard input: at its end, when the parent is gone, end this process.

    Args:
        farewell: Called before, in a thread of its own.
    """
    threading.Thread(target=_wait, args=(farewell,), name="end-with-parent", daemon=True).start()


def _wait(farewell: Callable[[], object]) -> None:
    # Not sys.stdin: a buffered reader that is stuck in a read keeps the interpreter from its end.
    while os.read(0, 1024):
        pass
    try:
        farewell()
    finally:
        os._exit(0)
