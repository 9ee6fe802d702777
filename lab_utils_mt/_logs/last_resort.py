"""Who tells what no log can tell?

The standard error output; by a thread of its own, as nobody may wait for a pipe that is full.
"""

from __future__ import annotations

import contextlib
import os
import select
import sys
import threading
import time
from collections import deque

from .raw_streams import LINE_END, raw_of, written

_MOST = 20  # texts that wait; what comes first matters most
_LAST_WORDS = 0.2  # s, for all of them together
_AT_ONCE = 512  # bytes that a pipe takes whole or not at all, on every system

# Guards the three below. Reentrant: a finalizer may log.
_lock = threading.RLock()
_texts: deque[str] = deque()
_thread: threading.Thread | None = None
_end: float | None = None


def tell(text: str) -> None:
    """Write a line to the standard error output; never waits for that."""
    # Whoever has sinks has loaded both; a program without custom_logging needs neither.
    from .line import escape  # noqa: PLC0415
    from .redaction import redact  # noqa: PLC0415

    global _thread  # noqa: PLW0603  (one for the process)
    with _lock:
        if len(_texts) < _MOST:
            _texts.append(f"WARNING  {escape(redact(text))}")
        if _thread is not None:
            return
        _thread = threading.Thread(target=_work, name="log-last-resort", daemon=True)
    try:
        _thread.start()
    except RuntimeError:  # there are no more threads
        _tell_here()


def settle() -> None:
    """Let the texts be written, at the end of the program; 0.2 s for all calls together."""
    global _end  # noqa: PLW0603  (a process ends once)
    _end = time.monotonic() + _LAST_WORDS if _end is None else _end
    thread = _thread
    if thread is not None and thread.ident is not None:
        thread.join(max(0.0, _end - time.monotonic()))


def forget_parent() -> None:
    """Start anew in a forked child: the parent tells its own."""
    global _lock, _thread, _end
    _lock, _thread, _end = threading.RLock(), None, None
    _texts.clear()


def _next() -> str | None:
    global _thread  # noqa: PLW0603  (one for the process)
    with _lock:
        if _texts:
            return _texts.popleft()
        _thread = None
        return None


def _work() -> None:
    while (text := _next()) is not None:
        with contextlib.suppress(Exception):  # a closed stream, or what stands in for one
            _write(text)


def _write(text: str) -> None:
    stream = sys.stderr
    if stream is None:
        return
    raw = raw_of(stream)
    if raw is None:
        stream.write(f"{text}\n")
    else:
        written(raw, text.encode(stream.encoding, "backslashreplace") + LINE_END)


def _tell_here() -> None:
    while (text := _next()) is not None:
        with contextlib.suppress(Exception):  # as above; and what cannot be asked is not waited for
            if sys.platform != "win32" and select.select([], [2], [], 0)[1]:
                line = text.encode("ascii", "backslashreplace")[: _AT_ONCE - 1]
                os.write(2, line + b"\n")
