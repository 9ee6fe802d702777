"""Which values can be stored, in which form, and what is said of the others."""

from __future__ import annotations

import enum
import math
import os
import subprocess
import sys
import warnings
from collections import namedtuple
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg2
import pytest
from psycopg2 import extensions as ext
from psycopg2.extras import Json
from psycopg2.sql import SQL
from systems import needs_zones

from lab_utils_mt._storage.errors import CommitUnknown, InvalidValue, PoolTimeout
from lab_utils_mt._storage.values import explain, sendable, sendable_row, storable

UTC = timezone.utc


class Level(enum.IntEnum):
    """An int with a name."""

    HIGH = 3


class Colour(str, enum.Enum):
    """A str with a name."""

    RED = "red"


class Plain(enum.Enum):
    """Only a name."""

    ONE = 1


class Ratio(float):
    """A float whose repr is no number."""

    def __repr__(self) -> str:
        return "Ratio"


def same(found: Any, expected: Any) -> bool:
    """Tell if two values are the same, of the same type; NaN is."""
    return type(found) is type(expected) and repr(found) == repr(expected)


@pytest.mark.parametrize("value", [1, 1.5, True, None, "Ω", math.nan, -0.0, b"\0", Decimal("1.50")])
def test_simple_values_stay_what_they_are(value: object) -> None:
    """The driver knows how to send them."""
    assert storable(value) is value or same(storable(value), value)


