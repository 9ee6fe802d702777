"""Does a test leave anything behind? Every test is asked."""

from __future__ import annotations

import gc
import sys
import threading
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


def child_processes() -> set[str]:
    """Return the running children of this process."""
    if sys.platform != "linux":
        return set()
    found: set[str] = set()
    for task in Path("/proc/self/task").iterdir():
        try:
            found.update((task / "children").read_text().split())
        except OSError:  # the thread has ended
            continue
    return found


@pytest.fixture(autouse=True)
def nothing_left_behind(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that leaves a thread, a socket or a process."""
    # What lasts for the session is there before, and is allowed to stay.
    for name in request.fixturenames:
        if name in {"postgres_dsn", "original"}:
            request.getfixturevalue(name)
    threads, sockets = set(threading.enumerate()), open_sockets()
    children = child_processes()
    yield
    gc.collect()
    wait_until(lambda: not set(threading.enumerate()) - threads, "the end of all threads")
    wait_until(lambda: not open_sockets() - sockets, "the end of all sockets")
    wait_until(lambda: not child_processes() - children, "the end of all processes")
