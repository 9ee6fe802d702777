"""A daemon at whose console somebody presses Ctrl-Break: ``break_itself.py PID_FILE MOMENT``.

It prints for how many seconds it ran on.
"""

from __future__ import annotations

import signal
import socket
import sys
import threading
import time

from windows_daemon import Bench, say

_pressed: list[float] = []
_begun = threading.Event()


class Busy(Bench):
    """It tells this program when a command runs."""

    stop_timeout = 0.0

    def hold(self, seconds: float) -> str:
        """Take a while."""
        _begun.set()
        return super().hold(seconds)


def press(server: Busy, moment: str) -> None:
    """Wait for the moment, and press the keys."""
    while server.address is None:
        time.sleep(0.01)
    client = None
    if moment != "no client":
        client = socket.create_connection(("127.0.0.1", server.port), timeout=60)
    if client is not None and moment == "in a command":
        client.sendall(b"hold 60\n")
        _begun.wait(60)
    _pressed.append(time.monotonic())
    # Wine cannot send the event to a program; the C runtime's part of it is the same.
    signal.raise_signal(signal.SIGBREAK)  # type: ignore[attr-defined,unused-ignore]
    time.sleep(60)  # a daemon that does not stop keeps its client


def main() -> None:
    """Serve until the keys are pressed."""
    server = Busy(pid_file_name=sys.argv[1], port=0)
    threading.Thread(target=press, args=(server, sys.argv[2]), daemon=True).start()
    server.start_daemon()
    say(f"{time.monotonic() - _pressed[0]:.3f}")


if __name__ == "__main__":
    main()
