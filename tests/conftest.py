"""What every test gets; more is in postgres.py (the database) and leaks.py (what is left)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from daemons import Stage, serving

pytest_plugins = ["leaks", "original", "postgres"]


@pytest.fixture
def pid_file(tmp_path: Path) -> str:
    """Return a path for a PID file that no other test has."""
    return str(tmp_path / "server.pid")


@pytest.fixture
def stage(pid_file: str) -> Iterator[Stage]:
    """Return a server that is running."""
    with serving(Stage(pid_file_name=pid_file, port=0)) as server:
        yield server
        server.gate.set()
