"""How does a server start, serve and stop?

:class:`ThreadedServer` is a :class:`socketserver.ThreadingTCPServer`; its hooks work as the
standard library documents them. Which thread owns what::

    serve_forever()   ServeLoop: refused clients, service_actions()
    name-conn-7       waits at the listener; then one client: ConnectionHandler, its LineReader
    anybody           Registry (under its lock), Lifecycle, close()
"""

from __future__ import annotations

import contextlib
import errno
import functools
import logging
import os
import socket
import socketserver
import sys
import threading
import time
from typing import Any, TypeVar

from .._commands.dispatch import Reply
from .._commands.telling import age, shown
from .._sockets import INHERITED, limit_receiving, prepare, wait_readable
from .._wire.replies import encode_reply
from .connection import ConnectionHandler
from .lifecycle import Lifecycle
from .outbox import Outbox
from .processor import one_processor, stay_on
from .rate import RateLimit
from .registry import ClientRecord, Registry
from .serve_loop import ServeLoop
from .status import status_lines
from .workers import Workers

logger = logging.getLogger("lab_utils_mt.server")

_Self = TypeVar("_Self", bound="ThreadedServer")

_LAST_WORDS = 1.0  # s for threads to end once nothing holds them any more
_HURRIED_LAST_WORDS = 0.2  # s
# Only there, accept() ends after a while, or when the listener is shut down.
_ACCEPT_ENDS = sys.platform == "linux"
_WAIT_SLICE = 0.5  # s
_IN_USE = {errno.EADDRINUSE, 10048, 10013}  # the last two: Windows; another program is exclusive


