"""What did the clients see: how many replies, how late, what went wrong?

Latencies are kept as HdrHistogram does: in microseconds, from 1 us to 30 days, to three digits: a
plan may measure for a week, and wait for a connection and for a reply as long.
"""

from __future__ import annotations

import binascii
import math
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from hdrh.codec import HdrCookieException, HdrLengthException
from hdrh.histogram import HdrHistogram

from ..exceptions import LabUtilsError

_LEAST, _MOST, _DIGITS = 1, 30 * 86_400_000_000, 3
_HISTOGRAM_BITS = 11  # that HdrHistogram keeps of a latency to have so many digits
_MOST_COUNT = 2**63 - 1  # of what is read
_BITS = 7  # of a latency within a second: to 1.6 %
_MICROSECONDS = 1e6
_MOST_EXAMPLE = 300  # characters
_UNREADABLE = (
    HdrCookieException,
    HdrLengthException,
    zlib.error,
    binascii.Error,
    TypeError,
    ValueError,
    KeyError,
    AttributeError,
    IndexError,
    OverflowError,
)


def new_histogram() -> HdrHistogram:
    """Return an empty histogram, of the kind that all tallies have."""
    return HdrHistogram(_LEAST, _MOST, _DIGITS)


def rank(total: int, percent: float) -> int:
    """Return how many values, the smallest first, make up that part of ``total``."""
    return max(1, min(total, math.ceil(total * percent / 100 - 1e-9)))


def rounded(latency: int, bits: int = _HISTOGRAM_BITS) -> int:
    """Return the least latency with the same first bits, by default those of a histogram."""
    shift = latency.bit_length() - bits
    return latency >> shift << shift if shift > 0 else latency


@dataclass
class Second:
    """What was seen in one second of the measurement.

    Attributes:
        second: Its number, from 0; negative while the clients warm up.
        seconds: How long it was; the last one may be short.
        requests: Good replies.
        errors: Requests that failed.
        worst: The longest latency, in microseconds.
        counts: How often each latency, in microseconds, was seen; to 1.6 %.
    """

    second: int
    seconds: float = 1.0
    requests: int = 0
    errors: int = 0
    worst: int = 0
    counts: Counter[int] = field(default_factory=Counter)

    def add(self, latencies: Iterable[tuple[int, int]], worst: int) -> None:
        """Take latencies in microseconds, how often each was seen, and the longest."""
        self.worst = max(self.worst, worst)
        for latency, times in latencies:
            self.counts[rounded(latency, _BITS)] += times

    def merge(self, other: Second) -> None:
        """Take what another process saw in the same second."""
        self.seconds = max(self.seconds, other.seconds)
        self._take(other)

    def extend(self, other: Second) -> None:
        """Take the second that follows."""
        self.seconds += other.seconds
        self._take(other)

    def _take(self, other: Second) -> None:
        self.requests += other.requests
        self.errors += other.errors
        self.worst = max(self.worst, other.worst)
        self.counts.update(other.counts)

    def percentile(self, percent: float) -> float:
        """Return the latency in seconds that this part of the replies did not exceed; or 0."""
        wanted, seen = rank(self.counts.total(), percent), 0
        for latency, times in sorted(self.counts.items()):
            seen += times
            if seen >= wanted:
                step = 1 << max(0, latency.bit_length() - _BITS)
                return min(latency + step / 2, self.worst) / _MICROSECONDS
        return 0.0

    @property
    def p50(self) -> float:
        """The median latency in seconds."""
        return self.percentile(50)

    @property
    def p99(self) -> float:
        """The latency in seconds that 99 of 100 replies did not exceed."""
        return self.percentile(99)

    @property
    def max(self) -> float:
        """The longest latency in seconds."""
        return self.worst / _MICROSECONDS

    @property
    def requests_per_second(self) -> float:
        """Good replies per second."""
        return self.requests / self.seconds if self.seconds > 0 else 0.0

    def as_json(self) -> list[Any]:
        """Return what :meth:`from_json` reads."""
        head = [self.second, round(self.seconds, 6), self.requests, self.errors, self.worst]
        return [*head, [list(pair) for pair in sorted(self.counts.items())]]

    @classmethod
    def from_json(cls, values: Any) -> Second:
        """Return what :meth:`as_json` wrote; any error if it did not."""
        second, seconds, *numbers, counts = values
        requests, errors, worst = map(_whole, numbers)
        pairs = {_whole(latency): _whole(times) for latency, times in counts}
        number = -_whole(-second) if second < 0 else _whole(second)
        return cls(number, _finite(seconds), requests, errors, worst, Counter(pairs))


