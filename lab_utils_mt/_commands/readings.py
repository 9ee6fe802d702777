"""What does a poller's method return, and which columns is that?"""

from __future__ import annotations

import dataclasses
import enum
import re
import types
import typing
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

COLUMN_TYPES = (bool, int, float, str, datetime)
"""What a column may hold, most special first: a bool is an int too."""

_EXACT: tuple[Any, ...] = (bool, int, float, str)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}", re.ASCII)
_KNOWN = "bool, int, float, str or datetime"
_RETURN = "a mapping of columns to values, a dataclass, a NamedTuple, or one number or text"
_LONGS = range(-(2**63), 2**63)  # what eight bytes hold
_CONTAINERS = (Mapping, tuple, list, set)
_WRAPPERS = {"Required", "NotRequired", "ReadOnly"}
_UNKNOWN: Any = object()


@dataclasses.dataclass(frozen=True)
class Reading:
    """What a poller's method returned, or how it began to fail.

    Attributes:
        name: The poller's.
        time: When the method was called, in UTC.
        at: The same on the monotonic clock, in seconds.
        values: Each column's value, as one of :data:`COLUMN_TYPES` or None; times are in UTC.
        error: Class and text of the exception, if there are no values.
    """

    name: str
    time: datetime
    at: float
    values: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    error: str | None = None


@dataclasses.dataclass(frozen=True)
class Shape:
    """What a method is declared to return.

    Attributes:
        name: The poller's, which is also the column of a single value.
        columns: Each column's type, as far as the declaration tells; a type is one of
            :data:`COLUMN_TYPES`.
        others: The type of columns beside these; None if there may be none, and ``object`` if
            nothing is declared.
        is_optional: Whether the method may return None: there is no reading then.
        is_stored: Whether the values go into a table, whose column names are more particular.
    """

    name: str
    columns: Mapping[str, type]
    others: type | None = None
    is_optional: bool = False
    is_stored: bool = False

    def values_of(self, returned: object) -> dict[str, Any] | None:
        """Return a value for each column; None if there is no reading.

        Raises:
            TypeError: The method returned something else than it declares.
            ValueError: A value cannot be stored.
        """
        if returned is None and self.is_optional and set(self.columns) != {self.name}:
            return None
        pairs = self._pairs(returned)
        if not pairs:
            raise TypeError(f"it returned no value at all: return {_RETURN}")
        return dict(self._checked(column, value) for column, value in pairs.items())

    def _pairs(self, returned: Any) -> Mapping[Any, Any]:
        if isinstance(returned, Mapping):
            return returned
        if dataclasses.is_dataclass(returned) and not isinstance(returned, type):
            names = [field.name for field in dataclasses.fields(returned)]
            return {name: getattr(returned, name) for name in names}
        if isinstance(returned, tuple) and hasattr(returned, "_asdict"):
            return dict(returned._asdict())
        is_declared = set(self.columns) == {self.name} and self.others is None
        if is_declared or (returned is not None and _plain(returned) is not _UNKNOWN):
            return {self.name: returned}
        raise TypeError(f"it returned a {type(returned).__name__}: return {_RETURN}")

    def _checked(self, column: object, value: object) -> tuple[str, Any]:
        if not isinstance(column, str) or not _is_encodable(column):
            raise TypeError(f"it returned the column {column!r}: the name must be a valid str")
        column = str.__str__(column)  # what a subclass adds is not sent
        kind = self.columns.get(column, self.others)
        if kind is None:
            raise TypeError(
                f"it returned the column {column!r}, which its return type does not have"
                f" ({', '.join(self.columns)}): add it there"
            )
        if self.is_stored:
            check_column(column)
        plain = _plain(value)
        if plain is _UNKNOWN or not _fits(plain, kind):
            expected = _KNOWN if kind is object else f"{kind.__name__} is declared"
            raise TypeError(f"column {column}: a {type(value).__name__} is no value: {expected}")
        plain = _storable(column, plain)
        return column, float(plain) if kind is float and plain is not None else plain


def _plain(value: Any) -> Any:
    """Return a value as one of Python's own types, :data:`_UNKNOWN` if it cannot be one."""
    if isinstance(value, enum.Enum):
        value = value.value
    if hasattr(value, "dtype") and hasattr(value, "item") and not getattr(value, "shape", ()):
        value = value.item()  # one number of numpy's
    if value is None:
        return None
    if isinstance(value, datetime):
        return _plain_time(value)
    for kind in _EXACT:  # what a subclass adds is not stored
        if isinstance(value, kind):
            return value if type(value) is kind else kind(value)
    return _UNKNOWN


def _plain_time(value: datetime) -> datetime:
    if type(value) is not datetime:  # such as one of pandas' own, which may be no time at all
        parts = (value.hour, value.minute, value.second, value.microsecond, value.tzinfo)
        value = datetime(value.year, value.month, value.day, *parts, fold=value.fold)
    return value.astimezone(timezone.utc)


def _fits(plain: object, kind: type) -> bool:
    if plain is None or kind is object:
        return True
    return type(plain) is kind or (kind is float and type(plain) is int)


