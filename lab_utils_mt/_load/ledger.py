"""What has happened so far, and in this second? Written while thousands of replies a second come.

A reply costs one ``append``; the rest is done for many of them at once.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable

from .tally import Second, Tally, rounded

NANOSECONDS = 1_000_000_000
_MANY = 1000  # taken together, they keep the next replies waiting for less than 0.1 ms
_MOST_STEPS = 3600  # of the time line


class Ledger:
    """What one process saw.

    Args:
        begin: When the measurement begins: see time.perf_counter_ns().
        end: When it ends.
        on_second: Called with each second that is over, also while the clients warm up.

    Attributes:
        latencies: Those of good replies, in nanoseconds; whoever gets a reply to a request that
            began in the measurement, and during it, appends.
        bytes_in: Bytes received.
        next_second: When the running second ends.
    """

    def __init__(self, begin: int, end: int, on_second: Callable[[Second], None] | None) -> None:
        self.latencies: list[int] = []
        self.bytes_in = 0
        self._begin, self._end, self._on_second = begin, end, on_second
        self._counts: Counter[int] = Counter()
        self._in_second: Counter[int] = Counter()
        self._step = max(1, math.ceil((end - begin) / NANOSECONDS / _MOST_STEPS))
        self._tally = Tally()
        self._bytes_before, self._cpu_before = 0, time.process_time()
        self._late: list[int] = []
        self._is_over = False
        self._second_began = now = time.perf_counter_ns()
        self._second = Second(-(-(now - begin) // NANOSECONDS) - 1 if now < begin else 0)
        self.next_second = self._end_of_second()

    def take_odd(self, began: int, now: int) -> None:
        """Take a good reply to a request from before the measurement, or one that came after it.

        It counts for as long as was waited within the measurement. Only a request that began
        within it has a latency: the wait of others belongs to what came before.
        """
        if self._second.second < 0 and not self._is_over:
            self.latencies.append(now - began)
            return
        within = (self._end if self._is_over else now) - max(began, self._begin)
        self._tally.waited += max(0, within) / NANOSECONDS
        if began >= self._begin:
            self._late.append(now - began)
            return
        self._tally.requests += 1
        if self._is_over:
            self._tally.late += 1
        else:
            self._second.requests += 1

    def fail(self, kind: str, example: str) -> None:
        """Take a request that failed."""
        self._tally.fail(kind, example)
        self._second.errors += 1

    def fold_many(self) -> None:
        """Take the latencies in, if there are many."""
        if len(self.latencies) >= _MANY:
            self._fold()

    def _fold(self) -> None:
        self._in_second.update([latency // 1000 for latency in self.latencies])
        self._second.requests += len(self.latencies)
        self._tally.waited += sum(self.latencies) / NANOSECONDS
        self.latencies.clear()

    def end_second(self, now: int) -> None:
        """Take in what the running second had, and begin the next one, or the end."""
        if self._is_over:
            return
        second = self._close_second(now)
        self._second_began = now
        if second.second >= 0:
            self._keep(second)
        elif now >= self._begin:
            self._forget_warm_up()
        if now >= self._end:
            self._finish(now)
        else:
            self._second = Second(second.second + 1 if now < self._begin else self._number(now))
            self.next_second = self._end_of_second()
        if self._on_second is not None:
            self._on_second(second)

    def _number(self, now: int) -> int:
        return (now - self._begin) // NANOSECONDS

    def _end_of_second(self) -> int:
        whole = self._begin + (self._second.second + 1) * NANOSECONDS
        return min(whole, self._end)

    def _close_second(self, now: int) -> Second:
        self._fold()
        second = self._second
        second.seconds = (now - self._second_began) / NANOSECONDS
        self._count(self._in_second)
        self._in_second.clear()
        return second

    def _count(self, latencies: Counter[int]) -> None:
        kept: Counter[int] = Counter()  # all would be too many: an overloaded server has ever new
        for latency, times in latencies.items():
            kept[rounded(latency)] += times
        self._counts.update(kept)
        self._second.add(kept.items(), max(latencies, default=0))

    def _keep(self, second: Second) -> None:
        """Put a second on the time line, which must not grow for ever."""
        number = second.second // self._step * self._step
        timeline = self._tally.timeline
        if not timeline or timeline[-1].second != number:
            timeline.append(Second(number, 0.0))
        timeline[-1].extend(second)

    def _forget_warm_up(self) -> None:
        self._counts.clear()
        self._tally = Tally()
        self._begin = self._second_began
        self._bytes_before, self._cpu_before = self.bytes_in, time.process_time()

    def _finish(self, now: int) -> None:
        self._is_over, self._end = True, now
        if self._tally.timeline:
            self._second = self._tally.timeline[-1]  # where failures that come late belong
        self._tally.seconds = (now - self._begin) / NANOSECONDS
        self._tally.cpu_seconds = time.process_time() - self._cpu_before

    def stop(self, now: int) -> None:
        """End the measurement early."""
        self._begin, self._end = min(self._begin, now), min(self._end, now)
        self.end_second(now)

    def close(self, unsent: int) -> Tally:
        """Return the whole measurement, which is over.

        Args:
            unsent: How many scheduled requests were never sent.
        """
        self._take_late()
        tally = self._tally
        for latency, times in self._counts.items():
            tally.record(latency, times)
        tally.unsent, tally.bytes_in = unsent, self.bytes_in - self._bytes_before
        return tally

    def _take_late(self) -> None:
        late = Counter([latency // 1000 for latency in self._late])
        self._tally.late += len(self._late)
        self._count(late)
