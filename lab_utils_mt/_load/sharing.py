"""What do the clients of one process share?"""

from __future__ import annotations

import errno
import heapq
import os
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from .ledger import NANOSECONDS, Ledger
from .plan import Plan
from .poller import Poller
from .verdict import Judge

if TYPE_CHECKING:
    from .link import Link


_PENDING = {0, errno.EINPROGRESS, errno.EWOULDBLOCK, errno.EAGAIN, 10035}  # 10035: on Windows


class Address(NamedTuple):
    """Where the connections go."""

    family: int
    place: Any

    def approach(self, sock: socket.socket) -> None:
        """Begin to connect a socket that does not block.

        Raises:
            OSError: It has failed already.
        """
        code = sock.connect_ex(self.place)
        if code not in _PENDING:
            raise OSError(code, os.strerror(code))


class Load:
    """What the clients of a process share.

    Attributes:
        handlers: Whom to call when a socket is ready.
        waiting: The clients that have something to do later: when, number, client.
        is_closing: Whether nothing more is to be sent.
        at_work: How many clients wait for a connection or a reply.
        begin: When the measurement begins: see time.perf_counter_ns().
        end: When nothing more is due.
    """

    def __init__(self, plan: Plan, address: Address, poller: Poller, ledger: Ledger) -> None:
        self.plan, self.address, self.poller, self.ledger = plan, address, poller, ledger
        self.judge = Judge(plan)
        self.request = plan.request if plan.terminated else plan.request.rstrip(b"\r\n")
        self.interval = round((plan.interval or 0) * NANOSECONDS)
        self.timeout = round(plan.timeout * NANOSECONDS)
        self.handlers: dict[int, Callable[[], object]] = {}
        self.waiting: list[tuple[int, int, Link]] = []
        self.is_closing = False
        self.at_work = 0
        self.begin = self.end = 0

    def due(self, first: int, end: int) -> int:
        """Return how many requests of a schedule that begins at ``first`` are due by ``end``."""
        return max(0, -((first - end) // self.interval)) if self.interval else 0

    def later(self, when: int, link: Link) -> None:
        """Let a client go on at that time."""
        heapq.heappush(self.waiting, (when, link.number, link))
