"""What does a request cost one server beside another, if nothing but that differs?

Two servers run at once, and one process asks them in turns of a few hundred requests, one request
at a time, each over the next of its connections. All of them stay on one processor: a request costs
up to three times as much if client and server happen to sit on two, and a server seldom moves. So
both meet the same machine in the same second, and what differs is the servers.

Run as a program it is that process: ``python -m benchmarks.house.turns``, with what to do as JSON
on its standard input.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

from benchmarks.house.peer import MissingPeer
from benchmarks.house.servers import ROOT, Running
from lab_utils_mt._load.files import most_connections

TURN = 200  # requests
LONGEST = 60.0  # s for a reply
CPUCLOCK_SCHED = 2  # of Linux: the clock of a process, in nanoseconds


@dataclasses.dataclass(frozen=True)
class Side:
    """A server that takes its turns.

    Attributes:
        server: It.
        clients: How many connections it has; all are open all the time.
        request: What is sent, with its newline.
        ok: How each reply must begin; it is one short line.
    """

    server: Running
    clients: int
    request: bytes
    ok: bytes

    def as_json(self) -> dict[str, Any]:
        """Return what the process that asks has to know."""
        return {
            "port": self.server.port,
            "pid": self.server.pid,
            "clients": self.clients,
            "request": self.request.decode(),
            "ok": self.ok.decode(),
        }


def in_turns(sides: Sequence[Side], seconds: float) -> list[dict[str, float]]:
    """Ask servers in turns, all together so long.

    Returns:
        For each ``server_cpu_us``, the processor time of the server's process over its requests,
        and ``p50_ms``.
    """
    plan = {"seconds": seconds, "sides": [side.as_json() for side in sides]}
    done = subprocess.run(
        [sys.executable, "-m", __name__],
        input=json.dumps(plan).encode(),
        stdout=subprocess.PIPE,
        cwd=ROOT,
        check=True,
        timeout=seconds + 2 * LONGEST,
    )
    found: list[dict[str, float]] = json.loads(done.stdout)
    return found


@contextlib.contextmanager
def on_one_processor() -> Iterator[None]:
    """Let all processes that are started in the block run on one processor, where that can be."""
    if sys.platform != "linux":
        yield
        return
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(allowed)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


def require_room(connections: int) -> None:
    """Raise this process's limit of open files; servers and clients that it starts inherit it.

    Raises:
        MissingPeer: The limit cannot be raised so far.
    """
    if sys.platform != "win32" and most_connections(connections) < connections:
        raise MissingPeer(
            f"{connections} connections need as many open files: raise the hard limit (ulimit -Hn)"
        )


def processor_seconds(pid: int) -> float:
    """Return what a process has used of the processor, as precisely as the system tells it."""
    if sys.platform == "linux":
        return time.clock_gettime((~pid << 3) | CPUCLOCK_SCHED)
    import psutil

    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


# --- the process that asks ----------------------------------------------------------------------


class Asker:
    """All clients of one server."""

    def __init__(self, plan: dict[str, Any], stack: contextlib.ExitStack) -> None:
        self._pid: int = plan["pid"]
        self._request = plan["request"].encode()
        self._ok = plan["ok"].encode()
        address = ("127.0.0.1", plan["port"])
        socks = []
        for _ in range(plan["clients"]):
            sock = stack.enter_context(socket.create_connection(address, LONGEST))
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.settimeout(None)  # with one, each recv() would poll first
            self._ask(sock)  # its thread has started
            socks.append(sock)
        self._socks = itertools.cycle(socks)
        self._used = 0.0
        self._latencies: list[float] = []

    def _ask(self, sock: socket.socket) -> None:
        sock.sendall(self._request)
        reply = sock.recv(4096)
        if not (reply.startswith(self._ok) and reply.endswith(b"\n")):
            raise SystemExit(f"wrong reply: {reply!r}")

    def warm_up(self) -> None:
        """Ask for a turn, and forget it."""
        self.turn()
        self._used = 0.0
        self._latencies.clear()

    def turn(self) -> None:
        """Ask some requests."""
        used = processor_seconds(self._pid)
        for _ in range(TURN):
            began = time.perf_counter()
            self._ask(next(self._socks))
            self._latencies.append(time.perf_counter() - began)
        self._used += processor_seconds(self._pid) - used

    @property
    def figures(self) -> dict[str, float]:
        """What was seen."""
        return {
            "server_cpu_us": 1e6 * self._used / len(self._latencies),
            "p50_ms": 1e3 * statistics.median(self._latencies),
        }


def main() -> None:
    """Ask in turns."""
    plan = json.loads(sys.stdin.readline())
    with contextlib.ExitStack() as stack:
        askers = [Asker(side, stack) for side in plan["sides"]]
        for asker in askers:
            asker.warm_up()
        end = time.perf_counter() + plan["seconds"]
        while time.perf_counter() < end:
            for asker in askers:
                asker.turn()
        print(json.dumps([asker.figures for asker in askers]))


if __name__ == "__main__":
    main()
