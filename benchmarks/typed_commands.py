"""What does a typed command cost, over a connection that stays open?

Beside it: the standard library's ThreadingTCPServer, which only sends the word behind ``echo``
back. One client in a process of its own, one request after another.
"""

from __future__ import annotations

import argparse
import contextlib
import socket
import statistics
import subprocess
import sys
import time

from contestants import running
from tables import show

ECHO = "echo"
CASES = {  # contestant, request, bar
    ECHO: ("ThreadingTCPServer", "echo hello", None),
    "text, two arguments": ("typed", "heat 4.2 0.5", 0.7),
    "text, with a device": ("typed", "heat_alone 4.2 0.5", None),
    "text, by argparse (0.5.x style)": ("lab_utils_mt", "echo hello", None),
    "JSON-RPC, by name": (
        "typed",
        '{"jsonrpc":"2.0","method":"heat","params":{"kelvin":4.2,"ramp":0.5},"id":1}',
        0.6,
    ),
    "JSON-RPC, by position": (
        "typed",
        '{"jsonrpc":"2.0","method":"heat","params":[4.2,0.5],"id":1}',
        0.6,
    ),
    "JSON-RPC, rpc.discover": ("typed", '{"jsonrpc":"2.0","method":"rpc.discover","id":1}', None),
}


def requests_per_second(port: int, request: str, count: int) -> float:
    """Send a request again and again."""
    line = request.encode() + b"\n"
    with socket.create_connection(("127.0.0.1", port)) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        replies = sock.makefile("rb")
        for _ in range(200):
            sock.sendall(line)
            first = replies.readline()
        if b"rror" in first:
            raise SystemExit(f"wrong reply: {first!r}")
        began = time.perf_counter()
        for _ in range(count):
            sock.sendall(line)
            replies.readline()
        return count / (time.perf_counter() - began)


def measure(port: int, request: str, count: int) -> float:
    """Run the load in a process of its own."""
    command = [sys.executable, __file__, "--load", str(port), "--count", str(count), request]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def main() -> int:
    """Measure in turns; return 1 if a bar was missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9, help="default 9")
    parser.add_argument("--count", type=int, default=5000, help="requests a round, default 5000")
    parser.add_argument("--load", type=int, metavar="PORT", help=argparse.SUPPRESS)
    parser.add_argument("request", nargs="?", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.load:
        print(requests_per_second(options.load, options.request, options.count))
        return 0
    rates: dict[str, list[float]] = {case: [] for case in CASES}
    with contextlib.ExitStack() as stack:
        names = {name for name, _, _ in CASES.values()}
        ports = {name: stack.enter_context(running(name)) for name in names}
        for _ in range(options.rounds):
            for case, (name, request, _) in CASES.items():
                rates[case].append(measure(ports[name], request, options.count))
    return report(rates)


def report(rates: dict[str, list[float]]) -> int:
    """Print the medians; their ratios to the echo are taken round by round."""
    lines, missed = [], 0
    for case, (name, _, bar) in CASES.items():
        ratios = [ours / echo for ours, echo in zip(rates[case], rates[ECHO], strict=True)]
        ratio = statistics.median(ratios)
        failed = bar is not None and ratio < bar
        missed += failed
        spread = f"{min(rates[case]):.0f} to {max(rates[case]):.0f}"
        verdict = "" if bar is None else f"{bar}{' MISSED' if failed else ''}"
        median = f"{statistics.median(rates[case]):.0f}"
        lines.append([case, name, median, spread, "requests/s", f"{ratio:.2f}", verdict])
    show(lines)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
