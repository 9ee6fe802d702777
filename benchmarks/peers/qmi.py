"""How does QMI take part? An RPC object in a context; a context of its own for each client."""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

from benchmarks.house.peer import Peer, installed

_numbers = itertools.count()


def serve(port: int, _options: dict[str, Any]) -> None:
    """Make ``srv.echo``."""
    from qmi.core.config_defs import CfgContext, CfgQmi
    from qmi.core.context import QMI_Context
    from qmi.core.rpc import QMI_RpcObject, rpc_method

    class Echo(QMI_RpcObject):
        @rpc_method
        def echo(self, text: str) -> str:
            return text

    own = CfgContext(host="127.0.0.1", tcp_server_port=port)
    context = QMI_Context("srv", CfgQmi(contexts={"srv": own}))
    context.start()
    context.make_rpc_object("echo", Echo)
    threading.Event().wait()


@contextlib.contextmanager
def connect(port: int) -> Iterator[Callable[[], object]]:
    """Make a context, which has one connection to each peer."""
    from qmi.core.config_defs import CfgContext, CfgQmi
    from qmi.core.context import QMI_Context

    name = f"cli{os.getpid()}x{next(_numbers)}"
    context = QMI_Context(name, CfgQmi(contexts={name: CfgContext()}))
    context.start()
    try:
        context.connect_to_peer("srv", f"127.0.0.1:{port}")
        proxy = context.get_rpc_object_by_name("srv.echo")
        yield lambda: proxy.echo("hello")
    finally:
        context.stop()


PEER = Peer(
    name="QMI",
    version=installed("qmi"),
    settings="as installed: one thread for each RPC object; a context for each client",
    serve=serve,
    connect=connect,
    colour="#8C6D31",
)
