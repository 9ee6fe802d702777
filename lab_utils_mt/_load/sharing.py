"""What do the clients of one process share?"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from .ledger import NANOSECONDS, Ledger
from .plan import Plan
from .poller import Poller
from .verdict import Judge

if TYPE_CHECKING:
    from .link import Link


class Address(NamedTuple):
    """Where the connections go."""

    family: int
    place: Any


class Load:
    """What the clients of a process share.

    Attributes:
        handlers: Whom to call when a socket is ready.
        waiting: The clients that have something to do later: when, number, client.
        is_closing: Whether nothing more is to be sent.
        at_work: How many clients wait for a connection or a reply.
        unsent: How many scheduled requests were never sent.
    """

    def __init__(self, plan: Plan, address: Address, poller: Poller, ledger: Ledger) -> None:
        self.plan, self.address, self.poller, self.ledger = plan, address, poller, ledger
        self.judge = Judge(plan)
        self.request = plan.request if plan.terminated else plan.request.rstrip(b"\r\n")
        self.interval = round((plan.interval or 0) * NANOSECONDS)
        self.timeout = round(plan.timeout * NANOSECONDS)
        self.handlers: dict[int, Callable[[], None]] = {}
        self.waiting: list[tuple[int, int, Link]] = []
        self.is_closing = False
        self.at_work = self.unsent = 0
        self.end = 0

    def later(self, when: int, link: Link) -> None:
        """Let a client go on at that time."""
        heapq.heappush(self.waiting, (when, link.number, link))
