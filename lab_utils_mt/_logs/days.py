"""On which local day is a moment, and when is it over?

Days have 23, 24 or 25 hours; somewhere, midnight comes twice or never, or the date goes back for
an hour. So nothing is reckoned here: the system is asked.
"""

from __future__ import annotations

import dataclasses
import math
import time

# Clocks are put forward and back at full quarters of an hour. They may be so by a quarter, too.
_QUARTER = 900  # s
_LAST_YEAR = 9999


@dataclasses.dataclass(frozen=True)
class Day:
    """A time without a change of the local date."""

    name: str  #: The date, as in ``2026-03-29``.
    begin: int  #: Its first second, since the epoch.
    end: int  #: The first second that is not in it any more.

    def holds(self, moment: float) -> bool:
        """Tell whether a moment, in seconds since the epoch, is in it."""
        return self.begin <= moment < self.end


def day_of(moment: float) -> Day:
    """Return the local day of a moment; takes up to some 0.2 ms.

    Args:
        moment: In seconds since the epoch.

    Raises:
        ValueError: It is before 1970 or after 9999, or is no number.
        OverflowError: It is infinite, or far beyond all calendars.
        OSError: The system does not know that time.
    """
    second = math.floor(moment)
    name = _name(second)
    return Day(name, _last_before(second, name) + 1, _first_after(second, name))


def _name(second: int) -> str:
    if second < 0:
        raise ValueError("before 1970")
    found = time.localtime(second)
    if found.tm_year > _LAST_YEAR:
        raise ValueError("after 9999")
    return f"{found.tm_year:04}-{found.tm_mon:02}-{found.tm_mday:02}"


def _first_after(inside: int, name: str) -> int:
    outside = inside // _QUARTER * _QUARTER + _QUARTER
    while _name(outside) == name:
        inside, outside = outside, outside + _QUARTER
    return _edge(inside, outside, name)


def _last_before(inside: int, name: str) -> int:
    outside = inside // _QUARTER * _QUARTER - 1
    while outside >= 0 and _name(outside) == name:
        inside, outside = outside, outside - _QUARTER
    return -1 if outside < 0 else _edge(inside, outside, name)


def _edge(inside: int, outside: int, name: str) -> int:
    while abs(outside - inside) > 1:
        middle = (inside + outside) // 2
        if _name(middle) == name:
            inside = middle
        else:
            outside = middle
    return outside
