"""What the tests of two worlds get: a Windows Python on Linux, and programs in it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from daemon_there import Daemon
    from wine import World

# On Windows there is one world only; on Linux, what Windows itself shows is not to be seen.
collect_ignore_glob = ["test_from_linux_*.py" if sys.platform == "win32" else "test_native_*.py"]

MISSING = "no Wine"
NOT_INSTALLED = "no Wine world yet: python tests/windows/world.py install makes it"


@pytest.fixture(scope="session")
def world() -> World:
    """Return the Windows world; the test is skipped if there is none."""
    from installing import installed
    from wine import find_wine

    if find_wine() is None:
        pytest.skip(MISSING)
    found = installed()
    if found is None:
        pytest.skip(NOT_INSTALLED)
    found.wake()
    return found


@pytest.fixture
def daemon(world: World, tmp_path: Path) -> Iterator[Daemon]:
    """Return a daemon that runs on Windows, and is to stop in order at the end of the test."""
    from daemon_there import Daemon

    running = Daemon(world, tmp_path / "bench.pid")
    try:
        yield running
        assert running.stop() == 0, running.text
    finally:
        running.close()


@pytest.fixture(scope="module")
def postgres_on_a_port() -> Iterator[str]:
    """Return the connection string of a PostgreSQL on Linux that Windows can reach."""
    from postgres import postgres_on_tcp

    with postgres_on_tcp() as dsn:
        yield dsn
