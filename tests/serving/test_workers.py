"""Threads that wait for clients, serve them, and end when they should."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from daemons import TIMEOUT, wait_until

from lab_utils_mt._commands.telling import age
from lab_utils_mt._serving import workers as room
from lab_utils_mt._serving.rate import RateLimit
from lab_utils_mt._serving.workers import Workers


class Door:
    """Where clients come in: tasks, and None for one that is refused."""

    def __init__(self) -> None:
        self.workers = Workers("w")
        self.clients: queue.Queue[Callable[[], None] | None] = queue.Queue()
        self.inside = 0

    def take(self) -> None:
        """Wait for a client."""
        try:
            client = self.clients.get(timeout=0.02)
        except queue.Empty:
            return
        if client is not None:
            self.workers.submit(client)

    def open(self) -> None:
        """Let them come in."""
        self.workers.receive(self.take)

    def close(self) -> None:
        """Let nobody come in any more, and wait until all have left."""
        self.workers.rest(lambda: None, time.monotonic() + TIMEOUT)
        self.workers.stop(time.monotonic() + TIMEOUT)


@pytest.fixture
def door() -> Iterator[Door]:
    """An open door; in the end no thread is left."""
    door = Door()
    door.open()
    yield door
    door.close()
    assert len(door.workers) == 0


def test_a_client_never_waits_for_another(door: Door) -> None:
    """However many there are, each has a thread."""
    gate, together = threading.Event(), threading.Barrier(21)

    def serve() -> None:
        together.wait(TIMEOUT)
        gate.wait(TIMEOUT)

    for _ in range(20):
        door.clients.put(serve)
    together.wait(TIMEOUT)  # all 20 are served now
    wait_until(lambda: len(door.workers) == 21, "one more that waits")
    gate.set()


def test_a_thread_that_is_free_waits_for_the_next_client(door: Door) -> None:
    """Client after client, but no thread after thread."""
    seen = set()
    for _ in range(50):
        done = threading.Event()
        door.clients.put(lambda done=done: (seen.add(threading.current_thread().name), done.set()))
        assert done.wait(TIMEOUT)
    assert len(seen) < 10


def test_not_more_threads_wait_than_are_of_use(door: Door) -> None:
    """The others end when their client leaves."""
    together = threading.Barrier(31)
    for _ in range(30):
        door.clients.put(lambda: together.wait(TIMEOUT) and None)
    together.wait(TIMEOUT)
    wait_until(lambda: len(door.workers) <= room._MOST_WAITING, "the end of the others")
    assert door.workers._waiting == len(door.workers)


def test_many_hands_never_lose_a_client(door: Door) -> None:
    """While threads start and end all the time, and some clients are refused."""
    lock, done = threading.Lock(), []

    def serve() -> None:
        with lock:
            done.append(1)

    def come() -> None:
        for number in range(300):
            door.clients.put(None if number % 5 == 0 else serve)

    threads = [threading.Thread(target=come) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT)
    wait_until(lambda: len(done) >= 960, "the last client")
    assert len(done) == 960


def test_a_task_of_somebody_else_gets_a_new_thread(door: Door) -> None:
    """Such as one that sends readings; also of a thread that serves."""
    names: queue.Queue[str] = queue.Queue()

    def serve() -> None:
        door.workers.submit(lambda: names.put(threading.current_thread().name))
        names.put(threading.current_thread().name)

    door.clients.put(serve)
    assert names.get(timeout=TIMEOUT) != names.get(timeout=TIMEOUT)


# threading is silent about a SystemExit, but pytest is not.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_ends_in_a_hook_is_replaced(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``sys.exit()`` in ``verify_request()`` makes no server deaf."""
    ended, take = [], door.take

    def exit_once() -> None:
        if not ended:
            ended.append(threading.current_thread().name)
            raise SystemExit
        take()

    door.close()
    door.workers = Workers("w")
    monkeypatch.setattr(door, "take", exit_once)
    door.open()
    done = threading.Event()
    door.clients.put(done.set)
    assert done.wait(TIMEOUT)
    assert ended == ["w-1"]


def test_after_rest_nobody_waits_and_work_can_begin_again(door: Door) -> None:
    """As ``shutdown()`` and ``serve_forever()`` want it."""
    door.workers.rest(lambda: None, time.monotonic() + TIMEOUT)
    assert door.workers._waiting == 0
    done = threading.Event()
    door.clients.put(done.set)
    assert not done.wait(0.1)
    door.open()
    assert done.wait(TIMEOUT)


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
