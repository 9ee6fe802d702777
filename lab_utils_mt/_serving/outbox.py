"""Who may write on a connection, and what if its client does not read?

A connection has a handler, which sends replies. If it watches, it has a sender too: a thread that
takes what waits in its watches. Both send whole lines, one at a time. Whoever publishes a reading
touches no socket, so a client that does not read stops nobody but its own two threads.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import socket
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from .._wire.text import Dialect
from ..exceptions import MessageError
from .looking_up import LOOKS_UP, send_all
from .registry import ClientRecord

if TYPE_CHECKING:  # it needs msgspec, which a server without pollers does not
    from .._commands.watching import Hub, Watch, Wish

logger = logging.getLogger("lab_utils_mt.connection")

_LAST_WORDS = 2.0  # s for a sender to end whose socket is shut down
# What the system keeps for a client that does not read; else it would grow to megabytes.
_SEND_BUFFER = 64 * 1024


class Outbox:
    """Everything that is sent on one connection.

    Args:
        client: At the other end; sending to it fails after a while without progress.
        send_timeout: Seconds of that, where the system does not count them.
        submit: Starts a task in a thread, as :meth:`.workers.Workers.submit`.
    """

    def __init__(
        self,
        client: ClientRecord,
        send_timeout: float,
        submit: Callable[[Callable[[], None]], None],
    ) -> None:
        self._client = client
        self._send_all: Callable[[bytes], None] = client.sock.sendall
        if LOOKS_UP:
            self._send_all = functools.partial(send_all, client, send_timeout)
        self._submit = submit
        self.is_last_reply = False  #: Whether the connection ends after the reply.
        # Held while bytes are sent: that is its purpose, and an exception to "no I/O under a lock".
        self._turn = threading.Lock()
        self._is_broken = False  # guarded by it: a line may have been sent in part
        # The handler's alone, but that the sender looks at the second one.
        self._new: dict[str, Watch] = {}  # its request is not answered yet
        self._active: dict[str, Watch] = {}
        self._is_closed = False
        self._news = threading.Event()
        self._sender_ended: threading.Event | None = None

    # --- the handler -----------------------------------------------------------------------

    @property
    def is_watching(self) -> bool:
        """Whether readings are to be sent."""
        return bool(self._active or self._new)

    def send(self, data: bytes) -> None:
        """Send bytes that nothing may come between.

        Raises:
            OSError: The client is gone, or takes nothing for ``send_timeout``.
        """
        with self._turn:
            if self._is_broken:
                raise ConnectionAbortedError("the client takes nothing, or is gone")
            try:
                self._send_all(data)
            except OSError:
                self._is_broken = True
                raise

    def watch(self, hub: Hub, name: str, wish: Wish, dialect: Dialect) -> None:
        """Send readings from the moment on at which this request is answered.

        A client has one watch for each poller: another one takes its place.

        Raises:
            MessageError: There is no such poller, or no way to send its readings.
        """
        if self.is_last_reply:
            raise MessageError("who watches must end the message with a newline, and stay")
        watch = hub.subscribe(name, wish, dialect, self._news.set)
        try:
            self._start_sender()
        except RuntimeError as error:
            watch.cancel()
            raise MessageError(f"the server has no thread left to send readings: {error}") from None
        self.unwatch(name)
        self._new[name] = watch

    def unwatch(self, name: str) -> bool:
        """Send no more readings of a poller; return whether any were sent."""
        found = [self._active.pop(name, None), self._new.pop(name, None)]
        for watch in found:
            if watch is not None:
                watch.cancel()
        return any(found)

    def answered(self) -> None:
        """Let the readings begin that the request asked for: its reply is sent."""
        if self._new:
            self._active.update(self._new)
            self._new.clear()
            self._news.set()

    def close(self) -> None:
        """End the sender; nothing is sent any more. The socket is the caller's to close."""
        self._is_closed = True
        for name in [*self._active, *self._new]:
            self.unwatch(name)
        ended = self._sender_ended
        if ended is None:
            return
        self._news.set()
        if self._turn.locked():  # it sends, and the client does not read
            self._client.cut()
        if not ended.wait(_LAST_WORDS):
            logger.error("the sender of %s does not end", self._client.address)

    # --- the sender ------------------------------------------------------------------------

    def _start_sender(self) -> None:
        if self._sender_ended is None:
            ended = threading.Event()
            self._submit(lambda: self._push_all(ended))
            self._sender_ended = ended
            with contextlib.suppress(OSError):
                self._client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)

    def _push_all(self, ended: threading.Event) -> None:
        try:
            going = True
            while going:
                self._news.wait()
                self._news.clear()
                taken = [(watch, watch.take()) for watch in list(self._active.values())]
                going = not self._is_closed and self._push(taken)
        except Exception:
            logger.exception("readings cannot be sent to %s", self._client.address)
            self._client.cut()
        finally:
            ended.set()

    def _push(self, taken: list[tuple[Watch, bytes]]) -> bool:
        """Send lines; return whether the connection goes on."""
        try:
            with self._turn:
                # Not those of a watch that was given up meanwhile: its unwatch may be answered.
                live = [lines for watch, lines in taken if self._active.get(watch.name) is watch]
                if live and not self._is_broken and not self._is_closed:
                    self._send_or_break(b"".join(live))
                return not self._is_broken
        except (BlockingIOError, TimeoutError):  # SO_SNDTIMEO
            logger.warning("%s takes no readings: disconnected", self._client.address)
        except OSError as error:
            logger.debug("%s is gone: %s", self._client.address, error)
        return False

    def _send_or_break(self, data: bytes) -> None:
        try:
            self._send_all(data)
        except OSError:
            self._is_broken = True
            self._client.cut()  # now, before the handler's turn; it also ends the handler
            raise
