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
# A reply this short came in one TCP segment, so what follows its newline came with it.
_ONE_SEGMENT = 512


def encode_reply(payload: str | bytes) -> bytes:
    """Return the bytes that carry a reply to a client that reads lines.

    Raises:
        UnicodeEncodeError: The text holds lone surrogates.
        ValueError: The reply has more than :data:`MAX_BLOCK` bytes.
    """
    if isinstance(payload, bytes):
        return _block(payload)
    data = payload.encode("utf-8")
    if "\n" in payload or payload.endswith("\r") or _LOOKS_LIKE_BLOCK.match(payload):
        return _block(data)
    return data + b"\n"


def _block(data: bytes) -> bytes:
    if len(data) > MAX_BLOCK:
        raise ValueError(f"a reply of {len(data)} bytes; at most {MAX_BLOCK} can be sent")
    size = str(len(data)).encode()
    return b"#%d%b%b\n" % (len(size), size, data)


class ReplyReader:
    """Cut one reply out of a server's byte stream.

    Feed it with :meth:`receive_data` until :attr:`reply` is not None, or until the stream ends:
    then :meth:`end_of_stream` says what there is.
    """

    def __init__(self, legacy: bool = False) -> None:
        self._legacy = legacy
        self._buffer = bytearray()
        self.reply: bytes | None = None

    def receive_data(self, data: bytes) -> None:
        """Take what ``recv()`` returned."""
        self._buffer += data
        if not self._legacy:
            self._look()

    @property
    def surplus(self) -> bool:
        """Whether bytes follow the reply: only a 0.5.x server, whose reply has lines, does that."""
        return self.reply is not None and bool(self._buffer)

    @property
    def is_ambiguous(self) -> bool:
        """Whether the reply may be the first segment of a longer one by a 0.5.x server."""
        return self.reply is not None and not self._was_block and len(self.reply) >= _ONE_SEGMENT

    def treat_as_legacy(self) -> None:
        """Take the reply back: it ends with the stream."""
        assert self.reply is not None, "a reply was found before"
        self._buffer[:0] = self.reply + b"\n"
        self.reply, self._legacy = None, True

    def end_of_stream(self) -> bytes | None:
        """Return what a 0.5.x server sent, or None where the reply is missing or cut off."""
        if not self._buffer or (not self._legacy and _BLOCK_HEAD.match(self._buffer)):
            return None
        return bytes(self._buffer)

    def _look(self) -> None:
        if self.reply is not None:
            return
        head = self._block_head()
        if head is None:
            self._take_line()
        elif head:
            self._take_block(*head)

    _was_block = False

    def _block_head(self) -> tuple[int, int] | tuple[()] | None:
        """Return where the block begins and ends, () if more bytes are needed, None if none."""
        found = _BLOCK_HEAD.match(self._buffer)
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
        if len(self._buffer) > end:
            self._was_block = True
            self.reply = bytes(self._buffer[start:end])
            del self._buffer[: end + 1]

    def _take_line(self) -> None:
        end = self._buffer.find(b"\n")
        if end >= 0:
            self.reply = bytes(self._buffer[:end])
            del self._buffer[: end + 1]
