"""How does a request reach a server, and at most once?

One exchange owns one connection, so that replies cannot mix however many threads share a client.
Connections are kept for the next exchange.
"""

from __future__ import annotations

import encodings.idna  # noqa: F401  (a forked child could find its import locked)
import os
import socket
import sys
import threading
import time
import weakref
from typing import TYPE_CHECKING, TypeVar

from ..exceptions import ReplyLost, ReplyTimeout
from .client_connection import ClientConnection, Deadline
from .connecting import CONNECT_TIMEOUT, REPEATS, Pauses, lost_reply, name_of, unreachable
from .exchange import CLOSING_TAKES, Exchange, ServerTraits

if TYPE_CHECKING:
    from .calling import Plan
    from .remote import Catalogue

_MOST_IDLE = 16
_T = TypeVar("_T")


class Caller:
    """Carry exchanges with one server, for any number of threads.

    Args:
        host: The server's host.
        port: Its port.

    Attributes:
        catalogue: What is known of the server's commands; None until somebody asks, and after
            the server may have been restarted.
    """

    def __init__(self, host: str, port: int) -> None:
        self.host, self.port = host, port
        self.traits = ServerTraits()
        self.catalogue: Catalogue | None = None
        self._is_cut = False
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
        return name_of(self.host, self.port)

    def run(self, exchange: Exchange, timeout: float | None) -> None:
        """Carry an exchange, again if its reply is lost and it may be repeated.

        Args:
            exchange: What to send, and what takes the reply.
            timeout: Seconds for everything; None waits as long as the command runs.

        Raises:
            OSError: The server cannot be reached.
            ReplyLost: The connection ended after the request was sent.
            ReplyTimeout: The reply did not come in time.
        """
        deadline = Deadline(timeout)
        exchange.note_progress = deadline.renew
        for repeats_left in range(REPEATS, -1, -1):
            try:
                connection = self.take(deadline)
                self.carry(connection, exchange, deadline)
                break
            except ReplyTimeout:
                raise
            except ReplyLost:
                self.catalogue = None
                if not (repeats_left and exchange.may_repeat):
                    raise
        self.put_back(connection, exchange.reusable)

    def follow(self, plan: Plan[_T], timeout: float | None) -> _T:
        """Carry the exchanges of a plan, each within ``timeout`` seconds; return its result."""
        try:
            exchange = next(plan)
            while True:
                try:
                    self.run(exchange, timeout)
                except BaseException as error:  # noqa: BLE001  (the plan says what it means)
                    exchange = plan.throw(error)
                else:
                    exchange = next(plan)
        except StopIteration as end:
            result: _T = end.value
            return result

    def close(self) -> None:
        """Close the connections that wait for the next exchange."""
        self.catalogue = None
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

    def refuse_if_cut(self) -> None:
        """Raise ConnectionAbortedError once the caller was cut."""
        if self._is_cut:
            raise ConnectionAbortedError(f"{self.name}: broken off by this program")

    # --- one exchange ----------------------------------------------------------------------

    def carry(self, connection: ClientConnection, exchange: Exchange, deadline: Deadline) -> None:
        """Carry an exchange over one connection, which is aborted if that fails.

        Raises:
            ReplyLost: The connection ended.
            ReplyTimeout: The reply did not come in time.
        """
        try:
            exchange.begin(connection.has_replied)
            connection.carry(exchange, deadline)
            self.refuse_if_cut()
        except BaseException as error:  # Ctrl-C: the late reply must not answer another request
            self.abort(connection)
            if isinstance(error, OSError):
                raise lost_reply(self.name, error) from error
            raise

    # --- connections -----------------------------------------------------------------------

    def take(self, deadline: Deadline) -> ClientConnection:
        """Return a connection that the server has not closed, a new one if need be."""
        while (connection := self._pop()) is not None:
            if not connection.is_closed_by_peer(0.0 if self.traits.keeps_open else CLOSING_TAKES):
                break
            connection.close()
            self.catalogue = None  # the server may have been restarted, with other commands
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
            self.abort(connection)
            self.refuse_if_cut()

    def abort(self, connection: ClientConnection) -> None:
        """Give up a connection in the middle of something."""
        with self._lock:
            self._busy.discard(connection)
        connection.abort()

    def put_back(self, connection: ClientConnection, reusable: bool) -> None:
        """Keep a connection for the next exchange, or close it."""
        with self._lock:
            self._busy.discard(connection)
            reusable = reusable and len(self._idle) < _MOST_IDLE and not self._is_cut
            if reusable:
                self._idle.append(connection)
        if not reusable:
            connection.close()

    def _connect(self, deadline: Deadline) -> ClientConnection:
        """Connect; keep trying, with growing pauses, if the server was there before."""
        pauses = Pauses()
        until = Deadline(deadline.left(CONNECT_TIMEOUT))
        while True:
            self.refuse_if_cut()
            try:
                connection = ClientConnection(self._open(until))
            except (OSError, UnicodeError) as error:  # UnicodeError: no name of a host
                pause = pauses.next()
                if not self._was_connected or (until.left() or 0.0) <= pause:
                    self._was_connected = False
                    raise unreachable(self.name, error) from error
            else:
                self._was_connected = True
                return connection
            time.sleep(pause)

    def _open(self, deadline: Deadline) -> socket.socket:
        # On Windows "localhost" is tried as ::1 first, which costs up to 2 s.
        host = "127.0.0.1" if self.host == "localhost" else self.host
        return socket.create_connection((host, self.port), deadline.remaining())


def _close_all(connections: list[ClientConnection]) -> None:
    while connections:
        connections.pop().close()


_callers: weakref.WeakSet[Caller] = weakref.WeakSet()


def _forget_parents() -> None:
    for caller in list(_callers):
        caller.forget_parent()


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_forget_parents)
