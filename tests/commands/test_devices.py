"""Who has an instrument, and who waits for it."""

from __future__ import annotations

import contextlib
import functools
import random
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from daemons import wait_until

from lab_utils_mt._commands.devices import Devices, Holder
from lab_utils_mt.exceptions import DeviceBusy, ShuttingDown

ME = Holder("move", "10.0.0.1:5000")
OTHER = Holder("scan", "10.0.0.2:6000")


def soon() -> float:
    """Return a deadline that only a hang would miss."""
    return time.monotonic() + 20


@contextlib.contextmanager
def held(devices: Devices, *names: str, holder: Holder = ME) -> Iterator[threading.Event]:
    """Let a thread hold devices until the event is set, or the block ends."""
    begun, end = threading.Event(), threading.Event()

    def work() -> None:
        with devices.hold(names, holder, soon()):
            begun.set()
            end.wait(20)

    thread = threading.Thread(target=work)
    thread.start()
    assert begun.wait(20)
    try:
        yield end
    finally:
        end.set()
        thread.join()


def waiting(devices: Devices, count: int, device: str = "stage") -> bool:
    """Tell whether so many wait for a device."""
    return any(
        line.startswith(f"  {device}: ") and f", {count} waiting" in line
        for line in devices.status()
    )


def test_those_who_wait_come_in_the_order_of_their_arrival() -> None:
    """Not as the threads happen to wake."""
    devices, order = Devices(), []

    def work(number: int) -> None:
        with devices.hold(("stage",), Holder(str(number), "x"), soon()):
            order.append(number)

    with held(devices, "stage"):
        threads = []
        for number in range(20):
            threads.append(threading.Thread(target=work, args=(number,)))
            threads[-1].start()
            wait_until(functools.partial(waiting, devices, number + 1))
    for thread in threads:
        thread.join()

    assert order == list(range(20))


def test_other_devices_are_free() -> None:
    """Only one's own matters."""
    devices = Devices()

    with held(devices, "stage"), devices.hold(("heater",), OTHER, time.monotonic()):
        assert devices.status()[0] == "devices: 2 of 2 in use"
    assert devices.status() == ["devices: 0 of 2 in use"]


def test_who_waits_too_long_is_told_for_whom() -> None:
    """Device, command, client, and for how long."""
    devices = Devices()
    with held(devices, "stage"):
        began = time.monotonic()
        with pytest.raises(DeviceBusy) as caught, devices.hold(("stage",), OTHER, began + 0.2):
            pass
        took = time.monotonic() - began

    error = caught.value
    assert isinstance(error, TimeoutError)
    assert (error.device, error.command, error.client) == ("stage", "move", "10.0.0.1:5000")
    assert 0.15 < error.waited <= took
    assert error.waited <= error.seconds
    assert str(error).startswith("device 'stage' is busy: 'move' of 10.0.0.1:5000 has held it for")
    assert "(waited 0." in str(error)


def test_who_gave_up_is_not_waited_for() -> None:
    """The next one in the queue comes."""
    devices = Devices()
    with held(devices, "stage") as end:
        with pytest.raises(DeviceBusy), devices.hold(("stage",), OTHER, time.monotonic()):
            pass
        assert not waiting(devices, 1)
        end.set()
        with devices.hold(("stage",), OTHER, soon()):
            pass


def test_what_was_taken_before_a_failure_is_given_back() -> None:
    """``a`` is free again though ``b`` was not to be had."""
    devices = Devices()
    with held(devices, "b"):
        with pytest.raises(DeviceBusy), devices.hold(("b", "a"), OTHER, time.monotonic()):
            pass
        with devices.hold(("a",), OTHER, time.monotonic()):
            pass


def test_a_device_that_is_named_twice_is_taken_once() -> None:
    """Nobody waits for oneself."""
    devices = Devices()

    with devices.hold(("a", "a"), ME, time.monotonic()):
        assert devices.status()[0] == "devices: 1 of 1 in use"
    assert devices.status() == ["devices: 0 of 1 in use"]


def test_a_failure_within_the_block_frees_the_devices() -> None:
    """Whatever it is."""
    devices = Devices()
    with pytest.raises(KeyboardInterrupt), devices.hold(("a", "b"), ME, None):
        raise KeyboardInterrupt

    with devices.hold(("a", "b"), ME, time.monotonic()):
        pass


