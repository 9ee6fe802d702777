"""How many MiB/s, and how late, with replies of 64 KiB and 1 MiB?

The reply is a piece of base64, which neither zlib nor a repeated byte makes small. Ours sends it as
bytes, in an IEEE 488.2 block, and as one line of text; the bare server as a line. Both are asked on
the wire, by the engine of ``lab-utils-mt load``, which looks for the end of each reply and may be
the limit with large ones: such cases are marked. The peers send bytes, and are asked with their own
clients, in threads of Python. Pyro5 uses marshal, as its documentation advises for bytes; rpyc
compresses by zlib what has 3,000 bytes or more, which no documented setting turns off. One whole
reply is compared for each client of a peer, one for ours and the bare server in each measurement,
and of each reply the first 100 bytes.
"""

from __future__ import annotations

import base64
import contextlib
import random
import socket
import socketserver
from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import Any

from benchmarks.house.load import closed_loop
from benchmarks.house.peer import Peer, Wire, installed
from benchmarks.house.question import Bar, Case, Plot, Size
from benchmarks.house.servers import Running, serving
from benchmarks.peers import bare, ours

MODULE = "benchmarks.questions.big_replies"
KIB = 1024
SMALL, LARGE = 64 * KIB, 1024 * KIB
CLIENTS = (1, 8)
OURS, OURS_TEXT, STOCK = "lab_utils_mt, bytes", "lab_utils_mt, text", "ThreadingTCPServer"
LIBRARIES = ("rpyc", "Pyro5")
BEGINNING = 100  # bytes, which are compared in each reply


@cache
def payload(size: int) -> bytes:
    """Return the bytes of a reply."""
    return base64.b64encode(random.Random(1).randbytes(size))[:size]


# --- the servers --------------------------------------------------------------------------------


def serve_ours(port: int, _: dict[str, Any]) -> None:
    """Run ``blob SIZE`` and ``text SIZE``."""
    from lab_utils_mt.commands import command
    from lab_utils_mt.socket_comm import Server

    class Big(Server):
        @command
        def blob(self, size: int) -> bytes:
            """Send bytes."""
            return payload(size)

        @command
        def text(self, size: int) -> str:
            """Send as much text."""
            return payload(size).decode("ascii")

    ours.run(Big, port, {})


def serve_bare(port: int, _: dict[str, Any]) -> None:
    """Run ``text SIZE``."""

    class Handler(socketserver.StreamRequestHandler):
        disable_nagle_algorithm = True

        def handle(self) -> None:
            for line in self.rfile:
                _, _, size = line.partition(b" ")
                self.wfile.write(payload(int(size)) + b"\n")

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = True
        daemon_threads = True

    Server(("127.0.0.1", port), Handler).serve_forever()


def serve_rpyc(port: int, _: dict[str, Any]) -> None:
    """Expose ``blob(size)``."""
    import rpyc
    from rpyc.utils.server import ThreadedServer

    class Big(rpyc.Service):
        def exposed_blob(self, size: int) -> bytes:
            return payload(size)

    ThreadedServer(Big, hostname="127.0.0.1", port=port, backlog=1024).start()


def serve_pyro5(port: int, _: dict[str, Any]) -> None:
    """Expose ``blob(size)``."""
    import Pyro5.api

    @Pyro5.api.expose
    class Big:
        def blob(self, size: int) -> bytes:
            return payload(size)

    Pyro5.config.SOCK_NODELAY = True
    with Pyro5.api.Daemon(host="127.0.0.1", port=port) as daemon:
        daemon.register(Big(), objectId="big")
        daemon.requestLoop()


@contextlib.contextmanager
def connect_rpyc(port: int, size: int) -> Iterator[Callable[[], object]]:
    """Ask an rpyc server; the bound method is kept."""
    import rpyc
    from rpyc.core.stream import SocketStream

    stream = SocketStream.connect("127.0.0.1", port, nodelay=True)
    with rpyc.connect_stream(stream, config={"sync_request_timeout": 60}) as connection:
        blob = connection.root.blob
        yield asking(blob, size)


@contextlib.contextmanager
def connect_pyro5(port: int, size: int) -> Iterator[Callable[[], object]]:
    """Ask a Pyro5 server; marshal carries bytes as they are, serpent as base64."""
    import Pyro5.api

    Pyro5.config.SOCK_NODELAY = True
    Pyro5.config.SERIALIZER = "marshal"
    with Pyro5.api.Proxy(f"PYRO:big@127.0.0.1:{port}") as proxy:
        yield asking(proxy.blob, size)


