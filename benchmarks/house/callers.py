"""How fast is a peer, driven by its own client library?

Run as a program it is one load process: ``python -m benchmarks.house.callers``, with what to do as
JSON in the first line of its standard input. It prints ``ready`` once each of its clients has had
an answer, begins with the second line, and prints what it saw as JSON.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
import time
from array import array
from collections.abc import Callable
from typing import Any

from benchmarks.house.peer import find
from benchmarks.house.servers import Running, environment_of

PATIENCE = 60.0  # s that connecting may take, and that a process may be late at its end


class CallersFailed(Exception):
    """A load process could not do its work; the text says why."""


class Callers:
    """The clients of one process, a thread each."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self._connect = find(plan["where"]).connect
        self._port: int = plan["port"]
        self._clients: int = plan["clients"]
        self._warm_up: float = plan["warm_up"]
        self._seconds: float = plan["seconds"]
        self._go = threading.Event()
        self._begin = self._end = 0.0
        self._latencies = [array("d") for _ in range(self._clients)]
        # Each client puts None when it has its first answer and when it is done, or its fault.
        self._reports: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def get_ready(self) -> None:
        """Start the threads, one after the other; return when each client has had an answer."""
        for latencies in self._latencies:
            threading.Thread(target=self._be_client, args=(latencies,), daemon=True).start()
            self._expect_report()

    def measure(self) -> dict[str, Any]:
        """Let them ask, and tell what they saw."""
        self._begin = time.perf_counter() + self._warm_up
        self._end = self._begin + self._seconds
        self._go.set()
        time.sleep(self._warm_up)
        busy = time.process_time()
        time.sleep(max(0.0, self._end - time.perf_counter()))
        busy = time.process_time() - busy
        for _ in self._latencies:
            self._expect_report()
        found = [latency for own in self._latencies for latency in own]
        return {"latencies": found, "busy": busy / self._seconds}

    def _expect_report(self) -> None:
        try:
            fault = self._reports.get(timeout=PATIENCE)
        except queue.Empty:
            fault = f"no answer in {PATIENCE:g} s"
        if fault:
            raise CallersFailed(fault)

    def _be_client(self, latencies: array[float]) -> None:
        try:
            with self._connect(self._port) as call:  # type: ignore[misc]
                call()
                self._reports.put(None)
                self._go.wait()
                self._ask(call, latencies)
                self._reports.put(None)
                threading.Event().wait()  # no client's farewell is measured with the others
        except Exception as fault:  # noqa: BLE001  # told by the process that started this one
            self._reports.put(f"{type(fault).__name__}: {fault}")

    def _ask(self, call: Callable[[], object], latencies: array[float]) -> None:
        clock, begin, end = time.perf_counter, self._begin, self._end
        sent = clock()
        while sent < end:
            call()
            answered = clock()
            if begin <= sent and answered <= end:
                latencies.append(answered - sent)
            sent = answered


def call_in_processes(
    server: Running, clients: int, seconds: float, warm_up: float, processes: int
) -> dict[str, float]:
    """Return the figures of :func:`benchmarks.house.load.closed_loop`.

    Raises:
        CallersFailed: A client got no answer.
    """
    plan = {"where": server.where, "port": server.port, "seconds": seconds, "warm_up": warm_up}
    with contextlib.ExitStack() as stack:
        loads = [
            stack.enter_context(_process(server, {**plan, "clients": share}))
            for share in shares(clients, processes)
        ]
        for load in loads:
            _hear(load)
        for load in loads:
            _tell(load, "go")
        found = [json.loads(_hear(load)) for load in loads]
    return _figures(found, seconds)


def shares(clients: int, processes: int) -> list[int]:
    """Deal clients out evenly.

    >>> shares(5, 2)
    [3, 2]
    """
    each, more = divmod(clients, processes)
    return [each + (number < more) for number in range(processes)]


@contextlib.contextmanager
def _process(server: Running, plan: dict[str, Any]) -> Any:
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "benchmarks.house.callers"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment_of(server.peer),
    )
    # A library that hangs is ended with its process; reading its answer ends with it.
    watch = threading.Timer(3 * PATIENCE + plan["seconds"], process.kill)
    watch.start()
    with process:
        try:
            _tell(process, json.dumps(plan))
            yield process
        finally:
            watch.cancel()
            process.kill()


def _tell(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdin is not None
    process.stdin.write(line + "\n")
    process.stdin.flush()


def _hear(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line or line.startswith("fault"):
        raise CallersFailed(line.partition(" ")[2].strip() or "a load process died")
    return line


def _figures(found: list[dict[str, Any]], seconds: float) -> dict[str, float]:
    latencies = sorted(latency for one in found for latency in one["latencies"])
    if not latencies:
        raise CallersFailed("no request was answered")

    def at(share: float) -> float:
        return latencies[min(len(latencies) - 1, int(share * len(latencies)))] * 1e3

    return {
        "requests_per_s": len(latencies) / seconds,
        "p50_ms": at(0.5),
        "p99_ms": at(0.99),
        "p999_ms": at(0.999),
        "clients_served": sum(latencies) / seconds,
        "load_busy": min(1.0, max(one["busy"] for one in found)),
        "errors": 0,
    }


def main() -> None:
    """Be one load process; a client that fails ends it, with the reason."""
    callers = Callers(json.loads(sys.stdin.readline()))
    try:
        callers.get_ready()
        print("ready", flush=True)
        if sys.stdin.readline():
            print(json.dumps(callers.measure()), flush=True)
            sys.stdin.readline()  # its end; cut connections would disturb those that still measure
    except CallersFailed as fault:
        print("fault", str(fault).replace("\n", " "), flush=True)
    os._exit(0)  # whatever threads the libraries have


if __name__ == "__main__":
    main()
