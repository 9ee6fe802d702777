"""Who removes a temporary server whose owner was killed?

Run as a program of its own, with nothing but the standard library::

    python watchdog.py PG_CTL SYSTEM_USER FOLDER

It waits for the end of its input. A word on it means that the owner has done the work itself; an
end without a word means that the owner is dead: the server is stopped and its folder removed. The
owner may have died while the folder was being filled, before there was a server.
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
_CALM = 2.0  # seconds; a program that the owner left behind would make the folder anew in less
_PATIENCE = 60.0  # seconds
_SOCKET_LINE = 4  # of postmaster.pid, from 0
_PREFIX = "lab_utils_mt-"


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


def socket_folder(folder: str) -> str:
    """Return the folder that was made for the server's socket alone, or nothing."""
    with contextlib.suppress(OSError, IndexError):
        with open(f"{folder}/postmaster.pid", encoding="utf-8") as file:  # noqa: PTH123  (see below)
            place = file.read().splitlines()[_SOCKET_LINE]
        if place != folder and os.path.basename(place).startswith(_PREFIX):  # noqa: PTH119
            return place
    return ""


def clean_up(pg_ctl: str, user: str, folder: str) -> None:
    """Stop the server and remove its folder, until it stays away.

    On Windows a file may be held for some moments after its user is gone.
    """
    gone, deadline = 0.0, time.monotonic() + _PATIENCE
    while gone < _CALM and time.monotonic() < deadline:
        if os.path.exists(folder):  # noqa: PTH110  (pathlib would double the start-up time)
            gone, elsewhere = 0.0, socket_folder(folder)
            stop(pg_ctl, user, folder)
            for place in filter(None, (folder, elsewhere)):
                shutil.rmtree(place, ignore_errors=True)
        time.sleep(0.1)
        gone += 0.1


def main(pg_ctl: str, user: str, folder: str) -> None:
    """Wait, and clean up if nobody else did."""
    if owner_has_finished():
        return
    clean_up(pg_ctl, user, folder)


if __name__ == "__main__":
    main(*sys.argv[1:])
