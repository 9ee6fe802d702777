"""Projects that ``init`` writes, and what is run in them as a user would."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import lab_utils_mt

PACKAGE = Path(lab_utils_mt.__file__).parent
TIMEOUT = 90.0  # seconds; only a hang lasts longer
SERVICE_FILE = "oven.cmd" if sys.platform == "win32" else "oven.service"
FILES = {
    "README.md", "database.ini", "logging.ini", "oven.py", SERVICE_FILE, "server.ini",
    "test_oven.py",
}  # fmt: skip


def environment(**more: str) -> dict[str, str]:
    """Return the environment of a program that has this package installed."""
    return {**os.environ, "PYTHONPATH": str(PACKAGE.parent), "PYTHONDONTWRITEBYTECODE": "1", **more}


def python(*words: str, folder: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a Python program to its end, with these variables in its environment."""
    return subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env=environment(**more),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="replace",  # what is redirected has the encoding of the system
        timeout=TIMEOUT,
        check=False,
    )


def init(name: str, folder: Path) -> tuple[int, str, str]:
    """Run init as a program; return exit status, output and error output."""
    done = python("-m", "lab_utils_mt", "init", name, folder=folder)
    return done.returncode, done.stdout, done.stderr


def write_project(place: Path, name: str) -> Path:
    """Return the folder of a new project."""
    status, _, errors = init(name, place)
    assert (status, errors) == (0, "")
    return place / name


def names_in(folder: Path) -> set[str]:
    """Return what is in a folder."""
    return {path.name for path in folder.iterdir()}
