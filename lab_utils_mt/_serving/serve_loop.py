"""What goes on besides, while the server serves?

The loop behind ``serve_forever()``. Clients are taken in by the threads that serve them, see
:mod:`.workers`; the loop calls ``service_actions()``, sees refused clients off, and is woken at
once when it must end. It also knows what to do when no client can be taken in, because the process
has no file descriptors left: the standard library's loop spins then, and says nothing.
"""

from __future__ import annotations

import collections
import contextlib
import errno
import functools
import logging
import math
import selectors
import socket
import sys
import time
from collections.abc import Callable
from typing import Protocol

from .rate import RateLimit

logger = logging.getLogger("lab_utils_mt.server")

_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, 10024})  # Windows
_CLOSED = frozenset({errno.EBADF, errno.EINVAL, errno.ENOTSOCK, 10022, 10038})  # Windows
_PAUSE = 0.1  # s without taking a client in, after running out of file descriptors
_LINGER = 0.5  # seconds that a refused client gets to read why
# They hold descriptors, of which a process often has 1024, and select() on Windows takes 512.
_MOST_LINGERING = 256
# On Windows select() is not interrupted by Ctrl-C.
_LONGEST_WAIT = 0.5 if sys.platform == "win32" else 3600.0


class Supervisor(Protocol):
    """Who wants to hear how the server is: whoever started it.

    Attributes:
        period: The longest time between two calls of :meth:`beat`, in seconds.
    """

    period: float

    def ready(self, status: str) -> None:
        """Hear that the server serves, and where."""

    def beat(self) -> None:
        """Hear that the loop still turns."""

    def stopping(self, limit: float) -> None:
        """Hear that the server begins to stop, and how many seconds its commands get for that."""


class Rhythm:
    """When is it time again?

    Args:
        period: Seconds from one time to the next; may be infinite.
    """

    def __init__(self, period: float) -> None:
        self._period = period
        self.restart()

    def left(self) -> float:
        """Return the seconds until it is time; negative if it is over."""
        return self._next - time.monotonic()

    def restart(self) -> None:
        """Count the period from now on."""
        self._next = time.monotonic() + self._period


class ServeLoop:
    """See refused clients off, and look after the rest, until :meth:`end`."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._wake_receiver, self._wake_sender = socket.socketpair()
        self._wake_receiver.setblocking(False)
        self._wake_sender.setblocking(False)
        self._exhausted = RateLimit(1.0)
        self._refused: collections.deque[socket.socket] = collections.deque()  # from any thread
        # Refused clients and the time to close them, oldest first.
        self._lingering: collections.OrderedDict[socket.socket, float] = collections.OrderedDict()
        self._ending = self._is_closed = False

    def run(
        self, interval: float, each_time: Callable[[], None], supervisor: Supervisor | None = None
    ) -> None:
        """Run until :meth:`end`; call ``each_time`` at least every ``interval`` seconds.

        The supervisor's time is one of its own: its beats do not call ``each_time`` more often.
        """
        self._selector.register(self._wake_receiver, selectors.EVENT_READ, self._drain_wake)
        actions = Rhythm(interval)
        beats = Rhythm(supervisor.period if supervisor else math.inf)
        while not self._ending:
            timeout = min(actions.left(), beats.left(), self._next_event(), _LONGEST_WAIT)
            if self._turn(max(0.0, timeout)) or actions.left() <= 0:
                each_time()
                actions.restart()
            if supervisor and not self._ending and beats.left() <= 0:
                supervisor.beat()
                beats.restart()

    def _turn(self, timeout: float) -> bool:
        """Wait for what happens, for a while; return whether anything did."""
        events = self._selector.select(timeout)
        for key, _ in events:
            key.data()
        self._take_refused()
        self._close_those_in_time()
        return bool(events)

    def end(self) -> None:
        """Let :meth:`run` return soon; may be called anywhere, signal handlers included."""
        self._ending = True
        self._wake()

    def close(self) -> None:
        """Free what the loop holds; refused clients that still linger are cut."""
        self._is_closed = True
        for sock in list(self._lingering):
            self._close_lingering(sock)
        while self._refused:
            self._refused.popleft().close()
        self._selector.close()
        self._wake_receiver.close()
        self._wake_sender.close()

    def accept_failed(self, error: OSError) -> None:
        """Pause, if no client can be taken in: the system is at a limit, or the listener closed.

        Else it was the fault of one client: it is gone again, or its handshake failed.
        """
        if self._ending or error.errno not in _EXHAUSTED | _CLOSED:
            return
        held_back = self._exhausted.passes()
        if held_back is not None:
            logger.error("clients have to wait: %s (%d times more)", error.strerror, held_back)
        time.sleep(_PAUSE)

    def see_off(self, sock: socket.socket) -> None:
        """Close a refused client's connection once it has read why, without waiting for it.

        ``sock`` counts as closed from now on: a hook that closes it too must not take away a
        descriptor that the loop is waiting for.
        """
        handle = sock.detach()
        if handle == -1:
            return
        sock = socket.socket(sock.family, sock.type, sock.proto, handle)
        sock.setblocking(False)
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_WR)
        self._refused.append(sock)
        self._wake()
        if self._is_closed or len(self._refused) > _MOST_LINGERING:  # nobody comes for it, or late
            with contextlib.suppress(IndexError):
                self._refused.popleft().close()

    def _wake(self) -> None:
        with contextlib.suppress(OSError):  # full: it is about to wake up anyway
            self._wake_sender.send(b"\0")

    def _drain_wake(self) -> None:
        with contextlib.suppress(OSError):
            self._wake_receiver.recv(4096)

    def _next_event(self) -> float:
        oldest = next(iter(self._lingering.values()), None)
        return _LONGEST_WAIT if oldest is None else oldest - time.monotonic()

    def _take_refused(self) -> None:
        while self._refused:
            sock = self._refused.popleft()
            if len(self._lingering) >= _MOST_LINGERING:
                self._close_lingering(next(iter(self._lingering)))
            read_away = functools.partial(self._read_away, sock)
            self._selector.register(sock, selectors.EVENT_READ, read_away)
            self._lingering[sock] = time.monotonic() + _LINGER

    def _close_those_in_time(self) -> None:
        now = time.monotonic()
        while self._lingering and next(iter(self._lingering.values())) <= now:
            self._close_lingering(next(iter(self._lingering)))

    def _read_away(self, sock: socket.socket) -> None:
        try:
            finished = not sock.recv(65536)
        except BlockingIOError:
            finished = False
        except OSError:
            finished = True
        if finished:
            self._close_lingering(sock)

    def _close_lingering(self, sock: socket.socket) -> None:
        if self._lingering.pop(sock, None) is None:
            return
        self._selector.unregister(sock)
        with contextlib.suppress(OSError):
            sock.recv(65536)  # unread input would reset the connection and lose our last words
        sock.close()
