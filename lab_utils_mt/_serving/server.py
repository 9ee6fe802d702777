"""How does a server start, serve and stop?

:class:`ThreadedServer` is a :class:`socketserver.ThreadingTCPServer`; its hooks work as the
standard library documents them. Which thread owns what::

    serve_forever()   AcceptLoop: listener, refused clients
    name-conn-7       one client: ConnectionHandler, its LineReader
    anybody           Registry (under its lock), _request_stop(), close()
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import socket
import socketserver
import sys
import threading
import time
from types import TracebackType
from typing import Any, TypeVar

from .._commands.dispatch import Reply
from .._wire.replies import encode_reply
from .accepting import AcceptLoop
from .connection import ConnectionHandler
from .rate import RateLimit
from .registry import Registry
from .sockets import INHERITED, prepare
from .status import age, status_lines
from .workers import Workers

logger = logging.getLogger("lab_utils_mt.server")

_Self = TypeVar("_Self", bound="ThreadedServer")

_LAST_WORDS = 1.0  # seconds for threads to end once nothing holds them any more


class ThreadedServer(socketserver.ThreadingTCPServer):
    """Serve many clients at once, each by a thread of its own that is used again.

    Subclasses give the settings (see :class:`.settings.ServerSettings`) as attributes and answer
    requests in :meth:`_dispatch`.
    """

    host: str
    port: int
    max_clients: int
    max_backlog: int
    max_message: int
    unterminated_pause: float | None
    line_timeout: float
    idle_timeout: float | None
    send_timeout: float
    stop_timeout: float
    socket_timeout: float

    # Two servers could share a port on Windows; elsewhere a restart would have to wait a minute.
    allow_reuse_address = sys.platform != "win32"
    # close() waits for the connections itself, against a deadline; the standard library's join
    # in server_close() has none and hangs on an idle client.
    daemon_threads = True
    block_on_close = False

    def __init__(self, host: str, port: int) -> None:
        if ":" in host:
            self.address_family = socket.AF_INET6
        super().__init__((host, port), ConnectionHandler, bind_and_activate=False)
        self.address: str | None = None
        self._registry = Registry()
        self._workers = Workers(f"{type(self).__name__.lower()}-conn")
        self._foreign = RateLimit(60.0)
        self._began = time.monotonic()
        self._quitting = False
        self._hurried = False
        self._loop_wanted = True
        self._listening = False
        # Guards the three below; signal handlers only read them.
        self._state_lock = threading.Lock()
        self._accepting: AcceptLoop | None = None
        self._loop_thread: int | None = None
        self._closing = False
        self._loop_done = threading.Event()
        self._loop_done.set()
        self._closed = threading.Event()

    # --- start -----------------------------------------------------------------------------

    def __enter__(self: _Self) -> _Self:
        try:
            self._listen()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _listen(self) -> None:
        """Bind and listen, unless that was done.

        Raises:
            OSError: The address cannot be used; the text names it.
        """
        if self._closing:
            raise OSError("this server was closed; make a new one")
        if not self._listening:
            self.server_address = (self.host, self.port)
            self.request_queue_size = self.max_backlog
            self.server_bind()
            self.server_activate()
            self._listening = True
            logger.info("%s listens on %s", type(self).__name__, self.address)

    def server_bind(self) -> None:
        """Bind the listener to :attr:`host` and :attr:`port`; tell the real ones afterwards."""
        if sys.platform == "win32":
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        try:
            super().server_bind()
        except OSError as error:
            raise OSError(error.errno, self._bind_fault(error)) from error
        host, self.port = self.socket.getsockname()[:2]
        self.address = f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"
        self.socket.setblocking(False)  # a client may be gone again before it is accepted
        if INHERITED:
            prepare(self.socket, self.send_timeout)

    def _bind_fault(self, error: OSError) -> str:
        reason = error.strerror or str(error)
        return f"cannot listen on {self.host}:{self.port}: {reason}"

    # --- serve -----------------------------------------------------------------------------

    def serve_forever(self, poll_interval: float | None = None) -> None:
        """Serve until :meth:`shutdown`, a ``quit`` or :meth:`close`; bind first if need be.

        Args:
            poll_interval: Seconds between two calls of ``service_actions()``; the default is
                ``socket_timeout``.
        """
        self._listen()
        loop = self._enter_loop()
        try:
            if self._loop_wanted and not self._quitting:
                loop.run(lambda: poll_interval or self.socket_timeout, self.service_actions)
        finally:
            self._leave_loop(loop)

    def shutdown(self) -> None:
        """End :meth:`serve_forever`, from another thread, and wait until it has."""
        self._end_loop()

    def _enter_loop(self) -> AcceptLoop:
        loop = AcceptLoop(self.socket, self._take_client)
        with self._state_lock:
            busy = self._accepting is not None
            if not busy:
                self._accepting, self._loop_thread = loop, threading.get_ident()
                self._loop_done.clear()
        if busy:
            loop.close()
            raise RuntimeError("serve_forever() is running already")
        return loop

    def _leave_loop(self, loop: AcceptLoop) -> None:
        with self._state_lock:
            self._accepting = self._loop_thread = None
            self._loop_wanted = True
        loop.close()
        self._loop_done.set()

    def _end_loop(self) -> None:
        self._loop_wanted = False
        loop = self._accepting
        if loop is not None:
            loop.end()
        _wait(self._loop_done)

    def _take_client(self) -> None:
        """Run the standard library's hooks for one waiting client."""
        try:
            request, client_address = self.get_request()
        except OSError:
            return
        try:
            if self.verify_request(request, client_address):
                self.process_request(request, client_address)
            else:
                self.shutdown_request(request)
        except Exception:  # noqa: BLE001  (handle_error() is where the standard library sends it)
            self.handle_error(request, client_address)
            self.shutdown_request(request)

    def get_request(self) -> tuple[Any, Any]:
        """Accept a client; pause if that fails for want of file descriptors."""
        try:
            return super().get_request()
        except OSError as error:
            if self._accepting is not None:
                self._accepting.accept_failed(error)
            raise

    def process_request(self, request: Any, client_address: Any) -> None:
        """Give a new client to a thread, or refuse it with one line and no thread."""
        if not INHERITED:
            request.setblocking(True)  # here it would be like the listener
        if not self._registry.add(request, _format(client_address), self.max_clients):
            self._refuse(request, f"server full ({self.max_clients} clients)")
            return
        try:
            self._workers.submit(functools.partial(self._serve, request, client_address))
        except RuntimeError as error:
            self._registry.turn_away(request)
            self._refuse(request, f"server has no thread left ({error})")

    def _serve(self, request: Any, client_address: Any) -> None:
        try:
            self.process_request_thread(request, client_address)
        finally:
            self._registry.remove(request)

    def _refuse(self, request: socket.socket, reason: str) -> None:
        with contextlib.suppress(OSError):
            request.setblocking(False)
            request.send(encode_reply(f"Error! {reason}"))
        if self._accepting is None:
            self.shutdown_request(request)
        else:
            self._accepting.see_off(request)

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
        held_back = self._foreign.passes()
        if held_back is not None:
            logger.warning(
                "%s speaks %s: disconnected unanswered (%d more since the last warning)",
                address,
                protocol,
                held_back,
            )

    def _dispatch(self, text: str) -> Reply:
        """Answer one request; never raises an Exception."""
        raise AssertionError("a subclass answers requests")

    # --- stop ------------------------------------------------------------------------------

    def _request_stop(self) -> None:
        """Let the server stop soon; takes no lock, so that signal handlers may call it."""
        self._quitting = True
        loop = self._accepting
        if loop is not None:
            loop.end()

    def _is_own_thread(self) -> bool:
        return (
            threading.get_ident() == self._loop_thread
            or threading.current_thread() in self._workers
        )

    def close(self) -> None:
        """Stop serving and free everything: port, connections, threads.

        Idempotent; safe after a failed start. Running commands get ``stop_timeout`` seconds to
        answer, then their connections are cut. Called by a command, it only asks the server to
        stop.
        """
        self._request_stop()
        if self._is_own_thread():
            return
        self._end_loop()
        with self._state_lock:
            first, self._closing = not self._closing, True
        if not first:
            _wait(self._closed)
            return
        try:
            self._tear_down()
        finally:
            self._closed.set()

    def _tear_down(self) -> None:
        """Free everything, in the reverse order of the start."""
        self.server_close()

    def server_close(self) -> None:
        """Close the port; let running commands answer, cut the other connections."""
        super().server_close()
        self._registry.stop()
        deadline = time.monotonic() + self.stop_timeout
        if not self._registry.wait_empty(deadline, lambda: self._hurried):
            self._cut()
        self._workers.stop(time.monotonic() + _LAST_WORDS)

    def _cut(self) -> None:
        now = time.monotonic()
        stuck = [
            f"{client.address} in {client.command!r} for {age(now - client.command_since)}"
            for client in self._registry.cut()
            if client.command is not None
        ]
        if stuck:
            logger.error("stopped without waiting for %s", "; ".join(stuck))
        self._registry.wait_empty(now + _LAST_WORDS, lambda: False)

    # --- tell ------------------------------------------------------------------------------

    def _status_lines(self) -> list[str]:
        clients, counts = self._registry.snapshot()
        now = time.monotonic()
        return [
            f"address: {self.address or 'not listening'}",
            f"pid: {os.getpid()}",
            f"uptime: {age(now - self._began)}",
            *status_lines(clients, counts, self.max_clients, now),
            f"threads: {threading.active_count()}, {len(self._workers)} for connections",
        ]


def _wait(event: threading.Event) -> None:
    # In slices: an untimed wait in the main thread makes Ctrl-C dead on Windows.
    while not event.wait(0.5):
        pass


def _format(address: Any) -> str:
    if not isinstance(address, tuple):
        return str(address)
    return f"[{address[0]}]:{address[1]}" if ":" in address[0] else f"{address[0]}:{address[1]}"
