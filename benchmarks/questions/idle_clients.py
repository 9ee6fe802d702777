"""What do 1,000 idle clients cost 16 busy ones, and how much memory does each hold?

The 16 ask as fast as they can, all the time, from two processes. After some seconds 1,000 clients
come, have one reply each and then keep silent; later they leave. They live in a process of their
own. ``kept`` is the rate beside them over that before and after; the seconds in which they come and
leave do not count. The server is kept on one processor (the load is not): threads of one Python
process get no more done on two, and how they move between them would change the rate by more than
is asked for here. The rates themselves are therefore not those of a server left alone.

Memory is what the server's process holds more of it (resident set) once the idle clients are there,
over their number.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from statistics import fmean

from benchmarks.house.load import figures
from benchmarks.house.question import Bar, Case, Plot, Size
from benchmarks.house.servers import ROOT, Running, serving
from benchmarks.house.turns import on_one_processor, require_room
from lab_utils_mt._load.fleet import Progress, run
from lab_utils_mt._load.plan import Plan

SERVERS = ("lab_utils_mt", "ThreadingTCPServer")
BUSY = 16
ALONE, BESIDE = 2, 4  # s
ROUND = f"{ALONE} s before, {BESIDE} s beside and {ALONE} s after the idle clients"
LONGEST = 60.0  # s until the idle clients have come


def cases(size: Size) -> list[Case]:
    """Measure each server."""
    servers = size.pick(SERVERS, SERVERS[:1])
    return [Case({"server": one}, partial(measure, one, size)) for one in servers]


BARS = [
    Bar(
        "1,000 idle clients cost 16 busy ones at most 5 % of their requests/s",
        figure="kept",
        of={"server": "lab_utils_mt"},
        at_least=0.95,
    ),
    Bar(
        "at most 64 KiB resident for an idle connection",
        figure="resident_kib_per_connection",
        of={"server": "lab_utils_mt"},
        at_most=64.0,
    ),
]
PLOTS = [
    Plot(
        "resident_kib_per_connection",
        x="server",
        line=None,
        title="Memory of an idle connection",
        y_label="KiB, resident",
        kind="bars",
    )
]


def measure(name: str, size: Size) -> dict[str, float]:
    """Let the busy ones ask without, with, and without the idle ones."""
    count = size.pick(1000, 100)
    require_room(count + 200)
    with contextlib.ExitStack() as stack:
        with on_one_processor():
            server = stack.enter_context(serving(name))
        visit = Visit(server, count, size)
        try:
            outcome = run(plan_for(server, visit.end), visit.follow)
        finally:
            visit.leave()
    found = figures(outcome)  # raises if it was ended early: some seconds are missing then
    rates = {one.second: one.requests_per_second for one in outcome.tally.timeline}
    alone = fmean(rates[second] for second in visit.seconds_alone)
    beside = fmean(rates[second] for second in visit.seconds_beside)
    return {
        **found,
        "alone_requests_per_s": alone,
        "beside_requests_per_s": beside,
        "kept": beside / alone,
        "resident_kib_per_connection": visit.resident_kib / count,
    }


def plan_for(server: Running, seconds: int) -> Plan:
    """Return the load of the busy clients."""
    wire = server.peer.wire
    assert wire is not None
    return Plan(
        host="127.0.0.1",
        port=server.port,
        request=wire.request,
        ok=wire.ok,
        clients=BUSY,
        warm_up=1.0,
        seconds=seconds,
        processes=2,
    )


class Visit:
    """The idle clients, who come and leave while the busy ones ask.

    Args:
        server: Whom they visit.
        count: How many they are.
        size: Tells how many seconds are measured without them, before and after, and with them;
            and how many are theirs to come and to leave, which do not count.
    """

    def __init__(self, server: Running, count: int, size: Size) -> None:
        alone, beside = size.pick(ALONE, 1), size.pick(BESIDE, 1)
        self._coming, self._leaving = size.pick(10, 3), size.pick(2, 1)
        self._server = server
        self._command = [sys.executable, "-m", __name__, str(server.port), str(count)]
        self._process: subprocess.Popen[bytes] | None = None
        self._arrival = alone
        self.seconds_beside = range(alone + self._coming, alone + self._coming + beside)
        self.end = self.seconds_beside.stop + self._leaving + alone
        self.seconds_alone = [*range(alone), *range(self.end - alone, self.end)]
        self.resident_kib = 0.0

    def follow(self, progress: Progress) -> None:
        """Come and leave when it is time; called at the end of each second."""
        upcoming = progress.second.second + 1
        if upcoming == self._arrival:
            with at_most(self._coming, "come"):
                self.come()
        elif upcoming == self.seconds_beside.stop:
            with at_most(self._leaving, "leave"):
                self.leave()

    def come(self) -> None:
        """Let them come, and note what they hold."""
        before = resident_kib(self._server.pid)
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(self._command, cwd=ROOT, stdin=pipe, stdout=pipe)
        assert self._process.stdout is not None
        if self._process.stdout.readline() != b"ready\n":
            raise RuntimeError("an idle client could not connect, or got a wrong reply")
        self.resident_kib = resident_kib(self._server.pid) - before

    def leave(self) -> None:
        """Let them leave, if they are there."""
        process, self._process = self._process, None
        if process is not None:
            process.communicate(timeout=LONGEST)


@contextlib.contextmanager
def at_most(seconds: float, what: str) -> Iterator[None]:
    """Raise if the block takes longer: seconds would count that must not."""
    began = time.monotonic()
    yield
    if (took := time.monotonic() - began) > seconds:
        raise RuntimeError(
            f"the idle clients took {took:.1f} s to {what}, {seconds:g} s are theirs"
        )


def resident_kib(pid: int) -> float:
    """Return the resident memory of a process."""
    if sys.platform != "linux":
        import psutil

        return float(psutil.Process(pid).memory_info().rss) / 1024
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith("VmRSS:"))


# --- the process of the idle clients ------------------------------------------------------------


def be_idle(port: int, count: int) -> None:
    """Connect and ask once each; then stay until the standard input ends."""
    socks = [connected(port) for _ in range(count)]
    print("ready", flush=True)
    sys.stdin.read()
    for sock in socks:
        sock.close()


def connected(port: int) -> socket.socket:
    """Return a connection that has had one reply."""
    sock = socket.create_connection(("127.0.0.1", port), LONGEST)
    sock.sendall(b"echo hello\n")
    reply = sock.recv(100)
    if reply != b"hello\n":
        raise SystemExit(f"wrong reply: {reply!r}")
    return sock


if __name__ == "__main__":
    be_idle(int(sys.argv[1]), int(sys.argv[2]))
