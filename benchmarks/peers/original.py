"""How does the original lab_utils 0.5.4 take part? One message a connection, one at a time."""

from __future__ import annotations

from typing import Any

from benchmarks.house.original import original_folder, original_version
from benchmarks.house.peer import Peer, Wire
from benchmarks.peers.ours import argparse_style, run


def serve(port: int, options: dict[str, Any]) -> None:
    """Run the same commands as ours in the argparse style."""
    from lab_utils.socket_comm import Server

    run(argparse_style(Server), port, options)


PEER = Peer(
    name="lab_utils 0.5.4",
    version=original_version,
    settings="as installed, logging not configured; it takes a new connection for each message",
    serve=serve,
    wire=Wire(b"echo hello", ok=b"hello"),
    folder=original_folder,
    colour="#000000",
)
