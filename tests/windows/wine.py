"""How is a Windows program run on Linux, with its pitfalls kept away from whoever runs it?

Wine fails with a regular file as standard stream, so there are only pipes, terminals and the null
device here. A Wine server that is started by a program with a pipe keeps the pipe open after it:
:meth:`World.wake` starts one beforehand.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parents[2]

# The genuine C runtime, and none of the dialogues that offer to fetch .NET or a browser.
_OVERRIDES = "ucrtbase=n,b;mscoree=;mshtml="
_FOREIGN = ("DISPLAY", "WAYLAND_DISPLAY", "VIRTUAL_ENV", "TMPDIR")
_MARK = "LAB_UTILS_MT_TEST_RUN"  # what has it must end with its test, see leaks.py
_LINGER = "600"  # seconds that the Wine server stays after the last program
_STARTING = 120.0  # seconds


def find_wine() -> str | None:
    """Return the path of Wine, or None if it or its server is not there."""
    return shutil.which("wine") if shutil.which("wineserver") else None


def variables(prefix: Path) -> dict[str, str]:
    """Return what Wine's programs need in their environment."""
    return {
        "WINEPREFIX": str(prefix),
        "WINEARCH": "win64",
        "WINEDEBUG": "-all",
        "WINEDLLOVERRIDES": _OVERRIDES,
        "DISPLAY": "",
    }


def windows_path(path: Path) -> str:
    """Return how Windows programs name a file of Linux."""
    return "Z:" + str(path.absolute()).replace("/", "\\")


class World:
    """A Windows Python with the packages of the tests, see :mod:`installing`.

    Attributes:
        folder: Where it lies.
        python: Its ``python.exe``.
        site_packages: Where its packages are.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.python = folder / "python" / "python.exe"
        self.site_packages = folder / "python" / "Lib" / "site-packages"

    def environment(self, **more: str) -> dict[str, str]:
        """Return the environment of its programs; the checkout's packages can be imported."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if name not in _FOREIGN and not name.startswith(("PYTHON", "COV_", "COVERAGE", "XDG_"))
        }
        paths = (CHECKOUT, CHECKOUT / "tests", CHECKOUT / "tests" / "windows")
        return {
            **kept,
            **variables(self.folder / "prefix"),
            "PYTHONPATH": ";".join(map(windows_path, paths)),
            "PYTHONDONTWRITEBYTECODE": "1",  # the checkout may belong to a Python of Linux
            **more,
        }

    def command(self, words: Sequence[str]) -> list[str]:
        """Return the command that runs Python with some words."""
        return ["wine", str(self.python), *words]

    def wake(self) -> None:
        """Start what stays in the background, so that no program of a test has to."""
        settings = {k: v for k, v in self.environment().items() if k != _MARK}
        for words in (["wineserver", f"-p{_LINGER}"], ["wine", "cmd", "/c", "ver"]):
            subprocess.run(
                words,
                env=settings,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=_STARTING,
                start_new_session=True,
                check=False,  # the first complains if one runs; a program will show the rest
            )

    def start(
        self, words: Sequence[str], more: Mapping[str, str] | None = None, **options: Any
    ) -> subprocess.Popen[bytes]:
        """Start Python; by default its output and its errors are in one pipe."""
        streams = {
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.STDOUT,
        }
        environment = self.environment(**(more or {}))
        return subprocess.Popen(self.command(words), env=environment, **{**streams, **options})

    def run(
        self, words: Sequence[str], more: Mapping[str, str] | None = None, timeout: float = 120.0
    ) -> tuple[int, str]:
        """Run Python to its end; return its exit status and what it printed.

        Raises:
            subprocess.TimeoutExpired: It took too long, and was killed.
        """
        with self.start(words, more) as process:
            try:
                output, _ = process.communicate(timeout=timeout)
            except BaseException:
                process.kill()
                raise
        return process.returncode, output.decode("utf-8", "replace").replace("\r\n", "\n")
