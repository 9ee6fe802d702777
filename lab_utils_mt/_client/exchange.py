"""What do a request and its reply need of the connection that carries them?

An exchange has no sockets: whoever has one sends what is in :attr:`Exchange.outgoing`, hands over
what comes, and stops once the exchange is finished. Threads and event loops do so in their ways.
"""

from __future__ import annotations

from collections.abc import Callable


class Exchange:
    """One or more requests and what comes back.

    Attributes:
        outgoing: Bytes to be sent; whoever sends some removes them.
        finished: Whether all that was to come has come.
        reusable: Whether the connection can carry another exchange afterwards.
        patience: Seconds after which silence finishes the exchange; None for no such time.
    """

    def __init__(self) -> None:
        self.outgoing = bytearray()
        self.finished = False
        self.reusable = False
        self.patience: float | None = None
        self.note_progress: Callable[[], None] = _nothing

    @property
    def may_repeat(self) -> bool:
        """Whether it may begin again on another connection after this one was lost."""
        raise NotImplementedError

    def begin(self, has_replied: bool) -> None:
        """Start on a connection, perhaps not for the first time.

        Args:
            has_replied: Whether the connection has brought a reply before, and stayed open.
        """
        raise NotImplementedError

    def fill(self) -> None:
        """Put into :attr:`outgoing` what may be sent now."""

    def receive_data(self, data: bytes) -> None:
        """Take what came.

        Raises:
            OSError: It cannot be the reply.
        """
        raise NotImplementedError

    def receive_end(self) -> None:
        """Take the end of the stream.

        Raises:
            ConnectionClosed: The reply is not complete.
        """
        raise NotImplementedError

    def take_silence(self) -> None:
        """Take it that nothing came for :attr:`patience` seconds."""


class ServerTraits:
    """What the exchanges with one server have shown of it.

    Attributes:
        keeps_open: Whether it keeps its connections open; None as long as nobody knows.
    """

    def __init__(self) -> None:
        self.keeps_open: bool | None = None


# A 0.5.x server closes right after its reply: what is open after this long will stay open.
CLOSING_TAKES = 0.02  # s


def _nothing() -> None:
    pass
