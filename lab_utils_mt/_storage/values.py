"""Which values can be sent to the server, and in which form?

Whatever psycopg2 would refuse, or would turn into something else, is turned into what the caller
meant, or refused by name. A text is right for a column of any type: the server reads it as that
type.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Sequence
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import psycopg2
from psycopg2 import extensions as ext
from psycopg2.sql import Composable

from ..exceptions import LabUtilsError
from .errors import CommitUnknown, InvalidValue

# What storable() returns; anything else is known to a driver's adapter that somebody registered.
FORMS = frozenset({type(None), bool, int, float, str, bytes, Decimal})
_PLAIN = frozenset({type(None), bool, int, float})
_MOST_DIMENSIONS = 6  # PostgreSQL's MAXDIM
_DATES = ("64[D]", "64[W]", "time64[M]", "time64[Y]")  # numpy's units that make a date
_SPANS_WITHOUT_LENGTH = ("delta64[M]", "delta64[Y]")
_MOST_DIGITS = range(-16_383, 131_072)  # those of a NUMERIC; more would fill the memory
# The driver writes what is in these into the statement as it is.
_BARE = (ext.AsIs, ext.Int, ext.Float, ext.Boolean, Composable)
_EPOCH = datetime(1970, 1, 1)
_MOST_OFFSET = timedelta(hours=16)  # PostgreSQL reads less than that


class _MinusZero:
    """The float -0.0: as the number that the driver would write, it would lose its sign."""

    def __conform__(self, protocol: object) -> _MinusZero | None:
        return self if protocol is ext.ISQLQuote else None

    def getquoted(self) -> bytes:
        return b"'-0.0'::float"


_MINUS_ZERO = _MinusZero()


@functools.singledispatch
def storable(value: Any) -> Any:
    """Return a value in one of the FORMS, or as it is if only the driver knows how to store it.

    Raises:
        InvalidValue: It cannot be stored; the text says what to do, not which column it was for.
    """
    if issubclass(type(value), _BARE):
        raise InvalidValue(
            f"{_described(value)} would be sent as a part of the statement: give the value itself,"
            " or run your own SQL in a transaction()"
        )
    if hasattr(value, "dtype") and hasattr(value, "tolist"):
        return _from_numpy(value)
    if type(value).__name__ == "NAType" and type(value).__module__.startswith("pandas"):
        return None
    try:
        ext.adapt(value)
    except psycopg2.ProgrammingError:
        raise InvalidValue(
            f"{_described(value)} cannot be stored: convert it first, as in json.dumps(x),"
            " str(x), list(x) or x.value"
        ) from None
    return value


def _described(value: Any) -> str:
    kind = type(value)
    home = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
    return f"a {home}{kind.__qualname__}"


@storable.register
def _(_: None) -> None:
    return None


storable.register(bool, bool)  # an object may lie about its __class__
storable.register(int, int)  # also of a subclass, such as IntEnum
storable.register(float, float)  # ... or numpy.float64


@storable.register
def _(value: str) -> str:
    if "\0" in value:
        raise InvalidValue("a str with a NUL character cannot be stored: remove it")
    try:
        if not value.isascii():
            value.encode()
    except UnicodeEncodeError as error:
        found = ascii(value[error.start])
        raise InvalidValue(
            f"a str with the lone surrogate {found} cannot be stored: remove it"
        ) from None
    return str.__str__(value)  # of an Enum that is a str, this is what is in it


@storable.register(bytes)
@storable.register(bytearray)
@storable.register(memoryview)
def _(value: Any) -> bytes:
    return bytes(value)


@storable.register
def _(value: Decimal) -> Decimal:
    if value.is_infinite() or value.is_snan():  # the driver would send NaN
        raise InvalidValue(f"a Decimal({str(value)!r}) cannot be stored: use a float, or None")
    exact = Decimal(value)  # of a subclass
    if exact.adjusted() not in _MOST_DIGITS:
        raise InvalidValue(
            f"a Decimal({str(exact)[:50]!r}) cannot be stored: at most 131072 digits before the"
            " point, and 16383 after it"
        )
    return exact.copy_abs() if exact.is_zero() else exact  # to the server, no numeric is -0


@storable.register
def _(value: datetime) -> str | None:
    if value != value:  # pandas.NaT  # noqa: PLR0124
        return None
    if hasattr(value, "to_pydatetime"):
        value = value.to_pydatetime(warn=False)
    offset = value.utcoffset()
    if offset is None:
        value = _in_local_time(value)
    elif offset.microseconds or abs(offset) >= _MOST_OFFSET:
        value = value.astimezone(timezone.utc)
    return datetime.isoformat(value, " ")


def _in_local_time(value: datetime) -> datetime:
    """Say how far the local time is from UTC; the digits stay, for a column without time zone."""
    whole = value.replace(tzinfo=None, microsecond=0)
    try:
        # Not astimezone(): of a time that the clocks skip, it would make one an hour off.
        offset = whole - _EPOCH - timedelta(seconds=whole.timestamp())
        return value.replace(tzinfo=timezone(offset))
    except (OverflowError, ValueError, OSError):
        raise InvalidValue(
            f"a datetime without time zone, {value}, is outside of what this computer's clock can"
            " place: give it a tzinfo"
        ) from None


@storable.register(date)
@storable.register(time)
def _(value: Any) -> str:
    return str(value.isoformat())


@storable.register
def _(value: timedelta) -> str:
    # Each sign is written out: some IntervalStyles would apply the first to all of it.
    return f"{value.days:+d} days +{value.seconds}.{value.microseconds:06d} seconds"


@storable.register
def _(value: UUID) -> str:
    return str(value)


@storable.register(list)
@storable.register(tuple)
def _(value: Any) -> str:
    return _array(value, 1)


def _from_numpy(value: Any) -> Any:
    elements = from_numpy(value)
    if type(elements) is type(value):
        raise InvalidValue(f"{_described(value)} cannot be stored: convert it first")
    return storable(elements)


def from_numpy(value: Any) -> Any:
    """Return what a numpy scalar or array, or a pandas Series, holds, as Python's own types.

    Raises:
        InvalidValue: It holds spans of months or years, which have no length.
    """
    name = str(value.dtype)
    is_numpy = type(value.dtype).__module__.startswith("numpy")
    if not is_numpy or value.dtype.kind not in "Mm" or name.endswith(_DATES):
        return value.tolist()
    if name.endswith(_SPANS_WITHOUT_LENGTH):
        raise InvalidValue(f"a {name} cannot be stored: give a number of days")
    # Of nanoseconds, tolist() would make an int.
    return value.astype(f"{value.dtype.kind}8[us]").tolist()


def is_array(value: Any) -> bool:
    """Tell if this is an array of numpy or pandas, not a scalar."""
    return hasattr(value, "dtype") and bool(getattr(value, "shape", ()))


def _array(value: Sequence[Any], depth: int) -> str:
    if depth > _MOST_DIMENSIONS:
        raise InvalidValue(f"a list in more than {_MOST_DIMENSIONS} dimensions cannot be stored")
    return "{" + ",".join([_element(one, depth) for one in value]) + "}"


def _element(value: Any, depth: int) -> str:
    if is_array(value):
        value = from_numpy(value)
    if isinstance(value, (list, tuple)):
        return _array(value, depth + 1)
    form = storable(value)
    if type(form) not in FORMS:
        raise InvalidValue(f"{_described(value)} in a list cannot be stored: convert it first")
    return _ELEMENTS.get(type(form), str)(form)


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


_ELEMENTS: dict[type, Callable[[Any], str]] = {
    type(None): lambda _: "NULL",
    bool: lambda value: "true" if value else "false",
    str: _quoted,
    bytes: lambda value: _quoted(f"\\x{value.hex()}"),
}


def sendable_row(table: str, columns: Sequence[str], data: Sequence[Any]) -> Sequence[Any]:
    """Check one row before anything is sent, and return it as the driver can send it.

    Raises:
        InvalidValue: The columns or the data are no list, the lengths differ, the row is empty,
            or a value cannot be stored; names table, column and the value's type.
    """
    # In one frame: between two rows, the server's work empties the processor's caches.
    kinds = (list, tuple)
    if type(data) in kinds and type(columns) in kinds and len(columns) == len(data) > 0:
        for value in data:
            if type(value) not in _PLAIN or (not value and type(value) is float):
                break  # such a zero may be -0.0
        else:
            return data
    return _converted_row(table, columns, data)


def _converted_row(table: str, columns: Sequence[str], data: Sequence[Any]) -> Sequence[Any]:
    check_list(table, columns)
    data = as_row(table, data)
    if len(columns) != len(data):
        raise InvalidValue(
            f"table {table}: {len(columns)} columns, but {len(data)} values: give one for each"
        )
    return [
        value if type(value) in _PLAIN and value else sendable(value, table, column)
        for column, value in zip(columns, data, strict=True)
    ]


def check_list(table: str, columns: Any) -> None:
    """Make sure that this is a list with at least one column.

    Raises:
        InvalidValue: It is not.
    """
    if type(columns) not in (list, tuple):
        _check_kind(table, "columns", columns, Collection)
    if not len(columns):
        raise InvalidValue(f"table {table}: no columns: give at least one")


def as_row(table: str, data: Any) -> Sequence[Any]:
    """Return what is given as a row.

    Raises:
        InvalidValue: It is none.
    """
    if type(data) in (list, tuple):
        return data  # type: ignore[no-any-return]
    row: Sequence[Any] = from_numpy(data) if is_array(data) else data
    _check_kind(table, "data", row, Sequence)
    return row


def _check_kind(table: str, name: str, given: Any, kind: type) -> None:
    # A str would be taken for a list of letters, and a set has no order.
    if not isinstance(given, kind) or isinstance(given, (str, bytes, bytearray, set, frozenset)):
        raise InvalidValue(
            f"table {table}: {name} must be a list, not {type(given).__name__}: write"
            ' ["sample"] and [4.2], for one value too'
        )


def sendable(value: Any, table: str, column: str) -> Any:
    """Return one value as the driver can send it.

    Raises:
        InvalidValue: It cannot be stored; names table, column and the value's type.
    """
    try:
        form = storable(value)
    except InvalidValue as error:
        raise InvalidValue(f"table {table}, column {column}: {error}") from None
    if type(form) is float and not form and str(form) == "-0.0":
        return _MINUS_ZERO
    return form


FAILURES = (psycopg2.Error, TypeError, ValueError, OverflowError)  #: What the driver raises


def explain(error: Exception, table: str, columns: Sequence[str], data: Sequence[Any]) -> None:
    """Add table, columns and the values' types to an error about a row, one of the FAILURES.

    An error of the pool is about no row.

    Raises:
        InvalidValue: The driver could not translate a value.
    """
    pairs = zip(columns, data, strict=False)
    types = ", ".join(f"{column}: {type(value).__name__}" for column, value in pairs)
    where = f"table {table}, columns {types}" if types else f"table {table}"
    if not isinstance(error, psycopg2.Error):
        raise InvalidValue(f"{where}: {error}") from error
    if not isinstance(error, LabUtilsError) or isinstance(error, CommitUnknown):
        name_error(error, where)


def name_error(error: psycopg2.Error, where: str) -> None:
    """Add to an error's text what it is about, unless it says so already."""
    # Not a new one: its class, pgcode and diag tell callers what happened.
    if where not in str(error):
        error.args = (f"{str(error).strip()} ({where})",)