@dataclass
class Tally:
    """What was seen in a measurement.

    Attributes:
        histogram: The latencies of good replies, in microseconds.
        requests: How many good replies came. Those to requests from before the measurement have
            no latency; ``timed`` is how many have one.
        late: How many of them came after the measurement, to requests sent in it: they count as
            latencies, not in the rate.
        unsent: How many requests were scheduled in the measurement, and not sent, because their
            connections still waited for earlier replies.
        errors: How many requests failed, by kind.
        first_errors: One example of each kind.
        bytes_in: Bytes received.
        waited: Seconds within the measurement that clients waited for good replies, all together.
        seconds: How long the measurement was.
        cpu_seconds: The processor time that the load itself took.
        timeline: Second by second; if there are more than 3600 of them, some are taken together.
    """

    histogram: HdrHistogram = field(default_factory=new_histogram)
    requests: int = 0
    late: int = 0
    unsent: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    first_errors: dict[str, str] = field(default_factory=dict)
    bytes_in: int = 0
    waited: float = 0.0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    timeline: list[Second] = field(default_factory=list)

    def record(self, latency: int, times: int = 1) -> None:
        """Take good replies that came after ``latency`` microseconds."""
        self.histogram.record_value(min(max(latency, _LEAST), _MOST), times)
        self.requests += times

    def fail(self, kind: str, example: str) -> None:
        """Take a request that failed."""
        self.errors[kind] += 1
        self.first_errors.setdefault(kind, example[:_MOST_EXAMPLE])

    def merge(self, other: Tally) -> None:
        """Take what another process saw at the same time."""
        self.histogram.add(other.histogram)
        for name in ("requests", "late", "unsent", "bytes_in", "waited", "cpu_seconds"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.errors.update(other.errors)
        self.first_errors = other.first_errors | self.first_errors
        self.seconds = max(self.seconds, other.seconds)
        own = {second.second: second for second in self.timeline}
        for second in other.timeline:
            own.setdefault(second.second, Second(second.second, 0.0)).merge(second)
        self.timeline = [own[number] for number in sorted(own)]

    def percentile(self, percent: float) -> float:
        """Return the latency in seconds that this part of the good replies did not exceed; or 0."""
        return self.percentiles([percent])[percent]

    def percentiles(self, percents: Iterable[float]) -> dict[float, float]:
        """Return several of them at once, which is faster."""
        wanted = list(percents)
        if not self.timed:
            return dict.fromkeys(wanted, 0.0)
        found, most = {}, self.histogram.get_max_value()
        for percent, value in _values(self.histogram, wanted).items():
            found[percent] = min(value, most) / _MICROSECONDS
        return found

    def distribution(self) -> list[tuple[float, int]]:
        """Return each latency that was seen, in seconds, and how often; the shortest first."""
        return [(us / _MICROSECONDS, times) for us, times in _distribution(self.histogram)]

    @property
    def timed(self) -> int:
        """How many good replies have a latency."""
        return int(self.histogram.get_total_count())

    @property
    def least(self) -> float:
        """The shortest latency in seconds; 0 if there is none."""
        return float(self.histogram.get_min_value()) / _MICROSECONDS if self.timed else 0.0

    @property
    def most(self) -> float:
        """The longest latency in seconds; 0 if there is none."""
        return float(self.histogram.get_max_value()) / _MICROSECONDS if self.timed else 0.0

    @property
    def requests_per_second(self) -> float:
        """Good replies per second of the measurement."""
        return (self.requests - self.late) / self.seconds if self.seconds > 0 else 0.0

    @property
    def failed(self) -> int:
        """How many requests failed."""
        return self.errors.total()

    def to_json(self) -> dict[str, Any]:
        """Return what :meth:`from_json` reads."""
        return {
            "histogram": self.histogram.encode().decode("ascii"),
            "requests": self.requests,
            "late": self.late,
            "unsent": self.unsent,
            "errors": dict(self.errors),
            "first_errors": self.first_errors,
            "bytes_in": self.bytes_in,
            "waited": self.waited,
            "seconds": self.seconds,
            "cpu_seconds": self.cpu_seconds,
            "timeline": [second.as_json() for second in self.timeline],
        }

    @classmethod
    def from_json(cls, values: Any) -> Tally:
        """Return the tally that :meth:`to_json` wrote.

        Raises:
            LabUtilsError: It is none.
        """
        try:
            tally = cls()
            tally.histogram.decode_and_add(values["histogram"])
            for name in ("requests", "late", "unsent", "bytes_in"):
                setattr(tally, name, _whole(values[name]))
            for name in ("waited", "seconds", "cpu_seconds"):
                setattr(tally, name, _finite(values[name]))
            tally.errors.update({str(kind): _whole(n) for kind, n in values["errors"].items()})
            tally.first_errors = {str(k): str(text) for k, text in values["first_errors"].items()}
            tally.timeline = [Second.from_json(second) for second in values["timeline"]]
            _require_sense(tally)
        except _UNREADABLE as error:
            raise LabUtilsError(f"this is no tally of a load: {error!r}") from error
        return tally


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MOST_COUNT:
        raise ValueError(f"{str(value)[:_MOST_EXAMPLE]!r} is no number from 0 to {_MOST_COUNT}")
    return value


def _finite(value: Any) -> float:
    number = float(value)
    if not (math.isfinite(number) and number >= 0):
        raise ValueError(f"{number} is no number of seconds")
    return number


def _require_sense(tally: Tally) -> None:
    """Make sure that no figure contradicts another."""
    if not max(tally.timed, tally.late) <= tally.requests:
        text = f"{tally.requests} requests, but {tally.timed} latencies, {tally.late} of them late"
        raise ValueError(text)
    if any(second.second < 0 for second in tally.timeline):
        raise ValueError("its time line begins before the measurement")


def _values(histogram: HdrHistogram, percents: Iterable[float]) -> dict[float, int]:
    """Return the recorded value at each percentile, to three digits."""
    total, seen, found = histogram.get_total_count(), 0, {}
    wanted = sorted(set(percents), reverse=True)
    for value, times in _distribution(histogram):
        seen += times
        while wanted and seen >= rank(total, wanted[-1]):
            found[wanted.pop()] = int(histogram.get_highest_equivalent_value(value))
    return found


def _distribution(histogram: HdrHistogram) -> Iterator[tuple[int, int]]:
    for index, times in enumerate(histogram.counts[: histogram.counts_len]):
        if times:
            yield histogram.get_value_from_index(index), times
