"""How does a thread follow the readings of a poller?"""

from __future__ import annotations

import contextlib
import threading
import weakref
from types import TracebackType
from typing import Any

from ..exceptions import ReplyLost
from .batch import Terms
from .caller import Caller
from .calling import catalogue
from .client_connection import ClientConnection, Deadline
from .connecting import Pauses
from .reading import Reading
from .subscription import Subscription

_CONNECTING_TAKES = 2.0  # s; then is the time to see whether the watch was closed


class Watch:
    """The readings of a poller, as they come; an iterator that ends when it is closed.

    The connection is made again when the server was restarted. What is read slowly is thinned out
    by the server: ``Reading.missed`` counts what it left out.

    Args:
        caller: Makes the connections.
        terms: How to be served.
        params: Of the method ``watch``.

    Raises:
        MessageError: There is no such poller.
        OSError: The server cannot be reached.
    """

    def __init__(self, caller: Caller, terms: Terms, params: dict[str, Any]) -> None:
        known = caller.follow(catalogue(caller, terms), terms.timeout)
        convert = known.convert_values(params["name"])
        self._caller, self._timeout = caller, terms.timeout
        self._subscription = Subscription(params, convert, caller.name)
        self._closed = threading.Event()
        self._is_inside = False  # a thread is in __next__(), and will see that this was closed
        self._held: list[ClientConnection] = []
        weakref.finalize(self, _let_go, caller, self._held)
        self._subscribe(Deadline(self._timeout))

    def _subscribe(self, deadline: Deadline) -> None:
        connection = self._caller.take(deadline)
        self._held[:] = [connection]
        if self._closed.is_set():  # else close() has seen the connection
            connection.cut()
        self._carry(Deadline(self._timeout))
        if self._subscription.fault is not None:
            _let_go(self._caller, self._held)
            raise self._subscription.fault

    def _carry(self, deadline: Deadline) -> None:
        try:
            self._caller.carry(self._held[0], self._subscription, deadline)
        except BaseException:
            self._subscription.is_on = False
            self._held.clear()
            raise

    def __iter__(self) -> Watch:
        return self

    def __next__(self) -> Reading:
        """Return the next reading.

        Raises:
            ConnectionAbortedError: The client was cut.
            LabUtilsError: The server was restarted, and refuses now.
        """
        self._is_inside = True
        try:
            reading = self._next()
        finally:
            self._is_inside = False
            if self._closed.is_set():
                _let_go(self._caller, self._held)
        if reading is None:
            raise StopIteration
        return reading

    def _next(self) -> Reading | None:
        readings = self._subscription.readings
        while not self._closed.is_set():
            if readings:
                return readings.popleft()
            try:
                if self._subscription.is_on:
                    self._carry(Deadline(None))
                else:
                    self._subscribe_again()
            except ReplyLost:
                continue
        return None

    def _subscribe_again(self) -> None:
        pauses = Pauses()
        while not self._closed.wait(pauses.next()):
            self._caller.refuse_if_cut()
            try:
                self._subscribe(Deadline(_CONNECTING_TAKES))
            except OSError:  # not yet there, full, or about to stop
                continue
            return

    def close(self) -> None:
        """End the readings; a thread that waits for one gets none any more."""
        self._closed.set()
        for connection in self._held[:]:
            connection.cut()
        if not self._is_inside:
            _let_go(self._caller, self._held)

    def __enter__(self) -> Watch:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _let_go(caller: Caller, held: list[ClientConnection]) -> None:
    with contextlib.suppress(IndexError):  # another thread may do the same
        while True:
            caller.abort(held.pop())
