"""How do many rows reach a table at once?

By COPY. What the server reads then is a text, so each value is written as the server itself would
write what an INSERT of it had stored. That is done for a block of rows, column by column: whole
columns of one type cost no call of a Python function per value.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from itertools import islice
from typing import Any, cast

import psycopg2
from psycopg2.sql import Composed

from . import sql
from .entries import check_columns
from .errors import CommitUnknown, InvalidValue
from .pool import ConnectionPool
from .sending import Watch
from .session import Session
from .values import FORMS, as_row, check_list, from_numpy, is_array, name_error, storable

_BLOCK = 256  # rows
_QUICK = 0.05  # seconds that the rows of a block may take to come
_NUMBERS = (int, float, Decimal)
_WORDS = {"inf": "Infinity", "-inf": "-Infinity", "nan": "NaN", "-0.0": "-0"}
_TRUE = {True: "true", False: "false"}
_SOUND_OFFSET = re.compile(r"[+-](0\d|1[0-5]):[0-5]\d")  # PostgreSQL reads no others
# In every language: 'COPY cryo, line 3, column count: "abc"'.
_PLACE = re.compile(r"\bCOPY .*?, \D*(?P<row>\d+)")
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


def _escaped(text: str) -> str:
    return text.translate(_ESCAPES)


def _null(_: None) -> str:
    return "\\N"


def _binary(value: bytes) -> str:
    return f"\\\\x{value.hex()}"


def _rounded(value: float | Decimal) -> str:
    """Round as the server does: away from zero, if the distance is the same."""
    exact = Decimal(repr(value)) if isinstance(value, float) else value
    if not exact.is_finite():
        return str(value)  # which the server refuses
    return format(exact.to_integral_value(ROUND_HALF_UP), "f")


def _refuse(value: object) -> str:
    raise InvalidValue(f"a {type(value).__name__} cannot be stored in a column of this type")


def _as_text(value: float | Decimal) -> str:
    """Spell a number as the server does when it becomes a text."""
    if isinstance(value, Decimal):
        return format(value, "f")
    text = repr(value)
    return _WORDS.get(text) or format(Decimal(text), "f")


_SPELLINGS: dict[type, Callable[[Any], str]] = {
    type(None): _null,
    bool: _TRUE.__getitem__,
    int: int.__repr__,
    float: float.__repr__,
    Decimal: str,
    str: _escaped,
    bytes: _binary,
}
# What an INSERT would do, and the server's reading of a text would not.
_CONVERSIONS: dict[str, Callable[[Any], str]] = {"integer": _rounded, "S": _as_text}


class _Column:
    """One column of what is sent.

    Args:
        name: Its name.
        kind: What :func:`.entries.known_columns` says of its type.
    """

    def __init__(self, name: str, kind: str) -> None:
        self.name = name
        self._kind = kind
        self._spellers: dict[type, Callable[[Any], str]] = {}

    def __str__(self) -> str:
        types = sorted(one.__name__ for one in self._spellers)
        return f"{self.name}: {' or '.join(types)}" if types else self.name

    def spell(self, value: Any) -> str:
        """Return one value as COPY reads it.

        Raises:
            InvalidValue: It cannot be stored in a column of this type; says why.
        """
        return self._speller(type(value))(value)

    def _speller(self, kind: type) -> Callable[[Any], str]:
        known = self._spellers.get(kind)
        if known is None:
            known = self._spellers[kind] = self._made(kind)
        return known

    def _made(self, kind: type) -> Callable[[Any], str]:
        if kind in FORMS and kind not in (str, Decimal):
            return self._form_speller(kind)
        convert = storable.dispatch(kind)

        def spell(value: Any) -> str:
            form = convert(value)
            if type(form) not in FORMS:
                raise InvalidValue(f"a {kind.__name__} cannot be stored this way: use new_entry()")
            return self._form_speller(type(form))(form)

        return spell

    def _form_speller(self, kind: type) -> Callable[[Any], str]:
        if (kind in _NUMBERS and self._kind not in ("integer", "N", "S")) or (
            kind is bool and self._kind not in ("B", "S")
        ):
            return _refuse
        if kind in (float, Decimal):
            return _CONVERSIONS.get(self._kind, _SPELLINGS[kind])
        return _SPELLINGS[kind]

    def spell_all(self, values: tuple[Any, ...]) -> Iterable[str]:
        """Return many values as COPY reads them; raises as :meth:`spell`."""
        kinds = set(map(type, values))
        if len(kinds) > 1:
            spellers = {kind: self._speller(kind) for kind in kinds}
            return [spellers[type(value)](value) for value in values]
        (kind,) = kinds
        speller = self._speller(kind)
        if kind is str and _is_harmless("".join(values)):
            return values
        if kind is datetime:
            texts = list(map(str, values))
            if all(map(_SOUND_OFFSET.fullmatch, {text[-6:] for text in texts})):
                return texts
        return map(speller, values)


def _is_harmless(text: str) -> bool:
    # Neither control characters nor lone surrogates are printable.
    return text.isprintable() and "\\" not in text


class Rows:
    """What COPY reads: rows as text, made while they are sent.

    Args:
        table: The table's name, for errors.
        kinds: The columns in their order, each with the kind of its type.
        rows: The rows.
    """

    def __init__(self, table: str, kinds: Iterable[tuple[str, str]], rows: Iterable[Any]) -> None:
        self.table = table
        self.error: BaseException | None = None
        self._columns = [_Column(name, kind) for name, kind in kinds]
        self._rows = iter(rows)
        self._wanted = 1
        self._sent = 0

    def place(self, error: psycopg2.Error) -> str:
        """Return table, row and columns, as far as the server's error tells them."""
        found = _PLACE.search(error.diag.context or "")
        row = f", row {found['row']} (the first is 1)" if found else ""
        return f"table {self.table}{row}, columns {', '.join(map(str, self._columns))}"

    def read(self, _size: int = -1) -> bytes:
        """Return some more rows, nothing after the last; a failure is kept as ``error``.

        The driver turns an exception into an error of the server, whose text has its name at most.
        """
        try:
            return self._next_block()
        except BaseException as error:
            self.error = error
            raise

    def _next_block(self) -> bytes:
        began = time.monotonic()
        block = list(islice(self._rows, self._wanted))
        # While rows that come slowly fill a block, nobody would look at the time.
        is_quick = time.monotonic() - began < _QUICK
        self._wanted = min(2 * self._wanted, _BLOCK) if is_quick else 1
        if not block:
            return b""
        block = self._checked(block)
        try:
            columns = zip(self._columns, zip(*block, strict=True), strict=True)
            texts = [column.spell_all(values) for column, values in columns]
            lines = map("\t".join, zip(*texts, strict=True))
            sent = ("\n".join(lines) + "\n").encode()
        except ValueError:
            self._name_fault(block)
            raise
        self._sent += len(block)
        return sent

    def _checked(self, block: list[Any]) -> list[Any]:
        if not set(map(type, block)) <= {list, tuple}:
            block = [self._row(number, row) for number, row in enumerate(block, self._sent + 1)]
        if set(map(len, block)) != {len(self._columns)}:
            self._name_length(block)
        return block

    def _row(self, number: int, row: Any) -> Sequence[Any]:
        try:
            return as_row(self.table, row)
        except InvalidValue as error:
            raise InvalidValue(f"row {number} (the first is 1): {error}") from None

    def _name_length(self, block: list[Any]) -> None:
        for number, row in enumerate(block, self._sent + 1):
            if len(row) != len(self._columns):
                raise InvalidValue(
                    f"table {self.table}, row {number} (the first is 1): {len(self._columns)}"
                    f" columns, but {len(row)} values: give one for each"
                )

    def _name_fault(self, block: list[Any]) -> None:
        for number, row in enumerate(block, self._sent + 1):
            for column, value in zip(self._columns, row, strict=True):
                try:
                    column.spell(value)
                except ValueError as error:
                    raise InvalidValue(
                        f"table {self.table}, row {number} (the first is 1), column {column.name}:"
                        f" {error}"
                    ) from None


