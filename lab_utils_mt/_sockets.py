"""What does every TCP connection need, whichever end we are?"""

from __future__ import annotations

import contextlib
import math
import select
import socket
import struct
import sys
import time


def wait_readable(sock: socket.socket, timeout: float | None) -> bool:
    """Wait until ``recv()`` would return at once: data, end of stream or an error is there.

    Args:
        sock: Any socket; numbers above 1023 are fine, which ``select()`` cannot take.
        timeout: Seconds to wait; None waits for ever.
    """
    if sys.platform == "win32":  # has no poll(), and its select() no limit for numbers
        return bool(select.select([sock], [], [], timeout)[0])
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(None if timeout is None else max(0.0, timeout) * 1000))


# What a listener is told, Linux tells the connections that it accepts.
INHERITED = sys.platform == "linux"


def prepare(
    sock: socket.socket, send_timeout: float | None = None, receive_timeout: float | None = None
) -> None:
    """Make a connection prompt, and notice a peer that died without a word within a minute.

    Args:
        sock: A TCP socket; a listener too, where :data:`INHERITED`.
        send_timeout: Seconds without progress after which sending fails with BlockingIOError.
        receive_timeout: Seconds without a byte after which receiving does.
    """
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    _keep_alive(sock)
    # By the kernel: settimeout() would cost a poll() before each recv() and send().
    if send_timeout is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _timeval(send_timeout))
    if receive_timeout is not None:
        limit_receiving(sock, receive_timeout)


def _keep_alive(sock: socket.socket) -> None:
    """Ask after a silent peer from 30 s on; it has another 30 s to answer."""
    if sys.platform == "win32":  # it asks ten times; its TCP_KEEPIDLE came with Windows 10 only
        sock.ioctl(socket.SIO_KEEPALIVE_VALS, (1, 30_000, 3_000))
        return
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3)):
        if hasattr(socket, name):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def limit_receiving(sock: socket.socket, timeout: float | None) -> None:
    """Let receiving, and accepting, fail with BlockingIOError after some seconds; None: never."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _timeval(timeout or 0.0))


def _timeval(seconds: float) -> bytes:
    if sys.platform == "win32":
        return struct.pack("@L", math.ceil(seconds * 1000))
    return struct.pack("@ll", int(seconds), int(seconds % 1 * 1_000_000))


def reset(sock: socket.socket) -> None:
    """Close so that the peer cannot take what it got so far for the whole message."""
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_OFF)
    sock.close()


_LINGER_OFF = struct.pack("@HH" if sys.platform == "win32" else "@ii", 1, 0)


def say_goodbye(sock: socket.socket, patience: float = 1.0, limit: int = 256 * 1024) -> None:
    """Half-close, and read until the peer closes, so that our last words reach it.

    Closing with unread input resets the connection, and the peer may never see what was sent.

    Args:
        sock: Closed by the caller afterwards.
        patience: Seconds after which a peer that goes on sending is given up.
        limit: Bytes after which it is.
    """
    deadline = time.monotonic() + patience
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_WR)
        while limit > 0 and wait_readable(sock, deadline - time.monotonic()):
            data = sock.recv(65536)
            if not data:
                return
            limit -= len(data)
