"""How does a server start, serve and stop?

:class:`ThreadedServer` is a :class:`socketserver.ThreadingTCPServer`; its hooks work as the
standard library documents them. Which thread owns what::

    serve_forever()   ServeLoop: refused clients, service_actions()
    name-conn-7       waits at the listener; then one client: ConnectionHandler, its LineReader
    anybody           Registry (under its lock), Lifecycle, close()
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import socket
import sys
import threading
import time
from typing import Any, TypeVar

from .._commands.dispatch import Reply
from .._commands.telling import age, shown
from .._sockets import INHERITED, limit_receiving
from .._wire.replies import encode_reply
from .connection import ConnectionHandler
from .lifecycle import Lifecycle
from .listening import ListeningServer, format_address
from .outbox import Outbox
from .processor import one_processor, stay_on
from .rate import RateLimit
from .registry import ClientRecord, Registry
from .serve_loop import ServeLoop, Supervisor
from .status import status_lines
from .workers import Workers

logger = logging.getLogger("lab_utils_mt.server")

_Self = TypeVar("_Self", bound="ThreadedServer")

_LAST_WORDS = 1.0  # s for threads to end once nothing holds them any more
_HURRIED_LAST_WORDS = 0.2  # s
# Only on Linux, the kernel ends accept() after a while, and when the listener is shut down.
_ACCEPT_ENDS = sys.platform == "linux"
_WAIT_SLICE = 0.5 if _ACCEPT_ENDS else 0.1  # s
_FAULT_PAUSE = 0.1  # s between two that are logged


class ThreadedServer(ListeningServer):
    """Serve many clients at once, each by a thread of its own that is used again.

    Subclasses give the settings (see :class:`.._settings.ServerSettings`) as attributes and answer
    requests in :meth:`_answer_text`.
    """

    max_clients: int
    max_message: int
    one_processor: bool
    unterminated_pause: float | None
    line_timeout: float
    idle_timeout: float | None
    stop_timeout: float
    socket_timeout: float
    _life: Lifecycle

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
        super().__init__(host, port, ConnectionHandler)
        self._serve_loop: ServeLoop | None = None
        self._client_registry = Registry()
        self._client_threads = Workers(f"{type(self).__name__.lower()}-conn")
        # Held while a client goes through verify_request() and process_request(), whatever they
        # do: a subclass may count on their running one at a time, as in the standard library.
        # get_request() waits, in several threads at once.
        self._client_hooks = threading.Lock()
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

    def _run_claimed_loop(
        self, poll_interval: float | None = None, supervisor: Supervisor | None = None
    ) -> None:
        with contextlib.ExitStack() as stack:
            stack.callback(self._life.release_loop)
            self._start_listening()
            loop = self._serve_loop = ServeLoop()
            stack.callback(loop.close)
            if self._life.attach(loop):
                self._begin_serving()
                self._receive_clients(stack)
                if supervisor:
                    supervisor.ready(f"{type(self).__name__} listens on {self.address}")
                    stack.callback(lambda: supervisor.stopping(self.stop_timeout))
                interval = poll_interval or self.socket_timeout
                loop.run(interval, self.service_actions, supervisor)

    def _begin_serving(self) -> None:
        """Begin what goes on while the server serves, unless that was done."""

    def _receive_clients(self, stack: contextlib.ExitStack) -> None:
        # Not with select(): the connections would be as non-blocking as the listener on Windows.
        self.socket.settimeout(None if _ACCEPT_ENDS else _WAIT_SLICE)
        if _ACCEPT_ENDS:
            limit_receiving(self.socket, _WAIT_SLICE)
        processor = one_processor() if self.one_processor else None
        stack.callback(self._receive_no_more)
        self._client_threads.receive(self._take_client, functools.partial(stay_on, processor))

    def _receive_no_more(self) -> None:
        if self._life.is_in_child():  # of a fork; the listener is the parent's as well
            return
        self._client_threads.rest(self._end_accept, time.monotonic() + _LAST_WORDS)
        with contextlib.suppress(OSError):  # quit() of code for 0.5.x closes the listener
            self.socket.setblocking(False)  # for handle_request()
            if _ACCEPT_ENDS:
                limit_receiving(self.socket, None)

    def _end_accept(self) -> None:
        """Wake the threads that wait for a client, if it is for good; else they look up soon."""
        if self._life.no_way_back() and _ACCEPT_ENDS:
            with contextlib.suppress(OSError):
                self.socket.shutdown(socket.SHUT_RDWR)

    def shutdown(self) -> None:
        """End :meth:`serve_forever`, and wait until it has, unless this is its own thread.

        That takes up to a second: a thread that waits for a client looks up twice a second.
        """
        self._life.end_loop()

    def _take_client(self) -> None:
        """Wait for a client, and run the standard library's hooks for it."""
        assert self._serve_loop is not None, "serve_forever() has made it"
        try:
            request, client_address = self.get_request()
        except OSError as error:
            self._serve_loop.accept_failed(error)
            return
        except (Exception, SystemExit):  # of a subclass's own
            logger.exception("no client can be taken in")
            time.sleep(_FAULT_PAUSE)
            return
        with self._client_hooks:
            try:
                self._admit(request, client_address)
            except (Exception, SystemExit):
                logger.exception("the hooks for the end of a connection failed")

    def get_request(self) -> tuple[Any, Any]:
        """Accept a client."""
        request, client_address = super().get_request()
        if _ACCEPT_ENDS:
            limit_receiving(request, None)  # what it has inherited is for the listener
        return request, client_address

    def _admit(self, request: Any, client_address: Any) -> None:
        try:
            if _ACCEPT_ENDS:
                limit_receiving(request, None)  # a subclass may have a get_request() of its own
            if self.verify_request(request, client_address):
                self.process_request(request, client_address)
            else:
                self.shutdown_request(request)
        except (Exception, SystemExit):  # noqa: BLE001  (for handle_error())
            self.handle_error(request, client_address)
            self.shutdown_request(request)
        except BaseException:  # it ends this thread, and must not keep the client's place
            self.shutdown_request(request)
            raise

    def process_request(self, request: Any, client_address: Any) -> None:
        """Give a new client to a thread, or refuse it with one line and no thread."""
        if not INHERITED or socket.getdefaulttimeout() is not None:
            request.setblocking(True)  # it would be like the listener, or like the default
        if not self._client_registry.add(request, format_address(client_address), self.max_clients):
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
        if self._serve_loop is None:  # handle_request() serves without a loop
            self.shutdown_request(request)
        else:
            self._serve_loop.see_off(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log why a connection ended; a client that left is nothing to worry about."""
        error = sys.exc_info()[1]
        if isinstance(error, BlockingIOError | TimeoutError):  # SO_SNDTIMEO
            logger.warning("%s takes no replies: disconnected", format_address(client_address))
        elif isinstance(error, OSError):
            logger.debug("%s is gone: %s", format_address(client_address), error)
        else:
            logger.exception("the connection of %s failed", format_address(client_address))

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
