"""A connection whose end must be looked for, as on Windows: the same functions on each system."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import pytest
from daemons import TIMEOUT, Line, Stage, serving, wait_until

from lab_utils_mt._serving import connection, looking_up, outbox, registry
from lab_utils_mt._serving.looking_up import SLICE, receive, send_all, wait_for_input
from lab_utils_mt._serving.registry import ClientRecord


@contextlib.contextmanager
def connected() -> Iterator[tuple[ClientRecord, socket.socket]]:
    """Return a client, and the socket that it has."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(SLICE)
        theirs.settimeout(TIMEOUT)
        yield ClientRecord(ours, "somebody"), theirs


@pytest.fixture(autouse=True)
def looks_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a server look up, also where it need not."""
    for module in (connection, looking_up, outbox, registry):
        monkeypatch.setattr(module, "LOOKS_UP", True)


def test_input_is_waited_for() -> None:
    """As long as is wanted: not at all, for less than a slice, or for several."""
    with connected() as (client, theirs):
        for patience in (0.0, SLICE / 5, 2.2 * SLICE):
            began = time.monotonic()
            assert not wait_for_input(client, patience)
            assert time.monotonic() - began > 0.9 * patience - 0.03
        late = threading.Timer(1.5 * SLICE, theirs.sendall, [b"x"])
        late.start()
        assert wait_for_input(client, None)
        assert client.sock.recv(10) == b"x"
        late.join()
        theirs.close()
        assert wait_for_input(client, None), "the end of the stream is something to be received"


def test_bytes_are_received_however_late() -> None:
    """What has come before the end counts; then comes the end."""
    with connected() as (client, theirs):
        late = threading.Timer(1.5 * SLICE, theirs.sendall, [b"x"])
        late.start()
        assert receive(client, 10) == b"x"
        late.join()
        theirs.sendall(b"y")
        wait_until(lambda: wait_for_input(client, 0.0), "the last byte")
        client.end_stream()
        assert receive(client, 10) == b"y"
        assert receive(client, 10) == b""
        ending = ClientRecord(client.sock, "somebody")
        timer = threading.Timer(SLICE / 2, ending.end_stream)
        timer.start()
        assert receive(ending, 10) == b""
        timer.join()


def test_an_end_is_seen_while_input_is_waited_for() -> None:
    """Within a slice or so; but what has come before counts."""
    with connected() as (client, theirs):
        ending = threading.Timer(SLICE / 2, client.end_stream)
        ending.start()
        began = time.monotonic()
        assert not wait_for_input(client, None)
        assert time.monotonic() - began < TIMEOUT / 2
        ending.join()
        theirs.sendall(b"x")
        wait_until(lambda: wait_for_input(client, None), "the byte that came before")


def test_all_is_sent_to_a_client_that_takes_little_at_a_time() -> None:
    """The patience counts from the last progress."""
    data = bytes(range(256)) * 20_000
    with connected() as (client, theirs):
        got = bytearray()

        def take() -> None:
            while len(got) < len(data):
                got.extend(theirs.recv(400_000))
                time.sleep(0.05)

        taking = threading.Thread(target=take)
        taking.start()
        send_all(client, SLICE, data)
        taking.join(TIMEOUT)
        assert got == data


def test_a_client_that_takes_nothing_is_given_up() -> None:
    """After the patience."""
    with connected() as (client, _):
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            send_all(client, 3 * SLICE, bytes(50_000_000))
        assert time.monotonic() - began > 2 * SLICE


def test_a_cut_ends_sending() -> None:
    """However patient it is; and no more is begun."""
    with connected() as (client, _):
        cutting = threading.Timer(SLICE / 2, client.cut)
        cutting.start()
        with pytest.raises(OSError, match=r".") as caught:
            send_all(client, 10 * TIMEOUT, bytes(50_000_000))
        assert not isinstance(caught.value, TimeoutError)
        cutting.join()
        with pytest.raises(ConnectionAbortedError):
            send_all(client, TIMEOUT, b"x")


def test_a_server_that_looks_up_stops_in_order(pid_file: str) -> None:
    """Idle clients get the end of their stream, a busy one its reply; what waits is refused."""
    stage = Stage(pid_file_name=pid_file, port=0)
    stage.stop_timeout = TIMEOUT
    with serving(stage), Line(stage) as idle, Line(stage) as busy:
        assert idle.ask("ping") == "pong"
        busy.send(b"hold\necho never\n")
        assert stage.waiting.acquire(timeout=TIMEOUT)
        closing = threading.Thread(target=stage.close)
        closing.start()
        assert idle.rest() == b""
        stage.gate.set()
        assert busy.rest() == b"held\nError! shutting down\n"
        closing.join(TIMEOUT / 2)
        assert not closing.is_alive()
    assert stage.executed == []


def test_a_server_that_looks_up_cuts_who_never_reads(pid_file: str) -> None:
    """And ends its thread."""
    stage = Stage(pid_file_name=pid_file, port=0)
    stage.stop_timeout = 0.2
    with serving(stage), Line(stage) as mute:
        mute.send(b"long\n")
        wait_until(lambda: stage._client_registry.snapshot()[1].requests == 1)
        stage.close()
        assert len(mute.rest()) < 20_000_000
