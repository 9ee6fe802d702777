"""Which words and values are plainly right?

Most arguments are. Then a comparison or two will do, where the whole check takes some microseconds.
What is not plainly right is left to the whole check, which has the last word: here nothing is
refused for good, and nothing taken that it would refuse or change.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import msgspec

_INTEGER = re.compile(r"-?[0-9]{1,18}", re.ASCII).fullmatch
_NUMBER = re.compile(r"-?[0-9]{1,18}(?:\.[0-9]{1,18})?", re.ASCII).fullmatch

Quick = Callable[[Any], Any]


class Unsure(Exception):
    """The whole check must decide."""


def quick_word(kind: Any, metas: list[Any]) -> Quick | None:
    """Return what reads a plain word of this type, or raises :class:`Unsure`."""
    if kind is str and not metas:
        return _text_word
    if kind not in (int, float) or not _only_bounds(metas):
        return None
    match, make = (_INTEGER, int) if kind is int else (_NUMBER, float)
    low, high = _range(metas)

    def read(word: str) -> Any:
        if match(word) and low <= (value := make(word)) <= high:
            return value
        raise Unsure

    return read


def quick_value(kind: Any, metas: list[Any]) -> Quick | None:
    """Return what takes a plain value of this type from JSON, or raises :class:`Unsure`."""
    if kind in (str, bool) and not metas:

        def same(value: Any) -> Any:
            if type(value) is kind:
                return value
            raise Unsure

        return same
    if kind not in (int, float) or not _only_bounds(metas):
        return None
    low, high = _range(metas)

    def take(value: Any) -> Any:
        if type(value) is kind and low <= value <= high:
            return value
        raise Unsure

    return take


def _text_word(word: str) -> str:
    if word[:1] == "-":  # an option?
        raise Unsure
    return word


def _only_bounds(metas: list[Any]) -> bool:
    """Tell whether a closed range and a unit are all that is said."""
    open_ends = ("gt", "lt", "multiple_of")
    return all(
        isinstance(meta, msgspec.Meta) and all(getattr(meta, name) is None for name in open_ends)
        for meta in metas
    )


def _range(metas: list[Any]) -> tuple[float, float]:
    low = max((meta.ge for meta in metas if meta.ge is not None), default=-math.inf)
    high = min((meta.le for meta in metas if meta.le is not None), default=math.inf)
    return low, high
