"""A program that wants a PID file for itself: ``lock_user.py HOW PATH``.

It answers with one line, ``won``, ``lost: TEXT`` or ``failed: ERROR``, and ends at the next line of
its input. Under Wine, locks are made mandatory first, unless ``LENIENT`` is set.

ours: with the PID lock of this package.
writes inside: locks the PID file itself, and writes into it as one does elsewhere.
signs inside: writes into the PID file, and locks it then.
reads inside: asks a locked PID file who its owner is.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import fasteners
from systems import WINE

from lab_utils_mt._process.pid_lock import PidLock
from lab_utils_mt.exceptions import LockError

if sys.platform != "win32":
    raise SystemExit("lock_user.py is for Windows")

import msvcrt

_kept: list[object] = []  # a lock that is collected is not held any more


def ours(path: str) -> str:
    """Acquire the PID lock."""
    lock = PidLock(path)
    try:
        lock.acquire()
    except LockError as error:
        return f"lost: {error}"
    _kept.append(lock)
    return "won"


def writes_inside(path: str) -> str:
    """Lock a file, then write the PID into it by its name."""
    lock = fasteners.InterProcessLock(path)
    if not lock.acquire(blocking=False):
        return f"lost: {path}"
    _kept.append(lock)
    Path(path).write_text(f"{os.getpid()}", encoding="ascii")
    return "won"


def signs_inside(path: str) -> str:
    """Write the PID into a file, then lock its first byte."""
    file = Path(path).open("w+b", buffering=0)  # noqa: SIM115 - it is held until the end
    file.write(str(os.getpid()).encode())
    file.seek(0)  # the lock begins there
    msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    _kept.append(file)
    return "won"


def reads_inside(path: str) -> str:
    """Read the PID from a locked file."""
    return f"lost: {Path(path).read_text(encoding='ascii')!r}"


def main() -> None:
    """Answer, and wait for the end."""
    how, path = sys.argv[1:]
    ways: dict[str, Callable[[str], str]] = {
        "ours": ours,
        "writes inside": writes_inside,
        "signs inside": signs_inside,
        "reads inside": reads_inside,
    }
    if WINE and not os.environ.get("LENIENT"):
        import mandatory_locks

        mandatory_locks.install()
    try:
        answer = ways[how](path)
    except OSError as error:
        answer = f"failed: {error!r}"
    sys.stdout.write(f"{answer}\n")
    sys.stdout.flush()
    sys.stdin.readline()
    for lock in _kept:
        if isinstance(lock, PidLock):
            lock.release()


if __name__ == "__main__":
    main()
