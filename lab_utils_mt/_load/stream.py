"""Where do the replies end that are not one short line each?"""

from __future__ import annotations

from .._wire.replies import ReplyReader

MOST_REPLY = 64 * 1024 * 1024
"""Bytes that a reply may have; more would fill the memory of the load."""


class ReplyStream:
    """Cuts what a server sends into replies.

    Args:
        skip_prefix: What lines begin with that are no replies; nothing if empty.
    """

    def __init__(self, skip_prefix: bytes) -> None:
        self._skip_prefix = skip_prefix
        self._reader = ReplyReader()

    def receive_data(self, data: bytes) -> None:
        """Take what ``recv()`` returned."""
        self._reader.receive_data(data)

    def next_reply(self) -> bytes | None:
        """Return the next reply, or None if more bytes are needed."""
        while (reply := self._reader.reply) is not None:
            self._reader = _rest(self._reader, reply)
            if not (self._skip_prefix and reply.startswith(self._skip_prefix)):
                return reply
        return None

    def has_surplus(self) -> bool:
        """Tell whether there is more after a reply than what nobody asked for."""
        return self.next_reply() is not None or not (self._skip_prefix or self.is_empty)

    @property
    def is_empty(self) -> bool:
        """Whether nothing is left."""
        return not self._reader.size

    @property
    def is_too_long(self) -> bool:
        """Whether so much has come that it is no reply any more."""
        return self._reader.size > MOST_REPLY

    @property
    def is_cut_block(self) -> bool:
        """Whether a block has begun and not ended."""
        return self._reader.is_cut_block

    @property
    def raw(self) -> bytes:
        """What has come: the reply, if it ends with the stream."""
        return self._reader.raw


def _rest(reader: ReplyReader, reply: bytes) -> ReplyReader:
    """Return a reader that has what followed a reply."""
    rest = ReplyReader()
    if reader.has_surplus:
        raw = reader.raw
        head = 2 + int(raw[1:2]) if reader.is_block else 0
        rest.receive_data(raw[head + len(reply) + 1 :])
    return rest
