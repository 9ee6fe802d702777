"""What does a program with an event loop see of a server?"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

from . import async_calling
from .address import SAME, Address, line_of
from .async_caller import AsyncCaller
from .async_watch import AsyncWatch
from .batch import Terms, call_of, calls_of
from .conversation import Progress
from .proxy import Commands
from .subscription import params_of
from .text_exchange import TextExchange


class AsyncClient(Address):
    """A :class:`Client` for asyncio: the same methods, awaited.

    The tasks of one event loop may share it. A call that is cancelled loses its connection; the
    command may run on at the server. Use it in ``async with``, or ``await close()`` at the end.

    Args:
        config_file: An ini file with ``host`` and ``port`` in its section ``[Overall]``.
        host: The server's host; overrides the file.
        port: The server's port; overrides the file.
        timeout: Seconds for a message and its reply; None waits as long as the command runs.
        max_reply: Most bytes of a reply, as it travels; None for any number.

    Raises:
        ConfigError: A setting cannot be used.
    """

    def __init__(
        self,
        config_file: str | None = None,
        host: str | None = None,
        port: int | None = None,
        *,
        timeout: float | None = None,
        max_reply: int | None = None,
    ) -> None:
        super().__init__(config_file, host, port, timeout=timeout, max_reply=max_reply)
        self._caller = AsyncCaller(self.host, self.port)

    async def send_message(self, message: str, *, idempotent: bool = False) -> str:
        """Send a message and return the reply, as :meth:`Client.send_message` does."""
        return (await self.query_bytes(message, idempotent=idempotent)).decode("utf-8", "replace")

    async def query_bytes(self, message: str, *, idempotent: bool = False) -> bytes:
        """Like :meth:`send_message`, for a command that replies with bytes."""
        line = line_of(message)
        caller = self._current_caller()
        exchange = TextExchange(line, caller.traits, self._max_reply, idempotent)
        await caller.run(exchange, self.timeout)
        return exchange.reply

    def _current_caller(self) -> AsyncCaller:
        """Return what reaches the server that host and port name now."""
        if self._caller.host != self.host or self._caller.port != self.port:
            self._caller.let_go()
            self._caller = AsyncCaller(self.host, self.port)
        return self._caller

    async def call(self, command: str, /, *args: Any, **kwargs: Any) -> Any:
        """Call a typed command and return its result, as :meth:`Client.call` does."""
        calls = [call_of(command, args, kwargs)]
        return (await async_calling.call_all(self._current_caller(), self._terms, calls))[0]

    async def call_many(self, calls: Iterable[Any], return_exceptions: bool = False) -> list[Any]:
        """Call many typed commands over one connection, as :meth:`Client.call_many` does."""
        wanted = calls_of(calls)
        caller = self._current_caller()
        return await async_calling.call_all(caller, self._terms, wanted, return_exceptions)

    @property
    def commands(self) -> Commands:
        """The server's commands as coroutine functions: ``await client.commands.ping()``.

        They have signatures and help texts once :meth:`discover` or a call was awaited.
        """
        return async_calling.commands(self._current_caller(), self._terms)

    async def discover(self) -> dict[str, Any]:
        """Return what the server says of its commands and pollers: an OpenRPC document."""
        return (await async_calling.catalogue(self._current_caller(), self._terms)).document

    def watch(
        self, name: str, every: float | None = None, on_change: float | None = None
    ) -> AsyncWatch:
        """Follow the readings of a poller: ``async for reading in client.watch("sensor")``.

        Args:
            name: The poller.
            every: Least seconds between two readings.
            on_change: Only readings in which a number has changed by so much.
        """
        params = params_of(name, every, on_change)
        return AsyncWatch(self._current_caller(), self._terms, params)

    def using(
        self, *, timeout: float | None = SAME, on_progress: Progress | None = SAME
    ) -> AsyncClient:
        """Return a client on the same connections that differs in the options that are given.

        Args:
            timeout: Seconds for a message and its reply; None waits as long as the command runs.
            on_progress: Called by the event loop with the fraction that is done and a text.

        Raises:
            ConfigError: The timeout cannot be used.
        """
        other = copy.copy(self)
        other._set_options(timeout, on_progress)
        return other

    @property
    def _terms(self) -> Terms:
        return Terms(self.timeout, self._max_reply, self._on_progress)

    async def close(self) -> None:
        """Close the connections; the next message opens one again."""
        await self._caller.close()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<AsyncClient of {self._caller.name}>"
