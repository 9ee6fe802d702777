"""Which value do so many of all values not exceed, and when are they enough to say so?"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from lab_utils_mt._load.tally import rank

# By the figure's name: which part of the latencies, and how many there must be: one beyond it.
_TOLD = {"p50_ms": (50.0, 1), "p99_ms": (99.0, 100), "p999_ms": (99.9, 1000)}


def percentile(values: Iterable[float], percent: float) -> float:
    """Return the value that this part of the values does not exceed, as the load engine counts.

    >>> percentile([3, 1, 2], 50), percentile(range(1, 1001), 99.9)
    (2, 999)

    Raises:
        IndexError: There are no values.
    """
    ordered = sorted(values)
    return ordered[rank(len(ordered), percent) - 1]


def told(count: int, seconds_at: Callable[[float], float]) -> dict[str, float]:
    """Return ``p50_ms``, ``p99_ms`` and ``p999_ms``, as far as the latencies are enough for them.

    >>> sorted(told(999, float))
    ['p50_ms', 'p99_ms']

    Args:
        count: How many latencies there are.
        seconds_at: Tells the latency that so many percent do not exceed.
    """
    return {
        name: 1e3 * seconds_at(percent)
        for name, (percent, least) in _TOLD.items()
        if count >= least
    }


def told_of(latencies: Iterable[float], prefix: str = "") -> dict[str, float]:
    """Return the same of latencies in seconds, each name with a prefix."""
    ordered = sorted(latencies)
    found = told(len(ordered), lambda percent: percentile(ordered, percent))
    return {prefix + name: value for name, value in found.items()}
