"""Where does the reply to a text command end?

Servers of ``lab_utils`` 0.5.x are spoken to as well: they close after each reply, which may have
lines and no newline at its end. Which kind a server is shows in what it does.
"""

from __future__ import annotations

from .._wire.replies import ReplyReader
from ..exceptions import ConnectionClosed
from .exchange import CLOSING_TAKES, Exchange, ServerTraits

_RECONSIDERING_TAKES = 1.0  # s, if it closed the last time
_ONE_SEGMENT = 512  # bytes; of a reply this short, what follows a newline came with it


class TextExchange(Exchange):
    """One request and its reply.

    Args:
        line: The request with its newline.
        traits: What is known of the server; kept up to date.
        max_reply: Most bytes of the reply; None for any number.
        idempotent: Whether the request may be sent again if its reply is lost.
    """

    def __init__(
        self, line: bytes, traits: ServerTraits, max_reply: int | None, idempotent: bool
    ) -> None:
        super().__init__()
        self._line, self._traits, self._max_reply = line, traits, max_reply
        self._idempotent = idempotent
        self.reply = b""

    @property
    def may_repeat(self) -> bool:
        """What the caller says."""
        return self._idempotent

    def begin(self, has_replied: bool) -> None:
        """Ask."""
        self.outgoing[:] = self._line
        self._has_replied = has_replied
        self._reader = ReplyReader()
        self.patience = None

    def receive_data(self, data: bytes) -> None:
        """Take bytes of the reply."""
        reader = self._reader
        reader.receive_data(data)
        if self._max_reply is not None and reader.size > self._max_reply:
            raise OSError(f"it is longer than {self._max_reply} bytes")
        self.patience = None
        if reader.reply is None:
            return
        self.patience = self._wait_for_more()
        if self.patience == 0.0:
            self.take_silence()

    def take_silence(self) -> None:
        """Take what has come for the whole reply."""
        reader, traits = self._reader, self._traits
        assert reader.reply is not None, "there is patience only after a line"
        if reader.is_block or self._has_replied:
            traits.keeps_open = True
        elif traits.keeps_open is False:
            traits.keeps_open = None
        self._finish(reader.reply, not reader.has_surplus)

    def _wait_for_more(self) -> float | None:
        """Return how long what looks like a reply may be the first line of a 0.5.x server's."""
        reader = self._reader
        if self._has_replied:
            return 0.0
        if reader.has_surplus:
            return None
        if reader.is_block:
            return 0.0
        if self._traits.keeps_open is False:
            return _RECONSIDERING_TAKES
        is_long = reader.reply is not None and len(reader.reply) >= _ONE_SEGMENT
        return CLOSING_TAKES if self._traits.keeps_open is None and is_long else 0.0

    def receive_end(self) -> None:
        """Take the end of the stream, which may complete a reply."""
        reader, traits = self._reader, self._traits
        if reader.reply is not None and not reader.has_surplus:
            self._finish(reader.reply, False)
            return
        known = self._has_replied or (traits.keeps_open and not reader.has_surplus)
        if known or not reader.raw or reader.is_cut_block:
            traits.keeps_open = None  # perhaps another one will be there
            raise ConnectionClosed("the server closed the connection")
        traits.keeps_open = False
        self._finish(reader.raw.removesuffix(b"\n"), False)

    def _finish(self, reply: bytes, reusable: bool) -> None:
        self.reply, self.reusable, self.finished = reply, reusable, True
