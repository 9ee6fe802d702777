"""Does a test leave anything behind? Every test is asked."""

from __future__ import annotations

import contextlib
import gc
import os
import sys
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from daemons import wait_until


def open_sockets() -> set[str]:
    """Return the sockets of this process by inode; nothing where the system does not tell."""
    if sys.platform != "linux":
        return set()
    found = set()
    for entry in Path("/proc/self/fd").iterdir():
        try:
            target = str(entry.readlink())
        except FileNotFoundError:  # the one that iterdir() itself had open
            continue
        if target.startswith("socket:"):
            found.add(target)
    return found


# Whatever a test starts has this in its environment, also if it became a daemon.
os.environ.setdefault("LAB_UTILS_MT_TEST_RUN", uuid.uuid4().hex)


def own_processes() -> set[str]:
    """Return the processes of this test run, but for the parts of a running PostgreSQL."""
    if sys.platform != "linux":
        return set()
    mark = f"LAB_UTILS_MT_TEST_RUN={os.environ['LAB_UTILS_MT_TEST_RUN']}\0".encode()
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended, or is somebody else's
            part_of_postgres = (folder / "cmdline").read_bytes().startswith(b"postgres: ")
            if mark in (folder / "environ").read_bytes() + b"\0" and not part_of_postgres:
                found.add(folder.name)
    return found - {str(os.getpid())}


@pytest.fixture(autouse=True)
def nothing_left_behind(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that leaves a thread, a socket or a process."""
    # What lasts for the session is there before, and is allowed to stay.
    for name in request.fixturenames:
        if name in {"postgres_dsn", "original"}:
            request.getfixturevalue(name)
    threads, sockets = set(threading.enumerate()), open_sockets()
    processes = own_processes()
    yield
    gc.collect()
    wait_until(lambda: not set(threading.enumerate()) - threads, "the end of all threads")
    wait_until(lambda: not open_sockets() - sockets, "the end of all sockets")
    wait_until(lambda: not own_processes() - processes, "the end of all processes")
