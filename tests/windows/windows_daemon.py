"""The daemon that the tests run on Windows: ``windows_daemon.py PID_FILE [PORT [STOP_TIMEOUT]]``.

It prints ``listening PORT`` once it can be reached, and ``stopped`` after an orderly end.
"""

from __future__ import annotations

import sys
import threading
import time

from lab_utils_mt.commands import command
from lab_utils_mt.custom_logging import configure_logging
from lab_utils_mt.socket_comm import Server


def say(text: str) -> None:
    """Print a line that the test waits for."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


class Bench(Server):
    """A lab bench with some commands."""

    @command
    def echo(self, words: str) -> str:
        """Send some words back."""
        return words

    @command
    def hold(self, seconds: float) -> str:
        """Take a while, and say on the screen that it has begun."""
        say("holding")
        time.sleep(seconds)
        return "held"

    @command
    def blob(self, kilobytes: int) -> str:
        """Answer at length."""
        return "x" * 1024 * kilobytes


def announce(server: Server) -> None:
    """Tell the port once it is known."""
    while server.address is None:
        time.sleep(0.01)
    say(f"listening {server.port}")


def main() -> None:
    """Run it until it is stopped."""
    path, port, patience = (*sys.argv[1:], *("0", "5")[len(sys.argv) - 2 :])
    Bench.stop_timeout = float(patience)
    configure_logging()
    server = Bench(pid_file_name=path, port=int(port))
    threading.Thread(target=announce, args=(server,), daemon=True).start()
    server.start_daemon()
    say("stopped")


if __name__ == "__main__":
    main()
