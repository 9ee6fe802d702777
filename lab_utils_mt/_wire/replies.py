"""How does a reply travel, and where does it end?

One line of text travels as a line; everything else as an IEEE 488.2 definite-length block: ``#``,
one digit n, n digits with the number of bytes, the bytes, a newline (IEEE 488.2-1992, 8.7.9).
Servers of ``lab_utils`` 0.5.x send bare text and close.
"""

from __future__ import annotations

import re

MAX_BLOCK = 999_999_999  # nine digits

_BLOCK_HEAD = re.compile(rb"#([1-9])")
_LOOKS_LIKE_BLOCK = re.compile(r"#[0-9]")
_NEWLINE = 10


def encode_reply(payload: str | bytes) -> bytes:
    """Return the bytes that carry a reply to a client that reads lines.

    Raises:
        UnicodeEncodeError: The text holds lone surrogates.
        ValueError: The reply has more than :data:`MAX_BLOCK` bytes.
    """
    if isinstance(payload, bytes):
        return _block(payload)
    data = payload.encode("utf-8")
    looks_otherwise = payload[:1] == "#" and _LOOKS_LIKE_BLOCK.match(payload)
    if looks_otherwise or "\n" in payload or payload[-1:] == "\r":
        return _block(data)
    return data + b"\n"


def _block(data: bytes) -> bytes:
    if len(data) > MAX_BLOCK:
        raise ValueError(f"a reply of {len(data)} bytes; at most {MAX_BLOCK} can be sent")
    size = str(len(data)).encode()
    return b"#%d%b%b\n" % (len(size), size, data)


class ReplyReader:
    """Find one reply in a server's byte stream.

    Attributes:
        reply: Its payload, once a whole line or block is there.
        is_block: Whether it came as a block, which only a server of this protocol sends.
    """

    def __init__(self) -> None:
        self.reply: bytes | None = None
        self.is_block = False
        self._buffer = bytearray()
        self._searched = 0  # no newline before this offset
        self._end = 0
        self._may_be_block = True

    def receive_data(self, data: bytes) -> None:
        """Take what ``recv()`` returned."""
        self._buffer += data
        if self.reply is None:
            self._look()

    @property
    def raw(self) -> bytes:
        """All that has come: the reply of a 0.5.x server, once the stream has ended."""
        return bytes(self._buffer)

    @property
    def size(self) -> int:
        """How many bytes have come."""
        return len(self._buffer)

    @property
    def has_surplus(self) -> bool:
        """Whether bytes follow the reply: then it was the first line of one by a 0.5.x server."""
        return self.reply is not None and len(self._buffer) > self._end

    @property
    def is_cut_block(self) -> bool:
        """Whether a block has begun and not ended."""
        return self.reply is None and bool(self._block_span())

    def _look(self) -> None:
        span = self._block_span()
        if span is None:
            self._take_line()
        elif span:
            self._take_block(*span)

    def _block_span(self) -> tuple[int, int] | tuple[()] | None:
        """Return where the block's bytes begin and end, () if unknown yet, None if it is none."""
        found = _BLOCK_HEAD.match(self._buffer) if self._may_be_block else None
        if not found:
            return () if self._buffer == b"#" else None
        digits = self._buffer[2 : 2 + int(found[1])]
        if digits and not (digits.isdigit() and digits.isascii()):
            return None
        if len(digits) < int(found[1]):
            return ()
        start = 2 + len(digits)
        return start, start + int(digits)

    def _take_block(self, start: int, end: int) -> None:
        if len(self._buffer) <= end:
            return
        if self._buffer[end] == _NEWLINE:
            self.reply, self.is_block = bytes(memoryview(self._buffer)[start:end]), True
            self._end = end + 1
        else:  # text that only looks like one
            self._may_be_block = False
            self._take_line()

    def _take_line(self) -> None:
        end = self._buffer.find(b"\n", self._searched)
        if end < 0:
            self._searched = len(self._buffer)
        else:
            self.reply, self._end = bytes(memoryview(self._buffer)[:end]), end + 1
