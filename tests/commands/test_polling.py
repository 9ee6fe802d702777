"""Pollers with real threads: their grid, their failures, their end."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from daemons import wait_until

from lab_utils_mt._commands.devices import Devices, Holder
from lab_utils_mt._commands.polling import Plan, Poller, Pollers
from lab_utils_mt._commands.readings import Reading, Shape
from lab_utils_mt._commands.trouble import Trouble, explained

LOGGER = "lab_utils_mt.pollers"
EVERY = 0.02  # s


class Sink:
    """Takes readings."""

    def __init__(self) -> None:
        self.readings: list[Reading] = []

    def __call__(self, reading: Reading) -> None:
        self.readings.append(reading)

    @property
    def values(self) -> list[Any]:
        """What came, without failures."""
        return [one.values["sensor"] for one in self.readings if one.error is None]


@contextlib.contextmanager
def free(deadline: float) -> Iterator[None]:
    """Take no device at all."""
    yield


@contextlib.contextmanager
def polling(
    method: Callable[[], object], sink: Sink, every: float = EVERY, take: Any = free
) -> Iterator[Poller]:
    """Run a poller for a ``with`` block."""
    plan = Plan("sensor", every, Shape("sensor", {"sensor": float}))
    poller = Poller(plan, method, take, sink, "cryostat")
    poller.start()
    try:
        yield poller
    finally:
        assert poller.stop(time.monotonic() + 10)


def records(caplog: pytest.LogCaptureFixture, level: int = logging.INFO) -> list[tuple[str, str]]:
    """Return the pollers' log."""
    return [
        (one.levelname, one.getMessage())
        for one in caplog.records
        if one.name == LOGGER and one.levelno >= level
    ]


def test_readings_stay_on_the_grid() -> None:
    """A method that takes time does not make them late: nothing adds up."""
    sink = Sink()

    def read() -> float:
        time.sleep(EVERY / 4)
        return 1.0

    with polling(read, sink) as poller:
        wait_until(lambda: len(sink.readings) >= 50)
    first = sink.readings[0].at
    lag = [(one.at - first) / EVERY % 1 for one in sink.readings]
    # If each were late by its own duration, they would be all over the period.
    assert sorted(min(one, 1 - one) for one in lag)[25] < 0.2
    assert poller.counts.readings == len(sink.readings)


def test_grid_points_that_pass_are_skipped_and_counted() -> None:
    """A method that takes three periods is not called three times to catch up."""
    sink = Sink()

    def read() -> float:
        time.sleep(3.5 * EVERY)
        return 1.0

    with polling(read, sink) as poller:
        wait_until(lambda: len(sink.readings) >= 4)
    assert poller.counts.skipped >= 9
    gaps = [b.at - a.at for a, b in zip(sink.readings, sink.readings[1:], strict=False)]
    assert min(gaps) > 3.5 * EVERY


def test_the_thread_is_named_and_ends_at_once() -> None:
    """Although the next reading is an hour away."""
    sink = Sink()
    with polling(lambda: 1.0, sink, every=3600.0):
        wait_until(lambda: sink.readings)
        assert "cryostat-poll-sensor" in {thread.name for thread in threading.enumerate()}
        began = time.monotonic()
    assert time.monotonic() - began < 60
    assert sink.values == [1.0]


def test_a_failure_is_told_once_and_its_end_too(caplog: pytest.LogCaptureFixture) -> None:
    """With how often and how long; the traceback is for those who look for it."""
    caplog.set_level(logging.DEBUG, LOGGER)
    sink, broken = Sink(), True

    def read() -> float:
        if broken:
            raise OSError("no\nanswer")
        return 2.0

    with polling(read, sink, every=0.005) as poller:
        wait_until(lambda: poller.counts.failures >= 4)
        assert "failing for" in str(poller)
        assert "OSError: no answer" in str(poller)
        broken = False
        wait_until(lambda: sink.values)
    (failed, works) = records(caplog)
    assert failed[0] == "ERROR"
    assert failed[1].startswith("poller sensor failed: OSError: no answer; it is tried again")
    assert works[0] == "INFO"
    assert f"it failed {poller.counts.failures} times" in works[1]
    assert [one.error for one in sink.readings[:2]] == ["OSError: no answer", None]
    debug = [one for one in caplog.records if one.levelno == logging.DEBUG]
    assert all(one.exc_info for one in debug)


def test_the_pause_doubles_up_to_a_minute() -> None:
    """Or to the period, if that is longer."""
    paused = []
    for every in (1.0, 7.0, 300.0):
        poller = Poller(Plan("sensor", every, Shape("sensor", {})), list, free, Sink())
        steps = []
        for _ in range(8):
            poller.trouble.failed("x")
            steps.append(poller._pause() * every)
        paused.append(steps)
    assert paused[0] == [2, 4, 8, 16, 32, 60, 60, 60]
    assert paused[1] == [14, 28, 56, 56, 56, 56, 56, 56]
    assert paused[2] == [300] * 8


