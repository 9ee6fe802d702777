"""What does a request cost the server as its clients grow from 1 to 1,000?

All clients stay connected, and each asks in its turn, one request at a time: the same work, shared
by ever more clients. ``server_cpu_us`` is the processor time of the whole server process over the
requests that it answered.

``growth`` is the cost with so many clients over that with 10, of two server processes that take
turns. Servers and clients are all kept on one processor, so that it does not matter where the
system puts them: a request over two processors costs up to three times as much.

The cost does grow, for us and for the bare server. What was asked for is no measurable slope; the
bar is against the bare server's growth instead, since a thread that has slept longer finds less of
its own in the caches of the processor, whatever the program, and the bare server has a thread for
each client as well. The bar tells what a server of ours adds to that, not that nothing grows.
"""

from __future__ import annotations

import contextlib
from functools import partial

from benchmarks.house.question import Bar, Case, Plot, Size
from benchmarks.house.servers import serving
from benchmarks.house.turns import Side, in_turns, on_one_processor, require_room

SERVERS = ("lab_utils_mt", "lab_utils_mt, argparse", "ThreadingTCPServer")
CLIENTS = (1, 10, 100, 1000)
FEW, MANY = 10, 1000


def cases(size: Size) -> list[Case]:
    """Measure each server with few and with many clients."""
    return [
        Case({"server": name, "clients": clients}, partial(measure, name, clients, size))
        for clients in size.pick(CLIENTS, (MANY,))
        for name in SERVERS
    ]


BARS = [
    Bar(
        f"{name}: cost with 1,000 clients over that with 10, of the same for the bare server",
        figure="growth",
        of={"server": name, "clients": MANY},
        against={"server": "ThreadingTCPServer", "clients": MANY},
        at_most=1.1,
    )
    for name in SERVERS[:-1]
]
PLOTS = [
    Plot(
        "server_cpu_us",
        x="clients",
        title="Cost of a request, with ever more clients that ask",
        y_label="processor time of the server, µs",
        log_x=True,
    )
]


def measure(name: str, clients: int, size: Size) -> dict[str, float]:
    """Ask a server with few clients and one with so many, in turns."""
    require_room(clients + 100)
    with contextlib.ExitStack() as stack:
        stack.enter_context(on_one_processor())
        sides = []
        for count in (FEW, clients):
            server = stack.enter_context(serving(name))
            assert server.peer.wire is not None
            sides.append(Side(server, count, server.peer.wire.request, server.peer.wire.ok))
        few, many = in_turns(sides, size.seconds)
    return {**many, "growth": many["server_cpu_us"] / few["server_cpu_us"]}
