"""A line to the server that breaks after so many bytes."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

from psycopg2.extensions import make_dsn, parse_dsn


class Proxy:
    """Takes one connection after another on TCP, and forwards it to the server of a dsn."""

    def __init__(self, dsn: str) -> None:
        self._server = parse_dsn(dsn)
        self._listener = socket.create_server(("127.0.0.1", 0))
        # Guards the two below.
        self._lock = threading.Lock()
        self.passed = {"up": 0, "down": 0}
        self._left: dict[str, int] = {}
        self._ends: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()
        port = self._listener.getsockname()[1]
        self.dsn = str(make_dsn(dsn, host="127.0.0.1", port=port, gssencmode="disable"))

    def cut_after(self, direction: str, number: int) -> None:
        """Break the line, once, at the byte that comes after so many more in a direction."""
        with self._lock:
            self._left = {direction: number}

    def _connect(self) -> socket.socket:
        host, port = self._server.get("host", "localhost"), self._server.get("port", "5432")
        if not host.startswith("/"):
            return socket.create_connection((host, int(port)), timeout=20)
        line = socket.socket(socket.AF_UNIX)
        line.connect(f"{host}/.s.PGSQL.{port}")
        return line

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client = self._listener.accept()[0]
                server = self._connect()
                self._ends += [client, server]
                for direction, pair in (("up", (client, server)), ("down", (server, client))):
                    thread = threading.Thread(target=self._forward, args=(direction, *pair))
                    self._threads.append(thread)
                    thread.start()

    def _forward(self, direction: str, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                allowed = self._allowance(direction, len(data))
                target.sendall(data[:allowed])
                if allowed < len(data):
                    break
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _allowance(self, direction: str, number: int) -> int:
        with self._lock:
            self.passed[direction] += number
            left = self._left.get(direction, number)
            if number > left:
                self._left = {}
                return left
            if direction in self._left:
                self._left[direction] = left - number
            return number

    def close(self) -> None:
        """Break every line, and end all threads."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._threads[0].join(20)
        for end in self._ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(20)
        for end in self._ends:
            end.close()


@contextlib.contextmanager
def proxy(dsn: str) -> Iterator[Proxy]:
    """Run a proxy for a ``with`` block."""
    running = Proxy(dsn)
    try:
        yield running
    finally:
        running.close()
