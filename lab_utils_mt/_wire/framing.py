"""Where does a request end?

A request is a line. What clients of ``lab_utils`` 0.5.x send has no newline: they send one message
and wait. :class:`LineReader` cuts the lines, and tells its owner, who has the clock, whether the
bytes at hand may be such a message.
"""

from __future__ import annotations

from ..exceptions import MessageError

MAX_MESSAGE = 64 * 1024
BUFFER_SIZE = 4096
"""Bytes read from a client at a time."""


class MessageTooLong(MessageError):
    """A line has more bytes than allowed."""


class LineReader:
    """Cut a client's byte stream into lines.

    Args:
        max_size: Most bytes of a line, its newline not counted.
    """

    def __init__(self, max_size: int = MAX_MESSAGE) -> None:
        self._max_size = max_size
        self._buffer = bytearray()
        self._searched = 0  # no newline before this offset
        self._lines = 0
        self._chunks = 0
        self._typed = False

    def receive_data(self, data: bytes) -> None:
        """Take what ``recv()`` returned."""
        if not self._chunks:
            # Windows' telnet sends each key by itself: somebody is typing.
            self._typed = len(data) == 1
        self._chunks += 1
        self._buffer += data

    def whole_line(self, data: bytes) -> bytes | None:
        """Return the line that ``data`` is, if it is one and nothing waits; else take nothing.

        Most requests come so: this is the short way for them, once a first line has come.
        """
        end = len(data) - 1
        if self._buffer or data.find(b"\n") != end or end > self._max_size:
            return None
        return data[:end].removesuffix(b"\r")

    def next_line(self) -> bytes | None:
        """Return the next line without its end, or None if more bytes are needed.

        Raises:
            MessageTooLong: The line is longer than allowed, whether or not its end has come.
        """
        end = self._buffer.find(b"\n", self._searched)
        size = len(self._buffer) if end < 0 else end
        if size > self._max_size:
            raise MessageTooLong(f"message longer than {self._max_size} bytes")
        if end < 0:
            self._searched = size
            return None
        line = bytes(self._buffer[:end]).removesuffix(b"\r")
        del self._buffer[: end + 1]
        self._searched = 0
        # An empty line says nothing yet about who is there.
        self._lines += bool(line)
        return line

    @property
    def opening(self) -> bytes:
        """The connection's first bytes, while its first line has not been taken."""
        return b"" if self._lines else bytes(self._buffer[:16]).lstrip(b"\r\n")

    @property
    def is_partial(self) -> bool:
        """Whether some bytes wait for their newline."""
        return bool(self._buffer)

    @property
    def may_be_unterminated(self) -> bool:
        """Whether a pause would make what is here a whole message, as 0.5.x clients send it."""
        return self._is_first and not self._typed

    def take_at_end(self) -> bytes | None:
        """Return the message that the end of the stream completes, or None.

        Only the first bytes of a connection can be one. After a line, a rest without newline is
        what a dying client left: ``move 10`` may have been ``move 100``.
        """
        return self.take_rest() if self._is_first else None

    def take_rest(self) -> bytes:
        """Return what is here as a message, without the line end that it may have."""
        rest = bytes(self._buffer).removesuffix(b"\r")
        self._buffer.clear()
        self._searched = 0
        return rest

    @property
    def _is_first(self) -> bool:
        return bool(self._buffer) and not self._lines
