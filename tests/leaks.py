"""Does a test leave anything behind? Every test is asked."""

from __future__ import annotations

import contextlib
import gc
import os
import socket
import sys
import threading
import uuid
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from daemons import wait_until

if sys.platform != "linux":  # where the system does not tell quickly what a process has open
    _made: weakref.WeakSet[socket.socket] = weakref.WeakSet()
    _make = socket.socket.__init__

    def _note(sock: socket.socket, *args: Any, **more: Any) -> None:
        _make(sock, *args, **more)
        _made.add(sock)

    socket.socket.__init__ = _note  # type: ignore[method-assign]


def open_sockets() -> set[str]:
    """Return the sockets of this process: by inode on Linux, elsewhere those of Python."""
    if sys.platform != "linux":
        return {f"{id(sock)}" for sock in list(_made) if sock.fileno() != -1}
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
        return {f"{child.pid}" for child in psutil.Process().children(recursive=True)}
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
