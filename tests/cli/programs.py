"""Programs that the tests run as a user would, and what is left of them afterwards."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from systems import WINE, own_words

import lab_utils_mt

TIMEOUT = 90.0  # seconds; only a hang lasts longer
_PACKAGE = str(Path(lab_utils_mt.__file__).parents[1])
_TEMPORARY = ("TMPDIR", "TEMP", "TMP")
# Windows has no signals: the exit status is what the killer says.
KILLED = 1 if sys.platform == "win32" else -signal.SIGKILL


class World:
    """A place for temporary files of its own, by which all processes of a test are known.

    Attributes:
        database: Options of a demo, none if it starts a PostgreSQL of its own.

    Args:
        folder: The place.
        dsn: The database for demos; they start one of their own if it is empty.
    """

    def __init__(self, folder: Path, dsn: str) -> None:
        self.folder = folder
        self.database = ["--dsn", dsn] if dsn else []
        self.environment = {
            **os.environ,
            "PYTHONPATH": _PACKAGE,
            **dict.fromkeys(_TEMPORARY, str(folder)),
            "FORCE_COLOR": "1",  # must not matter for a file
        }

    def start(self, *words: str, **options: object) -> Program:
        """Start a Python program."""
        return Program([sys.executable, *words], self.environment, options)

    def demo(self, *words: str, **options: object) -> Program:
        """Start the demo."""
        return self.start("-m", "lab_utils_mt", "demo", *self.database, *words, **options)

    def processes(self) -> list[psutil.Process]:
        """Return what still runs."""
        return [process for process in psutil.process_iter() if self._is_ours(process)]

    def _is_ours(self, process: psutil.Process) -> bool:
        with contextlib.suppress(psutil.Error, OSError):
            command = " ".join(process.cmdline())
            return str(self.folder) in command or (
                process.environ().get(_TEMPORARY[0]) == str(self.folder)
            )
        return False

    def files(self) -> list[str]:
        """Return what still lies there; the runtime folder may."""
        names = [path.name for path in self.folder.iterdir()]
        return [name for name in names if not name.startswith("runtime-")]

    def wait_until_no_process(self) -> None:
        """Fail if a process stays."""
        deadline = time.monotonic() + 20.0
        while left := self.processes():
            assert time.monotonic() < deadline, f"left behind: {left}"
            time.sleep(0.05)

    def remove_pid_folder(self) -> None:
        """Remove what nobody can remove after a ``kill -9``."""
        for folder in self.folder.glob("lab_utils_mt-demo-*"):
            shutil.rmtree(folder)

    @staticmethod
    def remove(path: str) -> None:
        """Remove a file or a folder."""
        if Path(path).is_dir():
            shutil.rmtree(path)
        else:
            Path(path).unlink()

    def wait_until_empty(self) -> None:
        """Fail if a process or a file stays."""
        deadline = time.monotonic() + 20.0
        while self.processes() or self.files():
            left = f"{self.processes()} {self.files()}"
            assert time.monotonic() < deadline, f"left behind: {left}"
            time.sleep(0.05)


class Program:
    """A running program, in a process group of its own."""

    def __init__(
        self, command: list[str], environment: dict[str, str], options: dict[str, object]
    ) -> None:
        self.output = self._shown = ""
        self._errors = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115
        streams: dict[str, Any] = {
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.PIPE,
            # Not a pipe: nobody reads it while the output is read, and it would fill up.
            "stderr": self._errors,
        }
        self._process = subprocess.Popen(
            command, env=environment, text=True, start_new_session=True, **(streams | options)
        )
        self.pid = self._process.pid
        self._watch = threading.Timer(TIMEOUT, self._process.kill)
        self._watch.daemon = True
        self._watch.start()

    def wait_for(self, text: str) -> None:
        """Wait until a line with ``text`` was written."""
        assert self._process.stdout is not None
        while text not in self.output:
            line = self._process.stdout.readline()
            assert line, f"no {text!r} came, but {self.output}"
            self.output += line

    def interrupt(self) -> None:
        """Do what a terminal does when somebody presses Ctrl-C."""
        os.killpg(self.pid, signal.SIGINT)

    def kill(self) -> None:
        """Do what cannot be handled."""
        self._process.kill()

    def close_output(self) -> None:
        """Do what ``| head -1`` does."""
        assert self._process.stdout is not None
        self._process.stdout.close()

    def wait(self) -> int:
        """Return the exit status of a program whose output goes elsewhere."""
        status = self._process.wait()
        self._watch.cancel()
        self._watch.join()
        with self._errors as file:
            file.seek(0)
            self._shown = own_words(file.read())
        return status

    def finish(self) -> tuple[int, str, str]:
        """Return exit status, output and error output."""
        assert self._process.stdout is not None
        if not self._process.stdout.closed:
            self.output += self._process.stdout.read()
            self._process.stdout.close()
        status = self.wait()
        return status, self.output, self._shown


@pytest.fixture
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """Return a place that must be empty again at the end."""
    dsn = request.getfixturevalue("postgres_dsn") if WINE else ""
    # Not tmp_path: as root, PostgreSQL's own user must get in, and its socket needs a short path.
    folder = Path(tempfile.mkdtemp(prefix="lab-"))
    folder.chmod(0o755)
    try:
        place = World(folder, dsn)
        yield place
        place.wait_until_empty()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
