"""Lines that answer no request: they must not make a server look better."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from scripted import Scripted, answering, scripted

from lab_utils_mt._load import stream
from lab_utils_mt._load.driver import drive
from lab_utils_mt._load.plan import Plan
from lab_utils_mt._load.tally import Tally

PAUSE = 0.02  # seconds; at the rate below a client has nothing to do then


def load(port: int, **options: Any) -> Tally:
    """Put some load on a port, with pauses between the requests."""
    return drive(Plan("127.0.0.1", port, b"read\n", rate=5.0, seconds=1.0, **options))


def greeting(server: Scripted, client: socket.socket) -> None:
    client.sendall(b"welcome\n")
    for _ in server.lines(client):
        server.over.wait(PAUSE)
        client.sendall(b"hello\n")


@pytest.mark.parametrize("lines", [0, 1])
def test_a_greeting_is_no_reply(lines: int) -> None:
    """The real reply then comes while nobody waits for one; a greeting that is known is fine."""
    with scripted(greeting) as server:
        tally = load(server.port, greeting=lines)
    assert set(tally.errors) == (set() if lines else {"surplus"})
    assert tally.requests > 2


@pytest.mark.parametrize("more", [b"done\n", b"one\ntwo\n", b"Error! why\n"])
def test_a_second_reply_that_comes_later_is_an_error(more: bytes) -> None:
    """One line or several, good or bad; the client goes on with a new connection."""

    def serve(server: Scripted, client: socket.socket) -> None:
        for _ in server.lines(client):
            client.sendall(b"ok\n")
            server.over.wait(PAUSE)
            client.sendall(more)

    with scripted(serve) as server:
        tally = load(server.port)
        assert server.connections > 2
    assert set(tally.errors) == {"surplus"}
    assert "answers no request" in tally.first_errors["surplus"]


def test_a_server_may_say_that_it_ends() -> None:
    """Nobody asked, but nothing failed: the next request finds out."""

    def serve(server: Scripted, client: socket.socket) -> None:
        for _ in server.lines(client):
            client.sendall(b"ok\n")
            server.over.wait(PAUSE)
            client.sendall(b"Error! shutting down\n")
            return

    with scripted(serve) as server:
        tally = load(server.port)
    assert tally.requests > 2
    assert not tally.errors


@pytest.mark.parametrize("lines", [1, 2])
def test_a_refusal_is_no_greeting(lines: int) -> None:
    """A full server says so where it greets others."""

    def serve(server: Scripted, client: socket.socket) -> None:
        client.sendall(b"Error! server full (2 clients)\n")
        client.recv(100)

    with scripted(serve) as server:
        tally = load(server.port, greeting=lines)
    assert set(tally.errors) == {"server full"}
    assert tally.first_errors["server full"] == "Error! server full (2 clients)"


def test_a_greeting_that_does_not_come_is_told() -> None:
    """Who gave ``--greeting`` by mistake reads what was waited for."""
    with scripted(answering(b"ok\n")) as server:
        tally = load(server.port, greeting=1, timeout=0.1)
    assert set(tally.errors) == {"timeout"}
    assert tally.first_errors["timeout"] == "no greeting within 0.1 s"


def test_a_line_without_end_that_nobody_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is an error, costs no request of the schedule, and the load goes on."""

    def serve(server: Scripted, client: socket.socket) -> None:
        for _ in server.lines(client):
            client.sendall(b"ok\n")
            server.over.wait(PAUSE)
            while not server.over.is_set():
                client.sendall(b"x" * 100_000)

    monkeypatch.setattr(stream, "MOST_REPLY", 1_000_000)
    with scripted(serve) as server:
        tally = drive(Plan("127.0.0.1", server.port, b"read\n", rate=2.0, seconds=2.0))
    assert tally.requests >= 3  # of 4: each as it is due
    assert set(tally.errors) == {"too long"}
