"""What do a server's pollers need, and in which order do they begin and end?

::

    pollers -> hub -> those who watch
           \\-> recorder -> tables
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any, Protocol

from ..exceptions import ConfigError
from .declaring import Declaration, PollNote, declared
from .devices import Holder
from .dispatch import Turns
from .polling import Plan, Poller, Pollers
from .readings import Reading, shape_of
from .watching import Hub


def declared_pollers(owner: type, reserved: Container[str]) -> list[Declaration[PollNote]]:
    """Collect the pollers of a class and of those that it derives from.

    Args:
        owner: The class.
        reserved: Names of the server's own attributes.

    Raises:
        TypeError: One cannot work; names class and method.
    """
    found = declared(owner, PollNote, reserved)
    for one in found:
        try:
            _check(one)
        except TypeError as error:
            text = f"class {owner.__name__}, method {one.method}: {error}"
            raise TypeError(text) from error
    return found


def _check(one: Declaration[PollNote]) -> None:
    if one.signature.parameters or one.signature.request:
        raise TypeError("a poller takes no arguments but self")
    shape_of(one.signature.returns, one.name, one.note.table)


class Recorder(Protocol):
    """What keeps readings."""

    def declare(self, table: str, columns: Mapping[str, type]) -> None:
        """Let a table have these columns."""

    def start(self) -> None:
        """Begin."""

    def put(self, table: str, time: datetime, values: Mapping[str, Any]) -> None:
        """Take a reading, and wait for nothing."""

    def close(self, timeout: float, hurried: Callable[[], bool]) -> None:
        """Write what waits."""

    def status(self) -> list[str]:
        """Tell how it is."""


class Monitoring:
    """The pollers of one server, and where their readings go.

    Args:
        declared: The pollers.
        method: Returns a method of the server by its name.
        turns: When it may be called.
        server: What the threads' names begin with.
        recorder: Keeps what has a table.

    Raises:
        ConfigError: A poller has a table, and there is no recorder.
    """

    def __init__(
        self,
        declared: Iterable[Declaration[PollNote]],
        method: Callable[[str], Callable[[], object]],
        turns: Turns,
        server: str,
        recorder: Recorder | None = None,
    ) -> None:
        found = tuple(declared)
        self.hub = Hub(one.name for one in found)
        self._turns = turns
        self._recorder = recorder
        self._tables = {one.name: one.note.table for one in found if one.note.table is not None}
        self._pollers = Pollers(self._poller(one, method(one.method), server) for one in found)

    def _poller(
        self, one: Declaration[PollNote], method: Callable[[], object], server: str
    ) -> Poller:
        note = one.note
        plan = Plan(one.name, note.every, shape_of(one.signature.returns, one.name, note.table))
        if note.table is not None:
            if self._recorder is None:
                raise ConfigError(
                    f"poller {one.name} records into the table {note.table}, but the server has no"
                    " database: make it with database=Database(...), or declare the poller without"
                    " table"
                )
            self._recorder.declare(note.table, plan.shape.columns)
        holder = Holder(f"poll {one.name}", "the server")

        def take(deadline: float) -> AbstractContextManager[object]:
            return self._turns.hold(note.devices, holder, deadline)

        return Poller(plan, method, take, self._hand_over, server)

    def _hand_over(self, reading: Reading) -> None:
        table = self._tables.get(reading.name)
        if table is not None and self._recorder is not None and reading.error is None:
            self._recorder.put(table, reading.time, reading.values)
        self.hub.publish(reading)

    def start(self) -> None:
        """Begin to poll; does nothing if it was called before.

        Raises:
            RuntimeError: The system has no more threads.
        """
        if self._recorder is not None:
            self._recorder.start()
        self._pollers.start()

    def ask_to_stop(self) -> None:
        """Poll no more; methods that run go on."""
        self._pollers.ask_to_stop()

    def stop(self, deadline: float, hurried: Callable[[], bool]) -> None:
        """Poll no more; wait until a monotonic time, or until in a hurry, for methods that run."""
        self._pollers.stop(deadline, hurried)

    @property
    def is_here(self) -> bool:
        """Whether a poller's method calls this."""
        return self._pollers.are_here

    def drain(self, timeout: float, hurried: Callable[[], bool]) -> None:
        """Write what is to be recorded, for at most so many seconds or until in a hurry."""
        if self._recorder is not None:
            self._recorder.close(timeout, hurried)

    def status_lines(self) -> list[str]:
        """Return the status command's lines about pollers and their readings."""
        lines = [*self._pollers.status_lines(), f"watches: {len(self.hub)}"]
        return [*lines, *(self._recorder.status() if self._recorder is not None else [])]
