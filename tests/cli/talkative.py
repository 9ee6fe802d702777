"""A server with all that a shell can complete, and the shell as a user sees it."""

from __future__ import annotations

import contextlib
import enum
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from systems import NO_PTY

import lab_utils_mt
from lab_utils_mt.commands import Meta, Unit, command, poll
from lab_utils_mt.socket_comm import Server

if sys.platform != "win32":
    import pty

TIMEOUT = 30.0  # seconds; only a hang lasts longer

# Ctrl-C reaches a program only from its controlling terminal.
_AT_A_TERMINAL = """
import fcntl, runpy, struct, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
runpy.run_module("lab_utils_mt", run_name="__main__", alter_sys=True)
"""


class Mode(enum.Enum):
    FAST = "fast"
    SLOW = "slow"


class Cryostat(Server):
    """A cryostat with two stages."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.waiting = threading.Semaphore(0)
        self.gate = threading.Event()
        super().__init__(*args, **kwargs)

    @command
    def set_temperature(
        self,
        kelvin: Annotated[float, Meta(ge=0, le=300), Unit("K")],
        *,
        ramp: Annotated[float, Meta(ge=0), Unit("K/min")] = 0.0,
        mode: Mode = Mode.FAST,
        quick: bool = False,
    ) -> float:
        """Set the target temperature.

        Args:
            kelvin: Target.
            ramp: How fast; 0 jumps.
        """
        return kelvin

    @command
    def choose(self, stage: Literal["still", "50K plate"], on: bool, names: list[Mode]) -> str:
        """Choose a stage."""
        return stage

    @command
    def blob(self) -> bytes:
        """Send all bytes."""
        return bytes(range(256))

    @command
    def escape(self) -> str:
        """Try to drive the terminal."""
        return "\x1b[31mred"

    @command
    def wait(self) -> str:
        """Wait for the test."""
        self.waiting.release()
        self.gate.wait(TIMEOUT)
        return "waited"

    @poll(every=0.05)
    def sensor(self) -> Annotated[float, Unit("K")]:
        """The sensor."""
        return 4.25


def environment(state: Path) -> dict[str, str]:
    """Return the environment of a shell whose history lies in a folder."""
    return {
        **os.environ,
        "PYTHONPATH": str(Path(lab_utils_mt.__file__).parents[1]),
        "XDG_STATE_HOME": str(state),
        "TERM": "xterm",
        "PROMPT_TOOLKIT_NO_CPR": "1",
    }


class Terminal:
    """The whole program at a pseudo-terminal."""

    def __init__(self, state: Path, *words: str) -> None:
        if sys.platform == "win32":
            pytest.skip(NO_PTY)
        self._master, slave = pty.openpty()
        self.text = ""
        self._process = subprocess.Popen(
            [sys.executable, "-c", _AT_A_TERMINAL, *words],
            env=environment(state),
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)

    def type(self, keys: str) -> None:
        """Press keys."""
        os.write(self._master, keys.encode())

    def wait_for(self, text: str) -> str:
        """Wait until the terminal shows a text after what was shown before; return all up to it."""
        deadline = time.monotonic() + TIMEOUT
        while text not in self.text:
            assert time.monotonic() < deadline, f"no {text!r}, but {self.text!r}"
            if select.select([self._master], [], [], 0.1)[0]:
                self.text += os.read(self._master, 65536).decode("utf-8", "replace")
        before, _, self.text = self.text.partition(text)
        return before

    def finish(self) -> int:
        """Read to the end; return the exit status."""
        with contextlib.suppress(OSError):  # Linux: the other end is closed
            while data := os.read(self._master, 65536):
                self.text += data.decode("utf-8", "replace")
        return self._process.wait(TIMEOUT)

    def close(self) -> None:
        """End it, whatever it does."""
        self._process.kill()
        self._process.wait(TIMEOUT)
        os.close(self._master)


@contextlib.contextmanager
def terminal(state: Path, *words: str) -> Iterator[Terminal]:
    """Run the program at a terminal within a ``with`` block."""
    shown = Terminal(state, *words)
    try:
        yield shown
    finally:
        shown.close()
