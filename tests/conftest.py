"""What every test gets; more is in postgres.py (the database) and leaks.py (what is left)."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from daemons import Stage, serving

pytest_plugins = ["canaries", "leaks", "original", "postgres"]

# A shell lets what it starts in the background ignore Ctrl-C, and all that this starts, too.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def pid_file(tmp_path: Path) -> Iterator[str]:
    """Return a path for a PID file that no other test has; none may be left."""
    path = tmp_path / "server.pid"
    yield str(path)
    assert not path.exists(), "the PID file was left behind"


@pytest.fixture
def stage(pid_file: str) -> Iterator[Stage]:
    """Return a server that is running."""
    with serving(Stage(pid_file_name=pid_file, port=0)) as server:
        yield server
        server.gate.set()
