"""What is due, measured and waited for, when servers come late, stall, and are left early."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from daemons import TIMEOUT
from scripted import Scripted, scripted

from lab_utils_mt._load.driver import drive
from lab_utils_mt._load.ledger import NANOSECONDS, Ledger
from lab_utils_mt._load.plan import Plan
from lab_utils_mt._load.tally import Tally

REQUEST = b"echo hello\n"


def load(port: int, stop: threading.Event | None = None, **options: Any) -> Tally:
    """Put some load on a port."""
    return drive(Plan("127.0.0.1", port, REQUEST, **options), stop=stop)


@contextlib.contextmanager
def late_server(down: float) -> Iterator[int]:
    """Run a server that refuses connections at first."""
    done = threading.Event()
    threads: list[threading.Thread] = []

    def serve(client: socket.socket) -> None:
        with client, contextlib.suppress(OSError), client.makefile("rb") as lines:
            for _ in lines:
                client.sendall(b"hello\n")

    def come() -> None:
        done.wait(down)
        listener.listen(64)
        with contextlib.suppress(OSError):
            while not done.is_set():
                threads.append(threading.Thread(target=serve, args=(listener.accept()[0],)))
                threads[-1].start()

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        threads.append(threading.Thread(target=come))
        threads[0].start()
        try:
            yield listener.getsockname()[1]
        finally:
            done.set()
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()  # on Windows, that is what ends the accept()
            for thread in threads:
                thread.join(TIMEOUT)


@pytest.mark.parametrize("reconnect", [False, True])
def test_each_request_is_tried_when_it_is_due(reconnect: bool) -> None:
    """A client that was refused does not use up its next requests before their time."""
    with late_server(1.0) as port:
        tally = load(port, clients=4, rate=8.0, seconds=3.0, reconnect=reconnect)
    assert set(tally.errors) == {"refused"}
    assert tally.requests + tally.failed + tally.unsent == 24
    assert tally.requests >= 8


def stalling(after: float) -> Callable[[Scripted, socket.socket], None]:
    """Return a script that answers at once for some seconds, and then no more."""
    began = time.monotonic()

    def serve(server: Scripted, client: socket.socket) -> None:
        for _ in server.lines(client):
            if time.monotonic() - began > after:
                server.over.wait()
            client.sendall(b"hello\n")

    return serve


@pytest.mark.parametrize("rate", [None, 100.0])
def test_what_a_stalled_server_owes_is_told_after_ctrl_c(rate: float | None) -> None:
    """Requests without a reply have failed; those that were due meanwhile were not sent."""
    stop = threading.Event()
    timer = threading.Timer(1.5, stop.set)
    with scripted(stalling(0.5)) as server:
        timer.start()
        tally = load(server.port, stop, clients=2, rate=rate, seconds=60.0)
        timer.join()
    assert tally.errors == {"unanswered": 2}
    assert "no reply for" in tally.first_errors["unanswered"]
    assert tally.requests > 0
    assert tally.seconds < 30
    if rate is None:
        assert tally.unsent == 0
    else:
        whole = tally.requests + tally.failed + tally.unsent
        assert whole == pytest.approx(rate * tally.seconds, abs=3)
        assert tally.unsent > 10


def test_a_reply_that_comes_soon_after_ctrl_c_is_taken() -> None:
    """It is late, but no failure."""

    def serve(server: Scripted, client: socket.socket) -> None:
        for _ in server.lines(client):
            stop.set()
            server.over.wait(0.3)
            client.sendall(b"hello\n")

    stop = threading.Event()
    with scripted(serve) as server:
        tally = load(server.port, stop, seconds=60.0)
    assert not tally.errors
    assert tally.requests == tally.late == 1


@pytest.mark.parametrize("rate", [None, 100.0])
def test_a_wait_that_began_in_the_warm_up_has_no_latency(rate: float | None) -> None:
    """Its reply counts in the rate."""

    def serve(server: Scripted, client: socket.socket) -> None:
        for number, _ in enumerate(server.lines(client)):
            server.over.wait(0.0 if number else 2.0)
            client.sendall(b"hello\n")

    with scripted(serve) as server:
        tally = load(server.port, rate=rate, warm_up=1.0, seconds=2.0)
    assert not tally.errors
    assert 0 < tally.timed < tally.requests
    assert tally.most < 1.9
    assert tally.requests == sum(one.requests for one in tally.timeline) + tally.late


def test_what_was_due_in_the_warm_up_is_not_missed() -> None:
    """Only the measurement is told of."""

    def serve(server: Scripted, client: socket.socket) -> None:
        server.over.wait()

    with scripted(serve) as server:
        tally = load(server.port, rate=100.0, warm_up=1.0, seconds=0.5, timeout=2.0)
    assert tally.unsent == pytest.approx(50, abs=1)


def test_how_long_clients_waited() -> None:
    """Within the measurement, for good replies: nearly always, if the server is slow."""

    def serve(server: Scripted, client: socket.socket) -> None:
        for _ in server.lines(client):
            server.over.wait(0.2)
            client.sendall(b"hello\n")

    with scripted(serve) as server:
        tally = load(server.port, clients=3, warm_up=0.3, seconds=0.7)
    assert 2.5 < tally.waited / tally.seconds <= 3.01


def test_waits_are_cut_at_both_ends_of_the_measurement() -> None:
    """And added up over processes, also after a journey as JSON."""
    second = NANOSECONDS
    begin = time.perf_counter_ns() + second
    ledger = Ledger(begin, begin + 2 * second, None)
    ledger.end_second(begin)
    ledger.take_odd(begin - 5 * second, begin + second)  # 1 s of it within
    ledger.latencies.append(second // 2)
    ledger.end_second(begin + second)
    ledger.end_second(begin + 2 * second)
    ledger.take_odd(begin + second, begin + 5 * second)  # 1 s of it within
    ledger.take_odd(begin - second, begin + 3 * second)  # all 2 s
    tally = ledger.close(0)
    assert tally.waited == pytest.approx(4.5)
    assert (tally.requests, tally.late, tally.timed) == (4, 2, 2)
    tally.merge(Tally.from_json(tally.to_json()))
    assert tally.waited == pytest.approx(9.0)
