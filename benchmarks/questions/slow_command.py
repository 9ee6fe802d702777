"""How late is client 2 while client 1 runs a command of 5 s?

The command waits, as one does that asks an instrument. One process is both clients: a thread sends
the command and waits for its reply; meanwhile client 2 asks ``echo`` again and again, one request
after the other. Before and after it, for half of the time each, client 2 asks alone, so ``alone``
and ``beside`` are measured in the same server process, and a drift of the machine falls on both. A
request that was sent before the reply of client 1 counts, however long it takes: the original
server makes client 2 wait for the whole command, so it answers too few for a p99.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from benchmarks.house.percentile import told_of
from benchmarks.house.question import Bar, Case, Plot, Size
from benchmarks.house.servers import ROOT, serving

SERVERS = ("lab_utils_mt", "ThreadingTCPServer", "lab_utils 0.5.4")
COMMAND = 5.0  # s
ROUND = f"a command of {COMMAND:g} s, and as long without it"
WARM_UP = 300  # requests
LONGEST = 60.0  # s for a reply


def cases(size: Size) -> list[Case]:
    """Measure each server."""
    return [
        Case({"server": one}, partial(measure, one, size.pick(COMMAND, 0.3))) for one in SERVERS
    ]


BARS = [
    Bar(
        "p99 beside the command at most 1.2 of p99 alone",
        figure="beside_p99_ms",
        of={"server": "lab_utils_mt"},
        against={"server": "lab_utils_mt"},
        against_figure="alone_p99_ms",
        at_most=1.2,
    )
]
PLOTS = [
    Plot(
        "beside_longest_ms",
        x="server",
        line=None,
        title="The longest that client 2 waits while client 1 runs a command of 5 s",
        y_label="ms",
        kind="bars",
        log_y=True,
    )
]


def measure(name: str, seconds: float) -> dict[str, float]:
    """Run the server and, in another process, both clients."""
    with serving(name) as server:
        assert server.peer.wire is not None
        terminated = server.peer.wire.request.endswith(b"\n")
        command = [sys.executable, "-m", __name__, str(server.port), str(seconds)]
        command += ["lines" if terminated else "messages"]
        done = subprocess.run(
            command, cwd=ROOT, stdout=subprocess.PIPE, check=True, timeout=4 * LONGEST
        )
    found: dict[str, float] = json.loads(done.stdout)
    return found


# --- the process of the clients -----------------------------------------------------------------


def ask_both(port: int, seconds: float, style: str) -> dict[str, float]:
    """Return what client 2 saw."""
    client = STYLES[style](port)
    for _ in range(WARM_UP):
        client.ask(b"echo hello")
    alone = latencies(client.ask, after(seconds / 2))
    beside = latencies_beside_command(client, port, seconds)
    alone += latencies(client.ask, after(seconds / 2))
    return {
        **told_of(alone, "alone_"),
        **told_of(beside, "beside_"),
        "beside_longest_ms": 1e3 * max(beside),
        "beside_requests_per_s": len(beside) / seconds,
    }


def latencies(ask: Callable[[bytes], bytes], ended: Callable[[], bool]) -> list[float]:
    """Ask until the end; return the time of each request in seconds."""
    times = []
    while not ended():
        began = time.perf_counter()
        reply = ask(b"echo hello")
        times.append(time.perf_counter() - began)
        if reply != b"hello":
            raise SystemExit(f"wrong reply: {reply!r}")
    return times


def after(seconds: float) -> Callable[[], bool]:
    """Return what tells whether some time has passed."""
    end = time.perf_counter() + seconds
    return lambda: time.perf_counter() >= end


def latencies_beside_command(client: Lines | Messages, port: int, seconds: float) -> list[float]:
    """Let client 1 run its command, and client 2 ask until client 1 has its reply."""
    first = type(client)(port)
    first.send(b"sleep %g" % seconds)
    # A server that runs one command at a time must have begun with this one: it comes first.
    time.sleep(0.02)
    with ThreadPoolExecutor(1) as pool:
        reply = pool.submit(first.receive)
        times = latencies(client.ask, reply.done)
        if reply.result() not in (b"slept", b"%g" % seconds):
            raise SystemExit(f"wrong reply to client 1: {reply.result()!r}")
    return times


class Lines:
    """A client that stays connected."""

    def __init__(self, port: int) -> None:
        self._sock = socket.create_connection(("127.0.0.1", port), LONGEST)
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, request: bytes) -> bytes:
        """Return the reply to a request."""
        self.send(request)
        return self.receive()

    def send(self, request: bytes) -> None:
        """Send a request."""
        self._sock.sendall(request + b"\n")

    def receive(self) -> bytes:
        """Return its reply, one short line."""
        return self._sock.recv(1000).removesuffix(b"\n")


class Messages:
    """A client in the style of 0.5.x: a connection for each message, which has no newline."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._sock = socket.socket()

    def ask(self, request: bytes) -> bytes:
        """Return the reply to a message."""
        self.send(request)
        return self.receive()

    def send(self, request: bytes) -> None:
        """Connect and send a message."""
        self._sock = socket.create_connection(("127.0.0.1", self._port), LONGEST)
        self._sock.sendall(request)

    def receive(self) -> bytes:
        """Return what comes until the end of the stream."""
        with self._sock as sock:
            return b"".join(iter(partial(sock.recv, 1000), b""))


STYLES: dict[str, type[Lines | Messages]] = {"lines": Lines, "messages": Messages}

if __name__ == "__main__":
    print(json.dumps(ask_both(int(sys.argv[1]), float(sys.argv[2]), sys.argv[3])))
