"""How does a conversation end, if the other end neither speaks nor hangs up?

By a :class:`Bound`: it ends at its time, however slowly the other end drips, and at once when
another thread says so.
"""

from __future__ import annotations

import contextlib
import math
import socket
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from ..exceptions import ConfigError
from .redaction import redact

if TYPE_CHECKING:
    import ssl

T = TypeVar("T")

LONGEST_WORDS = 300  # characters of what the other end says

# Windows does not wake a thread that waits for a socket when another one shuts that down.
_SLICE = 0.25 if sys.platform == "win32" else math.inf  # s
_INSTANT = 0.001  # s; none at all would mean something else


class Undelivered(Exception):
    """A message did not get through; the text says why, and what to do."""


class Bound:
    """How long the conversations of one sink may take. One at a time."""

    def __init__(self) -> None:
        self.forget_parent()

    def forget_parent(self) -> None:
        """Start anew."""
        self._socket: socket.socket | None = None
        self._end = 0.0
        self._is_cut = False

    def begin(self, limit: float) -> None:
        """Begin a conversation of at most ``limit`` seconds."""
        self._end = time.monotonic() + limit

    def hold(self, sock: socket.socket) -> None:
        """Note which socket the conversation is on by now."""
        self._socket = sock  # before the look at _is_cut: either cut() sees it, or this sees cut()
        self.left(0.0)

    def left(self, most: float) -> float:
        """Return how many seconds the next step may take, at most those wanted.

        Raises:
            TimeoutError: No time is left.
            ConnectionAbortedError: Another thread has cut the conversation.
        """
        if self._is_cut:
            raise ConnectionAbortedError("broken off because the handler is closed")
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError("the conversation takes too long")
        return min(most, left)

    def step(self, sock: socket.socket, most: float, act: Callable[[], T]) -> T:
        """Do one step on a socket, within the bound; leaves the socket's timeout changed.

        Args:
            sock: Gets its timeout here.
            most: Seconds for this step.
            act: May be called again when it has timed out.

        Raises:
            TimeoutError: It has taken too long, or all of it has.
            OSError: What the step raises, or :meth:`left`.
        """
        end = time.monotonic() + most
        while True:
            left = self.left(max(0.0, end - time.monotonic()))
            sock.settimeout(min(left, _SLICE) or _INSTANT)
            try:
                return act()
            except TimeoutError:
                if left <= _SLICE:
                    raise

    def end(self) -> None:
        """Note that the conversation is over; what holds its socket may be freed later."""
        sock, self._socket = self._socket, None
        if sock is not None and (descriptor := sock.detach()) >= 0:
            socket.close(descriptor)

    def cut(self) -> None:
        """End the conversation, and all that would follow; for another thread."""
        self._is_cut = True
        sock = self._socket
        if sock is not None:
            with contextlib.suppress(OSError):  # it may just be over
                # Not the method of an SSLSocket: that would go on in clear until it is shut down.
                socket.socket.shutdown(sock, socket.SHUT_RDWR)


def network_reason(error: Exception) -> str:
    """Say why a connection failed, and what to do."""
    import ssl  # noqa: PLC0415  (the facade is quick to import)

    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"its certificate cannot be trusted: {error.verify_message};"
            " if it is made by a CA of the lab's own, name that as ca_file"
        )
    if isinstance(error, ssl.SSLError):
        return f"no TLS with it ({error.reason or error}): check the port and its kind of TLS"
    if isinstance(error, socket.gaierror):
        return f"the name is not found ({error.strerror}): check name and network"
    if isinstance(error, TimeoutError):
        return "no answer in time: check host, port, kind of TLS and firewall"
    if isinstance(error, OSError):
        return f"{error.strerror or redact(str(error))}: check host, port and network"
    return redact(str(error))[:LONGEST_WORDS] or type(error).__name__


def tls_context(ca_file: str | None) -> ssl.SSLContext:
    """Return a context that verifies the other end.

    Args:
        ca_file: Certificates to trust, as PEM, instead of the system's.

    Raises:
        ConfigError: The file cannot be used.
    """
    import ssl  # noqa: PLC0415

    try:
        context = ssl.create_default_context(cafile=ca_file)
    except (OSError, ValueError) as error:
        raise ConfigError(f"ca_file {ca_file}: cannot be used as PEM: {error}") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def check_seconds(what: str, value: float, *, may_be_zero: bool = False) -> None:
    """Check a time that somebody has set.

    Args:
        what: Whose time it is, and its name: ``mail: timeout``.
        value: Seconds.
        may_be_zero: Whether 0 has a meaning.

    Raises:
        ConfigError: It is no such time.
    """
    is_number = isinstance(value, (int, float)) and math.isfinite(value)
    if not is_number or value < 0 or (value == 0 and not may_be_zero):
        raise ConfigError(f"{what} = {value!r} must be a positive number of seconds")


def connect(
    bound: Bound,
    place: tuple[str, int],
    timeout: float,
    kind: type[socket.socket] = socket.socket,
) -> socket.socket:
    """Connect to the first address of a name that answers, within the bound.

    Args:
        bound: It holds the socket from now on.
        place: Host and port.
        timeout: Seconds for each of the addresses.
        kind: The socket's class.

    Raises:
        OSError: No connection.
    """
    first: OSError | None = None
    found = socket.getaddrinfo(*place, type=socket.SOCK_STREAM)
    for family, _, protocol, _, address in found:
        sock = kind(family, socket.SOCK_STREAM, protocol)
        try:
            bound.hold(sock)
            sock.settimeout(bound.left(timeout))
            sock.connect(address)
        except OSError as error:
            sock.close()
            first = first or error
        else:
            sock.settimeout(timeout)
            return sock
    raise first or OSError("the name has no address")
