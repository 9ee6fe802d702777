"""How is a standard stream written to, without what its layers would do?

The layers above keep what could not be written, and the lock of those who try: a full disk would
double lines, and a pipe that nobody reads would keep the program from ending.
"""

from __future__ import annotations

import io
import os
from typing import TextIO

_STANDARD = (1, 2)
LINE_END = os.linesep.encode()
"""What ends a line there."""


def raw_of(stream: TextIO) -> io.FileIO | None:
    """Return what is below a standard stream; None if it is none, or needs its layers."""
    buffer = getattr(stream, "buffer", None)
    raw = getattr(buffer, "raw", buffer)  # PYTHONUNBUFFERED leaves one layer out
    if not isinstance(raw, io.FileIO) or raw.closed:
        return None  # Windows' console has an encoding of its own, and is none
    if "\n".encode(stream.encoding or "utf-8") != b"\n":
        return None
    return raw if raw.fileno() in _STANDARD else None


def written(raw: io.FileIO, data: bytes) -> tuple[int, OSError | None]:
    """Write as much as can be; return how many bytes that were, and why not all."""
    size, rest = 0, memoryview(data)
    try:
        while size < len(data) and (taken := raw.write(rest[size:])):
            size += taken
    except OSError as error:
        return size, error
    return size, None
