"""What a poller's method declares and returns: columns, their types, their values."""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Annotated, Any, Literal, NamedTuple, Optional, TypedDict

import pytest

from lab_utils_mt._commands.readings import Shape, shape_of

NOON = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)


class Stages(TypedDict):
    kelvin: Annotated[float, "K"]
    pressure: float | None


@dataclass
class Pump:
    speed: int
    is_on: bool


class Beam(NamedTuple):
    x: float
    note: str


class Mode(enum.Enum):
    OFF = "off"
    ON = "on"


class Bad(TypedDict):
    kelvin: list[float]


class Reserved(TypedDict):
    time: float


class Strange(NamedTuple):
    x: complex


@pytest.mark.parametrize(
    ("annotation", "columns", "others"),
    [
        (float, {"sensor": float}, None),
        (Optional[float], {"sensor": float}, None),  # noqa: UP045
        (Annotated[int, "mm"], {"sensor": int}, None),
        (Literal["on", "off"], {"sensor": str}, None),
        (Mode, {"sensor": str}, None),
        (datetime, {"sensor": datetime}, None),
        (Stages, {"kelvin": float, "pressure": float}, None),
        (Annotated[Stages | None, "both"], {"kelvin": float, "pressure": float}, None),
        (Pump, {"speed": int, "is_on": bool}, None),
        (Beam, {"x": float, "note": str}, None),
        (dict[str, float], {}, float),
        (Mapping[str, Annotated[bool, "x"]], {}, bool),
    ],
)
def test_columns_come_from_the_return_type(
    annotation: Any, columns: dict[str, type], others: type | None
) -> None:
    """Whatever is around it."""
    shape = shape_of(annotation, "sensor", "cryo.readings")
    assert (dict(shape.columns), shape.others) == (columns, others)
    assert list(shape.columns) == list(columns)


@pytest.mark.parametrize(
    ("annotation", "fault"),
    [
        (dict, "does not say which columns"),
        (tuple, "does not say which columns"),
        (dict[int, float], r"write dict\[str, float\]"),
        (dict[str, Any], "of dict"),
        (list[float], "column sensor: list"),
        (Bad, "column kelvin: list"),
        (Strange, "column x: complex cannot be stored: use bool, int, float, str or datetime"),
        (Reserved, "the column time is when the reading was taken"),
        (float | str, "column sensor"),
        (type(None), "column sensor: NoneType"),
    ],
)
def test_a_table_needs_columns_that_are_known(annotation: Any, fault: str) -> None:
    """Else the class cannot be defined; without a table, anything goes."""
    with pytest.raises(TypeError, match=fault) as caught:
        shape_of(annotation, "sensor", "cryo")
    assert "columns of table cryo are not known" in str(caught.value)
    assert shape_of(annotation, "sensor").name == "sensor"


def test_no_return_type_at_all() -> None:
    """Is fine without a table only."""
    assert shape_of(Any, "sensor").others is object
    with pytest.raises(TypeError, match="no return type"):
        shape_of(Any, "sensor", "cryo")


@pytest.mark.parametrize("table", ["", "1st", "a.b.c", "a;b", "ü", 'a"', "x" * 64, 7])
def test_names_of_tables_and_columns_are_checked(table: Any) -> None:
    """As the database would."""
    with pytest.raises(TypeError, match="table name"):
        shape_of(float, "sensor", table)


def test_a_scalar_needs_a_column_name() -> None:
    """The poller's."""
    with pytest.raises(TypeError, match="column name 'my-sensor'"):
        shape_of(float, "my-sensor", "cryo")


def values(annotation: Any, returned: Any, table: str | None = "cryo") -> Any:
    """Return what becomes of a returned value."""
    return shape_of(annotation, "sensor", table).values_of(returned)


@pytest.mark.parametrize(
    ("annotation", "returned", "found"),
    [
        (float, 4, {"sensor": 4.0}),
        (float, None, {"sensor": None}),
        (float | None, None, {"sensor": None}),
        (Mode, Mode.ON, {"sensor": "on"}),
        (Stages, {"kelvin": 4.2}, {"kelvin": 4.2}),
        (Stages | None, None, None),
        (Pump, Pump(3, True), {"speed": 3, "is_on": True}),
        (Beam, Beam(1.5, "ok"), {"x": 1.5, "note": "ok"}),
        (dict[str, float], {"a": 1, "b": math.inf}, {"a": 1.0, "b": math.inf}),
        (datetime, NOON, {"sensor": NOON}),
    ],
)
def test_values_become_those_of_their_columns(annotation: Any, returned: Any, found: Any) -> None:
    """A float column has floats."""
    given = values(annotation, returned)
    assert given == found
    assert [*map(type, (given or {}).values())] == [*map(type, (found or {}).values())]


def test_numbers_of_numpy_are_numbers() -> None:
    """Their type is Python's then."""
    numpy = pytest.importorskip("numpy")
    given = values(dict[str, float], {"a": numpy.float32(0.5), "b": numpy.int16(3)})
    assert given == {"a": 0.5, "b": 3.0}
    assert {type(value) for value in given.values()} == {float}
    assert values(numpy.float64, numpy.float64(2)) == {"sensor": 2.0}
    assert values(numpy.bool_, numpy.bool_(True))["sensor"] is True


@pytest.mark.parametrize(
    ("annotation", "returned", "fault"),
    [
        (Stages, {"kelvin": 4.2, "colour": 1.0}, "the column 'colour', which its return type does"),
        (Stages, {"kelvin": "cold"}, "column kelvin: a str is no value: float is declared"),
        (Stages, [4.2], "it returned a list"),
        (Stages, None, "it returned a NoneType"),
        (Stages, {}, "no value at all"),
        (Stages, 4.2, "the column 'sensor', which"),
        (int, 2.5, "column sensor: a float is no value: int is declared"),
        (int, True, "a bool is no value"),
        (float, True, "a bool is no value"),
        (int, 2**63, "does not fit into 8 bytes"),
        (str, "a\0b", "NUL"),
        (str, "\ud800", "lone surrogate"),
        (dict[str, float], {"a b": 1.0}, "column name 'a b' is refused"),
        (dict[str, float], {"time": 1.0}, "the column time"),
        (dict[str, float], {3: 1.0}, "the column 3"),
        (float, object(), "a object is no value"),
    ],
)
def test_a_wrong_return_is_explained(annotation: Any, returned: Any, fault: str) -> None:
    """The column is named."""
    with pytest.raises((TypeError, ValueError), match=fault):
        values(annotation, returned)


def test_without_a_declaration_any_plain_value_goes() -> None:
    """And nothing else."""
    shape = Shape("sensor", {}, object, is_optional=True)
    assert shape.values_of(None) is None
    assert shape.values_of(7) == {"sensor": 7}
    assert shape.values_of({"a b": "x"}) == {"a b": "x"}
    with pytest.raises(TypeError, match="a list is no value"):
        shape.values_of({"a": [1]})
