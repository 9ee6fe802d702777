"""What may a parameter of a command be, and how is that said to a person?

A value comes as a word of a text command, or from JSON. Both are checked by the same type and
refused with the same text.
"""

from __future__ import annotations

import dataclasses
import datetime
import enum
import math
import re
import types
from collections.abc import Callable
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec

from .quick import Quick, quick_value, quick_word
from .results import schema_of
from .telling import shown

_INTEGER = re.compile(r"[+-]?[0-9]+", re.ASCII)
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?", re.ASCII | re.IGNORECASE)
_NOT_FINITE = re.compile(r"nan|[+-]?inf", re.IGNORECASE)
_TRUTH = {
    **dict.fromkeys(("true", "yes", "on", "1"), True),
    **dict.fromkeys(("false", "no", "off", "0"), False),
}
_UNIT_KEY = "x-unit"
_LONGEST = 200  # characters of a value in an error


def Unit(name: str) -> msgspec.Meta:  # noqa: N802  (it reads like Meta, which it makes)
    """Say the unit of a number: ``Annotated[float, Unit("K")]``.

    Args:
        name: As people write it, such as ``K`` or ``mm/s``.
    """
    return msgspec.Meta(extra_json_schema={_UNIT_KEY: name})


@dataclasses.dataclass(frozen=True)
class Kind:
    """What values a parameter takes.

    Attributes:
        type: The type, with what is said about it by ``Annotated``.
        expectation: What is expected, for people: ``a number from 0 to 300 K``.
        from_word: Returns a word's value; raises ``ValueError`` if it has none.
        finite: Whether NaN and infinity are refused.
        nullable: Whether None is a value.
        item: What a list holds; None for what is no list.
        is_truth: Whether it is a plain ``bool``.
        quick_word: Reads a plain word; None if there is no quick way.
        quick_value: Takes a plain value from JSON.
    """

    type: Any
    expectation: str
    from_word: Callable[[str], Any]
    finite: bool = False
    nullable: bool = False
    item: Kind | None = None
    is_truth: bool = False
    quick_word: Quick | None = None
    quick_value: Quick | None = None

    def check(self, value: Any) -> Any:
        """Return a value from JSON, or one that a word said, as the handler gets it.

        Raises:
            ValueError: It is not of this kind; says which and what is expected.
        """
        try:
            checked = msgspec.convert(value, self.type)
        except (msgspec.ValidationError, OverflowError, UnicodeEncodeError):
            self._check_items(value)
            raise ValueError(f"{_told(value)} is not {self.expectation}") from None
        if self.finite and isinstance(checked, float) and not math.isfinite(checked):
            raise ValueError(f"{_told(value)} is not {self.expectation}")
        if self.item is not None and self.item.finite and checked is not None:
            checked = [self.item.check(one) for one in checked]
        return checked

    def parse(self, word: str | list[str]) -> Any:
        """Return what a word says, or several for a list.

        Raises:
            ValueError: It is not of this kind; says which and what is expected.
        """
        if isinstance(word, list):
            item = self.item or self
            for one in word:
                item.parse(one)  # says which one is wrong
            return self.check([item.from_word(one) for one in word])
        try:
            value = self.from_word(word)
        except ValueError:
            raise ValueError(f"{_told(word)} is not {self.expectation}") from None
        try:
            return self.check(value)
        except ValueError:
            told = _cut(word) if isinstance(value, int | float) else _told(value)
            raise ValueError(f"{told} is not {self.expectation}") from None

    def _check_items(self, value: Any) -> None:
        """Refuse the first item that is none: the same is said of a word."""
        if self.item is not None and isinstance(value, list):
            for one in value:
                self.item.check(one)


def kind_of(annotation: Any) -> Kind:
    """Return the kind of a parameter that is annotated so.

    Raises:
        TypeError: There is none; says why.
    """
    inner, metas = _unwrapped(annotation)
    if get_origin(inner) in (Union, types.UnionType):
        return _optional(inner, metas)
    if get_origin(inner) is list:
        return _list(annotation, inner, metas)
    word, from_word = _leaf(inner)
    schema_of(annotation)  # refuses what Annotated says of a type that it does not fit
    numeric = inner in (int, float)
    bounds = _bounds(metas)
    text = f"{word}{bounds}" if numeric else f"{word}{_lengths(metas)}"
    unit = unit_of(metas)
    return Kind(
        annotation,
        f"{text} {unit}" if unit else text,
        from_word,
        finite=inner is float and bool(bounds),
        is_truth=inner is bool,
        quick_word=quick_word(inner, metas),
        quick_value=quick_value(inner, metas),
    )


def unit_of(metas: list[Any]) -> str | None:
    """Return the unit among what ``Annotated`` says."""
    for meta in metas:
        schema = meta.extra_json_schema if isinstance(meta, msgspec.Meta) else None
        if schema and _UNIT_KEY in schema:
            return str(schema[_UNIT_KEY])
    return None


def _unwrapped(annotation: Any) -> tuple[Any, list[Any]]:
    if get_origin(annotation) is Annotated:
        inner, *metas = get_args(annotation)
        return inner, metas
    return annotation, []


