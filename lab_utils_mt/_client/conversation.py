"""How do many JSON-RPC requests travel over one connection, and which reply is whose?

Requests are sent while replies come in, so neither end ever waits for the other to read. A window
bounds how many are under way; what does not fit waits unencoded.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

from .._wire.framing import LineReader, MessageTooLong
from .._wire.jsonrpc import Message, Notification, Refusal, Response, decode_message, encode_request
from ..exceptions import ConnectionClosed, MessageError
from .exchange import Exchange, ServerTraits

Progress = Callable[[float, str], object]

_WINDOW = 64  # requests under way
_MOST_WAITING = 256 * 1024  # bytes that are encoded ahead

# Over all clients of this process: a reply that went astray never has an id that is asked for.
ids = itertools.count(1)


class Request(NamedTuple):
    """One call of a method.

    Attributes:
        encoded: Returns the params as JSON values; may raise MessageError.
    """

    method: str
    encoded: Callable[[], object]
    idempotent: bool


Outcome: TypeAlias = Response | Exception
"""What became of a request: what the server answered, or why there is no answer."""


class MessageReader:
    """Cut what a server sends into messages."""

    def __init__(self, max_reply: int | None = None) -> None:
        self._max_reply = max_reply
        self._lines = LineReader(sys.maxsize if max_reply is None else max_reply)

    def receive_data(self, data: bytes) -> None:
        """Take what came."""
        self._lines.receive_data(data)

    def next(self) -> Message | None:
        """Return the next message, None if more bytes are needed.

        Raises:
            OSError: It is too long, or no JSON-RPC.
        """
        try:
            line = self._lines.next_line()
            return None if line is None else decode_message(line)
        except MessageTooLong:
            raise OSError(f"it is longer than {self._max_reply} bytes") from None
        except MessageError as error:
            raise OSError(str(error)) from None

    @property
    def is_partial(self) -> bool:
        """Whether a message has begun."""
        return self._lines.is_partial

    def rest(self) -> Refusal | None:
        """Return the text that the end of the stream completes, if there is any."""
        line = self._lines.take_rest()
        return (
            None if not line or line.startswith(b"{") else Refusal(line.decode("utf-8", "replace"))
        )


class Conversation(Exchange):
    """Some requests and their replies.

    Args:
        requests: What to ask.
        traits: What is known of the server; kept up to date.
        max_reply: Most bytes of a reply; None for any number.
        on_progress: Told what the commands report of their progress.

    Attributes:
        outcomes: What became of each request; None as long as nobody knows.
        refusal: The text that the server answered instead of JSON.
        fault: What ``on_progress`` raised.
    """

    def __init__(
        self,
        requests: Sequence[Request],
        traits: ServerTraits,
        max_reply: int | None = None,
        on_progress: Progress | None = None,
    ) -> None:
        super().__init__()
        self.outcomes: list[Outcome | None] = [None] * len(requests)
        self.refusal: Refusal | None = None
        self.fault: Exception | None = None
        self._requests, self._traits = requests, traits
        self._max_reply, self._on_progress = max_reply, on_progress
        self._next = 0  # the first request that was never sent
        self._again: list[int] = []  # requests that go first, for their replies were lost
        self._waiting: dict[int, int] = {}  # id -> request, in the order in which they were sent
        self._left = len(requests)
        self.finished = not self._left

    # --- over one connection or several ------------------------------------------------------

    @property
    def may_repeat(self) -> bool:
        """Whether all commands that may have run are idempotent."""
        return all(self._requests[index].idempotent for index in self._waiting.values())

    @property
    def has_begun(self) -> bool:
        """Whether anything was sent."""
        return self._next > 0

    def begin(self, has_replied: bool) -> None:
        """Start, with the requests whose replies were lost."""
        self._again = [*self._waiting.values(), *self._again]
        self._waiting.clear()
        self.outgoing.clear()
        self._reader = MessageReader(self._max_reply)
        self.reusable = True

    def give_up(self, error: OSError, server: str) -> None:
        """Let all that have no outcome end in an error: the one of those that may have run."""
        for index in (*self._waiting.values(), *self._again):
            self.outcomes[index] = error
        self._leave_out(error, server)

    def refuse(self, error: Exception, server: str) -> None:
        """Let the oldest request end in an error; a server that refuses it executes no other."""
        if self._waiting:
            self.outcomes[next(iter(self._waiting.values()))] = error
        self._leave_out(error, server)

    def _leave_out(self, error: Exception, server: str) -> None:
        for index, outcome in enumerate(self.outcomes):
            if outcome is None:
                method = self._requests[index].method
                fault = ConnectionClosed(f"{server}: {method} was not executed: {error}")
                fault.__cause__ = error
                self.outcomes[index] = fault

    # --- out ---------------------------------------------------------------------------------

    def fill(self) -> None:
        """Encode the next requests."""
        while len(self._waiting) < _WINDOW and len(self.outgoing) < _MOST_WAITING:
            if self._again:
                self._send(self._again.pop(0))
            elif self._next < len(self._requests):
                self._next += 1
                self._send(self._next - 1)
            else:
                return

    def _send(self, index: int) -> None:
        request = self._requests[index]
        number = next(ids)
        try:
            self.outgoing += encode_request(number, request.method, request.encoded())
        except RecursionError:
            text = f"an argument of {request.method} is nested too deeply, or holds itself"
            self._settle(index, MessageError(text))
        except Exception as error:  # noqa: BLE001  (this call's; others are under way)
            self._settle(index, error)
        else:
            self._waiting[number] = index

    # --- in ----------------------------------------------------------------------------------

    def receive_data(self, data: bytes) -> None:
        """Take replies and reports."""
        self._reader.receive_data(data)
        while not self.finished and (message := self._reader.next()) is not None:
            self._take(message)
            self._traits.keeps_open = True
        if self.finished and self._reader.is_partial:
            self.reusable = False  # that was not asked for

    def receive_end(self) -> None:
        """Take the end of the stream: of JSON, none is complete."""
        rest = self._reader.rest()
        if rest is None:
            raise ConnectionClosed("the server closed the connection")
        self._traits.keeps_open = None
        self._take(rest)

    def _take(self, message: Message) -> None:
        if isinstance(message, Response):
            index = self._index_of(message)
            self.note_progress()
            self._settle(index, message)
        elif isinstance(message, Notification):
            self._report(message)
        else:
            self.refusal = message
            self.finished, self.reusable = True, False

    def _index_of(self, response: Response) -> int:
        """Return which request is answered.

        Raises:
            OSError: None of those under way.
        """
        number = response.id
        if number is None and response.error and self._waiting:
            # The server could not even read the id; it answers in order.
            number = next(iter(self._waiting))
        if self._is_under_way(number):
            return self._waiting.pop(number)
        raise OSError(f"the server answered request {number!r}, which is not under way")

    def _is_under_way(self, number: object) -> bool:
        return type(number) is int and number in self._waiting

    def _settle(self, index: int, outcome: Outcome) -> None:
        self.outcomes[index] = outcome
        self._left -= 1
        self.finished = self.finished or not self._left

    def _report(self, message: Notification) -> None:
        params = message.params
        fraction, text = params.get("fraction") or 0.0, str(params.get("text") or "")
        is_report = message.method == "rpc.progress" and isinstance(fraction, int | float)
        if not is_report or not self._is_under_way(params.get("id")):
            self.reusable = False  # whoever listened here before has left something
            return
        if self._on_progress is None:
            return
        try:
            self._on_progress(float(fraction), text)
        except Exception as error:  # noqa: BLE001  (the caller's: raised again, in its place)
            self.fault = error
            self.finished, self.reusable = True, False
