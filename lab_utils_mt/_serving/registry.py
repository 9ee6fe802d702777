"""Who is connected, and what is being done for them?"""

from __future__ import annotations

import contextlib
import dataclasses
import socket
import threading
import time

from .looking_up import LOOKS_UP

_WAIT_SLICE = 0.25  # s; how soon a second signal can hurry the stop


@dataclasses.dataclass(eq=False)
class ClientRecord:
    """One connected client; times are monotonic seconds.

    Only the thread that serves it writes here, but that anybody may end it; others read.

    Attributes:
        sock: Its connection.
        address: Where it comes from.
        since: When it came.
        requests: How many requests it has made.
        errors: How many of them failed.
        command: The text of the request being answered, or None.
        command_since: When that began.
        progress: How far it is, as it says itself.
        has_ended: Whether no more is received from it.
        is_cut: Whether nothing is sent to it any more.
    """

    sock: socket.socket
    address: str
    since: float = dataclasses.field(default_factory=time.monotonic)
    requests: int = 0
    errors: int = 0
    command: str | None = None
    command_since: float = 0.0
    progress: str = ""
    has_ended: bool = False
    is_cut: bool = False

    def end_stream(self) -> None:
        """Let its thread find the end of the stream, behind what has come so far."""
        self.has_ended = True
        if not LOOKS_UP:  # it would wake nobody, and answer what the client sends with a reset
            self._shut_down(socket.SHUT_RD)

    def cut(self) -> None:
        """Let nothing more through, in either direction."""
        self.has_ended = self.is_cut = True
        self._shut_down(socket.SHUT_RDWR)

    def _shut_down(self, how: int) -> None:
        with contextlib.suppress(OSError):  # the client may be gone already
            self.sock.shutdown(how)


@dataclasses.dataclass
class Counts:
    """What has happened since the server was made; in the registry, without who is still here."""

    accepted: int = 0
    refused: int = 0
    peak: int = 0
    requests: int = 0
    errors: int = 0


class Registry:
    """All clients of one server, and the order in which they leave."""

    def __init__(self) -> None:
        # Guards everything below, but not what is in a client's record; _stopping is only
        # written under it.
        self._lock = threading.Lock()
        # On the same lock; notified when a client leaves a server that stops.
        self._left = threading.Condition(self._lock)
        self._clients: dict[socket.socket, ClientRecord] = {}
        self._counts = Counts()
        self._stopping = False

    def add(self, sock: socket.socket, address: str, limit: int) -> bool:
        """Take a client in, unless there are ``limit`` already."""
        with self._lock:
            full, stopping = len(self._clients) >= limit, self._stopping
            if full:
                self._counts.refused += 1
            else:
                client = self._clients[sock] = ClientRecord(sock, address)
                self._counts.accepted += 1
                self._counts.peak = max(self._counts.peak, len(self._clients))
        if stopping and not full:  # a hook held it up; stop() does not know it
            client.end_stream()
        return not full

    @property
    def is_stopping(self) -> bool:
        """Whether no further command may begin."""
        return self._stopping

    def turn_away(self, sock: socket.socket) -> None:
        """Take back :meth:`add`: the client could not be served."""
        with self._lock:
            self._counts.accepted -= 1
            self._counts.refused += 1
        self.remove(sock)

    def remove(self, sock: socket.socket) -> None:
        """Forget a client that is gone."""
        with self._lock:
            client = self._clients.pop(sock, None)
            if client is not None:
                self._counts.requests += client.requests
                self._counts.errors += client.errors
            if self._stopping:
                self._left.notify_all()

    def get(self, sock: socket.socket) -> ClientRecord:
        """Return the client at the other end of a connection.

        Raises:
            ConnectionAbortedError: A hook has closed the connection.
        """
        with self._lock:
            client = self._clients.get(sock)
        if client is None:
            raise ConnectionAbortedError("a hook has closed the connection")
        return client

    def begin(self, client: ClientRecord, command: str) -> bool:
        """Note that a command begins; False if it must not, because the server stops."""
        client.command_since, client.progress = time.monotonic(), ""
        # Without the lock, which all clients would pass twice for each request.  First this note,
        # then the look; stop() does it the other way round, so one of both sees the other: Python
        # keeps the order of what a thread writes and reads.
        client.command = command
        if self._stopping:
            client.command = None
            return False
        client.requests += 1
        return True

    def end(self, client: ClientRecord, failed: bool) -> None:
        """Note that the client has its reply; if the server stops, it is the last one."""
        client.command = None
        client.errors += failed
        if self._stopping:  # stop() took it for busy, and left its stream open
            client.end_stream()

    def count_error(self, client: ClientRecord) -> None:
        """Note a request that was refused before it could begin."""
        client.requests += 1
        client.errors += 1

    def snapshot(self) -> tuple[list[ClientRecord], Counts]:
        """Return copies of the clients, oldest first, and of the counts."""
        with self._lock:
            clients = [dataclasses.replace(client) for client in self._clients.values()]
            counts = dataclasses.replace(self._counts)
        counts.requests += sum(client.requests for client in clients)
        counts.errors += sum(client.errors for client in clients)
        return clients, counts

    def stop(self) -> None:
        """Let no further command begin, and give idle clients the end of their stream."""
        with self._lock:
            self._stopping = True
            idle = [client for client in self._clients.values() if client.command is None]
        for client in idle:
            client.end_stream()

    def wait_empty(self, deadline: float) -> bool:
        """Wait a moment, at most until a monotonic time, for all clients to leave.

        Returns:
            Whether they have.
        """
        with self._lock:
            if self._clients:
                self._left.wait(max(0.0, min(deadline - time.monotonic(), _WAIT_SLICE)))
            return not self._clients

    def cut(self) -> list[ClientRecord]:
        """Cut the connections of all who are still here, and return them."""
        with self._lock:
            clients = list(self._clients.values())
        before = [dataclasses.replace(client) for client in clients]
        for client in clients:
            client.cut()
        return before
