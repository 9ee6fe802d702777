"""When is the next client taken in?

The loop behind ``serve_forever()``. It differs from the standard library's in three ways: it is
woken at once when it must end, it pauses when the process has no file descriptors left (the
standard library's spins and says nothing), and it sees refused clients off.
"""

from __future__ import annotations

import collections
import contextlib
import errno
import logging
import selectors
import socket
import sys
import time
from collections.abc import Callable

from .rate import RateLimit

logger = logging.getLogger("lab_utils_mt.server")

_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_PAUSE = 0.1  # seconds without accepting after running out of file descriptors
_LINGER = 0.5  # seconds that a refused client gets to read why
_MOST_LINGERING = 256 if sys.platform == "win32" else 1024  # select() takes 512 there
# On Windows select() is not interrupted by Ctrl-C.
_LONGEST_WAIT = 0.5 if sys.platform == "win32" else 3600.0


class AcceptLoop:
    """Call ``accept`` whenever a client waits at the listener, until :meth:`end`.

    Args:
        listener: A listening socket.
        accept: Takes one client in.
    """

    def __init__(self, listener: socket.socket, accept: Callable[[], None]) -> None:
        self._listener = listener
        self._accept = accept
        self._selector = selectors.DefaultSelector()
        self._wake_receiver, self._wake_sender = socket.socketpair()
        self._wake_receiver.setblocking(False)
        self._wake_sender.setblocking(False)
        self._exhausted = RateLimit(1.0)
        self._paused_until: float | None = None
        # Refused clients and the time to close them, oldest first.
        self._lingering: collections.OrderedDict[socket.socket, float] = collections.OrderedDict()
        self._ending = False

    def run(self, interval: float, each_time: Callable[[], None]) -> None:
        """Take clients in; call ``each_time`` at least every ``interval`` seconds."""
        self._selector.register(self._wake_receiver, selectors.EVENT_READ, self._drain_wake)
        self._selector.register(self._listener, selectors.EVENT_READ, self._accept)
        while not self._ending:
            timeout = min(interval, self._next_event(), _LONGEST_WAIT)
            for key, _ in self._selector.select(max(0.0, timeout)):
                key.data()
            self._resume()
            self._see_off()
            each_time()

    def end(self) -> None:
        """Let :meth:`run` return soon; may be called anywhere, signal handlers included."""
        self._ending = True
        with contextlib.suppress(OSError):  # full: it is about to wake up anyway
            self._wake_sender.send(b"\0")

    def close(self) -> None:
        """Free what the loop holds; refused clients that still linger are cut."""
        for sock in list(self._lingering):
            self._close_lingering(sock)
        self._selector.close()
        self._wake_receiver.close()
        self._wake_sender.close()

    def accept_failed(self, error: OSError) -> None:
        """Pause, if ``accept()`` failed because the process or the system is at a limit."""
        if error.errno not in _EXHAUSTED or self._paused_until is not None:
            return
        self._paused_until = time.monotonic() + _PAUSE
        self._selector.unregister(self._listener)
        held_back = self._exhausted.passes()
        if held_back is not None:
            logger.error("clients have to wait: %s (%d times more)", error.strerror, held_back)

    def see_off(self, sock: socket.socket) -> None:
        """Close a refused client's connection once it has read why, without waiting for it."""
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_WR)
        if len(self._lingering) >= _MOST_LINGERING:
            self._close_lingering(next(iter(self._lingering)))
        self._lingering[sock] = time.monotonic() + _LINGER
        self._selector.register(sock, selectors.EVENT_READ, lambda: self._read_away(sock))

    def _drain_wake(self) -> None:
        with contextlib.suppress(OSError):
            self._wake_receiver.recv(4096)

    def _next_event(self) -> float:
        times = list(self._lingering.values())[:1]
        if self._paused_until is not None:
            times.append(self._paused_until)
        return min(times) - time.monotonic() if times else _LONGEST_WAIT

    def _resume(self) -> None:
        if self._paused_until is not None and time.monotonic() >= self._paused_until:
            self._paused_until = None
            self._selector.register(self._listener, selectors.EVENT_READ, self._accept)

    def _see_off(self) -> None:
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
