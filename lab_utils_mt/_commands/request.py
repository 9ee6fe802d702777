"""Which request is this thread answering?

Code of ``lab_utils`` 0.5.x keeps ``message``, ``namespace`` and ``reply`` on the server. Here many
requests are answered at once, so these names lead each thread to a request of its own.
"""

from __future__ import annotations

import argparse
import dataclasses
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from .._wire.text import Dialect
    from .watching import Hub, Wish

Report = Callable[[float, str], None]


@dataclasses.dataclass(frozen=True)
class Request:
    """What a command may want to know of its request: the value of a parameter annotated so.

    Attributes:
        peer: Where it comes from: ``host:port``.
        user: Who sent it; None as long as nobody has to say so.
        dialect: ``text`` or ``JSON-RPC``.
        deadline: Monotonic time until which the device was waited for; None without a device.
    """

    peer: str
    user: str | None
    dialect: str
    deadline: float | None
    _report: Report
    _stopping: Callable[[], bool]

    @property
    def stopping(self) -> bool:
        """Whether the server stops: a long command had better come to its end."""
        return self._stopping()

    def remaining(self) -> float | None:
        """Return the seconds until the deadline, at least 0; None if there is none."""
        return None if self.deadline is None else max(0.0, self.deadline - time.monotonic())

    def progress(self, fraction: float, text: str = "") -> None:
        """Tell how far the command is: to the server's status, and to a JSON-RPC client.

        Args:
            fraction: From 0 to 1.
            text: What is being done.

        Raises:
            ValueError: The fraction is not from 0 to 1.
        """
        if not 0 <= fraction <= 1:
            raise ValueError(f"progress goes from 0 to 1, not to {fraction!r}")
        self._report(float(fraction), str(text))


def _tell_nobody(_: float, __: str) -> None:
    pass


class Audience(Protocol):
    """A connection to which readings can be sent."""

    def watch(self, hub: Hub, name: str, wish: Wish, dialect: Dialect) -> None:
        """Send a poller's readings, once this request is answered."""

    def unwatch(self, name: str) -> bool:
        """Send them no more; return whether they were sent."""


class RequestRecord:
    """What belongs to the request that one thread answers.

    Attributes:
        peer: Where it comes from.
        note: Takes how far the command is, for the status.
        push: Sends a line to the client before the reply.
        audience: The connection, which may watch pollers.
        message: The text that came, as it came.
        reply: What the handler wants to send back.
        namespace: The words, parsed.
    """

    __slots__ = ("audience", "message", "namespace", "note", "peer", "push", "reply")

    def __init__(self) -> None:
        self.message = ""
        self.reply: Any = ""
        self.namespace: argparse.Namespace | None = None
        self.peer = "this program"
        self.note: Report = _tell_nobody
        self.push: Callable[[bytes], None] | None = None
        self.audience: Audience | None = None

    def end(self) -> None:
        """Forget what was left: an idle thread would keep a large reply."""
        self.reply, self.namespace = "", None


class CurrentRequest(threading.local):
    """Leads each thread to a record of its own.

    Attributes:
        record: The calling thread's.  An attribute of the record takes a fifth of the time that
            one of the thread takes.
    """

    def __init__(self) -> None:
        self.record = RequestRecord()


def per_request(name: str, doc: str) -> Any:
    """Return a property that keeps its value in the owner's ``_current_request``."""

    def get(owner: Any) -> Any:
        return getattr(owner._current_request.record, name)

    def put(owner: Any, value: Any) -> None:
        setattr(owner._current_request.record, name, value)

    return property(get, put, doc=doc)
