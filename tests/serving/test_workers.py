"""Threads that are used again, and end when they should."""

from __future__ import annotations

import threading
import time

import pytest
from daemons import TIMEOUT, wait_until

from lab_utils_mt._commands.telling import age
from lab_utils_mt._serving.rate import RateLimit
from lab_utils_mt._serving.workers import Workers


def test_a_task_never_waits_for_another() -> None:
    """However many there are, each gets a thread at once."""
    workers, gate = Workers("w"), threading.Event()
    together = threading.Barrier(21)

    def task() -> None:
        together.wait(TIMEOUT)
        gate.wait(TIMEOUT)

    for _ in range(20):
        workers.submit(task)
    together.wait(TIMEOUT)  # all 20 run now
    assert len(workers) == 20
    gate.set()
    workers.stop(time.monotonic() + TIMEOUT)
    assert len(workers) == 0


def test_a_thread_that_is_free_is_used_again() -> None:
    """Task after task in one thread."""
    workers, seen = Workers("w"), []
    for _ in range(10):
        done = threading.Event()
        workers.submit(lambda done=done: (seen.append(threading.current_thread().name), done.set()))
        assert done.wait(TIMEOUT)
        wait_until(lambda: len(workers._idle) == 1)
    assert seen == ["w-1"] * 10
    workers.stop(time.monotonic() + TIMEOUT)


def test_many_hands_never_lose_a_task() -> None:
    """While threads time out and end all the time."""
    workers, lock, done = Workers("w", idle_timeout=0.0005), threading.Lock(), []

    def task() -> None:
        with lock:
            done.append(1)

    def submit() -> None:
        for _ in range(300):
            workers.submit(task)
            time.sleep(0.0003)

    threads = [threading.Thread(target=submit) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT)
    wait_until(lambda: len(done) >= 1200, "the last task")
    wait_until(lambda: len(workers) == 0, "the end of the idle threads")
    assert len(done) == 1200


def test_after_the_stop_no_task_is_taken() -> None:
    """And the threads are gone."""
    workers = Workers("w")
    workers.submit(lambda: None)
    workers.stop(time.monotonic() + TIMEOUT)

    with pytest.raises(RuntimeError, match="stopped"):
        workers.submit(lambda: None)
    assert len(workers) == 0


def test_the_stop_waits_no_longer_than_told() -> None:
    """For a task that hangs; its thread ends with it."""
    workers, gate = Workers("w"), threading.Event()
    workers.submit(lambda: gate.wait(TIMEOUT) and None)
    workers.stop(time.monotonic() + 0.05)
    assert len(workers) == 1
    gate.set()
    wait_until(lambda: len(workers) == 0)


def test_one_event_per_interval_passes() -> None:
    """And tells how many did not."""
    limit = RateLimit(0.2)
    assert limit.passes() == 0
    assert [limit.passes() for _ in range(3)] == [None] * 3
    wait_until(lambda: limit.passes() is not None)
    assert RateLimit(0.0).passes() == 0


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (9.96, "10.0 s"),
        (59.9, "59 s"),
        (200, "3 min 20 s"),
        (7260, "2 h 1 min"),
        (190_000, "2 d 4 h"),
    ],
)
def test_ages_are_told_as_a_person_would(seconds: float, text: str) -> None:
    """With two units at most."""
    assert age(seconds) == text
