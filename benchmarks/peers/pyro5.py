"""How does Pyro5 take part? Its thread pool server, with a thread for each client."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from benchmarks.house.peer import Peer, installed


def serve(port: int, _options: dict[str, Any]) -> None:
    """Expose ``echo``."""
    import Pyro5.api

    @Pyro5.api.expose
    class Echo:
        def echo(self, text: str) -> str:
            return text

    Pyro5.config.SERVERTYPE = "thread"
    Pyro5.config.THREADPOOL_SIZE = 2048
    Pyro5.config.SOCK_NODELAY = True
    with Pyro5.api.Daemon(host="127.0.0.1", port=port) as daemon:
        daemon.register(Echo(), objectId="echo")
        daemon.requestLoop()


@contextlib.contextmanager
def connect(port: int) -> Iterator[Callable[[], object]]:
    """Make a proxy; each belongs to one thread. Its serializer is the server's, too."""
    import Pyro5.api

    Pyro5.config.SOCK_NODELAY = True
    Pyro5.config.SERIALIZER = "marshal"  # the fastest that it has; the default is serpent
    with Pyro5.api.Proxy(f"PYRO:echo@127.0.0.1:{port}") as proxy:
        yield lambda: proxy.echo("hello")


PEER = Peer(
    name="Pyro5",
    version=installed("Pyro5"),
    settings="thread server, THREADPOOL_SIZE=2048, SOCK_NODELAY on both ends, marshal",
    serve=serve,
    connect=connect,
    colour="#56B4E9",
)
