"""How many commands of 50 ms a second, if 64 clients send them at once?

Each client sends its next command as soon as it has its reply. If all overlap, 64 clients get 1,280
a second; a server that runs one command at a time gets 20. Clients of the original connect for each
command, as its own do; some of them come in only after many tries, or give up after ``timeout``
seconds, which is counted. The clients of the others stay connected.
"""

from __future__ import annotations

from functools import partial

from benchmarks.house.load import LoadFailed, figures
from benchmarks.house.question import Bar, Case, Plot, Size
from benchmarks.house.servers import Running, serving
from lab_utils_mt._load.fleet import run
from lab_utils_mt._load.plan import Plan

CLIENTS = 64
SECONDS, LONGER = 3.0, 6.0
ROUND = f"{SECONDS:g} s; {LONGER:g} s of the original"
OURS, ORIGINAL = "lab_utils_mt", "lab_utils 0.5.4"
# How the reply to `sleep` begins.
SERVERS = {
    OURS: b"slept",
    "ThreadingTCPServer": b"0.05",
    ORIGINAL: b"slept",
}


def cases(size: Size) -> list[Case]:
    """Measure each server."""
    return [Case({"server": one}, partial(measure, one, size)) for one in SERVERS]


BARS = [
    Bar(
        f"{CLIENTS} clients: 60 times the original",
        figure="commands_per_s",
        of={"server": OURS},
        against={"server": ORIGINAL},
        at_least=60.0,
    )
]
PLOTS = [
    Plot(
        "commands_per_s",
        x="server",
        line=None,
        title=f"Commands of 50 ms from {CLIENTS} clients",
        y_label="commands/s",
        kind="bars",
    )
]


def measure(name: str, size: Size) -> dict[str, float]:
    """Let all clients send commands."""
    with serving(name) as server:
        outcome = run(plan_for(server, SERVERS[name], size))
    found = figures(outcome, most_errors=1.0)
    tally = outcome.tally
    allowed = {"timeout"} if name == ORIGINAL else set()
    if set(tally.errors) - allowed:
        raise LoadFailed(f"{tally.requests} commands, errors: {tally.first_errors}")
    return {
        "commands_per_s": found["requests_per_s"],
        **{name: found[name] for name in ("p50_ms", "p99_ms", "load_busy") if name in found},
        "timeouts": tally.errors["timeout"],
    }


def plan_for(server: Running, ok: bytes, size: Size) -> Plan:
    """Return the load; the original gets a longer one, as it answers so few commands."""
    assert server.peer.wire is not None
    stays = server.peer.wire.request.endswith(b"\n")
    return Plan(
        host="127.0.0.1",
        port=server.port,
        request=b"sleep 0.05\n" if stays else b"sleep 0.05",
        ok=ok,
        clients=CLIENTS,
        warm_up=size.pick(1.0, 0.2),
        seconds=size.pick(SECONDS if stays else LONGER, 0.5),
        processes=2,
        reconnect=not stays,
        terminated=stays,
        timeout=size.pick(5.0, 2.0),
    )
