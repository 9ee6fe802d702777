"""How does a thread that is busy with a client learn that others have ended the connection?

They shut the socket down, which wakes it. On Windows that wakes nobody: a thread in ``recv()``
waits for ever, one in ``send()`` until all is sent. Nor does the system count a timeout from the
last progress there. So the thread looks up by itself, some times a second.
"""

from __future__ import annotations

import math
import socket
import sys
import time
from typing import Protocol

from .._sockets import wait_readable

LOOKS_UP = sys.platform == "win32"
SLICE = 0.25
"""Seconds between two looks; also the timeout that such a socket gets."""

_CHUNK = 64 * 1024  # bytes; Windows takes any size at once, and keeps it all in memory


class Client(Protocol):
    """What is to be known of the other end.

    Attributes:
        sock: The connection.
        has_ended: Whether no more is received from it.
        is_cut: Whether nothing is sent to it any more.
    """

    sock: socket.socket
    has_ended: bool
    is_cut: bool


def receive(client: Client, size: int) -> bytes:
    """Receive bytes, however long that takes; none at the end of the stream, whoever made it.

    Args:
        client: Who is to send something; its socket has :data:`SLICE` as its timeout.
        size: Most bytes.

    Raises:
        OSError: It is gone.
    """
    while not client.has_ended or wait_readable(client.sock, 0.0):
        try:
            return client.sock.recv(size)
        except TimeoutError:
            continue
    return b""


def wait_for_input(client: Client, patience: float | None) -> bool:
    """Wait until ``recv()`` would return at once.

    Args:
        client: Who is to send something.
        patience: Seconds to wait; None waits for ever.

    Returns:
        False if nothing came in time, or nothing is there and the connection has ended.
    """
    end = math.inf if patience is None else time.monotonic() + patience
    while True:
        left = max(0.0, end - time.monotonic())
        has_ended = client.has_ended  # before the look: what came until then counts
        if wait_readable(client.sock, 0.0 if has_ended else min(left, SLICE)):
            return True
        if has_ended or left <= SLICE:
            return False


def send_all(client: Client, patience: float, data: bytes) -> None:
    """Send bytes as ``sendall()`` does.

    Args:
        client: Who gets them; its socket has :data:`SLICE` as its timeout.
        patience: Seconds without progress after which it fails.
        data: The bytes.

    Raises:
        ConnectionAbortedError: The connection was cut.
        TimeoutError: The client takes nothing.
        OSError: It is gone.
    """
    rest, end = memoryview(data), time.monotonic() + patience
    while rest:
        if client.is_cut:
            raise ConnectionAbortedError("the connection was cut")
        try:
            sent = client.sock.send(rest[:_CHUNK])
        except TimeoutError:
            if time.monotonic() >= end:
                raise
        else:
            rest, end = rest[sent:], time.monotonic() + patience
