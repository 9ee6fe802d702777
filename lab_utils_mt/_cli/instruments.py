"""What do the clients of the demo do, and how do they account for it?

Run as a program of its own, ``python -m lab_utils_mt._cli.instruments`` with the arguments that
:class:`Task` has. It reports on its standard output, one JSON object per line: ``ready``, then
``requests`` now and then, then the final :class:`Report`. A line on its standard input lets it
begin; the end of its input, which also the death of its parent brings, lets it end.
"""

from __future__ import annotations

import array
import contextlib
import dataclasses
import json
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Sequence
from typing import Any

from ..exceptions import LabUtilsError
from ..socket_comm import Client
from .cryostat import Stage, make_stages

_PATIENCE = 20.0  # seconds for a reply
_BETWEEN_NEWS = 0.25  # seconds
_CHANGES = 12  # set points that all clients together change in a run, on the average
COLD_AFTER = 0.55  # of the run; nobody changes a set point before
_STATUS_SHARE = 0.004  # of the requests


@dataclasses.dataclass(frozen=True)
class Task:
    """What one process has to do.

    Attributes:
        port: The server's port on this computer.
        first: The number of its first client.
        count: How many clients it has.
        clients: How many clients all processes have.
        seconds: How long they work.
    """

    port: int
    first: int
    count: int
    clients: int
    seconds: float

    def arguments(self) -> list[str]:
        """Return the task as words of a command line."""
        return [str(value) for value in dataclasses.astuple(self)]

    @staticmethod
    def parse(words: Sequence[str]) -> Task:
        """Return the task that :meth:`arguments` wrote."""
        port, first, count, clients = map(int, words[:4])
        return Task(port, first, count, clients, float(words[4]))


@dataclasses.dataclass
class Report:
    """What clients did.

    Attributes:
        requests: How many were sent.
        sent: For each client the number of its last reading.
        open: Readings (client, number) that were asked for but not acknowledged.
        latencies: Microseconds from request to reply, of each request that was answered.
        errors: How many requests failed.
        strays: How many replies were not for the client that got them.
        first_error: What happened to the first of them.
    """

    requests: int = 0
    sent: dict[int, int] = dataclasses.field(default_factory=dict)
    open: list[tuple[int, int]] = dataclasses.field(default_factory=list)
    latencies: array.array[int] = dataclasses.field(default_factory=lambda: array.array("L"))
    errors: int = 0
    strays: int = 0
    first_error: str = ""

    @property
    def acknowledged(self) -> int:
        """How many readings the server said to have stored."""
        return sum(self.sent.values()) - len(self.open)

    def add(self, other: Report) -> None:
        """Add what others did."""
        self.requests += other.requests
        self.sent.update(other.sent)
        self.open += other.open
        self.latencies.extend(other.latencies)
        self.errors += other.errors
        self.strays += other.strays
        self.first_error = self.first_error or other.first_error

    def dump(self) -> dict[str, Any]:
        """Return the report as JSON takes it."""
        return {**vars(self), "sent": list(self.sent.items()), "latencies": list(self.latencies)}

    @staticmethod
    def load(values: dict[str, Any]) -> Report:
        """Return the report that :meth:`dump` wrote."""
        report = Report(**values)
        report.sent = {client: number for client, number in values["sent"]}  # noqa: C416
        report.open = [(client, number) for client, number in values["open"]]
        report.latencies = array.array("L", values["latencies"])
        return report


class Orders:
    """What the parent wants, which comes on the standard input."""

    def __init__(self) -> None:
        self.begin = threading.Event()
        self.end = threading.Event()
        threading.Thread(target=self._listen, name="orders", daemon=True).start()

    def _listen(self) -> None:
        # Not sys.stdin: its lock, held by a daemon thread, makes Python abort at the end.
        with contextlib.suppress(OSError):
            while os.read(0, 1024):
                self.begin.set()
        self.end.set()
        self.begin.set()