def asking(blob: Callable[[int], bytes], size: int) -> Callable[[], object]:
    """Compare one whole reply; return what gets another, and compares its beginning."""
    if blob(size) != payload(size):
        raise ValueError("wrong reply")
    beginning = payload(size)[:BEGINNING]

    def ask() -> str:
        if not blob(size).startswith(beginning):
            raise ValueError("wrong reply")
        return "right"

    return ask


def library(name: str, settings: str, serve: Any, connect: Any, size: int) -> Peer:
    """Return a contestant with a client library, which asks for replies of this size."""
    client = partial(connect, size=size)
    return Peer(name, installed(name), settings, serve, connect=client)


LINES = Wire(b"text 5\n", ok=payload(5))
OURS_PEER = Peer("lab_utils_mt", ours.version, "as installed, typed", serve_ours, LINES)
STOCK_PEER = Peer(STOCK, bare.PEER.version, bare.PEER.settings, serve_bare, LINES)
RPYC = partial(library, "rpyc", "TCP_NODELAY; its zlib", serve_rpyc, connect_rpyc)
PYRO5 = partial(library, "Pyro5", "TCP_NODELAY, marshal", serve_pyro5, connect_pyro5)
RPYC_64, RPYC_1024, PYRO5_64, PYRO5_1024 = RPYC(SMALL), RPYC(LARGE), PYRO5(SMALL), PYRO5(LARGE)


# --- what is measured ---------------------------------------------------------------------------


def cases(size: Size) -> list[Case]:
    """Measure each server with both sizes, and one and eight clients."""
    measures = {
        OURS: partial(measure_ours, "blob"),
        OURS_TEXT: partial(measure_ours, "text"),
        STOCK: partial(measure_bare, "text"),
        **{name: partial(measure_library, name) for name in LIBRARIES},
    }
    return [
        Case(
            {"server": name, "KiB": reply // KIB, "clients": clients},
            partial(measure, reply, clients, size),
        )
        for reply in size.pick((SMALL, LARGE), (SMALL,))
        for clients in size.pick(CLIENTS, CLIENTS[:1])
        for name, measure in measures.items()
    ]


BARS = [
    Bar(
        f"{reply // KIB} KiB, {clients} client{'s' * (clients > 1)}: "
        "no slower than the fastest Python peer",
        figure="mib_per_s",
        of={"server": OURS, "KiB": reply // KIB, "clients": clients},
        against={"server": LIBRARIES, "KiB": reply // KIB, "clients": clients},
        at_least=1.0,
    )
    for reply in (SMALL, LARGE)
    for clients in CLIENTS
]
PLOTS = [
    Plot(
        "mib_per_s",
        x="KiB",
        title="Big replies, 8 clients",
        y_label="MiB/s",
        kind="bars",
        only={"clients": CLIENTS[-1]},
    )
]


def measure_ours(command: str, reply: int, clients: int, size: Size) -> dict[str, float]:
    """Ask for bytes, which come as a block: #, one digit n, n digits with the size, the bytes."""
    count = str(reply).encode()
    head = b"#%d%b" % (len(count), count) if command == "blob" else b""
    with serving(f"{MODULE}:OURS_PEER") as server:
        check(server, command, head, reply)
        return on_the_wire(server, command, reply, clients, size)


def measure_bare(command: str, reply: int, clients: int, size: Size) -> dict[str, float]:
    """Ask for a line."""
    with serving(f"{MODULE}:STOCK_PEER") as server:
        check(server, command, b"", reply)
        return on_the_wire(server, command, reply, clients, size)


def check(server: Running, command: str, head: bytes, reply: int) -> None:
    """Compare one whole reply."""
    whole = head + payload(reply) + b"\n"
    with socket.create_connection(("127.0.0.1", server.port), 30) as sock:
        sock.sendall(f"{command} {reply}\n".encode())
        with sock.makefile("rb") as stream:
            if stream.read(len(whole)) != whole:
                raise ValueError("wrong reply")


def on_the_wire(
    server: Running, command: str, reply: int, clients: int, size: Size
) -> dict[str, float]:
    """Let clients ask with the load engine."""
    request, ok = f"{command} {reply}\n".encode(), payload(reply)[:BEGINNING]
    return with_rate(closed_loop(server, clients, size, request=request, ok=ok), reply)


def measure_library(name: str, reply: int, clients: int, size: Size) -> dict[str, float]:
    """Ask with the peer's own client."""
    with serving(f"{MODULE}:{name.upper()}_{reply // KIB}") as server:
        return with_rate(closed_loop(server, clients, size), reply)


def with_rate(found: dict[str, float], reply: int) -> dict[str, float]:
    """Add the rate in bytes."""
    return {**found, "mib_per_s": found["requests_per_s"] * reply / 2**20}
