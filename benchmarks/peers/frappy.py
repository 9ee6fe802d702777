"""How does frappy (SECoP) take part? On the wire, without its client: a line of JSON each way."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from benchmarks.house.peer import Peer, Wire, installed

NODE = """
Node("bench.example", "echo node", "tcp://{port}")
Mod("echo", "benchmarks.peers.frappy_module.Echo", "echo module")
"""


def serve(port: int, _options: dict[str, Any]) -> None:
    """Run a node with one module."""
    folder = Path.cwd()
    for kind in ("CONFDIR", "LOGDIR", "PIDDIR"):
        os.environ[f"FRAPPY_{kind}"] = str(folder)
    from frappy.lib import generalConfig
    from frappy.logging import logger
    from frappy.protocol.interface.tcp import TCPServer
    from frappy.server import Server

    file = folder / "bench_cfg.py"
    file.write_text(NODE.format(port=port))
    TCPServer.request_queue_size = 1024
    generalConfig.init()
    logger.init("warning")
    Server("bench", logger.log, cfgfiles=[str(file)]).run()


PEER = Peer(
    name="frappy",
    version=installed("frappy-core"),
    settings="a node with one module, a typed command, log level warning, backlog 1024",
    serve=serve,
    wire=Wire(b'do echo:_echo "hello"\n', ok=b"done"),
    colour="#009E73",
)
