"""How does rpyc take part? A thread per client; its own client, with the bound method kept."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from benchmarks.house.peer import Peer, installed


def serve(port: int, _options: dict[str, Any]) -> None:
    """Expose ``echo``."""
    import rpyc
    from rpyc.utils.server import ThreadedServer

    class EchoService(rpyc.Service):
        def exposed_echo(self, text: str) -> str:
            return text

    ThreadedServer(EchoService, hostname="127.0.0.1", port=port, backlog=1024).start()


@contextlib.contextmanager
def connect(port: int) -> Iterator[Callable[[], object]]:
    """Connect; asking ``conn.root.echo`` anew would cost a round trip more a request."""
    import rpyc
    from rpyc.core.stream import SocketStream

    stream = SocketStream.connect("127.0.0.1", port, nodelay=True)
    with rpyc.connect_stream(stream, config={"sync_request_timeout": 60}) as connection:
        echo = connection.root.echo
        yield lambda: echo("hello")


PEER = Peer(
    name="rpyc",
    version=installed("rpyc"),
    settings="ThreadedServer, backlog 1024, TCP_NODELAY, bound method kept by the client; zlib "
    "from 3,000 bytes on, which no documented setting turns off",
    serve=serve,
    connect=connect,
    colour="#0072B2",
)
