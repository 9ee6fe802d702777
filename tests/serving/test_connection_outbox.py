"""One connection that watches: what comes first, and what does not come any more."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any

import pytest
from daemons import TIMEOUT, wait_until

from lab_utils_mt._commands.readings import Reading
from lab_utils_mt._commands.watching import Hub, Wish
from lab_utils_mt._serving.looking_up import LOOKS_UP, SLICE
from lab_utils_mt._serving.outbox import Outbox
from lab_utils_mt._serving.registry import ClientRecord
from lab_utils_mt._serving.workers import Workers
from lab_utils_mt._wire.text import Dialect
from lab_utils_mt.exceptions import MessageError


def client_at(sock: socket.socket) -> ClientRecord:
    """Return the client at the other end of a connection, as the handler prepares it."""
    if LOOKS_UP:
        sock.settimeout(SLICE)
    return ClientRecord(sock, "somebody")


@contextlib.contextmanager
def connection() -> Iterator[tuple[Outbox, socket.socket]]:
    """Return an outbox, and the other end of its connection."""
    workers = Workers("outbox")
    ours, theirs = socket.socketpair()
    theirs.settimeout(TIMEOUT)
    with ours, theirs:
        outbox = Outbox(client_at(ours), TIMEOUT, workers.submit)
        try:
            yield outbox, theirs
        finally:
            outbox.close()
            workers.stop(time.monotonic() + TIMEOUT)


def publish(hub: Hub) -> None:
    """Publish one reading."""
    hub.publish(Reading("sensor", datetime.now(timezone.utc), time.monotonic(), {"n": 1}))


def test_no_reading_comes_before_the_answer() -> None:
    """Although the newest one waits, and others follow."""
    hub = Hub(["sensor"])
    publish(hub)
    with connection() as (outbox, theirs):
        outbox.watch(hub, "sensor", Wish(), Dialect.TEXT)
        for _ in range(20):
            publish(hub)
            time.sleep(0.005)
        outbox.send(b"watching sensor\n")
        outbox.answered()
        assert theirs.recv(16) == b"watching sensor\n"
        assert theirs.recv(8) == b"@sensor "


def test_no_reading_comes_after_unwatch() -> None:
    """Also none that the sender had in its hands."""
    hub = Hub(["sensor"])
    with connection() as (outbox, theirs):
        outbox.watch(hub, "sensor", Wish(), Dialect.TEXT)
        outbox.answered()
        watch = outbox._active["sensor"]
        with outbox._turn:
            publish(hub)
            wait_until(lambda: not watch._waiting, "the sender's taking it")
            assert outbox.unwatch("sensor")
        outbox.send(b"done\n")
        assert theirs.recv(5) == b"done\n"
        theirs.settimeout(0.2)
        with pytest.raises(TimeoutError):
            theirs.recv(1)
        assert not outbox.unwatch("sensor")


def test_nothing_is_sent_after_a_broken_line() -> None:
    """Half a reading may have gone out: a reply would be taken for its rest."""
    with connection() as (outbox, theirs):
        theirs.close()
        for _ in range(2):
            with pytest.raises(OSError, match=r"."):
                for _ in range(1000):
                    outbox.send(b"x" * 65536)
        assert outbox._is_broken


def test_no_thread_left_for_a_sender() -> None:
    """The watch is refused, and the connection goes on."""

    def submit(_: Any) -> None:
        raise RuntimeError("can't start new thread")

    hub, (ours, theirs) = Hub(["sensor"]), socket.socketpair()
    with ours, theirs:
        outbox = Outbox(client_at(ours), TIMEOUT, submit)
        with pytest.raises(MessageError, match="no thread left"):
            outbox.watch(hub, "sensor", Wish(), Dialect.TEXT)
        assert len(hub) == 0
        outbox.close()
