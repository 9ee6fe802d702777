"""How does a client use one connection?"""

from __future__ import annotations

import contextlib
import socket
import time

from .sockets import prepare, reset, wait_readable


class Deadline:
    """A point in time that several steps share.

    Args:
        timeout: Seconds from now; None for no end.
    """

    def __init__(self, timeout: float | None) -> None:
        self._end = None if timeout is None else time.monotonic() + timeout

    def left(self, at_most: float | None = None) -> float | None:
        """Return the seconds that are left, at least 0; None for no end."""
        if self._end is None:
            return at_most
        left = max(0.0, self._end - time.monotonic())
        return left if at_most is None else min(left, at_most)

    def remaining(self) -> float | None:
        """Return the seconds that are left, None for no end.

        Raises:
            TimeoutError: There are none.
        """
        left = self.left()
        if left == 0.0:
            raise TimeoutError("timed out")
        return left


class ClientConnection:
    """One TCP connection to a server.

    Attributes:
        has_replied: Whether it has brought a reply and stayed open.
    """

    def __init__(self, sock: socket.socket) -> None:
        prepare(sock)
        self._sock = sock
        self.has_replied = False
        self._last_reply = 0.0

    def is_closed_by_peer(self, grace: float) -> bool:
        """Tell whether the server has closed: it never speaks first, so anything readable says so.

        Args:
            grace: Seconds that the server may take to close after its last reply.
        """
        return self.is_readable(self._last_reply + grace - time.monotonic())

    def is_readable(self, patience: float) -> bool:
        """Tell whether further bytes, or the end of the stream, come within some seconds."""
        return wait_readable(self._sock, max(0.0, patience))

    def send(self, line: bytes, deadline: Deadline) -> None:
        """Send a whole request.

        Raises:
            TimeoutError: The server did not take it in time.
        """
        self._sock.settimeout(deadline.remaining())
        self._sock.sendall(line)
        self._sock.settimeout(None)

    def receive(self, deadline: Deadline) -> bytes:
        """Return some bytes, none at the end of the stream.

        Raises:
            TimeoutError: The deadline came first.
        """
        remaining = deadline.remaining()
        if remaining is not None and not wait_readable(self._sock, remaining):
            raise TimeoutError("no reply in time")
        return self._sock.recv(65536)

    def note_reply(self) -> None:
        """Remember that a reply came, and when."""
        self.has_replied, self._last_reply = True, time.monotonic()

    def cut(self) -> None:
        """End the exchange that another thread is in; that one closes."""
        with contextlib.suppress(OSError):  # it may just be over
            self._sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close between two exchanges."""
        self._sock.close()

    def abort(self) -> None:
        """Close within an exchange; the server must not take half a request for a whole one."""
        reset(self._sock)
