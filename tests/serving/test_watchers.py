"""Watchers in crowds, mute, slow and vanishing: nobody is hurt but they."""

from __future__ import annotations

import contextlib
import threading
import time
import tracemalloc
from collections.abc import Iterator

import pytest
from daemons import TIMEOUT, Line, serving, wait_until
from serving.fridge import Fridge, Mute, hub_of, missed_of, number_of, poller_of
from systems import WINDOWS


@pytest.fixture
def fridge(pid_file: str) -> Iterator[Fridge]:
    """Return a server that is running."""
    with serving(Fridge(pid_file_name=pid_file, port=0)) as server:
        yield server
        server.gate.set()


def test_a_silent_watcher_is_not_idle(pid_file: str) -> None:
    """It listens."""
    server = Fridge(pid_file_name=pid_file, port=0)
    server.idle_timeout = 0.2
    with serving(server), Line(server) as client, Line(server) as idle:
        client.ask("watch sensor")
        assert idle.rest() == b""
        began = time.monotonic()
        while time.monotonic() < began + 0.5:
            assert client.line()


def test_mute_watchers_hurt_nobody(
    pid_file: str, caplog: pytest.LogCaptureFixture, request: pytest.FixtureRequest
) -> None:
    """Good ones get everything in order; some never read, and are dropped; memory is bounded."""
    server = Fridge(pid_file_name=pid_file, port=0)
    server.padding = "x" * 4000
    good_ones, readings = (10, 100) if WINDOWS else (45, 400)  # under Wine, sending takes long
    with contextlib.ExitStack() as stack:
        stack.enter_context(serving(server))
        mute = [stack.enter_context(Mute(server)) for _ in range(5)]
        good = [stack.enter_context(Line(server)) for _ in range(good_ones)]
        got: list[list[bytes]] = [[] for _ in good]

        def listen(client: Line, lines: list[bytes]) -> None:
            client.send(b"watch sensor\n")
            assert client.line() == b"watching sensor\n"
            while len(lines) < readings:
                lines.append(client.line()[:200])
                lines[-1] += b"" if lines[-1].endswith(b"x") else b"?"

        threads = [
            threading.Thread(target=listen, args=pair, name=f"listener-{number}")
            for number, pair in enumerate(zip(good, got, strict=True))
        ]
        tracemalloc.start()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(TIMEOUT * 2)
        grown, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        dropped = "takes no readings: disconnected"
        wait_until(lambda: caplog.text.count(dropped) == len(mute), "the end of the mute ones")
        wait_until(lambda: len(hub_of(server)) == len(good))
        counts = poller_of(server).counts
        assert counts.failures == 0
        assert counts.skipped < counts.readings, "the poller was held up"
    for lines in got:
        numbers = [number_of(one) for one in lines]
        assert numbers == list(range(numbers[0], numbers[0] + readings))
    # 50 watches of at most 100 readings each share them: at most some 100 of 4 kB are kept.
    request.node.user_properties.append(("MB", grown / 1e6))
    assert grown < 20e6, f"{grown / 1e6:.1f} MB"


def test_a_slow_reader_gets_the_newest_and_a_count(pid_file: str) -> None:
    """What it missed is counted where the gap is; nothing is doubled."""
    server = Fridge(pid_file_name=pid_file, port=0)
    server.padding, server.send_timeout = "x" * 20_000, TIMEOUT
    with serving(server), Mute(server) as slow:
        counts = poller_of(server).counts
        wait_until(lambda: counts.readings > 350, "readings that do not fit anywhere")
        file = slow.sock.makefile("rb")
        assert file.readline() == b"watching sensor\n"
        lines = [file.readline() for _ in range(250)]
        file.close()
    numbers, missed = [*map(number_of, lines)], [*map(missed_of, lines)]
    assert numbers == sorted(set(numbers))
    assert sum(missed) > 0


def test_vanishing_watchers_leave_nothing(fridge: Fridge) -> None:
    """With a goodbye or without."""
    for number in range(20):
        client = Line(fridge)
        assert client.ask("watch sensor") == "watching sensor"
        if number % 2:
            client.vanish()
        else:
            client.close()
    wait_until(lambda: len(hub_of(fridge)) == 0, "the end of all watches")
    wait_until(lambda: not fridge._client_registry.snapshot()[0], "the end of all connections")


def test_a_stop_ends_watchers_good_and_mute(pid_file: str) -> None:
    """In bounded time; leaks.py sees to what is left."""
    server = Fridge(pid_file_name=pid_file, port=0)
    server.padding = "x" * 4000
    with contextlib.ExitStack() as stack:
        stack.enter_context(serving(server))
        for _ in range(3):
            stack.enter_context(Mute(server))
        good = stack.enter_context(Line(server))
        good.ask("watch sensor")
        good.line()
        wait_until(lambda: len(hub_of(server)) == 4)
        began = time.monotonic()
        server.close()
        assert time.monotonic() - began < server.stop_timeout + TIMEOUT
        assert good.rest().count(b"@sensor ") < 1000
