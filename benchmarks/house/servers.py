"""How does a contestant's server run, in a process of its own, until its ``with`` block ends?"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from benchmarks.house.peer import MissingPeer, Peer, Wire, find

__all__ = [
    "CONTESTANTS",
    "PEERS",
    "MissingPeer",
    "Running",
    "ServerDied",
    "StartFailed",
    "answers",
    "environment_of",
    "last_lines",
    "peer",
    "serving",
]

ROOT = Path(__file__).parents[2]
START_TIMEOUT = 30.0  # s until it must have answered

# By the name in the tables; imported when needed.
CONTESTANTS = {
    "lab_utils_mt": "benchmarks.peers.ours",
    "lab_utils_mt, one_processor": "benchmarks.peers.ours:ONE_PROCESSOR",
    "lab_utils_mt, argparse": "benchmarks.peers.ours:ARGPARSE",
    "lab_utils_mt, own client": "benchmarks.peers.ours:OWN_CLIENT",
    "lab_utils 0.5.4": "benchmarks.peers.original",
    "ThreadingTCPServer": "benchmarks.peers.bare",
    "rpyc": "benchmarks.peers.rpyc",
    "Pyro5": "benchmarks.peers.pyro5",
    "frappy": "benchmarks.peers.frappy",
    "aiokatcp": "benchmarks.peers.aiokatcp",
    "PyTango": "benchmarks.peers.pytango",
    "QMI": "benchmarks.peers.qmi",
}
# What a lab could choose instead: neither ours, nor what ours comes from, nor the floor.
PEERS = tuple(
    name for name in CONTESTANTS if not name.startswith(("lab_utils", "ThreadingTCPServer"))
)


class StartFailed(Exception):
    """A server that is installed does not start; the text says why."""


class ServerDied(Exception):
    """A server ended while it was measured: half of the figures are of nobody."""


@dataclass(frozen=True)
class Running:
    """A server that has answered one request."""

    port: int
    pid: int
    peer: Peer
    where: str


def peer(name: str) -> Peer:
    """Return a contestant by its name, or by ``module:ATTRIBUTE``."""
    return find(CONTESTANTS.get(name, name))


@contextlib.contextmanager
def serving(name: str, **options: Any) -> Iterator[Running]:
    """Run a contestant's server; the block is entered once it has answered.

    Args:
        name: Of :data:`CONTESTANTS`, or ``module:ATTRIBUTE`` where a question has a
            :class:`~benchmarks.house.peer.Peer` of its own.
        options: Handed to its ``serve``; ours takes each setting of a server, and ``commands``.

    Raises:
        MissingPeer: It is not installed.
        StartFailed: It is, and does not start: something here is wrong.
        ServerDied: It had ended by itself before the block did.
    """
    contestant = peer(name)
    contestant.version()  # raises if it is not there
    where = CONTESTANTS.get(name, name)
    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        _started(contestant, where, options, Path(folder)) as running,
    ):
        yield running


@contextlib.contextmanager
def _started(
    contestant: Peer, where: str, options: dict[str, Any], folder: Path
) -> Iterator[Running]:
    port = free_port()
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.peers", where, str(port)]
    with (folder / "stderr").open("w+", encoding="utf-8", errors="replace") as errors:
        process = subprocess.Popen(
            [*command, json.dumps(options)],
            stdin=subprocess.PIPE,  # its end tells the server that this process is gone
            stdout=subprocess.DEVNULL,
            stderr=errors,
            cwd=folder,
            env=environment_of(contestant),
        )
        with process:
            try:
                if not _wait_for(contestant, port, process):
                    said = last_lines(errors, 1) or f"no answer in {START_TIMEOUT:g} s"
                    raise StartFailed(f"{contestant.name} does not start: {said}")
                yield Running(port, process.pid, contestant, where)
                if (status := process.poll()) is not None:
                    said = last_lines(errors, 1) or "it said nothing"
                    raise ServerDied(f"{contestant.name} died meanwhile ({status}): {said}")
            finally:
                process.kill()


def environment_of(contestant: Peer) -> dict[str, str]:
    """Return the environment of a process that imports a contestant's library."""
    path = [str(ROOT)]
    if contestant.folder is not None:
        path.insert(0, contestant.folder())
    path += filter(None, [os.environ.get("PYTHONPATH")])
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path), **(contestant.environment or {})}


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _wait_for(contestant: Peer, port: int, process: subprocess.Popen[bytes]) -> bool:
    deadline = time.monotonic() + START_TIMEOUT
    while process.poll() is None and time.monotonic() < deadline:
        with (
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", port), timeout=5) as sock,
        ):
            if contestant.wire is None or answers(sock, contestant.wire):
                return True
        time.sleep(0.02)
    return False


def answers(sock: socket.socket, wire: Wire) -> bool:
    """Ask once and check the reply; a message without newline ends the stream, as by netcat."""
    sock.sendall(wire.request)
    if not wire.request.endswith(b"\n"):
        sock.shutdown(socket.SHUT_WR)
    with sock.makefile("rb") as lines:
        for line in lines:
            if not (wire.skip_prefix and line.startswith(wire.skip_prefix)):
                return line.startswith(wire.ok)
    return False


def last_lines(errors: IO[str], count: int = 3) -> str:
    """Return the end of what a process wrote to its standard error, in one line; or nothing."""
    errors.seek(0)
    lines = [line.strip() for line in errors if line.strip()]
    return "; ".join(lines[-count:])
