"""Which value do so many of all values not exceed?"""

from __future__ import annotations

from collections.abc import Iterable

from lab_utils_mt._load.tally import rank


def percentile(values: Iterable[float], percent: float) -> float:
    """Return the value that this part of the values does not exceed, as the load engine counts.

    >>> percentile([3, 1, 2], 50), percentile(range(1, 1001), 99.9)
    (2, 999)

    Raises:
        IndexError: There are no values.
    """
    ordered = sorted(values)
    return ordered[rank(len(ordered), percent) - 1]