def _source(table: str, columns: list[str], rows: Any) -> tuple[Callable[[], Iterable[Any]], bool]:
    """Return what gives the rows, and whether it may be asked more than once.

    Raises:
        InvalidValue: These are no rows.
    """
    if hasattr(rows, "itertuples"):
        _check_frame(table, columns, rows)
        return lambda: zip(*[_cells(rows[name]) for name in columns], strict=True), True
    if is_array(rows):
        return lambda: _array_rows(rows), True
    if not isinstance(rows, Iterable) or isinstance(rows, (str, bytes, bytearray, Mapping)):
        raise InvalidValue(
            f"table {table}: rows must be a list of rows, or give rows, not"
            f" {type(rows).__name__}: write [[4.2], [4.3]], for one column too"
        )
    return lambda: rows, isinstance(rows, Sequence)


def _check_frame(table: str, columns: list[str], frame: Any) -> None:
    own = list(frame.columns)
    missing = ", ".join(column for column in columns if own.count(column) != 1)
    if missing:
        raise InvalidValue(
            f"table {table}: the DataFrame has none, or more than one, of the columns {missing}:"
            " rename its own"
        )


def _cells(series: Any) -> Any:
    # Where it has no floats, pandas writes what is missing as NaN all the same.
    if getattr(series.dtype, "kind", "") == "f":
        return series
    return series.astype(object).where(series.notna(), None)


def _array_rows(array: Any) -> Iterator[Any]:
    for start in range(0, len(array), _BLOCK):
        yield from from_numpy(array[start : start + _BLOCK])


def store_rows(pool: ConnectionPool, table: str, columns: Sequence[str], rows: Any) -> int:
    """Add many rows in a transaction of their own; when this returns, all are committed.

    Returns:
        How many rows the server wrote.

    Raises:
        InvalidValue: One of them cannot be stored: none was.
        psycopg2.IntegrityError: The table or a column does not exist.
        CommitUnknown: Nobody knows if they are stored.
    """
    check_list(table, columns)
    names = sql.plain_columns(columns)
    statement = sql.copy_rows(table, names)
    source, repeatable = _source(table, names, rows)

    def copy(session: Session) -> int:
        known = check_columns(session, table, names)
        return _send(
            session, statement, Rows(table, [(one, known[one]) for one in names], source())
        )

    try:
        return pool.run(copy, idempotent=repeatable)
    except psycopg2.Error as error:
        if error.pgcode is not None or isinstance(error, CommitUnknown):
            name_error(error, f"table {table}")
        raise


def _send(session: Session, statement: Composed, rows: Rows) -> int:
    watch = Watch(session, rows.table)

    class Source:
        def read(self, size: int = -1) -> bytes:
            with session.pause():  # the time that the rows take to come is not the server's
                try:
                    watch.check()
                except psycopg2.Error as error:
                    rows.error = error
                    raise
                return rows.read(size)

    with session.plain_cursor() as cursor:
        try:
            cursor.copy_expert(statement, cast(Any, Source()))
        except psycopg2.Error as error:
            if rows.error is not None:
                raise rows.error from None
            name_error(error, rows.place(error))
            watch.explain(error)
            raise
        return cursor.rowcount
