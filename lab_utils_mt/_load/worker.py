"""What does one process of a load do?

It reads its share of the plan from the standard input, says that it is ready, begins at the next
line, and ends early when the input ends. Each second, and at the end the whole, goes to the
standard output: a JSON object per line.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import threading
from typing import Any

from ..exceptions import LabUtilsError
from .driver import drive
from .plan import Plan

_INPUT = 0
_SIZE = 64 * 1024
_MOST_PLAN = 2**28  # bytes


def main() -> int:
    """Do the share; return the exit status."""
    try:
        lines = _Lines()
        task = json.loads(lines.next())
        _tell(ready=True)
        if not lines.next():
            return 0
        _work(Plan.from_json(task["plan"]), task["process"], lines)
    except LabUtilsError as error:
        _tell(failed=str(error))
        return 1
    except (BrokenPipeError, KeyboardInterrupt):  # nobody listens any more
        os._exit(1)
    return 0


def _work(plan: Plan, process: int, lines: _Lines) -> None:
    stop = threading.Event()
    watch = threading.Thread(target=lines.wait_for_end, args=(stop,), name="load-stop", daemon=True)
    watch.start()
    # Nothing here is garbage in a circle, and to look for it would make replies late.
    gc.collect()
    gc.freeze()
    gc.disable()
    tally = drive(plan, lambda second: _tell(second=second.as_json()), stop, process=process)
    _tell(tally=tally.to_json())


def _tell(**news: Any) -> None:
    sys.stdout.write(json.dumps(news) + "\n")
    sys.stdout.flush()


class _Lines:
    """The standard input, without a lock that a waiting thread would hold while Python ends."""

    def __init__(self) -> None:
        self._buffer = b""

    def next(self) -> bytes:
        """Return the next line, or what is left at the end."""
        while b"\n" not in self._buffer and len(self._buffer) < _MOST_PLAN:
            data = os.read(_INPUT, _SIZE)
            if not data:
                break
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line

    def wait_for_end(self, stop: threading.Event) -> None:
        """Set ``stop`` when the input ends."""
        while os.read(_INPUT, _SIZE):
            pass
        stop.set()
