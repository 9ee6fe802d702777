"""Which rows are meant?

Conditions are columns, operators of a list, and values that are bound: never SQL of the caller.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from psycopg2 import sql

from .errors import InvalidValue
from .sql import column_identifier, plain_columns
from .values import from_numpy, is_array, sendable, storable

_ORDERED = ("=", "!=", "<>", "<", "<=", ">", ">=")
_PATTERNS = ("like", "ilike")
_LISTS = ("in", "not in")
_NULLS = ("is null", "is not null")
OPERATORS = (*_ORDERED, *_PATTERNS, *_LISTS, *_NULLS)
_EQUAL = ("=", "!=", "<>")
_EXACT_INTEGERS = 2**53
_MANY = (list, tuple, set, frozenset, range)

_TEXT = re.compile(
    r"""\s* (?P<column> \w+ ) \b \s*
    (?: (?P<null> IS \s+ (?: NOT \s+ )? NULL ) \b
    |   (?P<operator> <> | [!<>]?= | [<>] | I?LIKE \b ) \s*
        (?: (?P<number> [+-]? (?: \d+ (?: \.\d* )? | \.\d+ ) (?: e [+-]? \d+ )? ) (?! \w )
        |   '(?P<quoted> (?: [^'] | '' )* )' (?! ')
        |   (?P<word> TRUE | FALSE | NULL ) \b
        )
    ) \s* (?P<end> \Z | AND \b )""",
    re.VERBOSE | re.IGNORECASE | re.ASCII,
)
_WORDS = {"true": True, "false": False, "null": None}


class Condition(NamedTuple):
    """One comparison."""

    column: str
    operator: str
    value: Any = None


def parsed(table: str, given: Any) -> list[Condition]:
    """Return what a caller gave as conditions, all of which must hold.

    Args:
        table: The table's name, for errors.
        given: None, a mapping, a text, or a list of texts and of (column, operator, value).

    Raises:
        InvalidValue: It is something else.
        InvalidName: A column's name is not in the allow-list.
    """
    if given is None:
        return []
    if isinstance(given, Mapping):
        return [_of_pair(table, column, value) for column, value in given.items()]
    if isinstance(given, str):
        return list(_of_text(table, given))
    if not isinstance(given, Sequence) or isinstance(given, (bytes, bytearray)):
        raise _refused(table, given)
    return [one for item in given for one in _of_item(table, item)]


def _refused(table: str, given: Any) -> InvalidValue:
    return InvalidValue(
        f"table {table}: the condition {given!r} cannot be used: give a mapping such as"
        ' {"name": "x", "id": [3, 4]}, or a list such as [("id", ">", 3), ("name", "like", "a%")],'
        f" with one of these operators: {', '.join(OPERATORS)}"
    )


def _of_item(table: str, item: Any) -> list[Condition]:
    if isinstance(item, str):
        return list(_of_text(table, item))
    if not isinstance(item, (list, tuple)) or len(item) not in (2, 3):
        raise _refused(table, item)
    column, operator, *value = item
    known = " ".join(operator.lower().split()) if isinstance(operator, str) else ""
    if known in _NULLS and (not value or value[0] is None):
        return [_checked(table, Condition(column, known))]
    if known in _NULLS or known not in OPERATORS or not value:
        raise _refused(table, item)
    return [_checked(table, Condition(column, known, value[0]))]


def _of_pair(table: str, column: Any, value: Any) -> Condition:
    is_list = isinstance(value, _MANY) or is_array(value)
    return _checked(table, Condition(column, "in" if is_list else "=", value))


def _of_text(table: str, text: str) -> Iterator[Condition]:
    rest, is_open = text, True
    while is_open:
        match = _TEXT.match(rest)
        if match is None:
            raise _refused(table, text)
        try:
            one = _of_match(match)
        except ValueError:  # more digits than Python reads
            raise _refused(table, text) from None
        yield _checked(table, one)
        rest, is_open = rest[match.end() :], bool(match["end"])


def _of_match(match: re.Match[str]) -> Condition:
    if match["null"]:
        return Condition(match["column"], " ".join(match["null"].lower().split()))
    return Condition(match["column"], match["operator"].lower(), _literal(match))


def _literal(match: re.Match[str]) -> Any:
    if match["quoted"] is not None:
        return match["quoted"].replace("''", "'")
    if match["word"]:
        return _WORDS[match["word"].lower()]
    number = match["number"]
    if number.lstrip("+-").isdigit():
        return int(number)
    value = float(number)
    if math.isinf(value):
        raise ValueError(number)
    return value


def _checked(table: str, one: Condition) -> Condition:
    """Return it with its value as it can be bound, and with NULL as SQL spells it."""
    one = one._replace(column=plain_columns([one.column])[0])
    if one.operator in _NULLS:
        return one
    if one.operator in _LISTS:
        return one._replace(value=_members(table, one))
    value = _comparable(one.value) if one.operator in _EQUAL else one.value
    form = sendable(value, table, one.column)
    if form is not None:
        return one._replace(value=form)
    if one.operator not in _EQUAL:
        raise _refused(table, tuple(one))
    return Condition(one.column, "is null" if one.operator == "=" else "is not null")


def _members(table: str, one: Condition) -> list[Any]:
    value = from_numpy(one.value) if is_array(one.value) else one.value
    if not isinstance(value, _MANY):
        raise _refused(table, tuple(one))
    return [sendable(_comparable(member), table, one.column) for member in value]


def _comparable(value: Any) -> Any:
    """Let the server read a float as the column's own type: to FLOAT(24), 0.1 is not the same."""
    if not isinstance(value, float):
        return value
    if value.is_integer() and abs(value) < _EXACT_INTEGERS:
        return int(value)
    return repr(float(value))


def clause(one: Condition) -> tuple[sql.Composable, list[Any]]:
    """Return a condition as SQL, and the values to bind."""
    name = column_identifier(one.column)
    if one.operator in _NULLS:
        return sql.SQL("{} " + one.operator.upper()).format(name), []
    if one.operator in _LISTS:
        return _list_clause(one, name)
    return sql.SQL("{} " + one.operator.upper() + " %s").format(name), [one.value]


def _list_clause(one: Condition, name: sql.Identifier) -> tuple[sql.Composable, list[Any]]:
    members = [value for value in one.value if value is not None]
    text = "{0} = ANY(%s)"
    if len(members) < len(one.value):
        text = f"({text} OR {{0}} IS NULL)"
    if one.operator == "not in":  # a row without a value is not in the list either
        text = f"({text}) IS NOT TRUE"
    return sql.SQL(text).format(name), [storable(members)]