def _storable(column: str, value: Any) -> Any:
    if type(value) is int and value not in _LONGS:
        raise ValueError(f"column {column}: the number does not fit into 8 bytes")
    if type(value) is str and ("\0" in value or not _is_encodable(value)):
        raise ValueError(f"column {column}: the text has a NUL character or a lone surrogate")
    return value


def _is_encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def check_column(name: str) -> None:
    """Make sure that a table can have a column of this name beside its ``time``.

    Raises:
        ValueError: It cannot.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"column name {name!r} is refused: use 1 to 63 letters, digits and underscores, not"
            " starting with a digit"
        )
    if name == "time":
        raise ValueError("the column time is when the reading was taken: give yours another name")


# --- what is declared ----------------------------------------------------------------------


def shape_of(annotation: Any, name: str, table: str | None = None) -> Shape:
    """Return what a poller's method is declared to return.

    Args:
        annotation: Its return type, resolved, with what is inside ``Annotated``; ``Any`` if it has
            none.
        name: The poller's name.
        table: Where readings are recorded, if they are.

    Raises:
        TypeError: There is a table, and nobody can know its columns or their types. The text does
            not say which class and method it is about.
    """
    try:
        if table is not None:
            _check_table(table)
        return _shape(annotation, name, table is not None)
    except (TypeError, ValueError, NameError, AttributeError) as error:
        if table is None:  # it is only sent to those who watch: the values tell their types
            return Shape(name, {}, object, is_optional=True)
        raise TypeError(f"the columns of table {table} are not known: {error}") from error


def _check_table(table: str) -> None:
    parts = table.split(".", 1) if isinstance(table, str) else [""]
    if not all(_NAME.fullmatch(part) for part in parts):
        raise TypeError(
            f"table name {table!r} is refused: use 1 to 63 letters, digits and underscores, or"
            " schema.table"
        )


def _shape(annotation: Any, name: str, is_stored: bool) -> Shape:
    if annotation is Any:
        raise TypeError(f"the method has no return type: let it return {_RETURN}")
    inner, is_optional = _unwrapped(annotation)
    columns, others = _columns(inner, name)
    if is_stored:
        for column in columns:
            check_column(column)
    return Shape(name, columns, others, is_optional, is_stored)


def _columns(inner: Any, name: str) -> tuple[dict[str, type], type | None]:
    origin, arguments = typing.get_origin(inner), typing.get_args(inner)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        if len(arguments) != 2 or _unwrapped(arguments[0])[0] is not str:  # noqa: PLR2004
            raise TypeError(f"write dict[str, float], not {inner!r}")
        return {}, _column_type(arguments[1], "of dict[str, ...]")
    if isinstance(inner, type) and (
        dataclasses.is_dataclass(inner) or typing.is_typeddict(inner) or hasattr(inner, "_fields")
    ):
        return {column: _column_type(kind, column) for column, kind in _fields(inner).items()}, None
    # In Python 3.10, list[float] says that it is a type.
    if origin is None and isinstance(inner, type) and issubclass(inner, _CONTAINERS):
        raise TypeError(
            f"{inner.__name__} does not say which columns there are: use a TypedDict, a dataclass,"
            " a NamedTuple or dict[str, float]"
        )
    return {name: _column_type(inner, name)}, None


def _fields(kind: Any) -> dict[str, Any]:
    hints = typing.get_type_hints(kind, include_extras=True)
    if dataclasses.is_dataclass(kind):
        return {field.name: hints[field.name] for field in dataclasses.fields(kind)}
    if typing.is_typeddict(kind):
        return hints
    return {name: hints.get(name, _UNKNOWN) for name in kind._fields}


def _column_type(annotation: Any, column: str) -> type:
    inner = _unwrapped(annotation)[0]
    if typing.get_origin(inner) is typing.Literal:
        kinds = {type(value) for value in typing.get_args(inner)}
        inner = kinds.pop() if len(kinds) == 1 else inner
    if isinstance(inner, type) and issubclass(inner, enum.Enum):
        kinds = {type(member.value) for member in inner}
        inner = kinds.pop() if len(kinds) == 1 else inner
    for kind in COLUMN_TYPES:
        if typing.get_origin(inner) is None and isinstance(inner, type) and issubclass(inner, kind):
            return kind
    if getattr(inner, "__module__", "") == "numpy" and isinstance(inner, type):
        return _numpy_type(inner, column)
    shown = "no type" if inner is _UNKNOWN else getattr(inner, "__name__", None) or repr(inner)
    raise TypeError(f"column {column}: {shown} cannot be stored: use {_KNOWN}")


def _numpy_type(scalar: Any, column: str) -> type:
    bases = {base.__name__ for base in scalar.__mro__}
    for base, kind in (("bool", bool), ("bool_", bool), ("integer", int), ("floating", float)):
        if base in bases:
            return kind
    raise TypeError(f"column {column}: {scalar.__name__} cannot be stored: use {_KNOWN}")


def _unwrapped(annotation: Any) -> tuple[Any, bool]:
    """Return a type without Annotated, Optional and the like; whether it may be None."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated or getattr(origin, "_name", "") in _WRAPPERS:
        return _unwrapped(arguments[0])
    if origin in (typing.Union, types.UnionType):
        others = [one for one in arguments if one is not type(None)]
        if len(others) == 1:
            return _unwrapped(others[0])[0], len(others) < len(arguments)
    return annotation, False
