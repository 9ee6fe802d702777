"""How does one thread of one process put its share of a load on a server?

The time of a step is time.perf_counter_ns(). Nothing blocks but the wait for sockets, which ends
when the next client has something to do.
"""

from __future__ import annotations

import heapq
import socket
import threading
import time
from collections.abc import Callable

from ..exceptions import LabUtilsError
from .files import require_files
from .ledger import NANOSECONDS, Ledger
from .link import Link
from .plan import Plan
from .poller import make_poller
from .sharing import Address, Load
from .tally import Second, Tally

_LOOK = NANOSECONDS // 10  # how often is looked for replies that take too long, and for the stop
_PATIENCE = NANOSECONDS  # for what was sent, if the load is ended early


def drive(
    plan: Plan,
    on_second: Callable[[Second], None] | None = None,
    stop: threading.Event | None = None,
    *,
    process: int | None = None,
) -> Tally:
    """Put a load on a server and return what was seen.

    Args:
        plan: The load; its number of processes counts only for ``process``.
        on_second: Called with each second that is over, also while the clients warm up.
        stop: Ends the load early once it is set; what was sent is waited for, but only for 1 s.
        process: Which share of the clients is meant, of as many as there are processes; None: all.

    Raises:
        LabUtilsError: The host has no address, or there are too many clients for one process.
    """
    address = find(plan)
    numbers = plan.numbers(process)
    require_files(len(numbers))
    return _Driver(plan, address, numbers, on_second, stop or threading.Event()).run()


def find(plan: Plan) -> Address:
    """Return the server's address; of several, the first that takes a connection.

    Raises:
        LabUtilsError: The host has no address.
    """
    try:
        found = socket.getaddrinfo(plan.host, plan.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or error
        raise LabUtilsError(f"the host {plan.host!r} has no address: {why}") from error
    addresses = [Address(int(family), place) for family, _, _, _, place in found]
    if len(addresses) == 1:
        return addresses[0]
    return next((one for one in addresses if _takes_connections(one, plan)), addresses[0])


def _takes_connections(address: Address, plan: Plan) -> bool:
    with socket.socket(address.family, socket.SOCK_STREAM) as probe:
        probe.settimeout(plan.timeout)
        try:
            probe.connect(address.place)
        except OSError:
            return False
    return True


class _Driver:
    """The loop over all that happens."""

    def __init__(
        self,
        plan: Plan,
        address: Address,
        numbers: range,
        on_second: Callable[[Second], None] | None,
        stop: threading.Event,
    ) -> None:
        self._stop = stop
        self._poller = make_poller()
        start = time.perf_counter_ns()
        begin = start + round(plan.warm_up * NANOSECONDS)
        self._end = begin + round(plan.seconds * NANOSECONDS)
        self._ledger = Ledger(begin, self._end, on_second)
        self._load = Load(plan, address, self._poller, self._ledger)
        self._load.begin, self._load.end = begin, self._end
        self._links = [self._link(number, start) for number in numbers]
        self._next_look = start

    def _link(self, number: int, start: int) -> Link:
        """Make a client that comes when the plan says so."""
        plan, load = self._load.plan, self._load
        comes = start + round(plan.comes_after(number) * NANOSECONDS)
        # The schedules of the clients are evenly shifted against each other.
        first = comes + load.interval * number // plan.clients
        link = Link(load, number, first)
        load.later(first if plan.reconnect else comes, link)
        return link

    def run(self) -> Tally:
        """Do it all."""
        try:
            self._measure()
            self._drain()
            for link in self._links:
                link.give_up()
            unsent = sum(link.missed for link in self._links)
        finally:
            for link in self._links:
                link.close()
            self._poller.close()
        return self._ledger.close(unsent)

    def _measure(self) -> None:
        while (now := time.perf_counter_ns()) < self._end:
            if now >= self._next_look and self._look(now):
                self._load.end = now
                self._ledger.stop(now)
                return
            self._wake(now)
            if now >= self._ledger.next_second:
                self._ledger.end_second(now)
            self._step(self._next_time(now) - now)
        self._wake(self._end - 1)  # what is due at the very end is due
        self._ledger.end_second(now)

    def _drain(self) -> None:
        """Wait for the replies to what was sent."""
        load = self._load
        load.is_closing = True
        load.waiting.clear()
        for link in self._links:
            if not link.is_busy:
                link.close()
        patience = time.perf_counter_ns() + _PATIENCE
        while load.at_work and not (self._stop.is_set() and time.perf_counter_ns() > patience):
            self._step(_LOOK)
            self._look(time.perf_counter_ns())

    def _look(self, now: int) -> bool:
        """Look for what takes too long; return whether all shall end."""
        self._next_look = now + _LOOK
        for link in self._links:
            link.check(now)
        return self._stop.is_set()

    def _wake(self, now: int) -> None:
        waiting = self._load.waiting
        while waiting and waiting[0][0] <= now:
            heapq.heappop(waiting)[2].wake()

    def _next_time(self, now: int) -> int:
        times = [self._next_look, self._ledger.next_second]
        if self._load.waiting:
            times.append(self._load.waiting[0][0])
        return max(now, min(times))

    def _step(self, nanoseconds: int) -> None:
        """Let those clients go on for whom something has come, or wait until it does."""
        handlers = self._load.handlers
        for handle, _ in self._poller.wait(nanoseconds / NANOSECONDS):
            handler = handlers.get(handle)
            if handler is not None:
                handler()
        self._ledger.fold_many()
