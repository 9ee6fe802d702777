"""Which values can be stored, and what is said of the others."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import psycopg2
import pytest

from lab_utils_mt._storage.errors import InvalidValue
from lab_utils_mt._storage.values import check_row, naming


@pytest.mark.parametrize("value", [1, 1.5, True, None, "Ω", float("nan"), b"\0", [1], object()])
def test_other_values_are_left_to_the_driver(value: object) -> None:
    """They are not looked into."""
    check_row("t", ["c"], [value])


@pytest.mark.parametrize(
    ("value", "text"), [("a\0", "NUL"), ("\ud800", "lone surrogate"), ("x\udfff", "udfff")]
)
def test_text_that_cannot_be_stored_is_refused(value: str, text: str) -> None:
    """With table, column and type, and as each of the documented errors."""
    with pytest.raises(InvalidValue, match=rf"table t, column c: a str .*{text}") as caught:
        check_row("t", ["b", "c"], [1, value])
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, TypeError)
    assert isinstance(caught.value, psycopg2.DataError)
    str(caught.value).encode()


@pytest.mark.parametrize("kind", ["float64", "float32", "int64", "bool_"])
def test_numpy_scalars_are_refused(kind: str) -> None:
    """Even the one that is a float: its repr is not SQL."""
    numpy = pytest.importorskip("numpy")
    with pytest.raises(InvalidValue, match=r"column c: a numpy\..*float\(x\)"):
        check_row("t", ["c"], [getattr(numpy, kind)(1)])


@pytest.mark.parametrize(("columns", "data"), [(["a"], []), ([], [1]), (["a"], [1, 2]), ([], [])])
def test_lengths_must_agree(columns: list[str], data: list[Any]) -> None:
    """And must not be zero."""
    with pytest.raises(psycopg2.DataError, match="table t"):
        check_row("t", columns, data)


def fail(error: Exception) -> None:
    """Raise an error about a row."""
    with naming("t", ["a", "b"], [1, "x"]):
        raise error


def test_an_error_of_the_driver_gets_a_name() -> None:
    """Whatever kind of error it was."""
    with pytest.raises(InvalidValue, match="table t, columns a: int, b: str: too big"):
        fail(OverflowError("too big"))


def test_an_error_of_the_server_stays_what_it_is() -> None:
    """With table, columns and types added to its text."""
    with pytest.raises(psycopg2.IntegrityError, match=r"no \(table t, columns a: int, b: str\)"):
        fail(psycopg2.IntegrityError("no\n"))


@pytest.mark.parametrize("value", ["Infinity", "-Infinity", "sNaN"])
def test_decimals_that_the_driver_would_make_nan_are_refused(value: str) -> None:
    """In an array too; an honest NaN is stored."""
    for data in (Decimal(value), [Decimal(1), Decimal(value)]):
        with pytest.raises(InvalidValue, match=r"column c: a Decimal.* use a float"):
            check_row("t", ["c"], [data])
    check_row("t", ["c"], [Decimal("NaN")])


@pytest.mark.parametrize("data", [1.0, None, "x", b"x", {1.0}, {"c": 1}, iter([1])])
def test_data_must_be_a_list(data: Any) -> None:
    """Also where len() and a loop would do."""
    with pytest.raises(InvalidValue, match="table t: data must be a list") as caught:
        check_row("t", ["c"], data)
    assert isinstance(caught.value, TypeError)


@pytest.mark.parametrize("columns", ["c", None, {"c"}])
def test_columns_must_be_a_list(columns: Any) -> None:
    """A str is not a list of letters."""
    with pytest.raises(InvalidValue, match="table t: columns must be a list"):
        check_row("t", columns, [1])


def test_numpy_scalars_in_a_list_are_refused() -> None:
    """At any depth."""
    numpy = pytest.importorskip("numpy")
    with pytest.raises(InvalidValue, match="column c: a numpy"):
        check_row("t", ["c"], [[[1.0], [numpy.float64(1.0)]]])
