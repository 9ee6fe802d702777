"""How many messages per second, if each has a connection of its own, as with clients of 0.5.x?

On the wire it is what the client code of lab_utils 0.5.4 does: connect, send the message without a
newline, read until the server closes. ``unterminated_pause = 0`` lets our server answer at once, as
0.5.4 did. Latencies count from the start of connecting. Some messages to the original server get no
answer when many come at a time, since it lets few connections wait: they are counted as errors.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from benchmarks.house.load import closed_loop
from benchmarks.house.question import Bar, Case, Plot, Size
from benchmarks.house.servers import serving

MESSAGE = b"echo hello"
TIMEOUT = 10.0  # s
AT_ONCE = {"unterminated_pause": 0.0}
SERVERS: dict[str, tuple[str, dict[str, Any]]] = {
    "lab_utils_mt": ("lab_utils_mt", AT_ONCE),
    "lab_utils_mt, argparse": ("lab_utils_mt, argparse", AT_ONCE),
    "lab_utils 0.5.4": ("lab_utils 0.5.4", {}),
    "ThreadingTCPServer": ("benchmarks.peers.bare:ONE_MESSAGE", {}),
}


def measure(server: str, clients: int, size: Size) -> dict[str, float]:
    """Put one server under load."""
    name, options = SERVERS[server]
    with serving(name, **options) as running:
        most_errors = 1.0 if server == "lab_utils 0.5.4" else 0.01
        return closed_loop(
            running,
            clients,
            size,
            request=MESSAGE,
            ok=b"hello",
            timeout=TIMEOUT,
            most_errors=most_errors,
        )


def cases(size: Size) -> list[Case]:
    """Return each server with each number of clients."""
    return [
        Case({"server": server, "clients": clients}, partial(measure, server, clients, size))
        for clients in size.pick((1, 8, 64, 256), (8,))
        for server in SERVERS
    ]


def _bar(server: str, clients: int, at_least: float) -> Bar:
    return Bar(
        f"a connection per message, {clients} client{'s' * (clients > 1)}: {server}, of 0.5.4",
        figure="requests_per_s",
        of={"server": server, "clients": clients},
        against={"server": "lab_utils 0.5.4", "clients": clients},
        at_least=at_least,
    )


# The server of a lab that changed an import, and one that has changed over to typed commands.
BARS = [
    _bar("lab_utils_mt, argparse", 1, 1.0),
    _bar("lab_utils_mt, argparse", 64, 1.3),
    _bar("lab_utils_mt", 1, 1.0),
    _bar("lab_utils_mt", 64, 1.3),
]
PLOTS = [
    Plot(
        "requests_per_s",
        x="clients",
        title="A connection per message (0.5.x clients): messages per second",
        y_label="messages/s",
        kind="bars",
    )
]
