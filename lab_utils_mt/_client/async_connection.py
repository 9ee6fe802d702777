"""How does an event loop use one connection?"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Callable
from typing import cast

from .._sockets import _LINGER_OFF, prepare, wait_readable
from ..exceptions import ConnectionClosed
from .client_connection import Deadline
from .exchange import Exchange


class AsyncConnection(asyncio.Protocol):
    """One TCP connection to a server, carrying one exchange at a time.

    Attributes:
        has_replied: Whether it has brought a reply and stayed open.
        is_over: Whether it ended, or brought what nobody asked for.
    """

    def __init__(self) -> None:
        self.has_replied = False
        self.is_over = False
        self._last_reply = 0.0
        self.loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._exchange: Exchange | None = None
        self._waiter: asyncio.Future[None] = self.loop.create_future()
        self._deadline_timer: asyncio.TimerHandle | None = None
        self._patience_timer: asyncio.TimerHandle | None = None
        self._is_full = False
        self._ended = self.loop.create_future()

    # --- for its owner -----------------------------------------------------------------------

    async def carry(self, exchange: Exchange, deadline: Deadline) -> None:
        """Send and receive until an exchange is finished, or silence is.

        Raises:
            OSError: The connection was lost, or what comes cannot be the reply.
            TimeoutError: The deadline came first.
        """
        if self.is_over or self._transport is None:
            raise ConnectionClosed("the server closed the connection")
        self._exchange, self._waiter = exchange, self.loop.create_future()
        self._watch_deadline(deadline)
        self._go_on()
        try:
            if not self._waiter.done():
                self._transport.resume_reading()
            await self._waiter
        finally:
            self._exchange = None
            for timer in (self._deadline_timer, self._patience_timer):
                if timer is not None:
                    timer.cancel()
        self.has_replied, self._last_reply = True, time.monotonic()

    def hold(self) -> None:
        """Read no more until the next exchange: what comes is for that."""
        if self._transport is not None and not self.is_over:
            self._transport.pause_reading()

    async def is_closed_by_peer(self, grace: float) -> bool:
        """Tell whether the server has closed, at the latest some seconds after its last reply."""
        left = self._last_reply + grace - time.monotonic()
        if left > 0 and not self.is_over:
            await asyncio.wait([self._ended], timeout=left)
        # The loop may not have had the time to see it.
        return self.is_over or wait_readable(self._socket, 0.0)

    @property
    def _socket(self) -> socket.socket:
        assert self._transport is not None, "it is connected"
        return cast("socket.socket", self._transport.get_extra_info("socket"))

    def close(self) -> None:
        """Close between two exchanges."""
        self.is_over = True
        if self._transport is not None:
            with contextlib.suppress(RuntimeError):  # the event loop has ended before
                self._transport.close()

    async def wait_closed(self) -> None:
        """Wait until the socket is closed."""
        if self.loop is asyncio.get_running_loop():
            await asyncio.wait([self._ended])

    def abort(self) -> None:
        """Close within an exchange; the server must not take half a request for a whole one."""
        self.is_over = True
        if self._transport is not None:
            with contextlib.suppress(OSError):
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_OFF)
            with contextlib.suppress(RuntimeError):  # the event loop has ended before
                self._transport.abort()

    # --- for the event loop ------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Prepare the connection."""
        self._transport = cast("asyncio.Transport", transport)
        prepare(self._socket)

    def data_received(self, data: bytes) -> None:
        """Hand over what came."""
        if self._exchange is None:  # nobody asked
            self.abort()
            return
        self._step(lambda exchange: exchange.receive_data(data))

    def eof_received(self) -> bool:
        """Hand over the end of the stream."""
        self.is_over = True
        self._step(lambda exchange: exchange.receive_end())
        return False

    def connection_lost(self, error: Exception | None) -> None:
        """Tell whoever waits."""
        self.is_over = True
        if not self._ended.done():
            self._ended.set_result(None)
        self._fail(error or ConnectionClosed("the server closed the connection"))

    def pause_writing(self) -> None:
        """Encode no more requests for now."""
        self._is_full = True

    def resume_writing(self) -> None:
        """Go on."""
        self._is_full = False
        self._go_on()

    # --- steps -------------------------------------------------------------------------------

    def _step(self, step: Callable[[Exchange], None]) -> None:
        exchange = self._exchange
        if exchange is None or self._waiter.done():
            return
        try:
            step(exchange)
        except Exception as error:  # noqa: BLE001  (raised in the task that waits)
            self._fail(error)
        else:
            self._go_on()

    def _go_on(self) -> None:
        exchange = self._exchange
        if exchange is None or self._transport is None or self._waiter.done():
            return
        if self._patience_timer is not None:
            self._patience_timer.cancel()
        if not exchange.finished:
            self._send(exchange, self._transport)
        if exchange.finished:
            self._waiter.set_result(None)
        elif exchange.patience is not None:
            self._patience_timer = self.loop.call_later(
                exchange.patience, self._step, lambda exchange: exchange.take_silence()
            )

    def _send(self, exchange: Exchange, transport: asyncio.Transport) -> None:
        while not self._is_full and not transport.is_closing():
            exchange.fill()
            if not exchange.outgoing:
                return
            data = bytes(exchange.outgoing)
            exchange.outgoing.clear()
            transport.write(data)

    def _fail(self, error: Exception) -> None:
        if not self._waiter.done():
            self._waiter.set_exception(error)
            self._waiter.exception()  # if nobody waits, that is no fault

    def _watch_deadline(self, deadline: Deadline) -> None:
        left = deadline.left()
        if left == 0.0:
            self._fail(TimeoutError("no reply in time"))
        elif left is not None:  # the deadline may be renewed meanwhile
            self._deadline_timer = self.loop.call_later(left, self._watch_deadline, deadline)