class ThreadedServer(socketserver.ThreadingTCPServer):
    """Serve many clients at once, each by a thread of its own that is used again.

    Subclasses give the settings (see :class:`.._settings.ServerSettings`) as attributes and answer
    requests in :meth:`_answer_text`.
    """

    host: str
    port: int
    max_clients: int
    max_backlog: int
    max_message: int
    one_processor: bool
    unterminated_pause: float | None
    line_timeout: float
    idle_timeout: float | None
    send_timeout: float
    stop_timeout: float
    socket_timeout: float
    _life: Lifecycle

    # Two servers could share a port on Windows; elsewhere a restart would have to wait a minute.
    allow_reuse_address = sys.platform != "win32"
    # close() waits for the connections itself, against a deadline; the standard library's join
    # in server_close() has none and hangs on an idle client.
    daemon_threads = True
    block_on_close = False

    def __new__(cls: type[_Self], *_: Any, **__: Any) -> _Self:
        """Make what a subclass may use before it calls our constructor."""
        server = super().__new__(cls)
        server._life = Lifecycle()
        return server

    def __init__(self, host: str, port: int) -> None:
        if ":" in host:
            self.address_family = socket.AF_INET6
        super().__init__((host, port), ConnectionHandler, bind_and_activate=False)
        self.address: str | None = None
        self._loop: ServeLoop | None = None
        self._client_registry = Registry()
        self._client_threads = Workers(f"{type(self).__name__.lower()}-conn")
        # Held while a client goes through the hooks below. They may do anything, and a subclass
        # may count on their running one at a time, as in the standard library.
        self._hooks = threading.Lock()
        self._foreign_limit = RateLimit(60.0)
        self._made_at = time.monotonic()

    # --- start -----------------------------------------------------------------------------

    def __enter__(self: _Self) -> _Self:
        try:
            self._life.claim_loop()  # so that close() waits until this has come to its end
        except RuntimeError:  # it serves already
            return self
        try:
            self._start_listening()
        except BaseException:
            self._life.release_loop()
            self.close()
            raise
        self._life.release_loop()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start_listening(self) -> None:
        """Bind and listen, unless that was done.

        Raises:
            OSError: The address cannot be used; the text names it.
        """
        if self.address is not None:
            return
        self.server_address = (self.host, self.port)
        self.request_queue_size = self.max_backlog
        try:
            self.server_bind()
            self.server_activate()  # fails, too, if another server bound and listened meanwhile
        except OSError as error:
            in_use = error.errno in _IN_USE
            raise OSError(error.errno, self._bind_fault(error, in_use)) from error
        host, self.port = self.socket.getsockname()[:2]
        self.address = _format((host, self.port))
        logger.info("%s listens on %s", type(self).__name__, self.address)

    def server_bind(self) -> None:
        """Bind the listener to :attr:`host` and :attr:`port`."""
        if sys.platform == "win32":
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        super().server_bind()
        self.socket.setblocking(False)  # a client may be gone again before it is accepted
        if INHERITED:
            prepare(self.socket, self.send_timeout)

    def _bind_fault(self, error: OSError, in_use: bool) -> str:
        reason = error.strerror or str(error)
        advice = "stop the other program, or choose another port" if in_use else "check the address"
        return f"cannot listen on {_format((self.host, self.port))}: {reason}; {advice}"

    # --- serve -----------------------------------------------------------------------------

    def serve_forever(self, poll_interval: float | None = None) -> None:
        """Serve until :meth:`shutdown`, a ``quit`` or :meth:`close`; bind first if need be.

        Args:
            poll_interval: Seconds between two calls of ``service_actions()``; the default is
                ``socket_timeout``.

        Raises:
            OSError: The address cannot be used, or the server was closed.
            RuntimeError: Another thread serves already.
        """
        self._life.claim_loop()
        self._run_claimed_loop(poll_interval)

    def _run_claimed_loop(self, poll_interval: float | None = None) -> None:
        with contextlib.ExitStack() as stack:
            stack.callback(self._life.release_loop)
            self._start_listening()
            loop = self._loop = ServeLoop()
            stack.callback(loop.close)
            if self._life.attach(loop):
                self._begin_serving()
                self._receive_clients(stack)
                loop.run(poll_interval or self.socket_timeout, self.service_actions)

    def _begin_serving(self) -> None:
        """Begin what goes on while the server serves, unless that was done."""

    def _receive_clients(self, stack: contextlib.ExitStack) -> None:
        if _ACCEPT_ENDS:
            self.socket.setblocking(True)
            limit_receiving(self.socket, _WAIT_SLICE)
        processor = one_processor() if self.one_processor else None
        self._client_threads.receive(self._take_client, functools.partial(stay_on, processor))
        stack.callback(self._receive_no_more)

    def _receive_no_more(self) -> None:
        self._client_threads.rest(self._end_accept, time.monotonic() + _LAST_WORDS)
        self.socket.setblocking(False)  # for handle_request()

    def _end_accept(self) -> None:
        """Wake the threads that wait for a client, if it is for good; else they look up soon."""
        if _ACCEPT_ENDS and self._life.quitting:
            with contextlib.suppress(OSError):
                self.socket.shutdown(socket.SHUT_RDWR)

    def shutdown(self) -> None:
        """End :meth:`serve_forever`, and wait until it has, unless this is its own thread."""
        self._life.end_loop()

    def _take_client(self) -> None:
        """Wait for a client, and run the standard library's hooks for it."""
        assert self._loop is not None, "serve_forever() has made it"
        try:
            if not (_ACCEPT_ENDS or wait_readable(self.socket, _WAIT_SLICE)):
                return
            request, client_address = self.get_request()
        except OSError as error:
            self._loop.accept_failed(error)
            return
        with self._hooks:
            self._admit(request, client_address)

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept a connection."""
        request, client_address = super().get_request()
        if _ACCEPT_ENDS:
            limit_receiving(request, None)  # what it has inherited is for the listener
        return request, client_address

    def _admit(self, request: Any, client_address: Any) -> None:
        try:
            if self.verify_request(request, client_address):
                self.process_request(request, client_address)
            else:
                self.shutdown_request(request)
        except Exception:  # noqa: BLE001  (handle_error() is where the standard library sends it)
            self.handle_error(request, client_address)
            self.shutdown_request(request)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Give a new client to a thread, or refuse it with one line and no thread."""
        if not INHERITED:
            request.setblocking(True)  # here it would be like the listener
        if not self._client_registry.add(request, _format(client_address), self.max_clients):
            self._refuse_client(request, f"server full ({self.max_clients} clients)")
            return
        try:
            task = functools.partial(self.process_request_thread, request, client_address)
            self._client_threads.submit(task)
        except RuntimeError as error:
            self._client_registry.turn_away(request)
            self._refuse_client(request, f"server has no thread left ({error})")

    def shutdown_request(self, request: Any) -> None:
        """Close a connection; its place is free before the client learns that."""
        self._client_registry.remove(request)
        super().shutdown_request(request)

    def _refuse_client(self, request: socket.socket, reason: str) -> None:
        with contextlib.suppress(OSError):
            request.setblocking(False)
            request.send(encode_reply(f"Error! {reason}"))
        if self._loop is None:  # handle_request() serves without a loop
            self.shutdown_request(request)
        else:
            self._loop.see_off(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log why a connection ended; a client that left is nothing to worry about."""
        error = sys.exc_info()[1]
        if isinstance(error, BlockingIOError | TimeoutError):  # SO_SNDTIMEO
            logger.warning("%s takes no replies: disconnected", _format(client_address))
        elif isinstance(error, OSError):
            logger.debug("%s is gone: %s", _format(client_address), error)
        else:
            logger.exception("the connection of %s failed", _format(client_address))

    def _note_foreign(self, address: str, protocol: str) -> None:
        held_back = self._foreign_limit.passes()
        if held_back is not None:
            logger.warning(
                "%s speaks %s: disconnected unanswered (%d more since the last warning)",
                address,
                protocol,
                held_back,
            )

    def _answer_text(self, text: str) -> Reply:
        """Answer one request; never raises an Exception."""
        raise AssertionError("a subclass answers requests")

    def _introduce(self, client: ClientRecord, outbox: Outbox) -> None:
        """Tell the requests that the calling thread will answer whose they are."""

    def _refuse_text(self, text: str) -> Reply:
        """Answer a request that must not run any more."""
        raise AssertionError("a subclass answers requests")

    # --- stop ------------------------------------------------------------------------------

    def close(self) -> None:
        """Stop serving and free everything: port, connections, threads.

        Idempotent; safe after a failed start. Running commands get ``stop_timeout`` seconds to
        answer, then their connections are cut. Called by a command or a poller, it only asks the
        server to stop.
        """
        if self._life.is_in_child():
            self.socket.close()
            return
        self._life.request_stop()
        if self._life.is_entangled() or self._is_own_thread():
            return
        if not self._life.begin_close():
            self._life.wait_closed()
            return
        try:
            self._tear_down()
        finally:
            self._life.finish_close()

    def _is_own_thread(self) -> bool:
        """Whether the calling thread must end before the server is closed."""
        return threading.current_thread() in self._client_threads

    def server_close(self) -> None:
        """Do what :meth:`close` does; the name is the standard library's."""
        self.close()

    def _tear_down(self) -> None:
        """Free everything, in the reverse order of the start."""
        self.socket.close()
        self._client_registry.stop()
        deadline = time.monotonic() + self.stop_timeout
        while not self._client_registry.wait_empty(deadline):
            if self._life.hurried or time.monotonic() >= deadline:
                self._cut_clients()
                break
        self._client_threads.stop(time.monotonic() + self._last_words())

    def _last_words(self) -> float:
        return _HURRIED_LAST_WORDS if self._life.hurried else _LAST_WORDS

    def _cut_clients(self) -> None:
        now = time.monotonic()
        stuck = [
            f"{client.address} in {shown(client.command)} for {age(now - client.command_since)}"
            for client in self._client_registry.cut()
            if client.command is not None
        ]
        if stuck:
            logger.error("stopped without waiting for %s", "; ".join(stuck))

    # --- tell ------------------------------------------------------------------------------

    def _describe(self) -> list[str]:
        """Return the status command's lines about this server."""
        clients, counts = self._client_registry.snapshot()
        now = time.monotonic()
        return [
            f"address: {self.address or 'not listening'}",
            f"pid: {os.getpid()}",
            f"uptime: {age(now - self._made_at)}",
            *status_lines(clients, counts, self.max_clients, now),
            f"threads: {threading.active_count()}, {len(self._client_threads)} for connections",
        ]


def _format(address: Any) -> str:
    if not isinstance(address, tuple):
        return str(address)
    return f"[{address[0]}]:{address[1]}" if ":" in address[0] else f"{address[0]}:{address[1]}"