def _optional(union: Any, metas: list[Any]) -> Kind:
    members = [one for one in get_args(union) if one is not types.NoneType]
    if len(members) != 1 or len(members) == len(get_args(union)):
        raise TypeError(f"{_name(union)} is no type of a parameter: one type, or one and None")
    member = Annotated[(members[0], *metas)] if metas else members[0]
    kind = kind_of(member)

    def from_word(word: str) -> Any:
        try:
            return kind.from_word(word)
        except ValueError:
            if word.lower() != "none":
                raise
            return None

    return dataclasses.replace(
        kind,
        type=Union[member, None],  # noqa: UP007  (member | None fails for Annotated on 3.10)
        expectation=f"{kind.expectation}, or none",
        from_word=from_word,
        nullable=True,
        is_truth=False,
    )


def _list(annotation: Any, inner: Any, metas: list[Any]) -> Kind:
    item = kind_of(get_args(inner)[0])
    if item.item is not None or item.nullable:
        raise TypeError(f"{_name(inner)} is no type of a parameter: a list holds single values")
    schema_of(annotation)
    expectation = f"a list of items, each {item.expectation}{_lengths(metas, 'items')}"
    return Kind(annotation, expectation, lambda word: [item.parse(word)], item=item)


def _leaf(inner: Any) -> tuple[str, Callable[[str], Any]]:
    if get_origin(inner) is Literal:
        values = {str(value): value for value in get_args(inner)}
        return f"one of {', '.join(values)}", _chooser(values)
    if isinstance(inner, type) and issubclass(inner, enum.Enum):
        return _members(inner)
    try:
        return _LEAVES[inner]
    except (KeyError, TypeError):
        known = "int, float, bool, str, bytes, datetime, date, an Enum, Literal, list[...]"
        raise TypeError(
            f"{_name(inner)} is no type of a parameter: {known}, or ... | None"
        ) from None


def _members(choices: type[enum.Enum]) -> tuple[str, Callable[[str], Any]]:
    """Let a word be the value of a member, or its name."""
    names = {one.name: one.value for one in choices}
    values = {str(one.value): one.value for one in choices}
    told = [
        one.value if isinstance(one.value, str) else f"{one.name} ({one.value})" for one in choices
    ]
    return f"one of {', '.join(told)}", _chooser({**names, **values})


def _chooser(known: dict[str, Any]) -> Callable[[str], Any]:
    def from_word(word: str) -> Any:
        if word not in known:
            raise ValueError(word)
        return known[word]

    return from_word


def _integer(word: str) -> int:
    if not _INTEGER.fullmatch(word):
        raise ValueError(word)
    return int(word)


def _number(word: str) -> float:
    if _NUMBER.fullmatch(word):
        number = float(word)
        if math.isinf(number):
            raise ValueError(word)
        return number
    if _NOT_FINITE.fullmatch(word):
        return float(word)
    raise ValueError(word)


def _truth(word: str) -> bool:
    try:
        return _TRUTH[word.lower()]
    except KeyError:
        raise ValueError(word) from None


_LEAVES: dict[Any, tuple[str, Callable[[str], Any]]] = {
    int: ("an integer", _integer),
    float: ("a number", _number),
    bool: ("true or false", _truth),
    str: ("a text", str),
    bytes: ("bytes in base64", str),
    datetime.datetime: ("a date and time such as 2026-11-22T21:30:00", str),
    datetime.date: ("a date such as 2026-11-22", str),
}


def _bounds(metas: list[Any]) -> str:
    found = [meta for meta in metas if isinstance(meta, msgspec.Meta)]

    def bound(name: str) -> Any:
        return next((v for m in found if (v := getattr(m, name)) is not None), None)

    ge, gt, le, lt = (bound(name) for name in ("ge", "gt", "le", "lt"))
    step = bound("multiple_of")
    multiple = "" if step is None else f" that is a multiple of {step}"
    if ge is not None and le is not None:
        return f" from {ge} to {le}{multiple}"
    parts = [("of at least", ge), ("above", gt), ("of at most", le), ("below", lt)]
    return " " * any(limit is not None for _, limit in parts) + (
        " and ".join(f"{text} {limit}" for text, limit in parts if limit is not None) + multiple
    )


def _lengths(metas: list[Any], what: str = "characters") -> str:
    parts = []
    for meta in metas:
        if isinstance(meta, msgspec.Meta):
            if meta.min_length is not None:
                parts.append(f"at least {meta.min_length} {what}")
            if meta.max_length is not None:
                parts.append(f"at most {meta.max_length} {what}")
            if meta.pattern is not None:
                parts.append(f"matching {meta.pattern}")
    return f" ({', '.join(parts)})" if parts else ""


def _told(value: Any) -> str:
    """Return a value from a client as errors tell it: like JSON, but not too long."""
    if isinstance(value, str):
        return shown(value)
    try:
        text = repr(value) if isinstance(value, float) else msgspec.json.encode(value).decode()
    except UnicodeEncodeError:  # a lone surrogate
        text = ascii(value)
    except RecursionError:
        text = f"a {'list' if isinstance(value, list) else 'mapping'} of great depth"
    return _cut(text)


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def _name(annotation: Any) -> str:
    return annotation.__name__ if isinstance(annotation, type) else str(annotation)
