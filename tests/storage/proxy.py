"""A line to the server that can be made as bad as lines get, at the byte or the moment wanted."""

from __future__ import annotations

import asyncio
import contextlib
import select
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeVar

from psycopg2.extensions import make_dsn, parse_dsn

T = TypeVar("T")

_TIMEOUT = 20.0  # seconds; only a hang lasts longer
_MOST_FILLERS = 300  # connections that a system may queue although told not to
_RESET = struct.pack("ii", 1, 0)  # linger for no time at all: close with a reset

OPEN, MUTE, HOLE, RESET = "open", "mute", "black hole", "reset"


class _Line:
    """One client's connection, and the one to the server that stands for it."""

    def __init__(self, client: asyncio.StreamWriter) -> None:
        self.ends = [client]
        self.spoiled = False  # bytes were swallowed: it can never be of use again

    def reset(self) -> None:
        """Break both connections with a reset instead of a goodbye."""
        for end in self.ends:
            if not end.transport.is_closing():
                end.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            end.transport.abort()

    def close(self) -> None:
        """Close both connections, once what was written to them is sent."""
        for end in self.ends:
            end.close()


class Proxy:
    """Takes connections on TCP, and forwards each to the server of a dsn.

    One fault at a time; :meth:`lift` ends it. All state belongs to the one thread of the event
    loop, and a method returns once its effect is there.
    """

    def __init__(self, dsn: str) -> None:
        self._server = parse_dsn(dsn)
        self.passed = {"up": 0, "down": 0}  #: Bytes forwarded to the server, and to the clients
        self.arrivals: list[float] = []  #: When each connection came, on the monotonic clock
        self._left: dict[str, int] = {}
        self._mode = OPEN
        self._first_delay = self._delay = 0.0
        self._lines: dict[_Line, asyncio.Task[None]] = {}
        self._lifted = asyncio.Event()
        self._lifted.set()
        self._door: asyncio.Server | socket.socket | None = None
        self._fillers: list[socket.socket] = []
        self._port = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy")
        self._thread.start()
        self._do(self._open_door())
        self.dsn = str(
            make_dsn(
                dsn, host="127.0.0.1", port=self._port, gssencmode="disable", sslmode="disable"
            )
        )

    def cut_after(self, direction: str, number: int) -> None:
        """Break the line, once, at the byte that comes after so many more in a direction."""
        self._call(lambda: setattr(self, "_left", {direction: number}))

    def refuse(self) -> None:
        """Have nobody listen; lines that exist are reset, as if the server had been killed."""

        def act() -> None:
            self._close_door()
            self._reset_all()
            self._door = self._bind()  # else somebody else could be given the port

        self._call(act)

    def deafen(self) -> None:
        """Listen, but never accept, and have no room left to queue; lines that exist go on."""

        def act() -> None:
            self._close_door()
            self._door = self._bind()
            self._door.listen(0)
            self._fill()

        self._call(act)

    def mute(self) -> None:
        """Accept and read, but never answer, on lines that exist and on new ones."""
        self._call(lambda: self._turn(MUTE))

    def black_hole(self) -> None:
        """Let nothing through any more, on lines that exist and on new ones.

        What is under way then arrives once it is lifted, as TCP would send it again.
        """
        self._call(lambda: self._turn(HOLE))

    def reset_answers(self) -> None:
        """Reset a line at the first byte of the server's next answer: to a query or a login."""
        self._call(lambda: self._turn(RESET))

    def slow_login(self, seconds: float) -> None:
        """Delay the first answer on each new line."""
        self._call(lambda: self._turn(OPEN, first_delay=seconds))

    def latency(self, seconds: float) -> None:
        """Delay every answer."""
        self._call(lambda: self._turn(OPEN, delay=seconds))

    def lift(self) -> None:
        """End the fault. Lines on which bytes were lost, and those begun meanwhile, are reset."""

        async def act() -> None:
            self._turn(OPEN)
            self._lifted.set()
            for line in self._lines:
                if line.spoiled:
                    line.reset()
            if not isinstance(self._door, asyncio.Server):
                self._close_door()
                await self._open_door()

        self._do(act())

    def close(self) -> None:
        """Break every line, and end the thread."""

        async def act() -> None:
            self._close_door()
            self._lifted.set()
            await asyncio.sleep(0)  # what was just accepted becomes a line
            self._reset_all()
            for task in self._lines.values():
                task.cancel()
            await asyncio.gather(*self._lines.values())
            for _ in range(3):  # a connection is closed one turn after it was told so
                await asyncio.sleep(0)

        if self._loop.is_closed():
            return
        self._do(act())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_TIMEOUT)
        self._loop.close()

    # All below runs in the loop's thread, but for _do() and _call().

    def _do(self, what: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(what, self._loop).result(_TIMEOUT)

    def _call(self, act: Callable[[], None]) -> None:
        async def call() -> None:
            act()

        self._do(call())

    def _turn(self, mode: str, first_delay: float = 0.0, delay: float = 0.0) -> None:
        self._mode, self._first_delay, self._delay = mode, first_delay, delay
        self._lifted.clear()

    def _bind(self) -> socket.socket:
        door = socket.socket()
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        door.bind(("127.0.0.1", self._port))
        self._port = door.getsockname()[1]
        return door

    async def _open_door(self) -> None:
        self._door = await asyncio.start_server(self._serve, sock=self._bind(), backlog=100)

    def _close_door(self) -> None:
        if self._door is not None:
            self._door.close()
        for filler in self._fillers:
            filler.close()
        self._fillers = []

    def _fill(self) -> None:
        """Connect until the system takes no more: then a client's connect() hangs."""
        while len(self._fillers) < _MOST_FILLERS:
            filler = socket.socket()
            self._fillers.append(filler)
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", self._port))
            if not select.select([], [filler], [], 0.05)[1]:
                return
        raise RuntimeError(f"this system queued {_MOST_FILLERS} connections")

    def _reset_all(self) -> None:
        for line in self._lines:
            line.reset()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.arrivals.append(time.monotonic())
        line = _Line(writer)
        task = asyncio.current_task()
        assert task is not None
        self._lines[line] = task
        try:
            if self._mode in (MUTE, HOLE):
                line.spoiled = True
                while await reader.read(65536):
                    pass
            else:
                await self._join(line, reader)
        except (OSError, asyncio.CancelledError):  # no server, or one end was reset; our close()
            line.reset()
        finally:
            del self._lines[line]
            line.close()

    async def _join(self, line: _Line, reader: asyncio.StreamReader) -> None:
        answers, server = await self._connect()
        line.ends.append(server)
        both = [
            asyncio.ensure_future(self._forward(line, "up", reader, server)),
            asyncio.ensure_future(self._forward(line, "down", answers, line.ends[0])),
        ]
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            # Before Python 3.12, a wait_for() that is over swallows a cancellation at that moment:
            # without its other end, what goes on forwarding ends all the same.
            line.close()
            for one in both:
                one.cancel()
            await asyncio.gather(*both, return_exceptions=True)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        host, port = self._server.get("host", "localhost"), self._server.get("port", "5432")
        if sys.platform != "win32" and host.startswith("/"):
            return await asyncio.open_unix_connection(f"{host}/.s.PGSQL.{port}")
        return await asyncio.open_connection(host, int(port))

    async def _forward(
        self,
        line: _Line,
        direction: str,
        source: asyncio.StreamReader,
        target: asyncio.StreamWriter,
    ) -> None:
        first_delay = self._first_delay
        while True:
            data = await source.read(65536)
            if self._mode == HOLE:
                await self._lifted.wait()
            if not data:
                return
            if self._mode == MUTE:
                line.spoiled = True
                continue
            if direction == "down":
                if self._mode == RESET:
                    line.reset()
                    return
                await self._wait(first_delay + self._delay)
                first_delay = 0.0
            allowed = self._allowance(direction, len(data))
            target.write(data[:allowed])
            await target.drain()
            if allowed < len(data):
                return

    async def _wait(self, seconds: float) -> None:
        if seconds:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._lifted.wait(), seconds)

    def _allowance(self, direction: str, number: int) -> int:
        self.passed[direction] += number
        left = self._left.get(direction, number)
        if number > left:
            self._left = {}
            return left
        if direction in self._left:
            self._left[direction] = left - number
        return number


@contextlib.contextmanager
def proxy(dsn: str) -> Iterator[Proxy]:
    """Run a proxy for a ``with`` block."""
    running = Proxy(dsn)
    try:
        yield running
    finally:
        running.close()
