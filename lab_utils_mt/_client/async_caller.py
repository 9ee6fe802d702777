"""How does a request of an event loop reach a server, and at most once?

As in :mod:`.caller`, one exchange owns one connection. Tasks are many and cheap, connections are
places at the server: only so many exchanges are under way, the others wait in their order.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from ..exceptions import ReplyLost, ReplyTimeout
from .async_connection import AsyncConnection
from .client_connection import Deadline
from .connecting import CONNECT_TIMEOUT, REPEATS, Pauses, lost_reply, name_of, unreachable
from .exchange import CLOSING_TAKES, Exchange, ServerTraits

if TYPE_CHECKING:
    from .calling import Plan
    from .remote import Catalogue

_T = TypeVar("_T")
_MOST_UNDER_WAY = 64
_MOST_IDLE = 16


class AsyncCaller:
    """Carry exchanges with one server, for the tasks of one event loop.

    Args:
        host: The server's host.
        port: Its port.

    Attributes:
        catalogue: What is known of the server's commands; None until somebody asks, and after
            the server may have been restarted.
    """

    def __init__(self, host: str, port: int) -> None:
        self.host, self.port = host, port
        self.name = name_of(host, port)
        self.traits = ServerTraits()
        self.catalogue: Catalogue | None = None
        self._was_connected = False
        self._idle: list[AsyncConnection] = []
        self._under_way = 0
        self._queue: deque[asyncio.Future[None]] = deque()

    async def run(self, exchange: Exchange, timeout: float | None) -> None:
        """Carry an exchange, again if its reply is lost and it may be repeated.

        Args:
            exchange: What to send, and what takes the reply.
            timeout: Seconds for everything; None waits as long as the command runs.

        Raises:
            OSError: The server cannot be reached.
            ReplyLost: The connection ended after the request was sent.
            ReplyTimeout: The reply did not come in time.
        """
        deadline = Deadline(timeout)
        exchange.note_progress = deadline.renew
        await self._wait_for_turn(deadline)
        try:
            await self._run(exchange, deadline)
        finally:
            self._end_turn()

    async def follow(self, plan: Plan[_T], timeout: float | None) -> _T:
        """Carry the exchanges of a plan, each within ``timeout`` seconds; return its result."""
        try:
            exchange = next(plan)
            while True:
                try:
                    await self.run(exchange, timeout)
                except BaseException as error:  # noqa: BLE001  (the plan says what it means)
                    exchange = plan.throw(error)
                else:
                    exchange = next(plan)
        except StopIteration as end:
            result: _T = end.value
            return result

    async def _run(self, exchange: Exchange, deadline: Deadline) -> None:
        for repeats_left in range(REPEATS, -1, -1):
            try:
                connection = await self.take(deadline)
                await self.carry(connection, exchange, deadline)
                break
            except ReplyTimeout:
                raise
            except ReplyLost:
                self.catalogue = None
                if not (repeats_left and exchange.may_repeat):
                    raise
        if exchange.reusable and len(self._idle) < _MOST_IDLE:
            self._idle.append(connection)
        else:
            connection.close()
            await connection.wait_closed()

    async def carry(
        self, connection: AsyncConnection, exchange: Exchange, deadline: Deadline
    ) -> None:
        """Carry an exchange over one connection, which is aborted if that fails.

        Raises:
            ReplyLost: The connection ended.
            ReplyTimeout: The reply did not come in time.
        """
        try:
            exchange.begin(connection.has_replied)
            await connection.carry(exchange, deadline)
        except BaseException as error:  # cancelled: the late reply must not answer another request
            connection.abort()
            if isinstance(error, OSError):
                raise lost_reply(self.name, error) from error
            raise

    async def close(self) -> None:
        """Close the connections that wait for the next exchange."""
        for connection in self.let_go():
            await connection.wait_closed()

    def let_go(self) -> list[AsyncConnection]:
        """Begin to close them, and return them."""
        self.catalogue = None
        idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()
        return idle

    # --- turns -------------------------------------------------------------------------------

    async def _wait_for_turn(self, deadline: Deadline) -> None:
        if self._under_way < _MOST_UNDER_WAY and not self._queue:
            self._under_way += 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append(turn)
        try:
            await asyncio.wait([turn], timeout=deadline.left())
        except asyncio.CancelledError:
            if turn.done():  # it was given in the same moment
                self._end_turn()
            turn.cancel()
            raise
        if not turn.done():
            turn.cancel()
            raise TimeoutError(f"{self.name}: not sent in time, for {self._under_way} others are")

    def _end_turn(self) -> None:
        """Pass the turn on: what is under way stays the same."""
        while self._queue:
            turn = self._queue.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._under_way -= 1

    # --- connections -------------------------------------------------------------------------

    async def take(self, deadline: Deadline) -> AsyncConnection:
        """Return a connection that the server has not closed, a new one if need be."""
        grace = 0.0 if self.traits.keeps_open else CLOSING_TAKES
        while self._idle:
            connection = self._idle.pop()
            if connection.loop is asyncio.get_running_loop():
                try:
                    is_closed = await connection.is_closed_by_peer(grace)
                except BaseException:
                    connection.abort()
                    raise
                if not is_closed:
                    return connection
            connection.close()
            self.catalogue = None  # the server may have been restarted, with other commands
        return await self._connect(deadline)

    async def _connect(self, deadline: Deadline) -> AsyncConnection:
        """Connect; keep trying, with growing pauses, if the server was there before."""
        pauses = Pauses()
        until = Deadline(deadline.left(CONNECT_TIMEOUT))
        while True:
            try:
                connection = await _within(until.left(), self._open())
            except (OSError, UnicodeError) as error:  # UnicodeError: no name of a host
                pause = pauses.next()
                if not self._was_connected or (until.left() or 0.0) <= pause:
                    self._was_connected = False
                    raise unreachable(self.name, error) from error
            else:
                self._was_connected = True
                return connection
            await asyncio.sleep(pause)

    async def _open(self) -> AsyncConnection:
        # On Windows "localhost" is tried as ::1 first, which costs up to 2 s.
        host = "127.0.0.1" if self.host == "localhost" else self.host
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(AsyncConnection, host, self.port)
        return connection


async def _within(
    seconds: float | None, opening: Coroutine[Any, Any, AsyncConnection]
) -> AsyncConnection:
    """Return what is opened; whatever happens, nothing stays open unseen."""
    task = asyncio.ensure_future(opening)
    try:
        await asyncio.wait([task], timeout=seconds)
        if task.done():
            return task.result()
    except asyncio.CancelledError:
        _give_up(task)
        raise
    _give_up(task)
    raise TimeoutError("timed out")


def _give_up(task: asyncio.Future[AsyncConnection]) -> None:
    task.add_done_callback(_discard)
    task.cancel()


def _discard(task: asyncio.Future[AsyncConnection]) -> None:
    if not task.cancelled() and task.exception() is None:
        task.result().abort()
