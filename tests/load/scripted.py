"""Servers for the load: bare sockets that do exactly what a test says, and count."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator

from daemons import TIMEOUT


class Scripted:
    """A server that runs a function for each connection, in a thread of its own.

    Attributes:
        port: Where it listens.
        connections: How many were accepted.
        requests: How many lines came.
    """

    def __init__(self, serve: Callable[[Scripted, socket.socket], None]) -> None:
        self._serve = serve
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = int(self._listener.getsockname()[1])
        self.connections = self.requests = 0
        self.over = threading.Event()
        self._lock = threading.Lock()  # guards connections, requests and _open
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, name="scripted")]
        self._threads[0].start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                client.settimeout(TIMEOUT)
                with self._lock:
                    self.connections += 1
                    self._open.append(client)
                thread = threading.Thread(target=self._run, args=(client,), name="scripted-conn")
                self._threads.append(thread)
                thread.start()

    def _run(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            self._serve(self, client)

    def lines(self, client: socket.socket) -> Iterator[bytes]:
        """Yield what a client sends, line by line, and count it."""
        with client.makefile("rb") as file:
            for line in file:
                with self._lock:
                    self.requests += 1
                yield line

    def close(self) -> None:
        """End all connections and threads."""
        self.over.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._threads[0].join(TIMEOUT)
        for client in self._open:
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(TIMEOUT)
            assert not thread.is_alive()


@contextlib.contextmanager
def scripted(serve: Callable[[Scripted, socket.socket], None]) -> Iterator[Scripted]:
    """Run a server."""
    server = Scripted(serve)
    try:
        yield server
    finally:
        server.close()


def answering(reply: bytes | Callable[[int], bytes]) -> Callable[[Scripted, socket.socket], None]:
    """Return a script that gives the same reply to each line, or that of its number, from 0."""

    def serve(server: Scripted, client: socket.socket) -> None:
        for number, _ in enumerate(server.lines(client)):
            client.sendall(reply if isinstance(reply, bytes) else reply(number))

    return serve


def reset(client: socket.socket) -> None:
    """Close with a reset."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    client.close()