def test_several_devices_are_taken_without_deadlock() -> None:
    """16 threads, random pairs, each in a random order; never two with one device."""
    devices, inside, faults = Devices(), dict.fromkeys("abcd", 0), []

    def work(seed: int) -> None:
        choice = random.Random(seed)
        for _ in range(200):
            names = tuple(choice.sample("abcd", choice.choice([1, 2, 2, 3])))
            with devices.hold(names, ME, soon()):
                for name in names:
                    inside[name] += 1
                if any(inside[name] != 1 for name in names):
                    faults.append(names)
                time.sleep(0)
                for name in names:
                    inside[name] -= 1

    threads = [threading.Thread(target=work, args=(n,), daemon=True) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert not any(thread.is_alive() for thread in threads)
    assert faults == []
    assert devices.status() == ["devices: 0 of 4 in use"]


def test_the_end_wakes_all_and_lets_nobody_begin() -> None:
    """Also those who come later; who has begun goes on."""
    devices, told = Devices(), []

    def work(deadline: float | None) -> None:
        with pytest.raises(ShuttingDown), devices.hold(("stage",), OTHER, deadline):
            pass
        told.append(deadline)

    with held(devices, "stage"):
        threads = [threading.Thread(target=work, args=(d,)) for d in (None, soon()) * 5]
        for thread in threads:
            thread.start()
        wait_until(lambda: waiting(devices, 10))
        devices.close()
        devices.close()
        for thread in threads:
            thread.join(20)
        assert len(told) == 10
    work(None)
    with pytest.raises(ShuttingDown), devices.hold(("another",), OTHER, None):
        pass


def test_the_end_may_come_twice_before_anybody_wakes() -> None:
    """A gate that opens twice is an error."""
    for _ in range(100):
        devices, ended = Devices(), threading.Event()

        def work(devices: Devices = devices, ended: threading.Event = ended) -> None:
            with contextlib.suppress(ShuttingDown), devices.hold(("stage",), OTHER, None):
                pass
            ended.set()

        with devices.hold(("stage",), ME, None):
            thread = threading.Thread(target=work)
            thread.start()
            wait_until(functools.partial(waiting, devices, 1))
            devices.close()
            devices.close()
        assert ended.wait(20)
        thread.join()


class _Interrupting:
    """A gate whose first wait is interrupted; before that, something may happen."""

    def __init__(self, before: Any = None) -> None:
        self.before = before

    def acquire(self, *_: Any, **__: Any) -> bool:
        if self.before is not None:
            self.before()
        raise KeyboardInterrupt

    def release(self) -> None:
        pass


@pytest.mark.parametrize("granted", [False, True])
def test_an_interrupted_wait_leaves_nothing_behind(
    granted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither its place in the queue, nor a device that came at that very moment."""
    devices = Devices()
    with held(devices, "stage") as end:

        def free() -> None:
            end.set()
            wait_until(lambda: f"stage: {OTHER} for" in str(devices.status()))

        gate = _Interrupting(free if granted else None)
        monkeypatch.setattr("lab_utils_mt._commands.devices._wait", lambda *_: gate.acquire())
        with pytest.raises(KeyboardInterrupt), devices.hold(("stage",), OTHER, None):
            pass
        monkeypatch.undo()
        assert not waiting(devices, 1)
    with devices.hold(("stage",), OTHER, time.monotonic()):
        pass


def test_the_status_tells_who_has_what_and_who_is_next() -> None:
    """A line for each device that is in use."""
    devices = Devices(("heater", "stage"))
    assert devices.status() == ["devices: 0 of 2 in use"]
    assert Devices().status() == []

    def work() -> None:
        with devices.hold(("stage",), OTHER, soon()):
            pass

    with held(devices, "stage"):
        thread = threading.Thread(target=work)
        thread.start()
        wait_until(lambda: waiting(devices, 1))
        first, line = devices.status()
    thread.join()

    assert first == "devices: 1 of 2 in use"
    assert line.startswith("  stage: 'move' of 10.0.0.1:5000 for 0.")
    assert line.endswith(" s, 1 waiting, next 'scan' of 10.0.0.2:6000")


def test_two_sets_of_devices_share_nothing() -> None:
    """Each server has its own."""
    ours, theirs = Devices(), Devices()
    with held(ours, "stage"), theirs.hold(("stage",), OTHER, time.monotonic()):
        assert "'move'" in ours.status()[1]
        assert "'scan'" in theirs.status()[1]
