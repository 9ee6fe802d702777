"""Who removes a temporary server whose owner was killed?

Run as a program of its own, with nothing but the standard library::

    python watchdog.py PG_CTL SYSTEM_USER FOLDER

It waits for the end of its input. A word on it means that the owner has done the work itself; an
end without a word means that the owner is dead: the server is stopped and its folder removed.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import subprocess
import sys
import time
from typing import Any

_LOOK = 0.5  # seconds
_STOP_TIMEOUT = 10  # seconds


def owner_has_finished() -> bool:
    """Wait for the owner's word (True) or its death (False)."""
    if sys.platform != "win32":
        # A forked child of the owner keeps the pipe open, but cannot keep the owner alive.
        owner = os.getppid()
        while not select.select([0], [], [], _LOOK)[0]:
            if os.getppid() != owner:
                return False
    return bool(os.read(0, 1))


def stop(pg_ctl: str, user: str, folder: str) -> None:
    """Stop a server at once; its files will be thrown away."""
    options: dict[str, Any] = {"user": user} if user else {}
    command = [pg_ctl, "-D", folder, "-m", "immediate", "-w", "-t", str(_STOP_TIMEOUT), "stop"]
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        subprocess.run(  # noqa: S603  (our own program and folder)
            command,
            check=False,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=2 * _STOP_TIMEOUT,
            **options,
        )


def remove(folder: str) -> None:
    """Remove a folder; on Windows a file may be held for some moments after its user is gone."""
    for _ in range(20):
        shutil.rmtree(folder, ignore_errors=True)
        if not os.path.exists(folder):  # noqa: PTH110  (pathlib would double the start-up time)
            return
        time.sleep(0.1)


def main(pg_ctl: str, user: str, folder: str) -> None:
    """Wait, and clean up if nobody else did."""
    if owner_has_finished():
        return
    stop(pg_ctl, user, folder)
    remove(folder)


if __name__ == "__main__":
    main(*sys.argv[1:])
