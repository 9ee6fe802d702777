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
import tempfile
import threading
import time
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import IO, Any

from benchmarks.house.peer import find
from benchmarks.house.percentile import told_of
from benchmarks.house.servers import Running, environment_of, last_lines
from lab_utils_mt._load.fleet import busy_part, usable_processors

PATIENCE = 60.0  # s that connecting may take, and that a process may be late at its end


class CallersFailed(Exception):
    """A load process could not do its work; the text says why."""


@dataclass
class Seen:
    """What one client saw.

    Attributes:
        latencies: Seconds, of the requests that it began in the measured span, also of the last
            one, whose answer came after its end.
        answered: How many answers came in that span, whenever it had asked.
        waited: Seconds of that span for which it waited for answers, also for the last one: as the
            load engine counts.
    """

    latencies: array[float] = field(default_factory=lambda: array("d"))
    answered: int = 0
    waited: float = 0.0

    def ask(self, call: Callable[[], object], begin: float, end: float) -> None:
        """Ask until the end, and take what was seen since the beginning."""
        clock = time.perf_counter
        sent = clock()
        while sent < end:
            call()
            now = clock()
            if now >= begin:
                self.answered += now <= end
                self.waited += min(now, end) - max(sent, begin)
            if sent >= begin:
                self.latencies.append(now - sent)
            sent = now


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
        self._seen = [Seen() for _ in range(self._clients)]
        # Each client puts None when it has its first answer and when it is done, or its fault.
        self._reports: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def get_ready(self) -> None:
        """Start the threads, one after the other; return when each client has had an answer."""
        for seen in self._seen:
            threading.Thread(target=self._be_client, args=(seen,), daemon=True).start()
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
        for _ in self._seen:
            self._expect_report()
        return {
            "latencies": [latency for seen in self._seen for latency in seen.latencies],
            "answered": sum(seen.answered for seen in self._seen),
            "waited": sum(seen.waited for seen in self._seen),
            "busy": busy / self._seconds,
        }

    def _expect_report(self) -> None:
        try:
            fault = self._reports.get(timeout=PATIENCE)
        except queue.Empty:
            fault = f"no answer in {PATIENCE:g} s"
        if fault:
            raise CallersFailed(fault)

    def _be_client(self, seen: Seen) -> None:
        try:
            with self._connect(self._port) as call:  # type: ignore[misc]
                call()
                self._reports.put(None)
                self._go.wait()
                seen.ask(call, self._begin, self._end)
                self._reports.put(None)
                threading.Event().wait()  # no client's farewell is measured with the others
        except Exception as fault:  # noqa: BLE001  # told by the process that started this one
            self._reports.put(f"{type(fault).__name__}: {fault}")


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
            load.hear()
        for load in loads:
            load.tell("go")
        found = [json.loads(load.hear()) for load in loads]
    return _figures(found, seconds)


def shares(clients: int, processes: int) -> list[int]:
    """Deal clients out evenly.

    >>> shares(5, 2)
    [3, 2]
    """
    each, more = divmod(clients, processes)
    return [each + (number < more) for number in range(processes)]


@dataclass(frozen=True)
class _Load:
    """A load process, as the one that started it sees it."""

    process: subprocess.Popen[str]
    errors: IO[str]

    def tell(self, line: str) -> None:
        """Write it a line; if it has died, what it says next tells why."""
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()

    def hear(self) -> str:
        """Return its next line.

        Raises:
            CallersFailed: It tells a fault, or has died.
        """
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if line.startswith("fault"):
            raise CallersFailed(line.partition(" ")[2].strip())
        if not line:
            raise CallersFailed(f"a load process died: {last_lines(self.errors) or 'no reason'}")
        return line


@contextlib.contextmanager
def _process(server: Running, plan: dict[str, Any]) -> Iterator[_Load]:
    with contextlib.ExitStack() as stack:
        errors = stack.enter_context(
            tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")
        )
        process = stack.enter_context(
            subprocess.Popen(
                [sys.executable, "-W", "ignore", "-m", "benchmarks.house.callers"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=environment_of(server.peer),
            )
        )
        # A library that hangs is ended with its process; reading its answer ends with it.
        watch = threading.Timer(3 * PATIENCE + plan["seconds"], process.kill)
        stack.callback(process.kill)
        stack.callback(watch.cancel)
        watch.start()
        load = _Load(process, errors)
        load.tell(json.dumps(plan))
        yield load


def _figures(found: list[dict[str, Any]], seconds: float) -> dict[str, float]:
    latencies = [latency for one in found for latency in one["latencies"]]
    if not latencies:
        raise CallersFailed("no request was answered")
    busy = [one["busy"] for one in found]
    return {
        "requests_per_s": sum(one["answered"] for one in found) / seconds,
        **told_of(latencies),
        "clients_served": sum(one["waited"] for one in found) / seconds,
        "load_busy": min(1.0, busy_part(busy, usable_processors())),
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
