"""What happens when somebody types at a Windows console?

Wine gives a program a console if its standard streams are a terminal: here one that the test holds
the other end of.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator, Sequence

from wine import World

if sys.platform == "win32":
    raise ImportError("this terminal is made on Linux")

CTRL_C = "\x03"
_SIZE = struct.pack("HHHH", 50, 200, 0, 0)  # rows and columns
# What a console writes besides the text: colours, cursor, title.
_CODES = re.compile(r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|\][^\x07]*\x07|[()][AB0]|[=>78])")


class Console:
    """A Windows program at a console.

    Attributes:
        raw: All that came to the screen so far.
    """

    def __init__(self, world: World, words: Sequence[str], **more: str) -> None:
        self.raw = ""
        self._master, terminal = pty.openpty()
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, _SIZE)
        try:
            self.process = subprocess.Popen(
                # Ctrl-C is for the terminal that is *the* terminal of a session.
                ["setsid", "--ctty", *world.command(words)],
                env=world.environment(TERM="xterm", **more),
                stdin=terminal,
                stdout=terminal,
                stderr=terminal,
            )
        finally:
            os.close(terminal)

    @property
    def text(self) -> str:
        """What a person sees: without codes, in the order of its coming."""
        return _CODES.sub("", self.raw).replace("\r", "")

    def type(self, keys: str) -> None:
        """Press some keys."""
        os.write(self._master, keys.encode())

    def wait_for(self, pattern: str, timeout: float = 60.0) -> str:
        """Wait until a pattern came to the screen; return its last group, or all of it."""
        deadline = time.monotonic() + timeout
        while (found := re.search(pattern, self.text)) is None:
            left = deadline - time.monotonic()
            assert left > 0, f"no {pattern!r} in {timeout} s, but {self.text!r}"
            assert self._read(left), f"it ended without {pattern!r}: {self.text!r}"
        return found[found.lastindex or 0]

    def finish(self, timeout: float = 60.0, copy: bool = False) -> int:
        """Wait for the program's end; return its exit status."""
        deadline = time.monotonic() + timeout
        while self._read(deadline - time.monotonic(), copy):
            assert time.monotonic() < deadline, f"it does not end: {self.text!r}"
        return self.process.wait(max(0.1, deadline - time.monotonic()))

    def _read(self, seconds: float, copy: bool = False) -> bool:
        """Take in what comes within some time; False at the end."""
        if not select.select([self._master], [], [], max(0.0, min(seconds, 0.1)))[0]:
            return True
        data = b""
        with contextlib.suppress(OSError):  # how the end of a terminal is told
            data = os.read(self._master, 65536)
        self.raw += data.decode("utf-8", "replace")
        if copy:
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
        return bool(data)

    def close(self) -> None:
        """End the program, whatever it does."""
        self.process.kill()
        self.process.wait()
        os.close(self._master)


@contextlib.contextmanager
def console(world: World, *words: str, **more: str) -> Iterator[Console]:
    """Run a Windows program at a console within a ``with`` block."""
    shown = Console(world, words, **more)
    try:
        yield shown
    finally:
        shown.close()