@pytest.mark.parametrize(
    ("value", "form"),
    [
        (Level.HIGH, 3),
        (Ratio(1.5), 1.5),
        (Colour.RED, "red"),
        (bytearray(b"a"), b"a"),
        (memoryview(b"abcd")[::2], b"ac"),
        (Decimal("-0.00"), Decimal("0.00")),
        (date(2026, 1, 31), "2026-01-31"),
        (time(1, 2, 3, 4), "01:02:03.000004"),
        (timedelta(-1, 5, 7), "-1 days +5.000007 seconds"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (datetime(2026, 1, 31, 1, tzinfo=UTC), "2026-01-31 01:00:00+00:00"),
        ([1, None, -0.0, math.nan, True], "{1,NULL,-0.0,nan,true}"),
        ((("a", 'q"\\'), (None, "")), '{{"a","q\\"\\\\"},{NULL,""}}'),
        ([b"\xff"], '{"\\\\xff"}'),
        ([], "{}"),
    ],
)
def test_other_values_are_turned_into_what_they_mean(value: object, form: object) -> None:
    """Into a number, bytes, or a text that the server reads as the column's type."""
    assert same(storable(value), form)


@pytest.mark.parametrize("hours", [23, -23, 16])
def test_an_offset_that_the_server_cannot_read_becomes_utc(hours: int) -> None:
    """It is the same moment."""
    moment = datetime(2026, 1, 31, 12, tzinfo=timezone(timedelta(hours=hours)))
    assert storable(moment) == str(moment.astimezone(UTC))


def test_a_time_without_a_zone_is_this_computers() -> None:
    """As everywhere else in Python."""
    naive = datetime(2026, 7, 31, 12, 30)
    assert datetime.fromisoformat(storable(naive)) == naive.astimezone(UTC)
    assert storable(naive) == str(naive.astimezone())


def test_a_time_that_the_clock_cannot_place_is_refused() -> None:
    """Near the ends of the calendar there may be no local time."""
    try:
        datetime.min.astimezone()
    except (OverflowError, ValueError, OSError):
        with pytest.raises(InvalidValue, match="give it a tzinfo"):
            storable(datetime.min)
    else:
        assert storable(datetime.min).startswith("0001-01-01")


def test_minus_zero_is_sent_with_its_sign() -> None:
    """A bare -0.0 would be minus the number 0."""
    form = sendable(-0.0, "t", "c")
    assert ext.adapt(form).getquoted() == b"'-0.0'::float"
    assert sendable(0.0, "t", "c") == 0.0
    assert ext.adapt(sendable_row("t", ["a", "b"], [1, -0.0])[1]).getquoted() == b"'-0.0'::float"


def test_a_plain_row_is_sent_as_it_is() -> None:
    """It is not even copied."""
    row = [1, 2.5, None, True, math.nan]
    assert sendable_row("t", list("abcde"), row) is row


def test_a_row_of_any_kind_is_taken() -> None:
    """A named tuple, a range; other values change their form only."""
    pair = namedtuple("pair", "a b")(1.0, 2)
    assert list(sendable_row("t", ("a", "b"), pair)) == [1.0, 2]
    assert list(sendable_row("t", {"a": 1, "b": 2}, range(2))) == [0, 1]
    assert sendable_row("t", ["a", "b"], [0.0, "x"]) == [0.0, "x"]


def test_what_a_driver_was_taught_is_left_to_it() -> None:
    """Such as psycopg2's own Json."""
    value = Json({"a": 1})
    assert storable(value) is value


@pytest.mark.parametrize(
    ("value", "text"), [("a\0", "NUL"), ("\ud800", "lone surrogate"), ("x\udfff", "udfff")]
)
def test_text_that_cannot_be_stored_is_refused(value: str, text: str) -> None:
    """With table, column and type, and as each of the documented errors; in an array too."""
    for data in (value, [value]):
        with pytest.raises(InvalidValue, match=rf"table t, column c: a str .*{text}") as caught:
            sendable_row("t", ["b", "c"], [1, data])
        assert isinstance(caught.value, ValueError)
        assert isinstance(caught.value, TypeError)
        assert isinstance(caught.value, psycopg2.DataError)
        str(caught.value).encode()


@pytest.mark.parametrize("value", [object(), {"a": 1}, {1}, 1j, Plain.ONE, iter([1]), len])
def test_what_no_column_can_hold_is_refused(value: object) -> None:
    """With a way out; in an array too."""
    kind = type(value).__name__
    for data in (value, [value]):
        with pytest.raises(InvalidValue, match=f"table t, column c: a .*{kind}.* convert it first"):
            sendable_row("t", ["c"], [data])


@pytest.mark.parametrize("value", ["Infinity", "-Infinity", "sNaN"])
def test_decimals_that_the_driver_would_make_nan_are_refused(value: str) -> None:
    """In an array too; an honest NaN is stored."""
    for data in (Decimal(value), [Decimal(1), Decimal(value)]):
        with pytest.raises(InvalidValue, match=r"column c: a Decimal.* use a float"):
            sendable_row("t", ["c"], [data])
    assert storable(Decimal("NaN")).is_nan()


def test_a_list_has_an_end() -> None:
    """And at most as many dimensions as the server's arrays."""
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(InvalidValue, match="column c: a list in more than 6 dimensions"):
        sendable_row("t", ["c"], [endless])
    assert storable([[[[[[1]]]]]]) == "{{{{{{1}}}}}}"
    with pytest.raises(InvalidValue, match=r"a .*Json in a list"):
        storable([Json(1)])


@pytest.mark.parametrize(("columns", "data"), [(["a"], []), ([], [1]), (["a"], [1, 2]), ([], [])])
def test_lengths_must_agree(columns: list[str], data: list[Any]) -> None:
    """And must not be zero."""
    with pytest.raises(psycopg2.DataError, match="table t"):
        sendable_row("t", columns, data)


@pytest.mark.parametrize("data", [1.0, None, "x", b"x", {1.0}, {"c": 1}, iter([1])])
def test_data_must_be_a_list(data: Any) -> None:
    """Also where len() and a loop would do."""
    with pytest.raises(InvalidValue, match="table t: data must be a list") as caught:
        sendable_row("t", ["c"], data)
    assert isinstance(caught.value, TypeError)


@pytest.mark.parametrize("columns", ["c", None, {"c"}])
def test_columns_must_be_a_list(columns: Any) -> None:
    """A str is not a list of letters."""
    with pytest.raises(InvalidValue, match="table t: columns must be a list"):
        sendable_row("t", columns, [1])


def fail(error: Exception) -> None:
    """Raise an error about a row, as it is explained."""
    explain(error, "t", ["a", "b"], [1, "x"])
    raise error


@pytest.mark.parametrize("kind", [OverflowError, TypeError, ValueError])
def test_an_error_of_the_driver_gets_a_name(kind: type[Exception]) -> None:
    """Whatever kind of error it was."""
    with pytest.raises(InvalidValue, match="table t, columns a: int, b: str: too big"):
        fail(kind("too big"))


def test_an_error_of_the_server_stays_what_it_is() -> None:
    """With table, columns and types added to its text, once."""
    error = psycopg2.IntegrityError("no\n")
    for _ in range(2):
        with pytest.raises(
            psycopg2.IntegrityError, match=r"^no \(table t, columns a: int, b: str\)$"
        ):
            fail(error)


def test_an_error_of_the_pool_is_about_no_row() -> None:
    """But one of the commit is."""
    with pytest.raises(PoolTimeout, match=r"^busy$"):
        fail(PoolTimeout("busy"))
    with pytest.raises(CommitUnknown, match=r"lost \(table t, "):
        fail(CommitUnknown("lost"))


def test_numpy_is_not_imported() -> None:
    """Neither is pandas: somebody else did, if there are any of their values."""
    names = {name.partition(".")[0] for name in vars(sys.modules[storable.__module__])}
    assert not names & {"numpy", "pandas"}


@pytest.mark.parametrize("kind", ["float16", "float32", "float64", "int8", "uint64", "bool_"])
def test_numpy_scalars_are_python_numbers(kind: str) -> None:
    """Exactly, at any depth, and as elements of any array."""
    numpy = pytest.importorskip("numpy")
    value = getattr(numpy, kind)(1)
    assert same(storable(value), value.item())
    text = {"f": "1.0", "b": "true"}.get(numpy.dtype(kind).kind, "1")
    assert storable([[value], [None]]) == f"{{{{{text}}},{{NULL}}}}"
    assert (
        storable(numpy.array([[1, 1], [1, 1]], kind)) == f"{{{{{text},{text}}},{{{text},{text}}}}}"
    )
    assert storable([numpy.array([1], kind)]) == f"{{{{{text}}}}}"
    assert same(storable(numpy.array(1, kind)), value.item())
    assert list(sendable_row("t", ["a", "b"], numpy.array([1, 1], kind))) == [1, 1]


def test_numpy_floats_keep_their_bits() -> None:
    """Minus zero and NaN too; a longer one is refused rather than rounded."""
    numpy = pytest.importorskip("numpy")
    assert str(storable(numpy.float64(-0.0))) == "-0.0"
    assert storable(numpy.float32(0.1)) == 0.10000000149011612
    assert math.isnan(storable(numpy.float64("nan")))
    if numpy.longdouble is not numpy.float64:
        with pytest.raises(InvalidValue, match=r"a numpy.*longdouble cannot be stored"):
            storable(numpy.longdouble(1))
    with pytest.raises(InvalidValue, match="a complex cannot be stored"):
        storable(numpy.complex128(1))


def test_numpy_texts_bytes_and_gaps() -> None:
    """What is masked is NULL."""
    numpy = pytest.importorskip("numpy")
    assert same(storable(numpy.str_("a")), "a")
    assert same(storable(numpy.bytes_(b"a")), b"a")
    assert storable(numpy.array(["a", "b,"])) == '{"a","b,"}'
    assert storable(numpy.ma.array([1, 2], mask=[False, True])) == "{1,NULL}"
    assert storable(numpy.ma.masked) is None
    assert storable(numpy.array([])) == "{}"


def test_numpy_times_are_cut_to_microseconds() -> None:
    """Local ones; a date stays a date, NaT is NULL, months have no length."""
    numpy = pytest.importorskip("numpy")
    local = str(datetime(2026, 7, 31, 1, 2, 3, 456_789).astimezone())
    for text in ("2026-07-31T01:02:03.456789", "2026-07-31T01:02:03.456789999"):
        assert storable(numpy.datetime64(text)) == local
    assert storable(numpy.array(["2026-07-31T01:02:03.456789999"], "M8[ns]")) == f'{{"{local}"}}'
    assert storable(numpy.datetime64("2026-07-31")) == "2026-07-31"
    assert storable(numpy.datetime64("2026-07")) == "2026-07-01"
    assert storable(numpy.datetime64("NaT")) is None
    assert storable(numpy.datetime64("NaT", "ns")) is None
    assert storable(numpy.timedelta64(1_001, "ns")) == "+0 days +0.000001 seconds"
    assert storable(numpy.timedelta64(2, "D")) == "+2 days +0.000000 seconds"
    assert storable(numpy.timedelta64("NaT", "ns")) is None
    with pytest.raises(InvalidValue, match=r"timedelta64\[M\] cannot be stored"):
        storable(numpy.timedelta64(2, "M"))


def test_pandas_values_are_pythons() -> None:
    """Nanoseconds are cut off without a warning; what is missing is NULL."""
    pandas = pytest.importorskip("pandas")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        moment = pandas.Timestamp("2026-01-31T01:02:03.456789123", tz="UTC")
        assert storable(moment) == "2026-01-31 01:02:03.456789+00:00"
        assert storable(moment.tz_localize(None)) == str(
            datetime(2026, 1, 31, 1, 2, 3, 456_789).astimezone()
        )
    assert storable(pandas.NaT) is None
    assert storable(pandas.NA) is None
    assert storable(pandas.Timedelta("1 day 00:00:00.000001001")) == "+1 days +0.000001 seconds"
    assert storable(pandas.Series([1.5, None])) == "{1.5,nan}"
    assert list(sendable_row("t", ["a", "b"], pandas.Series([1, 2]))) == [1, 2]


@pytest.mark.parametrize(
    "value",
    [ext.AsIs("now()"), ext.Int("1); --"), ext.Float("x"), ext.Boolean("x"), SQL("now()")],
)
def test_nothing_that_the_driver_would_not_quote_is_a_value(value: Any) -> None:
    """In a list neither, nor under another name."""

    class Claim(ext.AsIs):  # type: ignore[misc]
        """It lies about its class."""

        __class__ = bool  # type: ignore[assignment]

    for given in (value, [value]):
        with pytest.raises(InvalidValue, match=r"column c: a psycopg2\..* part of the statement"):
            sendable(given, "t", "c")
    assert storable(Claim("now()")) is True


@pytest.mark.parametrize(
    "text", ["1E+999999999", "-1E+131072", "1E-16384", "1E-999999999", "0E-999999999"]
)
def test_a_decimal_that_no_column_holds_is_refused(text: str) -> None:
    """Written out, it would fill the memory."""
    for data in (Decimal(text), [Decimal(text)]):
        with pytest.raises(InvalidValue, match=r"column c: a Decimal.*131072 digits"):
            sendable(data, "t", "c")
    assert storable(Decimal("9E+131071")) == Decimal("9E+131071")
    assert storable(Decimal("1E-16383")) == Decimal("1E-16383")


@needs_zones
def test_a_time_that_the_clocks_skip_keeps_its_digits() -> None:
    """And its moment; one that comes twice keeps both too."""
    code = (
        "from datetime import datetime; from lab_utils_mt._storage.values import storable as s\n"
        "print(s(datetime(2026, 3, 29, 2, 30)), s(datetime(2026, 3, 29, 2, 30, fold=1)))\n"
        "print(s(datetime(2026, 10, 25, 2, 30)), s(datetime(2026, 10, 25, 2, 30, fold=1)))\n"
    )
    environment = {**os.environ, "TZ": "CET-1CEST,M3.5.0,M10.5.0/3"}
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=root, env=environment, check=True, timeout=60, capture_output=True, text=True,
    )  # fmt: skip
    assert done.stdout.splitlines() == [
        "2026-03-29 02:30:00+01:00 2026-03-29 02:30:00+02:00",
        "2026-10-25 02:30:00+02:00 2026-10-25 02:30:00+01:00",
    ]


def test_an_error_about_no_column_names_the_table_only() -> None:
    """Not an empty list."""
    error = psycopg2.OperationalError("no")
    explain(error, "t", [], [])
    assert str(error) == "no (table t)"
