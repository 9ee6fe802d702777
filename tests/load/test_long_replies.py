"""Replies that are long, and some that are too long."""

from __future__ import annotations

import contextlib
import socket
from typing import Any

import pytest
from scripted import Scripted, answering, scripted

from lab_utils_mt._load import link, stream
from lab_utils_mt._load.driver import drive
from lab_utils_mt._load.plan import Plan


def test_long_replies_are_read_in_large_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small ones would make the load slow."""
    sizes: list[int] = []

    class Recording(socket.socket):
        def recv(self, size: int, flags: int = 0) -> bytes:
            sizes.append(size)
            return super().recv(size, flags)

    with scripted(answering(b"x" * 1_000_000 + b"\n")) as server:
        monkeypatch.setattr(socket, "socket", Recording)
        tally = drive(Plan("127.0.0.1", server.port, b"long\n", seconds=0.2))
        monkeypatch.undo()
    assert tally.requests > 0
    assert not tally.errors
    assert sizes.count(link._SIZE) <= tally.requests
    assert link._BIG_SIZE in sizes


@pytest.mark.parametrize("head", [b"", b"#9999999999"])
@pytest.mark.parametrize("more", [{}, {"reconnect": True, "terminated": False}, {"greeting": 1}])
def test_a_reply_without_end_is_too_long(
    monkeypatch: pytest.MonkeyPatch, head: bytes, more: dict[str, Any]
) -> None:
    """A line, a block, a text up to the end of the connection: none may fill the memory."""

    def serve(server: Scripted, client: socket.socket) -> None:
        if "greeting" not in more:
            client.recv(100)
        with contextlib.suppress(OSError):
            client.sendall(head)
            while not server.over.is_set():
                client.sendall(b"x" * 100_000)

    monkeypatch.setattr(stream, "MOST_REPLY", 1_000_000)
    with scripted(serve) as server:
        tally = drive(Plan("127.0.0.1", server.port, b"talk\n", seconds=0.2, **more))
    assert set(tally.errors) == {"too long"}
    assert "a reply of more than " in tally.first_errors["too long"]
    assert tally.bytes_in < 50_000_000