@pytest.mark.parametrize("returned", ["cold", {"colour": 1.0}, [1.0], object()])
def test_a_wrong_return_is_a_failure(returned: object, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing of it reaches anybody."""
    sink = Sink()
    with polling(lambda: returned, sink) as poller:
        wait_until(lambda: poller.counts.failures)
    assert not sink.values
    assert "TypeError: " in records(caplog)[0][1]


@pytest.mark.parametrize("error", [SystemExit(3), BaseException("odd")])
def test_no_exception_ends_a_poller(error: BaseException) -> None:
    """Also one that ends threads."""
    sink, raised = Sink(), [error]

    def read() -> float:
        if raised:
            raise raised.pop()
        return 1.0

    with polling(read, sink) as poller:
        wait_until(lambda: sink.values)
        assert poller.counts.failures == 1
    assert raised == []


def test_a_busy_device_is_no_failure(caplog: pytest.LogCaptureFixture) -> None:
    """The grid points are skipped until it is free."""
    sink, devices, release = Sink(), Devices(), threading.Event()

    def take(deadline: float) -> Any:
        return devices.hold(("heater",), Holder("sensor", "poller"), deadline)

    def hold() -> None:
        with devices.hold(("heater",), Holder("ramp", "somebody"), None):
            held.set()
            release.wait(20)

    held = threading.Event()
    holder = threading.Thread(target=hold, name="holder")
    holder.start()
    held.wait(20)
    with polling(lambda: 1.0, sink, take=take) as poller:
        wait_until(lambda: poller.counts.skipped >= 3)
        assert not sink.readings
        release.set()
        wait_until(lambda: sink.values)
    holder.join()
    assert poller.counts.failures == 0
    assert not records(caplog)


def test_the_end_of_the_devices_ends_a_poller() -> None:
    """A server that shuts down has told all who wait."""
    sink, devices = Sink(), Devices()
    devices.close()
    with polling(
        lambda: 1.0, sink, take=lambda at: devices.hold(("a",), Holder("x", "y"), at)
    ) as poller:
        wait_until(lambda: "stopped" in str(poller))
    assert not sink.readings


def test_a_stop_is_bounded_and_names_who_is_stuck(caplog: pytest.LogCaptureFixture) -> None:
    """The others have ended."""
    gate, sink = threading.Event(), Sink()

    def stick() -> float:
        gate.wait(20)
        return 1.0

    shape = Shape("sensor", {"sensor": float, "other": float}, object)
    pollers = Pollers(
        [
            Poller(Plan("sensor", 1.0, shape), stick, free, sink),
            Poller(Plan("other", 1.0, shape), lambda: 1.0, free, sink),
        ]
    )
    pollers.start()
    pollers.start()
    wait_until(lambda: sink.readings)
    wait_until(lambda: "reading" in pollers._pollers["sensor"]._doing)
    pollers.stop(time.monotonic() + 0.05)
    (found,) = records(caplog)
    assert "sensor (reading for" in found[1]
    assert "other" not in found[1]
    gate.set()
    pollers.stop(time.monotonic() + 20)


def test_the_status_tells_counts_and_age() -> None:
    """One line for each poller."""
    sink = Sink()
    with polling(lambda: 1.0, sink, every=3600.0) as poller:
        wait_until(lambda: poller.counts.readings)
        lines = Pollers([poller]).status_lines()
    assert lines[0] == "pollers: 1"
    assert lines[1].startswith(
        "  sensor: every 3600 s, 1 readings, 0 skipped, 0 failures, last reading 0."
    )
    assert Pollers().status_lines() == []


def test_what_comes_and_goes_is_told_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    """Two records, not two for each time."""
    caplog.set_level(logging.INFO, LOGGER)
    sink, calls = Sink(), iter(range(10**6))

    def read() -> float:
        if next(calls) % 2:
            raise OSError("loose contact")
        return 1.0

    with polling(read, sink, every=0.002) as poller:
        wait_until(lambda: poller.counts.failures >= 10)
    assert len(records(caplog)) <= 2


def test_an_exception_that_cannot_be_told_is_named() -> None:
    """Its own code may do anything."""

    class Odd(Exception):
        def __str__(self) -> str:
            raise ValueError("no text")

    assert explained(Odd()) == "Odd"
    assert explained(ValueError("a\n b")) == "ValueError: a b"
    assert explained(ValueError("\ud800")) == r"ValueError: \ud800"
    assert explained(ValueError("\x1b[2J\x9b\u202e")) == r"ValueError: \x1b[2J\x9b\u202e"
    assert not Trouble().mended()
