"""What clients see of one instrument is the history of one instrument."""

from __future__ import annotations

import json
import random
import threading
import time

import pytest
from daemons import Line, serving
from registers import GET, INCREMENT, SET, Operation, fault_of
from systems import WINDOWS

from lab_utils_mt.commands import command
from lab_utils_mt.socket_comm import Server

CLIENTS = 8
OPERATIONS = 500 if WINDOWS else 10_000  # of each client; under Wine, each takes a millisecond


class Register(Server):
    """A value that is read, replaced and counted up without a lock of its own."""

    value = 0
    pause = 0.0

    @command(device="register")
    def get(self) -> int:
        return self.value

    @command(device="register")
    def swap(self, value: int) -> int:
        before, self.value = self.value, value
        return before

    @command(device="register")
    def increment(self) -> int:
        before = self.value
        time.sleep(self.pause)  # here another thread runs, if it may
        self.value = before + 1
        return before


class Unguarded(Register):
    """The same without the device."""

    pause = 0.001

    @command
    def get(self) -> int:
        return self.value

    @command
    def swap(self, value: int) -> int:
        return super().swap(value)

    @command
    def increment(self) -> int:
        return super().increment()


def request(kind: str, value: int, number: int, as_json: bool) -> str:
    """Return a request in one of the dialects."""
    words = [value] if kind == SET else []
    if as_json:
        return json.dumps({"jsonrpc": "2.0", "method": kind, "params": words, "id": number})
    return " ".join(map(str, (kind, *words)))


def converse(server: Server, client: int, count: int, history: list[Operation]) -> None:
    """Send random operations, one by one or several at once, and note what comes back."""
    choice = random.Random(client)
    number = 0
    with Line(server) as line:
        while number < count:
            size = min(choice.choice([1, 1, 2, 10]), count - number)
            plan = []
            for number in range(number, number + size):  # noqa: B020
                kind = choice.choice([GET, GET, SET, INCREMENT, INCREMENT])
                value = ((client + 1) * 10**6 + number) * 10**6  # no other is near
                plan.append((kind, value, choice.random() < 0.5))
            number += 1
            invoked = time.monotonic()
            line.send("".join(f"{request(k, v, 1, j)}\n" for k, v, j in plan).encode())
            for kind, value, as_json in plan:
                reply = json.loads(line.line())
                before = reply["result"] if as_json else reply
                after = {GET: before, SET: value, INCREMENT: before + 1}[kind]
                history.append(Operation(kind, before, after, invoked, time.monotonic()))


def histories_of(server: Server, count: int) -> list[list[Operation]]:
    """Return what the clients saw, each of whom has a thread."""
    histories: list[list[Operation]] = [[] for _ in range(CLIENTS)]
    threads = [
        threading.Thread(target=converse, args=(server, client, count, history))
        for client, history in enumerate(histories)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [len(history) for history in histories] == [count] * CLIENTS
    return histories


@pytest.mark.timeout(600)
def test_the_clients_of_one_device_see_a_linear_history(pid_file: str) -> None:
    """Eight clients, any dialect, one request at a time or several."""
    with serving(Register(pid_file_name=pid_file, port=0)) as server:
        histories = histories_of(server, OPERATIONS)

    assert fault_of(histories, 0) is None


def test_without_the_device_the_history_is_not_linear(pid_file: str) -> None:
    """Or the test above would say nothing."""
    with serving(Unguarded(pid_file_name=pid_file, port=0)) as server:
        histories = histories_of(server, 100)

    assert fault_of(histories, 0) is not None


def test_a_stale_value_is_no_linear_history() -> None:
    """Even if every value was there once."""
    swap, increment = Operation(SET, 0, 9, 1.0, 2.0), Operation(INCREMENT, 9, 10, 1.0, 2.0)

    assert fault_of([[swap], [Operation(GET, 0, 0, 1.5, 1.7)]], 0) is None
    assert "was sent after" in str(fault_of([[swap], [Operation(GET, 0, 0, 3.0, 4.0)]], 0))
    assert fault_of([[increment], [swap]], 0) is None
    assert "nothing can follow" in str(fault_of([[increment], [increment], [swap]], 0))
