"""A server with pollers, and clients that watch it."""

from __future__ import annotations

import itertools
import json
import socket
import threading
from typing import Any

from daemons import TIMEOUT, Line

from lab_utils_mt._commands.monitoring import Monitoring
from lab_utils_mt._commands.polling import Poller
from lab_utils_mt._commands.watching import Hub
from lab_utils_mt.commands import command, poll
from lab_utils_mt.socket_comm import Server

EVERY = 0.02  # s


class Fridge(Server):
    """A refrigerator whose readings are numbered."""

    send_timeout = 1.0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.numbers = itertools.count()
        self.fault: Exception | None = None
        self.gate = threading.Event()
        self.padding = ""
        super().__init__(*args, **kwargs)

    @poll(every=EVERY)
    def sensor(self) -> dict[str, float | str]:
        if self.fault is not None:
            raise self.fault
        number = next(self.numbers)
        return {"n": number, "pad": self.padding} if self.padding else {"n": number}

    @poll(every=3600.0, device="valve")
    def once(self) -> float:
        """Read something once."""
        return 4.2

    @command
    def wait(self) -> str:
        self.gate.wait(TIMEOUT)
        return "waited"


def number_of(line: bytes) -> int:
    """Return the number of a pushed reading."""
    return int(float(line.split(b" n=")[1].split()[0]))


def missed_of(line: bytes) -> int:
    """Return how many were missed before it."""
    return int(line.split(b"missed=")[1]) if b"missed=" in line else 0


def request(method: str, number: int | None = None, **params: Any) -> bytes:
    """Return a JSON-RPC request, or a notification."""
    document: dict[str, Any] = {"jsonrpc": "2.0", "method": method, "params": params}
    return json.dumps(document if number is None else {**document, "id": number}).encode() + b"\n"


class Mute:
    """A client that watches and never reads."""

    def __init__(self, server: Server, name: str = "sensor") -> None:
        self.sock = socket.socket()
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        self.sock.settimeout(TIMEOUT)
        self.sock.connect(("127.0.0.1", server.port))
        self.sock.sendall(f"watch {name}\n".encode())

    def __enter__(self) -> Mute:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()


def status(server: Server) -> str:
    """Return the status, asked by a client of its own."""
    with Line(server) as client:
        client.send(request("status", 1))
        return str(json.loads(client.line())["result"])


def hub_of(server: Server) -> Hub:
    """Return where a server's readings are."""
    return _monitoring_of(server).hub


def poller_of(server: Server, name: str = "sensor") -> Poller:
    """Return one of its pollers."""
    return _monitoring_of(server)._pollers._pollers[name]


def _monitoring_of(server: Server) -> Monitoring:
    monitoring = server._repertoire.monitoring
    assert monitoring is not None, "the server has pollers"
    return monitoring
