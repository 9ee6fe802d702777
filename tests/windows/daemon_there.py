"""How does a test on Linux have a daemon on Windows?"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import cast

from daemons import Line
from wine import World, windows_path

from lab_utils_mt.socket_comm import Server

PROGRAM = Path(__file__).with_name("windows_daemon.py")
TIMEOUT = 60.0  # seconds; only a hang lasts longer


class Daemon:
    """A ``windows_daemon.py`` that runs on Windows.

    Attributes:
        port: Where it listens.
    """

    def __init__(
        self,
        world: World,
        pid_file: Path,
        port: int = 0,
        more: Mapping[str, str] | None = None,
    ) -> None:
        self.pid_file = pid_file
        self._lines: list[str] = []
        words = [windows_path(PROGRAM), windows_path(pid_file), str(port)]
        self._process = world.start(words, more)
        self._reader = threading.Thread(target=self._read, name="reader of a daemon's output")
        self._reader.start()
        try:
            self.port = int(self.wait_for("listening ").split()[-1])
        except BaseException:
            self.close()
            raise

    @property
    def text(self) -> str:
        """All that it printed so far."""
        return "\n".join(self._lines)

    def _read(self) -> None:
        for line in self._process.stdout or ():
            self._lines.append(line.decode("utf-8", "replace").rstrip())

    def wait_for(self, start: str) -> str:
        """Return the first line with such a start, once it was printed."""
        deadline = time.monotonic() + TIMEOUT
        while True:
            for line in list(self._lines):
                if line.startswith(start):
                    return line
            assert self._reader.is_alive(), f"it ended without {start!r}: {self.text}"
            assert time.monotonic() < deadline, f"no {start!r} in {TIMEOUT} s, but {self.text}"
            time.sleep(0.01)

    def line(self) -> Line:
        """Return a new connection."""
        return Line(cast("Server", self))  # of which it needs the port only

    def ask(self, text: str) -> str:
        """Return the reply to one message of a client of its own."""
        with self.line() as line:
            return line.ask(text)

    def status(self) -> str:
        """Return what the daemon says of itself."""
        with self.line() as line:
            line.send(b"status\n")
            line.sock.shutdown(1)
            return line.rest().decode()

    def stop(self) -> int:
        """Let it stop in order; return the exit status."""
        self.ask("quit")
        status = self._process.wait(TIMEOUT)
        self._reader.join(TIMEOUT)
        return status

    def kill(self) -> None:
        """End it without warning."""
        self._process.kill()
        self._process.wait(TIMEOUT)

    def close(self) -> None:
        """End it, whatever it does."""
        self.kill()
        self._reader.join(TIMEOUT)
        if self._process.stdout is not None:
            self._process.stdout.close()
