"""How does a person say how long something lasts?"""

from __future__ import annotations

_MINUTE, _HOUR, _DAY = 60, 3600, 86400  # s
_TENTHS_MATTER = 10  # s


def age(seconds: float) -> str:
    """Return a duration as a person says it: ``0.8 s``, ``12 s``, ``3 min 20 s``."""
    if seconds < _TENTHS_MATTER:
        return f"{seconds:.1f} s"
    whole = int(seconds)
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return f"{whole // _MINUTE} min {whole % _MINUTE} s"
    if whole < _DAY:
        return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE} min"
    return f"{whole // _DAY} d {whole % _DAY // _HOUR} h"
