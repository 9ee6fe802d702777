"""How does a message reach the web server that it is for, and no other, in bounded time?

Redirects are not followed: what is posted, a token with it, is for one address. A proxy is asked
for https only, where it sees nothing but the host's name.
"""

from __future__ import annotations

import dataclasses
import functools
import http.client
import math
import socket
import ssl
import urllib.request
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from .bounded import Bound, connect

T = TypeVar("T")

_LONGEST_ANSWER = 1 << 20  # bytes

# For those who check types, what stands beside a socket's class is one.
if TYPE_CHECKING:
    _Socket = socket.socket
else:
    _Socket = object


@dataclasses.dataclass(frozen=True)
class Reply:
    """What a web server says."""

    status: int
    headers: Mapping[str, str]
    body: str  #: Its beginning, if it is very long.


class Post:
    """Sends requests, within a bound.

    Args:
        context: Whom to trust.
        bound: Where the owner begins and ends each conversation.
    """

    def __init__(self, context: ssl.SSLContext, bound: Bound) -> None:
        context.sslsocket_class = type("_TlsSocket", (_Limited, ssl.SSLSocket), {"bound": bound})
        self._opener = urllib.request.OpenerDirector()  # knows nothing but what follows
        self._opener.add_handler(_Plain(bound))
        self._opener.add_handler(_Encrypted(context, bound))
        proxies = urllib.request.getproxies()
        if "https" in proxies:
            self._opener.add_handler(urllib.request.ProxyHandler({"https": proxies["https"]}))

    def send(self, request: urllib.request.Request, timeout: float) -> Reply:
        """Send a request; the answer may have any status.

        Args:
            request: What to send, and where.
            timeout: Seconds for the connection and for each silence.

        Raises:
            OSError, HTTPException, ValueError: No answer.
        """
        with self._opener.open(request, timeout=timeout) as answer:
            body = answer.read(_LONGEST_ANSWER).decode("utf-8", "replace")
            return Reply(answer.status, dict(answer.headers), body)


class _Limited(_Socket):
    """Makes a socket look at its bound before each step."""

    bound: Bound

    def do_handshake(self, block: bool = False) -> None:
        """Hold the socket that takes the place of the plain one."""
        self.bound.hold(self)
        shake = super().do_handshake  # type: ignore[misc]
        self._step(lambda: shake(block))

    def recv_into(self, *args: Any, **kwargs: Any) -> int:
        """Receive, within the bound."""
        receive = super().recv_into
        return self._step(lambda: receive(*args, **kwargs))

    def send(self, *args: Any, **kwargs: Any) -> int:
        """Send, within the bound."""
        send = super().send
        return self._step(lambda: send(*args, **kwargs))

    def _step(self, act: Callable[[], T]) -> T:
        wanted = self.gettimeout()
        try:
            return self.bound.step(self, math.inf if wanted is None else wanted, act)
        finally:
            self.settimeout(wanted)


class _PlainSocket(_Limited, socket.socket):
    """A socket without TLS."""

    def sendall(self, data: Any, flags: int = 0) -> None:
        """Send everything, each piece within the bound."""
        rest = memoryview(data)
        while rest:
            rest = rest[self.send(rest, flags) :]


class _Plain(urllib.request.HTTPHandler):
    """Opens http addresses."""

    def __init__(self, bound: Bound) -> None:
        super().__init__()
        self._bound = bound

    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        make = functools.partial(_bounded, http.client.HTTPConnection, self._bound)
        return self.do_open(make, req)


class _Encrypted(urllib.request.HTTPSHandler):
    """Opens https addresses."""

    def __init__(self, context: ssl.SSLContext, bound: Bound) -> None:
        super().__init__(context=context)
        self._means, self._bound = context, bound

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        make = functools.partial(_bounded, http.client.HTTPSConnection, self._bound)
        return self.do_open(make, req, context=self._means)


def _bounded(
    kind: type[http.client.HTTPConnection], bound: Bound, *args: Any, **kwargs: Any
) -> http.client.HTTPConnection:
    """Make a connection that the bound holds from its first step on, a proxy's part included."""
    raw = type("_RawSocket", (_PlainSocket,), {"bound": bound})

    def reach(place: tuple[str, int], timeout: float, *_: object) -> socket.socket:
        return connect(bound, place, timeout, raw)

    connection = kind(*args, **kwargs)
    # Its connect() could only be replaced with all that it says to a proxy.
    connection._create_connection = reach  # type: ignore[attr-defined]
    return connection
