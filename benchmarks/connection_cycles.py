"""How many connect-request-close cycles per second?

A client of 0.5.x opens a connection for each message, so this is what a lab that changes over sees
first. One load process, one connection at a time; each cycle is connect, a line, its reply, close.
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


def cycles(port: int, count: int) -> float:
    """Return cycles per second."""
    began = time.perf_counter()
    for _ in range(count):
        with socket.create_connection(("127.0.0.1", port)) as sock:
            sock.sendall(b"echo hello\n")
            if not sock.recv(100).startswith(b"hello"):
                raise SystemExit("wrong reply")
    return count / (time.perf_counter() - began)


def measure(port: int, count: int) -> float:
    """Run the load in a process of its own."""
    command = [sys.executable, __file__, "--load", str(port), "--cycles", str(count)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def main() -> None:
    """Measure in turns and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="default 7")
    parser.add_argument("--cycles", type=int, default=3000, help="per round, default 3000")
    parser.add_argument("--original", metavar="FOLDER", help="where lab_utils 0.5.4 is installed")
    parser.add_argument("--load", type=int, metavar="PORT", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.load:
        print(cycles(options.load, options.cycles))
        return
    names = ["lab_utils_mt", "ThreadingTCPServer"]
    names += ["lab_utils 0.5.4"] if options.original else []
    rates: dict[str, list[float]] = {name: [] for name in names}
    with contextlib.ExitStack() as stack:
        ports = {name: stack.enter_context(running(name, options.original)) for name in names}
        for _ in range(options.rounds):
            for name in names:
                rates[name].append(measure(ports[name], options.cycles))
    stock = statistics.median(rates["ThreadingTCPServer"])
    for name in names:
        middle = statistics.median(rates[name])
        spread = f"{min(rates[name]):.0f} to {max(rates[name]):.0f}"
        print(f"{name:20} {middle:7.0f} cycles/s ({spread}), {middle / stock:.2f} of stock")


if __name__ == "__main__":
    main()
