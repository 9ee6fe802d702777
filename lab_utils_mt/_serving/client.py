"""How does a request reach a server, exactly once or not at all?

One exchange owns one connection, so that replies cannot mix however many threads share a client.
Connections are kept for the next exchange; there are as many as threads that talk at a time.
"""

from __future__ import annotations

import contextlib
import os
import random
import socket
import threading
import time

from .._wire.replies import ReplyReader
from ..exceptions import ConnectionClosed, ReplyLost, ReplyTimeout
from .sockets import prepare, reset, wait_readable

CONNECT_TIMEOUT = 10.0
_FIRST_DELAY, _LONGEST_DELAY = 0.05, 1.0
_REPEATS = 3
# A 0.5.x server closes right after its reply; what came later than this was not closed.
_CLOSING_TAKES = 0.05


class Deadline:
    """A point in time that several steps share."""

    def __init__(self, timeout: float | None) -> None:
        self._end = None if timeout is None else time.monotonic() + timeout

    def remaining(self, at_most: float | None = None) -> float | None:
        """Return the seconds that are left, None for no end."""
        left = None if self._end is None else max(0.0, self._end - time.monotonic())
        return left if at_most is None or (left is not None and left < at_most) else at_most


class Connection:
    """One TCP connection to a server."""

    def __init__(self, sock: socket.socket) -> None:
        prepare(sock)
        self._sock = sock
        self._last_reply = float("-inf")

    def is_closed_by_peer(self, grace: float = 0.0) -> bool:
        """Tell whether the server has closed: it never speaks first, so anything readable says so.

        Args:
            grace: Seconds that a server may take to close after its last reply.
        """
        patience = self._last_reply + grace - time.monotonic()
        return wait_readable(self._sock, max(0.0, patience))

    def send(self, line: bytes, deadline: Deadline) -> None:
        """Send a whole request."""
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
        """Remember when the last reply came."""
        self._last_reply = time.monotonic()

    def has_more_within(self, seconds: float) -> bool:
        """Tell whether further bytes, or the end of the stream, come soon."""
        return wait_readable(self._sock, seconds)

    def close(self) -> None:
        """Close between two exchanges."""
        self._sock.close()

    def abort(self) -> None:
        """Close within an exchange; the server must not take half a request for a whole one."""
        reset(self._sock)


class Caller:
    """Send requests to one server, from any number of threads.

    Args:
        host: The server's host.
        port: Its port.
    """

    def __init__(self, host: str, port: int) -> None:
        self.host, self.port = host, port
        # None until the server is known to keep its connections open, or to close them (0.5.x).
        self._closes: bool | None = None
        self._was_connected = False
        # Guards the two below.
        self._lock = threading.Lock()
        self._idle: list[Connection] = []
        self._owner = os.getpid()

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
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _exchange(self, connection: Connection, line: bytes, deadline: Deadline) -> bytes:
        try:
            connection.send(line, deadline)
            reply, reusable = self._read_reply(connection, deadline)
        except TimeoutError as error:
            connection.abort()
            raise ReplyTimeout(self._fate("no reply in time")) from error
        except OSError as error:
            connection.abort()
            raise ReplyLost(self._fate(f"no reply: {error}")) from error
        except BaseException:  # Ctrl-C: the late reply must not answer another request
            connection.abort()
            raise
        self._put_back(connection, reusable)
        return reply

    def _fate(self, what: str) -> str:
        return f"{self.name}: {what}; the command may or may not have been executed"

    def _read_reply(self, connection: Connection, deadline: Deadline) -> tuple[bytes, bool]:
        """Return the reply, and whether the connection can be used again."""
        reader = ReplyReader(legacy=bool(self._closes))
        while True:
            data = connection.receive(deadline)
            if not data:
                return self._reply_at_end(reader), False
            reader.receive_data(data)
            if reader.reply is None or self._is_cut_short(reader, connection):
                continue
            connection.note_reply()
            return reader.reply, True

    def _is_cut_short(self, reader: ReplyReader, connection: Connection) -> bool:
        """Tell whether what looks like a reply is the first line of one by a 0.5.x server."""
        if self._closes is None and (
            reader.surplus or (reader.is_ambiguous and connection.has_more_within(_CLOSING_TAKES))
        ):
            reader.treat_as_legacy()
            return True
        return False

    def _reply_at_end(self, reader: ReplyReader) -> bytes:
        reply = reader.end_of_stream()
        if reply is None:
            raise ConnectionClosed("the server closed the connection")
        self._closes = True
        return reply

    def _take(self, deadline: Deadline) -> Connection:
        """Return a connection that the server has not closed, a new one if need be."""
        while (connection := self._pop()) is not None:
            grace = _CLOSING_TAKES if self._closes is None else 0.0
            if not connection.is_closed_by_peer(grace):
                if self._closes is None:
                    self._closes = False
                return connection
            connection.close()
        return self._connect(deadline)

    def _pop(self) -> Connection | None:
        with self._lock:
            if self._owner != os.getpid():  # after a fork these are the parent's
                self._idle, self._owner = [], os.getpid()
            return self._idle.pop() if self._idle else None

    def _put_back(self, connection: Connection, reusable: bool) -> None:
        if reusable:
            with self._lock:
                self._idle.append(connection)
        else:
            connection.close()

    def _connect(self, deadline: Deadline) -> Connection:
        """Connect; keep trying, with growing pauses, if the server was there before."""
        delay = _FIRST_DELAY
        again_until = Deadline(deadline.remaining(CONNECT_TIMEOUT))
        while True:
            try:
                connection = Connection(self._open(again_until))
            except OSError as error:
                pause = delay * random.uniform(0.5, 1.0)  # noqa: S311  (no secret)
                if not self._was_connected or (again_until.remaining() or 0.0) <= pause:
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

    def _unreachable(self, error: OSError) -> OSError:
        reason = error.strerror or str(error) or type(error).__name__
        text = f"cannot reach a server at {self.name}: {reason}; is it running?"
        known = contextlib.suppress(TypeError)
        with known:
            return type(error)(error.errno, text)
        return OSError(text)
