"""How does a task follow the readings of a poller?"""

from __future__ import annotations

import asyncio
from typing import Any

from ..exceptions import ReplyLost
from .async_caller import AsyncCaller
from .async_connection import AsyncConnection
from .batch import Terms
from .calling import catalogue
from .client_connection import Deadline
from .connecting import Pauses
from .reading import Reading
from .subscription import Subscription

_CONNECTING_TAKES = 2.0  # s


class AsyncWatch:
    """The readings of a poller, as they come; an asynchronous iterator.

    It begins with the first reading that is asked for, or with ``async with``. One task reads it;
    :meth:`close`, or the end of that task, ends it. Otherwise it is like the iterator of
    :meth:`Client.watch`.
    """

    def __init__(self, caller: AsyncCaller, terms: Terms, params: dict[str, Any]) -> None:
        self._caller, self._terms, self._params = caller, terms, params
        self._subscription: Subscription | None = None
        self._connection: AsyncConnection | None = None
        self._is_closed = False

    async def _start(self) -> Subscription:
        if self._subscription is None:
            plan = catalogue(self._caller, self._terms)
            known = await self._caller.follow(plan, self._terms.timeout)
            convert = known.convert_values(self._params["name"])
            subscription = Subscription(self._params, convert, self._caller.name)
            await self._subscribe(subscription, Deadline(self._terms.timeout))
            self._subscription = subscription
        return self._subscription

    async def _subscribe(self, subscription: Subscription, deadline: Deadline) -> None:
        self._connection = await self._caller.take(deadline)
        await self._carry(subscription, Deadline(self._terms.timeout))
        if subscription.fault is not None:
            self._connection.abort()
            raise subscription.fault

    async def _carry(self, subscription: Subscription, deadline: Deadline) -> None:
        assert self._connection is not None, "it was made before"
        try:
            await self._caller.carry(self._connection, subscription, deadline)
        except BaseException:
            subscription.is_on = False
            raise
        self._connection.hold()

    def __aiter__(self) -> AsyncWatch:
        return self

    async def __anext__(self) -> Reading:
        """Return the next reading.

        Raises:
            LabUtilsError: There is no such poller, or the server was restarted and refuses now.
            OSError: The server cannot be reached when it is asked for the first time.
        """
        if self._is_closed:
            raise StopAsyncIteration
        subscription = await self._start()
        while not self._is_closed:
            if subscription.readings:
                return subscription.readings.popleft()
            try:
                if subscription.is_on:
                    await self._carry(subscription, Deadline(None))
                else:
                    await self._subscribe_again(subscription)
            except ReplyLost:
                continue
        raise StopAsyncIteration

    async def _subscribe_again(self, subscription: Subscription) -> None:
        pauses = Pauses()
        while not self._is_closed:
            await asyncio.sleep(pauses.next())
            try:
                await self._subscribe(subscription, Deadline(_CONNECTING_TAKES))
            except OSError:  # not yet there, full, or about to stop
                continue
            return

    async def close(self) -> None:
        """End the readings; a task that waits for one gets none any more."""
        self._is_closed = True
        if self._connection is not None:
            self._connection.abort()
            await self._connection.wait_closed()

    async def __aenter__(self) -> AsyncWatch:
        await self._start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
