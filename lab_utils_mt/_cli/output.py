"""How does a command write, whatever its output is: a terminal, a file, a pipe, or nothing?"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TextIO, cast

if sys.platform == "win32":
    import errno
    import io
    from typing import Any

    class _Pipe(io.FileIO):
        """The standard output; Windows says of a pipe without a reader that it is invalid."""

        def write(self, data: Any) -> int:
            try:
                return super().write(data)
            except OSError as error:
                if error.errno != errno.EINVAL:
                    raise
                raise BrokenPipeError(errno.EPIPE, "nobody reads the output") from error

    def _with_broken_pipes(stream: TextIO) -> TextIO:
        """Return a stream to the same place, whose pipe breaks as on other systems."""
        buffer = getattr(stream, "buffer", None)
        raw = getattr(buffer, "raw", buffer)  # PYTHONUNBUFFERED leaves one layer out
        if type(raw) is not io.FileIO:  # a console, or what stands in for one
            return stream
        stream.flush()
        pipe: Any = _Pipe(raw.fileno(), "w", closefd=False)
        is_direct = raw is buffer
        below = pipe if is_direct else io.BufferedWriter(pipe)
        return io.TextIOWrapper(below, stream.encoding, stream.errors, write_through=is_direct)


def mend_output() -> None:
    """Let the standard streams be there, take any text, and tell when nobody reads on."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by the caller, or pythonw
            nowhere = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115  (for good)
            setattr(sys, name, nowhere)
    # Not of a stream that was opened above: it would close with the object that is replaced.
    if sys.platform == "win32" and sys.stdout is sys.__stdout__:
        sys.stdout = _with_broken_pipes(cast("TextIO", sys.stdout))
    # A redirected output has the encoding of the system, which may lack a letter of some path.
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="backslashreplace")
