"""How are a duration, a client's text and a wrong name told to a person?"""

from __future__ import annotations

import reprlib
from collections.abc import Iterable

_MINUTE, _HOUR, _DAY = 60, 3600, 86400  # s
_TENTHS_MATTER = 10  # s

_short = reprlib.Repr()
_short.maxstring = 200


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


def shown(text: str) -> str:
    """Return a client's text for logs: quoted, its control characters escaped, not too long."""
    return _short.repr(text)


def unknown(what: str, name: str, names: Iterable[str]) -> str:
    """Say that there is no such command, option or the like, and which were meant."""
    import difflib  # noqa: PLC0415  (most clients make no mistakes)

    names = list(dict.fromkeys(names))
    near = difflib.get_close_matches(name, names, n=3)
    hint = f"did you mean {' or '.join(near)}?" if near else f"choose from {', '.join(names)}"
    return f"there is no {what} {shown(name)}: {hint if names else 'there are none'}"


def text_of(error: BaseException) -> str:
    """Return the text of an exception, whose own code may do anything."""
    try:
        return str(error)
    except Exception as fault:  # noqa: BLE001
        return f"({type(fault).__name__} in its own text)"
