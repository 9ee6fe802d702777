"""Can these values be sent to the server?

Whatever psycopg2 would refuse, or would turn into something else, is refused by name first.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Sequence
from decimal import Decimal
from typing import Any

import psycopg2

from .errors import InvalidValue

_PLAIN = frozenset({int, float, bool, type(None)})


def check_row(table: str, columns: Sequence[str], data: Sequence[Any]) -> None:
    """Check one row before anything is sent.

    Raises:
        InvalidValue: The columns or the data are no list, the lengths differ, the row is empty,
            or a value cannot be stored; names table, column and the value's type.
    """
    _check_list(table, "columns", columns, Collection)
    _check_list(table, "data", data, Sequence)
    if len(columns) != len(data):
        raise InvalidValue(
            f"table {table}: {len(columns)} columns, but {len(data)} values: give one for each"
        )
    if not columns:
        raise InvalidValue(f"table {table}: no values: give at least one column")
    for column, value in zip(columns, data, strict=True):
        if type(value) not in _PLAIN:
            fault = _fault(value)
            if fault:
                raise InvalidValue(f"table {table}, column {column}: {fault}")


def _check_list(table: str, name: str, given: Any, kind: type) -> None:
    # A str would be taken for a list of letters, and a set has no order.
    if not isinstance(given, kind) or isinstance(given, (str, bytes, bytearray, set, frozenset)):
        raise InvalidValue(
            f"table {table}: {name} must be a list, not {type(given).__name__}: write"
            ' ["sample"] and [4.2], for one value too'
        )


def _fault(value: Any) -> str | None:
    if isinstance(value, str):
        return _text_fault(value)
    if isinstance(value, (list, tuple)):  # an array: what holds for a value holds for its elements
        return next(filter(None, map(_fault, value)), None)
    if isinstance(value, Decimal):
        return _decimal_fault(value)
    # numpy's float64 is a float, but psycopg2 would send its repr, np.float64(1.5).
    if type(value).__module__.partition(".")[0] == "numpy":
        return (
            f"a {type(value).__module__}.{type(value).__name__} cannot be stored:"
            " convert it first, as in float(x), int(x) or x.tolist()"
        )
    return None


def _decimal_fault(value: Decimal) -> str | None:
    if value.is_infinite() or value.is_snan():  # the driver would send NaN
        return f"a Decimal({str(value)!r}) cannot be stored: use a float, or None"
    return None


def _text_fault(text: str) -> str | None:
    if "\0" in text:
        return "a str with a NUL character cannot be stored: remove it"
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return f"a str with the lone surrogate {text[error.start]!a} cannot be stored: remove it"
    return None


def _types(columns: Sequence[str], data: Sequence[Any]) -> str:
    pairs = zip(columns, data, strict=False)
    return ", ".join(f"{column}: {type(value).__name__}" for column, value in pairs)


@contextlib.contextmanager
def naming(table: str, columns: Sequence[str], data: Sequence[Any]) -> Iterator[None]:
    """Add table, columns and the values' types to an error about a row.

    Raises:
        InvalidValue: The driver could not translate a value.
    """
    try:
        yield
    except psycopg2.Error as error:
        row = f"table {table}, columns {_types(columns, data)}"
        if error.pgcode is None and "can't adapt" in str(error):
            raise InvalidValue(f"{row}: {error}: convert the value first") from error
        # Not a new one: its class, pgcode and diag tell callers what happened.
        error.args = (f"{str(error).strip()} ({row})",)
        raise
    except (TypeError, ValueError, OverflowError) as error:
        row = f"table {table}, columns {_types(columns, data)}"
        raise InvalidValue(f"{row}: {error}") from error
