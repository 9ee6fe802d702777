"""What does a program with an event loop see of a server?"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

from .address import SAME, Address, line_of
from .async_caller import AsyncCaller
from .async_watch import AsyncWatch
from .batch import call_of, calls_of
from .calling import call_all, catalogue
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

    def _make_caller(self) -> None:
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
            self._make_caller()
        return self._caller

    async def call(self, command: str, /, *args: Any, **kwargs: Any) -> Any:
        """Call a typed command and return its result, as :meth:`Client.call` does."""
        caller, calls = self._current_caller(), [call_of(command, args, kwargs)]
        return (await caller.follow(call_all(caller, self._terms, calls), self.timeout))[0]

    async def call_many(self, calls: Iterable[Any], return_exceptions: bool = False) -> list[Any]:
        """Call many typed commands over one connection, as :meth:`Client.call_many` does."""
        caller, wanted = self._current_caller(), calls_of(calls)
        plan = call_all(caller, self._terms, wanted, return_exceptions)
        return await caller.follow(plan, self.timeout)

    @property
    def commands(self) -> Commands:
        """The server's commands as coroutine functions: ``await client.commands.ping()``.

        They have signatures and help texts once :meth:`discover` or a call was awaited.
        """
        caller = self._current_caller()
        return Commands(caller.name, self.call, lambda _: caller.catalogue)

    async def discover(self) -> dict[str, Any]:
        """Return what the server says of its commands and pollers: an OpenRPC document."""
        caller = self._current_caller()
        return (await caller.follow(catalogue(caller, self._terms), self.timeout)).document

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

    async def close(self) -> None:
        """Close the connections; the next message opens one again."""
        await self._caller.close()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<AsyncClient of {self._caller.name}>"
