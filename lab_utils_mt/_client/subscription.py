"""How do readings come in, once they were asked for?"""

from __future__ import annotations

import datetime
from collections import deque
from typing import Any

from .._wire.jsonrpc import Notification, Refusal, Response, encode_request, value_of
from ..exceptions import ConnectionClosed, MessageError
from .arguments import to_json
from .conversation import MessageReader, ids
from .exchange import Exchange
from .faults import exception_of, refused
from .reading import Reading
from .schemas import Convert


def params_of(name: str, every: float | None, on_change: float | None) -> dict[str, Any]:
    """Return the params of the method ``watch``.

    Raises:
        MessageError: They cannot be sent.
    """
    if not isinstance(name, str):
        raise MessageError(f"the name of a poller is a str, not {type(name).__name__}")
    params = {"name": name, "every": every, "on_change": on_change}
    return {
        key: to_json(value, f"watch: {key}") for key, value in params.items() if value is not None
    }


class Subscription(Exchange):
    """Readings of one poller, over one connection; finished whenever some are there.

    Args:
        params: Of the method ``watch``.
        convert: From a reading's values as JSON to Python values.
        server: ``host:port``, for messages.

    Attributes:
        readings: Those that came.
        is_on: Whether the server has agreed.
        fault: Why it has not.
    """

    may_repeat = False

    def __init__(self, params: dict[str, Any], convert: Convert, server: str) -> None:
        super().__init__()
        self._params, self._convert, self._server = params, convert, server
        self.readings: deque[Reading] = deque()
        self.is_on = False
        self.fault: Exception | None = None

    def begin(self, has_replied: bool) -> None:
        """Ask for the readings, if that was not done on this connection."""
        self.finished = False
        if not self.is_on:
            self._number = next(ids)
            self.outgoing[:] = encode_request(self._number, "watch", self._params)
            self._reader = MessageReader()
            self.fault = None

    def receive_data(self, data: bytes) -> None:
        """Take readings."""
        self._reader.receive_data(data)
        while (message := self._reader.next()) is not None:
            self._take(message)

    def receive_end(self) -> None:
        """Take the end of the stream, and the words that the server may have left."""
        rest = self._reader.rest()
        if rest is None or self.is_on:
            raise ConnectionClosed("the server closed the connection")
        self._take(rest)

    def _take(self, message: Response | Notification | Refusal) -> None:
        if isinstance(message, Notification):
            if message.method == "watch":
                self.readings.append(self._reading(message.params))
        elif isinstance(message, Refusal):
            self.fault = refused(self._server, message)
        elif message.id != self._number:
            raise OSError(f"the server answered request {message.id!r}, which is not under way")
        elif message.error:
            self.fault = exception_of(message.error)
        else:
            self.is_on = True
        self.finished = bool(self.is_on or self.fault)

    def _reading(self, params: dict[str, Any]) -> Reading:
        try:
            time = value_of(params["time"], datetime.datetime)
            values = self._convert(params.get("values") or {})
            missed, error = int(params.get("missed", 0)), params.get("error")
            return Reading(str(params["name"]), time, values, missed, error)
        except (KeyError, TypeError, ValueError) as fault:
            raise OSError(f"a reading cannot be understood: {fault!r}") from None
