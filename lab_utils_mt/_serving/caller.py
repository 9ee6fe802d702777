"""How does a request reach a server, and at most once?

One exchange owns one connection, so that replies cannot mix however many threads share a client.
Connections are kept for the next exchange.

Servers of ``lab_utils`` 0.5.x are spoken to as well: they close after each reply, which may have
lines and no newline at its end. Which kind a server is shows in what it does.
"""

from __future__ import annotations

import encodings.idna  # noqa: F401  (a forked child could find its import locked)
import os
import random
import socket
import sys
import threading
import time
import weakref

from .._wire.replies import ReplyReader
from ..exceptions import ConnectionClosed, ReplyLost, ReplyTimeout
from .client_connection import ClientConnection, Deadline

_CONNECT_TIMEOUT = 10.0  # s
_FIRST_DELAY, _LONGEST_DELAY = 0.05, 1.0
_REPEATS = 3
_MOST_IDLE = 16
_REFUSAL_PATIENCE = 1.0  # s for the words of a server that does not want to read on
# A 0.5.x server closes right after its reply: what is open after this long will stay open.
_CLOSING_TAKES = 0.02  # s
_RECONSIDERING_TAKES = 1.0  # s, if it closed the last time
_ONE_SEGMENT = 512  # bytes; of a reply this short, what follows a newline came with it


