"""How is a PostgreSQL server process started in a folder, found again, and stopped?"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .errors import DatabaseUnavailable

_START_TIMEOUT = 300  # seconds: recovery after a crash can take that long
_STOP_TIMEOUT = 60  # seconds
_LONGEST_SOCKET_PATH = 103  # bytes that every system allows; Linux allows 107
_SOCKET_NAME = ".s.PGSQL.5432"
_PREFIX = "lab_utils_mt-"

# Lines of postmaster.pid, from 0.
_PORT_LINE, _SOCKET_LINE, _HOST_LINE = 3, 4, 5


def remove_folder(folder: Path) -> None:
    """Remove a folder; on Windows a file may be held for some moments after its user is gone."""
    deadline = time.monotonic() + 5.0
    while True:
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists() or time.monotonic() > deadline:
            return
        time.sleep(0.1)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def _suits_a_socket(folder: Path) -> bool:
    # The server, and libpq, take a comma for the end of one path and the begin of another.
    path = os.fsencode(folder / _SOCKET_NAME)
    return len(path) <= _LONGEST_SOCKET_PATH and not set(b',"$`\\') & set(path)


def _apart() -> dict[str, Any]:
    """Return what lets a program be spared Ctrl-C at the terminal, and open no window."""
    if sys.platform == "win32":
        flags = subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW
        return {"creationflags": flags}
    return {"start_new_session": True}


class Postmaster:
    """The server process of one data folder.

    Args:
        folder: The data folder, initialised.
        programs: Where ``pg_ctl`` is.
        system_user: Who runs the server, if not this process's own user.
    """

    def __init__(self, folder: Path, programs: Path, system_user: str | None) -> None:
        self.folder = folder
        self.system_user = system_user
        self.pg_ctl = programs / ("pg_ctl.exe" if sys.platform == "win32" else "pg_ctl")

    def _lines(self) -> list[str]:
        """Return the lines of the server's own PID file."""
        with contextlib.suppress(OSError):
            return (self.folder / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        return []

    def is_running(self) -> bool:
        """Ask ``pg_ctl``, which knows a stale PID file from a running server."""
        return self._pg_ctl("status").returncode == 0

    def address(self) -> tuple[str, int]:
        """Return the host (or the folder of the unix socket) and the port of the server."""
        lines = self._lines()
        if len(lines) <= _HOST_LINE:
            raise DatabaseUnavailable(f"the embedded PostgreSQL in {self.folder} is not running")
        return lines[_SOCKET_LINE] or lines[_HOST_LINE], int(lines[_PORT_LINE])

    def start(self) -> None:
        """Start the server unless it runs already, and wait until it accepts sessions."""
        if self.is_running():
            return
        log = str(self.folder / "log")
        wait = ["-w", "-t", str(_START_TIMEOUT)]
        done = self._pg_ctl("start", *wait, "-l", log, "-o", self._listen_options())
        if done.returncode != 0:
            raise DatabaseUnavailable(
                f"the embedded PostgreSQL in {self.folder} did not start: {self._last_words()}"
            )

    def stop(self) -> None:
        """Stop the server; open sessions are ended, their transactions rolled back."""
        lines = self._lines()
        if self.is_running():
            wait = ["-w", "-t", str(_STOP_TIMEOUT)]
            if self._pg_ctl("stop", "-m", "fast", *wait).returncode != 0:
                self._pg_ctl("stop", "-m", "immediate", *wait)
        if len(lines) > _SOCKET_LINE:  # perhaps chosen by another process
            self._remove_socket_folder(Path(lines[_SOCKET_LINE]))

    def explain_failure(self, what: str, action: Callable[[], None]) -> None:
        """Run ``action``, and tell a failed program from a fault of ours."""
        try:
            action()
        except (OSError, subprocess.SubprocessError) as error:
            raise DatabaseUnavailable(
                f"cannot {what} the embedded PostgreSQL in {self.folder}: {error}"
            ) from error

    def _listen_options(self) -> str:
        if sys.platform == "win32":
            return f"-h 127.0.0.1 -p {_free_port()}"
        return f"-h '' -p 5432 -k {shlex.quote(str(self._choose_socket_folder()))}"

    def _choose_socket_folder(self) -> Path:
        if _suits_a_socket(self.folder):
            return self.folder
        for place in (tempfile.gettempdir(), "/tmp"):  # noqa: S108  (mkdtemp makes it private)
            if not _suits_a_socket(Path(place) / (_PREFIX + "x" * 8)):
                continue
            short = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=place))
            if self.system_user:
                shutil.chown(short, self.system_user)
            return short
        raise DatabaseUnavailable(
            f"neither {self.folder} nor the folder for temporary files can hold a unix socket: use"
            " a short path without a comma, or set TMPDIR to one"
        )

    def _remove_socket_folder(self, folder: Path) -> None:
        if folder != self.folder and folder.name.startswith(_PREFIX):
            remove_folder(folder)

    def _last_words(self) -> str:
        with contextlib.suppress(OSError):
            text = (self.folder / "log").read_text(encoding="utf-8", errors="replace")
            return "; ".join(text.splitlines()[-5:])
        return "it left no log"

    def _pg_ctl(self, command: str, *options: str) -> subprocess.CompletedProcess[bytes]:
        more = _apart()
        if self.system_user:
            more["user"] = self.system_user
        return subprocess.run(  # noqa: S603  (our own program)
            [str(self.pg_ctl), command, "-D", str(self.folder), *options],
            check=False,
            cwd=self.folder.anchor,
            stdin=subprocess.DEVNULL,
            # Not pipes: the server inherits them, and reading them would never end.
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=_START_TIMEOUT + 30,
            **more,
        )


class Watchdog:
    """A process that removes a temporary server when this process dies without doing so."""

    def __init__(self, postmaster: Postmaster) -> None:
        script = str(Path(__file__).with_name("watchdog.py"))
        command = [sys.executable, "-I", "-S", script, str(postmaster.pg_ctl)]
        self._process = subprocess.Popen(  # noqa: S603  (our own program)
            [*command, postmaster.system_user or "", str(postmaster.folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=postmaster.folder.anchor,
            **_apart(),
        )

    def disarm(self) -> None:
        """Send it home: the work is done."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.write(b".")
            self._process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(10)
