"""The PID lock, where a locked file can be read and written by nobody else."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from systems import WINE

PROGRAM = Path(__file__).with_name("lock_user.py")
TIMEOUT = 60.0  # seconds; only a hang lasts longer


class Users:
    """Programs that want PID files."""

    def __init__(self) -> None:
        self._processes: list[subprocess.Popen[str]] = []

    def start(self, how: str, path: Path, **more: str) -> tuple[str, subprocess.Popen[str]]:
        """Start one; return its answer, and its process."""
        process = subprocess.Popen(
            [sys.executable, str(PROGRAM), how, str(path)],
            env={**os.environ, **more},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._processes.append(process)
        assert process.stdout is not None
        return process.stdout.readline().strip(), process

    def end(self) -> None:
        """End all of them in order."""
        for process in self._processes:
            process.communicate("" if process.poll() is not None else "\n", timeout=TIMEOUT)
        self._processes.clear()


@pytest.fixture
def users() -> Iterator[Users]:
    """Return what starts programs, which end with the test."""
    started = Users()
    yield started
    started.end()


def test_whoever_writes_into_a_locked_pid_file_is_found_out(users: Users, tmp_path: Path) -> None:
    """The usual way to do it fails here, as it does on every Windows."""
    answer, _ = users.start("writes inside", tmp_path / "server.pid")
    assert answer.startswith("failed: PermissionError(13"), answer


def test_whoever_reads_a_locked_pid_file_is_found_out(users: Users, tmp_path: Path) -> None:
    """The second server cannot ask there who the first one is."""
    path = tmp_path / "server.pid"
    assert users.start("signs inside", path)[0] == "won"

    answer, _ = users.start("reads inside", path)

    assert answer.startswith("failed: PermissionError(13"), answer


@pytest.mark.skipif(not WINE, reason="Windows needs no emulation")
def test_without_the_emulation_wine_finds_nothing(users: Users, tmp_path: Path) -> None:
    """So it is the emulation that shows it, and the tests above can fail."""
    path = tmp_path / "server.pid"
    answer, _ = users.start("writes inside", path, LENIENT="1")
    assert answer == "won"
    assert users.start("signs inside", tmp_path / "other.pid", LENIENT="1")[0] == "won"
    answer, _ = users.start("reads inside", tmp_path / "other.pid", LENIENT="1")
    assert re.fullmatch(r"lost: '\d+'", answer)


def test_the_pid_lock_bears_mandatory_locks(users: Users, tmp_path: Path) -> None:
    """The owner is named to others, and the next one wins when it has gone."""
    path = tmp_path / "server.pid"

    assert users.start("ours", path)[0] == "won"
    owner = path.read_text(encoding="utf-8").strip()
    assert re.fullmatch(r"\d+;\S+", owner)
    assert f"is held by {owner}: stop that server first" in users.start("ours", path)[0]

    users.end()
    assert not path.exists()
    assert users.start("ours", path)[0] == "won"


def test_a_killed_owner_keeps_nobody_away(users: Users, tmp_path: Path) -> None:
    """Its PID file stays behind, and is replaced."""
    path = tmp_path / "server.pid"
    answer, process = users.start("ours", path)
    assert answer == "won"
    process.kill()
    process.wait(TIMEOUT)
    left = path.read_text(encoding="utf-8")

    assert users.start("ours", path)[0] == "won"
    assert path.read_text(encoding="utf-8") != left
