"""How does systemd learn that a daemon is ready, alive, or about to stop?

By datagrams to the socket that ``$NOTIFY_SOCKET`` names, as sd_notify(3) and sd_watchdog_enabled(3)
describe. Where nobody set it, and on Windows, nothing is sent.
"""

from __future__ import annotations

import logging
import math
import os
import re
import socket
import sys

from .._settings import AFTER_STOP_TIMEOUT

logger = logging.getLogger("lab_utils_mt.server")

_DIGITS = re.compile("[0-9]{1,18}", re.ASCII)
_SHORTEST = 0.01  # s; a shorter period would only keep the processor busy


class Notifier:
    """Tells systemd how the daemon of this process is; never waits, and never raises.

    Attributes:
        period: Seconds after which :meth:`beat` must have been called again; infinite if nobody
            waits for it. It is half of what systemd allows, as sd_watchdog_enabled(3) advises.
    """

    def __init__(self) -> None:
        self._address = _address(os.environ.get("NOTIFY_SOCKET", ""))
        self.period = _watchdog_period() if self._address else math.inf
        self._process = os.getpid()
        self._is_mute = False

    def ready(self, status: str) -> None:
        """Tell that the daemon serves.

        Args:
            status: What ``systemctl status`` shows: one line.
        """
        self._send("READY=1", _status(status))

    def beat(self) -> None:
        """Tell that the daemon still serves, if somebody watches that."""
        if self.period < math.inf:
            self._send("WATCHDOG=1")

    def stopping(self, limit: float) -> None:
        """Tell that the daemon begins to stop; from now on, nobody waits for a beat.

        Args:
            limit: Seconds that its commands get; systemd waits for the rest of the stop, too, even
                if its unit allows less.
        """
        # No WATCHDOG=1 with it: systemd, which has stopped waiting, would begin again.
        patience = math.ceil((limit + AFTER_STOP_TIMEOUT) * 1e6)
        self._send("STOPPING=1", f"EXTEND_TIMEOUT_USEC={patience}", _status("stopping"))

    def _send(self, *lines: str) -> None:
        if not self._address or os.getpid() != self._process:
            return
        try:
            _send(self._address, "\n".join(lines).encode())
            self._is_mute = False
        except OSError as error:  # also: its queue is full
            if not self._is_mute:
                logger.warning("systemd cannot be told %s: %s", lines[0], error.strerror or error)
            self._is_mute = True


def _status(text: str) -> str:
    return f"STATUS={' '.join(text.split())}"


def _address(given: str) -> str:
    """Return the address of the socket, which may be an abstract one; empty if there is none."""
    if given.startswith("@"):
        return f"\0{given[1:]}"
    return given if given.startswith("/") else ""  # others lead into virtual machines


def _watchdog_period() -> float:
    meant = os.environ.get("WATCHDOG_PID", "")
    if meant and meant != str(os.getpid()):  # of the daemon that started this process
        return math.inf
    microseconds = os.environ.get("WATCHDOG_USEC", "")
    if not (_DIGITS.fullmatch(microseconds) and int(microseconds)):
        return math.inf
    return max(int(microseconds) / 2e6, _SHORTEST)


if sys.platform == "win32":

    def _send(address: str, message: bytes) -> None:
        """Send nothing: there is no systemd."""
else:

    def _send(address: str, message: bytes) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            sock.sendto(message, address)
