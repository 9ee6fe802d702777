"""Programs on Windows are watched to the end of all that they started, and failures fail."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from streaming import stream
from suite import Suite
from wine import World

pytestmark = pytest.mark.timeout(300)  # it takes longer to start a process there
SLEEPER = "[sys.executable, '-c', 'import time; time.sleep(300)']"
LEAVES = f"import subprocess, sys; subprocess.Popen({SLEEPER}); print('gone'); sys.exit(7)"
HANGS = f"import subprocess, sys; print('hangs', flush=True); subprocess.run({SLEEPER})"
FAILS = """
import sys
def test_on_windows(): assert sys.platform == "win32"
def test_that_fails(): assert 1 == 2
"""


FAILS_ONCE = """
from pathlib import Path
def test_that_fails_once():
    been = Path(__file__).with_name("been")
    if not been.exists():
        been.touch()
        raise RuntimeError("the first time")
"""


def test_what_a_program_leaves_is_ended(world: World) -> None:
    """It holds the output open, and is named; the exit status stays."""
    said: list[str] = []
    ended = stream(world, ["-c", LEAVES], said.append, 120)
    assert (ended.status, ended.is_late, said) == (7, False, ["gone"])
    assert len(ended.left) == 1
    assert "time.sleep(300)" in ended.left[0]


def test_a_program_that_hangs_is_ended(world: World) -> None:
    """With what it started."""
    said: list[str] = []
    started = time.monotonic()
    ended = stream(world, ["-c", HANGS], said.append, 15)
    assert ended.is_late
    assert time.monotonic() - started < 100
    assert said == ["hangs"]


def test_a_failure_on_windows_is_a_failure_here(world: World, tmp_path: Path) -> None:
    """The tests run there, and each is counted."""
    (tmp_path / "tests").mkdir()
    file = tmp_path / "tests" / "test_it.py"
    file.write_text(FAILS, encoding="utf-8")
    said: list[str] = []
    result = Suite(world, 120, said.append, {}, tmp_path).run([[file]], 2)
    assert result.passed == 1, said
    assert len(result.failed) == 1
    assert "test_that_fails" in result.failed[0]


def test_a_failure_that_does_not_come_again_is_told(world: World, tmp_path: Path) -> None:
    """All tests share one server of Wine: what passes alone has not failed."""
    (tmp_path / "tests").mkdir()
    file = tmp_path / "tests" / "test_it.py"
    file.write_text(FAILS_ONCE, encoding="utf-8")
    said: list[str] = []
    result = Suite(world, 120, said.append, {}, tmp_path).run([[file]], 2)
    assert (result.passed, result.failed) == (1, []), said
    assert [line for line in said if line.startswith("passed when it ran alone: ")]