class Instrument:
    """One client: it mostly reads, and sometimes does something else."""

    def __init__(self, client: Client, number: int, task: Task, orders: Orders) -> None:
        self.report = Report(sent={number: 0})
        self._client, self.number = client, number
        self._task, self._orders = task, orders
        self._chance = random.Random()  # noqa: S311  (a choice of commands, not a secret)
        self._stages = list(make_stages().values())
        self._next_change = 0.0

    def run(self) -> None:
        """Work until the time is over."""
        began = time.monotonic()
        end = began + self._task.seconds
        self._plan_change(began + COLD_AFTER * self._task.seconds)
        while (now := time.monotonic()) < end and not self._orders.end.is_set():
            if now >= self._next_change:
                self._plan_change(now)
                self._ask(self._change(self._chance.choice(self._stages)))
            elif self._chance.random() < _STATUS_SHARE:
                self._ask("status")
            else:
                self._read(self._chance.choice(self._stages))

    def _plan_change(self, earliest: float) -> None:
        time_left = (1.0 - COLD_AFTER) * self._task.seconds
        wait = self._chance.expovariate(_CHANGES / time_left / self._task.clients)
        self._next_change = earliest + wait

    def _change(self, stage: Stage) -> str:
        kelvin = stage.base * 10 ** self._chance.uniform(0.0, 0.6)
        if self._chance.choice([True, False]):
            return f"set {stage.name} {kelvin:.4g}"
        return f"ramp {stage.name} {kelvin:.4g} {stage.base * self._chance.uniform(0.3, 1):.4g}"

    def _read(self, stage: Stage) -> None:
        number = self.report.sent[self.number] + 1
        self.report.sent[self.number] = number
        label = f"reading {number} of client {self.number}"
        reply = self._ask(f"read {stage.name} {self.number} {number}")
        if not (reply.startswith(f"{stage.name} ") and reply.endswith(label)):
            self.report.open.append((self.number, number))
            if reply and not reply.startswith("Error! "):
                self.report.strays += 1

    def _ask(self, message: str) -> str:
        self.report.requests += 1
        sent = time.perf_counter()
        try:
            reply = self._client.send_message(message)
        except (OSError, LabUtilsError) as error:
            self._note_error(f"{message!r}: {type(error).__name__}: {error}")
            self._orders.end.wait(0.05)  # a server that is gone needs no hammering
            return ""
        self.report.latencies.append(round((time.perf_counter() - sent) * 1e6))
        if reply.startswith("Error! "):
            self._note_error(f"{message!r}: {reply.splitlines()[0]}")
        return reply

    def _note_error(self, text: str) -> None:
        self.report.errors += 1
        self.report.first_error = self.report.first_error or text


def _tell(news: dict[str, Any]) -> None:
    print(json.dumps(news), flush=True)


def work(task: Task, orders: Orders) -> None:
    """Let all clients of this process work, and report."""
    numbers = range(task.first, task.first + task.count)
    with contextlib.ExitStack() as stack:
        clients = [
            stack.enter_context(Client(host="127.0.0.1", port=task.port, timeout=_PATIENCE))
            for _ in numbers
        ]
        for client in clients:
            client.send_message("ping", idempotent=True)
        instruments = [
            Instrument(client, number, task, orders)
            for client, number in zip(clients, numbers, strict=True)
        ]
        _tell({"ready": True})
        orders.begin.wait()
        _run_all(instruments)
        total = Report()
        for instrument in instruments:
            total.add(instrument.report)
        _tell({"report": total.dump()})


def _run_all(instruments: list[Instrument]) -> None:
    threads = [
        threading.Thread(target=one.run, name=f"instrument-{one.number}") for one in instruments
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        while thread.is_alive():
            thread.join(_BETWEEN_NEWS)
            _tell({"requests": sum(one.report.requests for one in instruments)})


def main(words: Sequence[str]) -> int:
    """Do the task; return the exit status."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    orders = Orders()
    try:
        work(Task.parse(words), orders)
    except (OSError, LabUtilsError) as error:
        if orders.end.is_set():  # nobody listens
            os._exit(1)
        _tell({"failed": f"{type(error).__name__}: {error}"})
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
