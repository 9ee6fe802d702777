"""What do JSON-RPC, typed arguments and a device's turn cost, beside a bare echo of a line?

All over connections that stay. The bare echo is the standard library's ThreadingTCPServer, which
only splits the line at its first blank.
"""

from __future__ import annotations

from functools import partial

from benchmarks.house.load import closed_loop
from benchmarks.house.question import Bar, Case, Plot, Size
from benchmarks.house.servers import serving

BARE = "bare echo of a line"
ECHO = "JSON-RPC, one argument"
_HEAT = b'{"jsonrpc":"2.0","method":"heat","params":%s,"id":1}\n'
_RESULT = b'{"jsonrpc":"2.0","result":'

REQUESTS = {  # server, request, how a good reply begins
    BARE: ("ThreadingTCPServer", b"echo hello\n", b"hello"),
    "text, one argument": ("lab_utils_mt", b"echo hello\n", b"hello"),
    "text, two numbers": ("lab_utils_mt", b"heat 4.2 0.5\n", b"4.2"),
    "text, two numbers, with a device": ("lab_utils_mt", b"heat_alone 4.2 0.5\n", b"4.2"),
    "text, by argparse": ("lab_utils_mt, argparse", b"echo hello\n", b"hello"),
    ECHO: (
        "lab_utils_mt",
        b'{"jsonrpc":"2.0","method":"echo","params":{"text":"hello"},"id":1}\n',
        _RESULT,
    ),
    "JSON-RPC, two numbers by name": (
        "lab_utils_mt",
        _HEAT % b'{"kelvin":4.2,"ramp":0.5}',
        _RESULT,
    ),
    "JSON-RPC, two numbers by position": ("lab_utils_mt", _HEAT % b"[4.2,0.5]", _RESULT),
}


def measure(request: str, clients: int, size: Size) -> dict[str, float]:
    """Put one server under load."""
    server, line, ok = REQUESTS[request]
    with serving(server) as running:
        return closed_loop(running, clients, size, request=line, ok=ok)


def cases(size: Size) -> list[Case]:
    """Return each request with each number of clients."""
    return [
        Case(
            {"request": request, "server": server, "clients": clients},
            partial(measure, request, clients, size),
        )
        for clients in size.pick((1, 8, 64), (8,))
        for request, (server, _, _) in REQUESTS.items()
    ]


BARS = [
    Bar(
        f"JSON-RPC, {clients} clients that stay connected: of a bare ThreadingTCPServer",
        figure="requests_per_s",
        of={"request": ECHO, "clients": clients},
        against={"request": BARE, "clients": clients},
        at_least=0.7,
    )
    for clients in (8, 64)
]
PLOTS = [
    Plot(
        "requests_per_s",
        x="request",
        line=None,
        title="Kinds of requests, 8 clients that stay connected",
        y_label="requests/s",
        kind="bars",
        only={"clients": 8},
    )
]
