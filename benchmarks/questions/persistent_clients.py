"""How many requests per second, and how late, with 1 to 256 clients that stay connected?

Each client sends ``echo hello`` again as soon as it has its answer. Line protocols are driven on
the wire, by the engine of ``lab-utils-mt load``, which takes little of the processor; rpyc, Pyro5,
PyTango and QMI by their own client library, in threads of two Python processes, which share the
processors with the server. So a part of their distance is that of their clients;
``lab_utils_mt, own client`` is our server asked in that way, to be compared with them. The original
lab_utils 0.5.4 knows no connection that stays: its clients connect for each message, and those that
it does not answer in time are counted as errors.
"""

from __future__ import annotations

from functools import partial

from benchmarks.house.load import closed_loop
from benchmarks.house.question import Bar, Case, Plot, Size
from benchmarks.house.servers import CONTESTANTS, PEERS, serving

TIMEOUT = 10.0  # s; what was sent before the end may still be answered after it


def measure(server: str, clients: int, size: Size) -> dict[str, float]:
    """Put one server under load."""
    with serving(server) as running:
        most_errors = 1.0 if server == "lab_utils 0.5.4" else 0.01
        return closed_loop(running, clients, size, timeout=TIMEOUT, most_errors=most_errors)


def cases(size: Size) -> list[Case]:
    """Return each contestant with each number of clients."""
    return [
        Case({"server": server, "clients": clients}, partial(measure, server, clients, size))
        for clients in size.pick((1, 8, 64, 256), (8,))
        for server in CONTESTANTS
    ]


def _bars(clients: int, server: str = "lab_utils_mt") -> list[Bar]:
    ours = {"server": server, "clients": clients}
    bare = {"server": "ThreadingTCPServer", "clients": clients}
    peers = {"server": PEERS, "clients": clients}
    many = f"{clients} clients that stay connected" + server.removeprefix("lab_utils_mt")
    rate = "requests_per_s"
    return [
        Bar(f"{many}: of a bare ThreadingTCPServer", rate, ours, bare, at_least=0.85),
        Bar(f"{many}: of the fastest peer", rate, ours, peers, at_least=1.5),
        Bar(f"{many}: p99, of the best peer's", "p99_ms", ours, peers, at_most=1.0),
    ]


ONE_PROCESSOR = "lab_utils_mt, one_processor"
BARS = [*_bars(8), *_bars(64), *_bars(8, ONE_PROCESSOR), *_bars(64, ONE_PROCESSOR)]
PLOTS = [
    Plot(
        "requests_per_s",
        x="clients",
        title="Clients that stay connected: requests per second",
        y_label="requests/s",
        log_x=True,
    ),
    Plot(
        "p99_ms",
        x="clients",
        title="Clients that stay connected: 99 of 100 requests are answered within",
        y_label="p99 / ms",
        log_x=True,
        log_y=True,
    ),
]
