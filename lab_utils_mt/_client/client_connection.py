"""How does a client use one connection?"""

from __future__ import annotations

import contextlib
import select
import socket
import sys
import time

from .._sockets import prepare, reset, wait_readable
from ..exceptions import ConnectionClosed
from .exchange import Exchange

_REFUSAL_PATIENCE = 1.0  # s for the words of a server that does not want to read on
# s; Windows does not see Ctrl-C while it waits, nor does any system one that came just before.
_SLICE = 0.5
_CHUNK = 64 * 1024  # bytes; a larger buffer is mapped anew each time, which takes 20 us
# Where one call can be told not to wait, the others need no poll() before them.
_AT_ONCE = int(getattr(socket, "MSG_DONTWAIT", 0))


class Deadline:
    """A point in time that several steps share.

    Args:
        timeout: Seconds from now; None for no end.
    """

    def __init__(self, timeout: float | None) -> None:
        self._timeout = timeout
        self._end = None if timeout is None else time.monotonic() + timeout

    def renew(self) -> None:
        """Count from now again."""
        self._end = None if self._timeout is None else time.monotonic() + self._timeout

    @property
    def is_endless(self) -> bool:
        """Whether there is no end."""
        return self._end is None

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
        prepare(sock, receive_timeout=_SLICE)
        sock.setblocking(bool(_AT_ONCE))  # a request and its reply may travel at once
        self._sock = sock
        self.has_replied = False
        self._last_reply = 0.0
        self._is_cut = False

    def is_closed_by_peer(self, grace: float) -> bool:
        """Tell whether the server has closed: it never speaks first, so anything readable says so.

        Args:
            grace: Seconds that the server may take to close after its last reply.
        """
        return self.is_readable(self._last_reply + grace - time.monotonic())

    def is_readable(self, patience: float) -> bool:
        """Tell whether further bytes, or the end of the stream, come within some seconds."""
        return wait_readable(self._sock, max(0.0, patience))

    def carry(self, exchange: Exchange, deadline: Deadline) -> None:
        """Send and receive until an exchange is finished, or silence is.

        Raises:
            OSError: The connection was lost, or what comes cannot be the reply.
            TimeoutError: The deadline came first.
        """
        stops_reading = False
        while not exchange.finished:
            exchange.fill()
            if exchange.outgoing:
                stops_reading = stops_reading or not self._push(exchange.outgoing)
            elif exchange.finished:  # nothing of it could be sent
                return
            flags = self._wait(exchange, deadline, stops_reading)
            if self._is_cut:
                raise ConnectionClosed("broken off by this program")
            if flags is not None:
                self._receive(exchange, flags)
        self.has_replied, self._last_reply = True, time.monotonic()

    def _push(self, outgoing: bytearray) -> bool:
        """Send what the system takes; return whether the server goes on reading.

        Raises:
            OSError: It does not, and says nothing.
        """
        try:
            del outgoing[: self._sock.send(outgoing, _AT_ONCE)]
        except BlockingIOError:
            return True
        except OSError:
            # Perhaps it said why, as in "message longer than ...".
            if not self.is_readable(_REFUSAL_PATIENCE):
                raise
            return False
        return True

    def _wait(self, exchange: Exchange, deadline: Deadline, stops_reading: bool) -> int | None:
        """Wait for something to do; return the flags to receive with, None if it is not that."""
        if exchange.outgoing and not stops_reading:
            return _if(_wait_for_either(self._sock, deadline.remaining()))
        patience = exchange.patience
        if patience is not None:
            if self.is_readable(deadline.left(patience) or 0.0):
                return _AT_ONCE
            exchange.take_silence()
            return None
        if deadline.is_endless and _AT_ONCE:
            return 0
        return _if(wait_readable(self._sock, _slice(deadline.remaining())))

    def _receive(self, exchange: Exchange, flags: int) -> None:
        try:
            data = self._sock.recv(_CHUNK, flags)
        except BlockingIOError:  # nothing for a slice of time; or a packet was found to be broken
            return
        if data:
            exchange.receive_data(data)
        else:
            exchange.receive_end()
            if not exchange.finished:
                raise ConnectionClosed("the server closed the connection")

    def cut(self) -> None:
        """End the exchange that another thread is in; that one closes."""
        self._is_cut = True  # Windows wakes nobody for a shutdown at this end: that thread looks up
        with contextlib.suppress(OSError):  # it may just be over
            self._sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close between two exchanges."""
        self._sock.close()

    def abort(self) -> None:
        """Close within an exchange; the server must not take half a request for a whole one."""
        reset(self._sock)


def _if(is_readable: bool) -> int | None:
    return _AT_ONCE if is_readable else None


def _slice(timeout: float | None) -> float:
    return _SLICE if timeout is None else min(timeout, _SLICE)


def _wait_for_either(sock: socket.socket, timeout: float | None) -> bool:
    """Wait until something can be received or sent; return whether it can be received."""
    if sys.platform == "win32":
        return bool(select.select([sock], [sock], [], _slice(timeout))[0])
    poll = select.poll()
    poll.register(sock, select.POLLIN | select.POLLOUT)
    events = poll.poll(_slice(timeout) * 1000)
    return any(event & ~select.POLLOUT for _, event in events)
