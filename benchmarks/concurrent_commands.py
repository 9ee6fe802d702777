"""Do 64 clients with 20 commands of 50 ms each take 1 s?

Ideally all commands of all clients overlap: 20 x 50 ms = 1 s. A server that runs one command at a
time takes 64 s. Clients are threads of several load processes, connected before the clock starts.
"""

from __future__ import annotations

import argparse
import socket
import statistics
import subprocess
import sys
import threading
import time

from contestants import running

COMMAND = b"sleep 0.05\n"
MOST = 1.3  # of the ideal time; else the exit status is 1


def visit(port: int, commands: int, start: threading.Barrier) -> None:
    """Be one client."""
    with socket.create_connection(("127.0.0.1", port)) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        start.wait()
        for _ in range(commands):
            sock.sendall(COMMAND)
            if not sock.recv(100):
                raise SystemExit("the server closed the connection")


def load(port: int, clients: int, commands: int) -> None:
    """Run some clients, when told on stdin; print when the last one was done."""
    start = threading.Barrier(clients + 1)
    threads = [threading.Thread(target=visit, args=(port, commands, start)) for _ in range(clients)]
    for thread in threads:
        thread.start()
    print("ready", flush=True)
    sys.stdin.readline()
    start.wait()
    for thread in threads:
        thread.join()
    print("done", flush=True)


def measure(port: int, clients: int, commands: int, processes: int) -> float:
    """Return the seconds from the start to the last reply."""
    loads = []
    for number in range(processes):
        share = clients // processes + (number < clients % processes)
        command = [sys.executable, __file__, "--load", str(port)]
        command += ["--clients", str(share), "--commands", str(commands)]
        pipe = subprocess.PIPE
        loads.append(subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True))
    for process in loads:
        assert process.stdout is not None
        process.stdout.readline()
    began = time.perf_counter()
    for process in loads:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in loads:
        process.communicate(timeout=300)
    return time.perf_counter() - began


def main() -> None:
    """Measure some rounds and print the ratio to the ideal."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="default 5")
    parser.add_argument("--clients", type=int, default=64, help="default 64")
    parser.add_argument("--commands", type=int, default=20, help="of each client, default 20")
    parser.add_argument("--processes", type=int, default=4, help="of the load, default 4")
    parser.add_argument("--load", type=int, metavar="PORT", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.load:
        load(options.load, options.clients, options.commands)
        return
    ideal = options.commands * 0.05
    with running("lab_utils_mt") as port:
        times = [
            measure(port, options.clients, options.commands, options.processes)
            for _ in range(options.rounds)
        ]
    middle = statistics.median(times)
    print(
        f"{options.clients} clients x {options.commands} commands of 50 ms:"
        f" {middle:.2f} s ({min(times):.2f} to {max(times):.2f}),"
        f" {middle / ideal:.2f} of the ideal {ideal:.1f} s"
    )
    if middle > MOST * ideal:
        sys.exit(f"more than {MOST} of the ideal")


if __name__ == "__main__":
    main()
