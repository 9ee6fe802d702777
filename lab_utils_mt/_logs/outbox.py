"""What waits for a sink, and what became of the rest?

::

    put() --> [ordinary | urgent] --> take() --> in flight --> sent
                 |         ^                         |  |
                 |         +----- put_back() --------+  +--> dropped (refused)
                 +--> dropped (full, closed)

``raised == sent + queued + dropped`` at any moment, ``queued`` being what waits or is in flight.
"""

from __future__ import annotations

import dataclasses
import logging
import threading
import time
from collections import deque

_NAP = 0.01  # s between batches while records flow: those who log need not wake anybody
_LONGEST_WAIT = 3600.0  # s; then the clock is looked at again, as systems have limits of their own
URGENT = logging.ERROR


@dataclasses.dataclass(frozen=True)
class Counts:
    """What became of the records that a sink was given."""

    raised: int  #: All that reached the sink's level and filters.
    sent: int  #: Delivered, and confirmed as far as the other end confirms anything.
    queued: int  #: Waiting, or on their way.
    dropped: int  #: Given up: no place was left, refused by the other end, or left at the end.

    def __str__(self) -> str:
        return (
            f"{self.raised} raised = {self.sent} sent + {self.queued} queued"
            f" + {self.dropped} dropped"
        )


class Outbox:
    """A bounded queue between threads that log and the one thread that delivers.

    If it is full, the oldest record below ERROR makes room, or the oldest of all.

    Args:
        capacity: Most records that wait, besides those that are being delivered.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.forget_parent()

    def forget_parent(self) -> None:
        """Start anew, as a forked child must: what waited is delivered by its parent."""
        # Guards everything below. Reentrant: a finalizer or a signal handler may log while its
        # thread is in here.
        self._changed = threading.Condition(threading.RLock())
        self._ordinary: deque[tuple[int, logging.LogRecord]] = deque()
        self._urgent: deque[tuple[int, logging.LogRecord]] = deque()
        self._in_flight: list[tuple[int, logging.LogRecord]] = []
        self._dropped_in_flight = 0
        self._raised = self._sent = self._dropped = 0
        self._asleep = False
        self._overflowing = False
        self._has_worker = False
        self._closed = False
        self._hurried = False
        self._settled = threading.Event()

    # --- those who log ---------------------------------------------------------------------

    def put(self, record: logging.LogRecord) -> bool:
        """Take a record; True if this begins an overflow, in which records are dropped."""
        with self._changed:
            lane = self._lane(record)
            self._raised += 1
            if self._closed:
                self._dropped += 1
                return False
            was_overflowing = self._overflowing
            lane.append((self._raised, record))
            self._make_room()
            if self._asleep:
                self._asleep = False
                self._changed.notify()
            return self._overflowing and not was_overflowing

    def _lane(self, record: logging.LogRecord) -> deque[tuple[int, logging.LogRecord]]:
        return self._urgent if record.levelno >= URGENT else self._ordinary

    def _make_room(self) -> None:
        while len(self._ordinary) + len(self._urgent) > self.capacity:
            (self._ordinary or self._urgent).popleft()
            self._dropped += 1
            self._overflowing = True

    def claim_worker(self) -> bool:
        """Tell whether the caller is the one to start the thread that delivers."""
        with self._changed:
            claimed = self._has_worker or self._closed
            self._has_worker = True
            return not claimed

    def release_worker(self) -> None:
        """Note that there is no thread that delivers."""
        with self._changed:
            self._has_worker = False

    # --- the one who delivers --------------------------------------------------------------

    def await_records(self, batch: int, patience: float | None = None) -> bool | None:
        """Wait until there is something to deliver; False once that will never be.

        Args:
            batch: How many records are worth going at once.
            patience: Seconds after which None is returned if there is nothing; None: for ever.
        """
        with self._changed:
            if not self._hurried and self._waiting() < batch:
                self._changed.wait(_NAP)
            while not self._waiting():
                self._settled.set()
                self._hurried = self._closed
                if self._closed:
                    return False
                self._asleep = True
                if not self._changed.wait(patience):
                    self._asleep = False
                    return None
            return True

    def pause(self, seconds: float) -> None:
        """Wait, but not if somebody is in a hurry."""
        end = time.monotonic() + seconds
        with self._changed:
            while not self._hurried and (left := end - time.monotonic()) > 0:
                self._changed.wait(min(left, _LONGEST_WAIT))

    def take(self, most: int) -> list[logging.LogRecord]:
        """Return the oldest records, in order; they count as queued until they are ticked off."""
        with self._changed:
            while len(self._in_flight) < most and (lane := self._next_lane()):
                self._in_flight.append(lane.popleft())
            return [record for _, record in self._in_flight]

    def _next_lane(self) -> deque[tuple[int, logging.LogRecord]]:
        if self._urgent and (not self._ordinary or self._urgent[0][0] < self._ordinary[0][0]):
            return self._urgent
        return self._ordinary

    def tick_off(self, count: int, *, sent: bool) -> bool:
        """Count the first records in flight as sent, or as dropped; True if an overflow ends."""
        with self._changed:
            if not self._in_flight:  # all was dropped meanwhile, too early
                late = min(count, self._dropped_in_flight) if sent else 0
                self._dropped_in_flight -= late
                self._dropped -= late
                self._sent += late
                return False
            del self._in_flight[:count]
            if sent:
                self._sent += count
            else:
                self._dropped += count
            ended = self._overflowing and not self._waiting()
            self._overflowing = self._overflowing and not ended
            return ended

    def put_back(self) -> bool:
        """Let what was taken and not ticked off wait again; True if an overflow begins."""
        with self._changed:
            was_overflowing = self._overflowing
            for number, record in reversed(self._in_flight):
                self._lane(record).appendleft((number, record))
            self._in_flight.clear()
            self._make_room()
            return self._overflowing and not was_overflowing

    def give_up_hurry(self) -> None:
        """Tell those who wait that nothing more will go out for now."""
        with self._changed:
            self._hurried = self._closed
            self._settled.set()

    def drop_all(self) -> int:
        """Count everything that waits as dropped; return how many that were."""
        with self._changed:
            count = self._waiting()
            self._dropped_in_flight = len(self._in_flight)
            self._ordinary.clear()
            self._urgent.clear()
            self._in_flight.clear()
            self._dropped += count
            self._settled.set()
            return count

    def _waiting(self) -> int:
        return len(self._ordinary) + len(self._urgent) + len(self._in_flight)

    # --- anybody ---------------------------------------------------------------------------

    @property
    def counts(self) -> Counts:
        """The numbers of this moment."""
        with self._changed:
            return Counts(self._raised, self._sent, self._waiting(), self._dropped)

    @property
    def overflowing(self) -> bool:
        """Whether records were dropped since nothing was waiting the last time."""
        return self._overflowing

    @property
    def closed(self) -> bool:
        """Whether no record is taken any more."""
        return self._closed

    def hurry(self) -> None:
        """Ask for everything to be delivered now; :meth:`await_settled` waits for it."""
        with self._changed:
            if self._waiting():
                self._hurried = True
                self._settled.clear()
                self._asleep = False
                self._changed.notify_all()
            else:
                self._settled.set()

    def await_settled(self, timeout: float) -> bool:
        """Wait until everything is delivered or another attempt failed; True if so in time."""
        return self._settled.wait(max(0.0, timeout))

    def close(self) -> None:
        """Take no more records; what waits is delivered without pauses."""
        with self._changed:
            self._closed = self._hurried = True
            self._asleep = False
            self._changed.notify_all()