class Caller:
    """Send requests to one server, from any number of threads.

    Args:
        host: The server's host.
        port: Its port.
        max_reply: Most bytes of a reply; None for any number.
    """

    def __init__(self, host: str, port: int, max_reply: int | None = None) -> None:
        self.host, self.port = host, port
        self._max_reply = max_reply
        self._is_cut = False
        # Whether the server keeps its connections open; None as long as nobody knows.
        self._keeps_open: bool | None = None
        self._was_connected = False
        self._idle: list[ClientConnection] = []
        self.forget_parent()
        _callers.add(self)
        weakref.finalize(self, _close_all, self._idle)

    def forget_parent(self) -> None:
        """Start with no connections, as a forked child must: those at hand are its parent's."""
        # Guards _idle and _busy; a thread that the child has not may have held the one before.
        self._lock = threading.Lock()
        self._busy: set[ClientConnection] = set()
        _close_all(self._idle)

    @property
    def name(self) -> str:
        """``host:port``, for messages."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def call(self, line: bytes, timeout: float | None, idempotent: bool) -> bytes:
        """Send a request and return its reply.

        Args:
            line: The request with its newline.
            timeout: Seconds for everything; None waits as long as the command runs.
            idempotent: Whether the request may be sent again if its reply is lost.

        Raises:
            OSError: The server cannot be reached.
            ReplyLost: The connection ended after the request was sent.
            ReplyTimeout: The reply did not come in time.
        """
        deadline = Deadline(timeout)
        for repeats_left in range(_REPEATS if idempotent else 0, -1, -1):
            try:
                return self._exchange(self._take(deadline), line, deadline)
            except ReplyTimeout:
                raise
            except ReplyLost:
                if not repeats_left:
                    raise
        raise AssertionError("the last turn returns or raises")

    def close(self) -> None:
        """Close the connections that wait for the next exchange."""
        with self._lock:
            idle = self._idle[:]
            self._idle.clear()
        _close_all(idle)

    def cut(self) -> None:
        """End the exchanges of other threads, and all that would follow."""
        self._is_cut = True  # before the look at _busy: either we see an exchange, or it sees this
        with self._lock:
            busy = list(self._busy)
        for connection in busy:
            connection.cut()
        self.close()

    def _refuse_if_cut(self) -> None:
        if self._is_cut:
            raise ConnectionAbortedError(f"{self.name}: broken off by this program")

    # --- one exchange ----------------------------------------------------------------------

    def _exchange(self, connection: ClientConnection, line: bytes, deadline: Deadline) -> bytes:
        try:
            refused = self._send(connection, line, deadline)
            reply, reusable = self._read_reply(connection, deadline)
        except TimeoutError as error:
            self._abort(connection)
            raise ReplyTimeout(self._fate("no reply in time")) from error
        except OSError as error:
            self._abort(connection)
            raise ReplyLost(self._fate(f"no reply: {error}")) from error
        except BaseException:  # Ctrl-C: the late reply must not answer another request
            self._abort(connection)
            raise
        self._put_back(connection, reusable and not refused)
        return reply

    def _fate(self, what: str) -> str:
        return f"{self.name}: {what}; the command may or may not have been executed"

    def _send(self, connection: ClientConnection, line: bytes, deadline: Deadline) -> bool:
        """Send a request; return whether the server stopped reading before its end."""
        try:
            connection.send(line, deadline)
        except TimeoutError:
            raise
        except OSError:
            # Perhaps it said why, as in "message longer than ...".
            if not connection.is_readable(_REFUSAL_PATIENCE):
                raise
            return True
        return False

    def _read_reply(self, connection: ClientConnection, deadline: Deadline) -> tuple[bytes, bool]:
        """Return the reply, and whether the connection can be used again."""
        reader = ReplyReader()
        while True:
            data = connection.receive(deadline)
            self._refuse_if_cut()
            if not data:
                return self._reply_at_end(reader, connection), False
            reader.receive_data(data)
            if self._max_reply is not None and reader.size > self._max_reply:
                raise OSError(f"it is longer than {self._max_reply} bytes")
            if reader.reply is None or self._may_go_on(reader, connection, deadline):
                continue
            if reader.is_block or connection.has_replied:
                self._keeps_open = True
            elif self._keeps_open is False:
                self._keeps_open = None
            connection.note_reply()
            return reader.reply, not reader.has_surplus

    def _may_go_on(
        self, reader: ReplyReader, connection: ClientConnection, deadline: Deadline
    ) -> bool:
        """Tell whether what looks like a reply may be the first line of one by a 0.5.x server."""
        if connection.has_replied or (reader.is_block and not reader.has_surplus):
            return False
        if reader.has_surplus:
            return True
        if self._keeps_open is False:
            return connection.is_readable(deadline.left(_RECONSIDERING_TAKES) or 0.0)
        is_long = reader.reply is not None and len(reader.reply) >= _ONE_SEGMENT
        return self._keeps_open is None and is_long and connection.is_readable(_CLOSING_TAKES)

    def _reply_at_end(self, reader: ReplyReader, connection: ClientConnection) -> bytes:
        """Return the reply that the end of the stream completes."""
        if reader.reply is not None and not reader.has_surplus:
            return reader.reply
        known = connection.has_replied or (self._keeps_open and not reader.has_surplus)
        if known or not reader.raw or reader.is_cut_block:
            self._keeps_open = None  # perhaps another one will be there
            raise ConnectionClosed("the server closed the connection")
        self._keeps_open = False
        return reader.raw.removesuffix(b"\n")

    # --- connections -----------------------------------------------------------------------

    def _take(self, deadline: Deadline) -> ClientConnection:
        """Return a connection that the server has not closed, a new one if need be."""
        while (connection := self._pop()) is not None:
            if not connection.is_closed_by_peer(0.0 if self._keeps_open else _CLOSING_TAKES):
                break
            connection.close()
        else:
            connection = self._connect(deadline)
        self._begin(connection)
        return connection

    def _pop(self) -> ClientConnection | None:
        with self._lock:
            return self._idle.pop() if self._idle else None

    def _begin(self, connection: ClientConnection) -> None:
        with self._lock:
            self._busy.add(connection)
        if self._is_cut:
            self._abort(connection)
            self._refuse_if_cut()

    def _abort(self, connection: ClientConnection) -> None:
        with self._lock:
            self._busy.discard(connection)
        connection.abort()

    def _put_back(self, connection: ClientConnection, reusable: bool) -> None:
        with self._lock:
            self._busy.discard(connection)
            reusable = reusable and len(self._idle) < _MOST_IDLE and not self._is_cut
            if reusable:
                self._idle.append(connection)
        if not reusable:
            connection.close()

    def _connect(self, deadline: Deadline) -> ClientConnection:
        """Connect; keep trying, with growing pauses, if the server was there before."""
        delay = _FIRST_DELAY
        until = Deadline(deadline.left(_CONNECT_TIMEOUT))
        while True:
            self._refuse_if_cut()
            try:
                connection = ClientConnection(self._open(until))
            except (OSError, UnicodeError) as error:  # UnicodeError: no name of a host
                pause = delay * random.uniform(0.5, 1.0)  # noqa: S311  (no secret)
                if not self._was_connected or (until.left() or 0.0) <= pause:
                    self._was_connected = False
                    raise self._unreachable(error) from error
            else:
                self._was_connected = True
                return connection
            time.sleep(pause)
            delay = min(2 * delay, _LONGEST_DELAY)

    def _open(self, deadline: Deadline) -> socket.socket:
        # On Windows "localhost" is tried as ::1 first, which costs up to 2 s.
        host = "127.0.0.1" if self.host == "localhost" else self.host
        sock = socket.create_connection((host, self.port), deadline.remaining())
        sock.settimeout(None)
        return sock

    def _unreachable(self, error: Exception) -> OSError:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        text = f"cannot reach a server at {self.name}: {reason}; is it running?"
        if isinstance(error, TimeoutError):
            return TimeoutError(text)
        number = getattr(error, "errno", None)
        # OSError makes the right subclass of the number, such as ConnectionRefusedError.
        return OSError(text) if number is None else OSError(number, text)


def _close_all(connections: list[ClientConnection]) -> None:
    while connections:
        connections.pop().close()


_callers: weakref.WeakSet[Caller] = weakref.WeakSet()


def _forget_parents() -> None:
    for caller in list(_callers):
        caller.forget_parent()


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_forget_parents)
