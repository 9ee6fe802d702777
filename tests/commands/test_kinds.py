"""What each type takes, in both dialects, and what is said of anything else."""

# ruff: noqa: UP045  (of Annotated types there is no X | None in Python 3.10)

from __future__ import annotations

import datetime
import enum
import math
from typing import Annotated, Any, Literal, Optional

import pytest

from lab_utils_mt._commands.kinds import Unit, kind_of
from lab_utils_mt.commands import Meta


class Mode(enum.Enum):
    """Numbers with names."""

    FAST = 1
    SLOW = 2


class Colour(enum.Enum):
    """Texts with names."""

    RED = "red"
    BLUE = "blue"


Kelvin = Annotated[float, Meta(ge=0, le=300), Unit("K")]
KELVIN = "a number from 0 to 300 K"
NOON = datetime.datetime(2026, 11, 22, 12, 0)
UTC_NOON = NOON.replace(tzinfo=datetime.timezone.utc)


@pytest.mark.parametrize(
    ("annotation", "word", "sent", "value"),
    [
        (int, "5", 5, 5),
        (int, "-5", -5, -5),
        (int, "+5", 5, 5),
        (int, "007", 7, 7),
        (int, "1" + "0" * 40, 10**40, 10**40),
        (float, "4.2", 4.2, 4.2),
        (float, "4", 4, 4.0),
        (float, "-1e-3", -1e-3, -0.001),
        (float, ".5", 0.5, 0.5),
        (float, "5.", 5.0, 5.0),
        (float, "1E3", 1000, 1000.0),
        (Kelvin, "0", 0, 0.0),
        (Kelvin, "300.0", 300.0, 300.0),
        (bool, "true", True, True),
        (bool, "OFF", False, False),
        (bool, "0", False, False),
        (str, "", "", ""),
        (str, "größe ☃", "größe ☃", "größe ☃"),
        (bytes, "AP8=", "AP8=", b"\x00\xff"),
        (datetime.datetime, "2026-11-22T12:00:00", "2026-11-22T12:00:00", NOON),
        (datetime.datetime, "2026-11-22 12:00:00", "2026-11-22 12:00:00", NOON),
        (datetime.datetime, "2026-11-22T12:00:00Z", "2026-11-22T12:00:00Z", UTC_NOON),
        (datetime.date, "2026-11-22", "2026-11-22", NOON.date()),
        (Mode, "2", 2, Mode.SLOW),
        (Mode, "SLOW", 2, Mode.SLOW),
        (Colour, "red", "red", Colour.RED),
        (Colour, "RED", "red", Colour.RED),
        (Literal["a", 5], "a", "a", "a"),
        (Literal["a", 5], "5", 5, 5),
        (Optional[int], "5", 5, 5),
        (Optional[int], "none", None, None),
        (Optional[Kelvin], "4.2", 4.2, 4.2),
        (Annotated[Optional[float], Meta(ge=0)], "None", None, None),
        (Optional[str], "none", "none", "none"),
        (list[int], ["1", "-2"], [1, -2], [1, -2]),
        (list[Kelvin], ["1", "2.5"], [1, 2.5], [1.0, 2.5]),
        (list[Mode], ["FAST", "2"], [1, 2], [Mode.FAST, Mode.SLOW]),
        (list[str], [], [], []),
        (Optional[list[int]], ["1"], [1], [1]),
        (list[int], "5", [5], [5]),
    ],
)
def test_a_word_and_json_give_the_same_value(
    annotation: Any, word: Any, sent: Any, value: Any
) -> None:
    """And the same type."""
    kind = kind_of(annotation)

    for found in (kind.parse(word), kind.check(sent)):
        assert found == value
        assert type(found) is type(value)


@pytest.mark.parametrize(
    ("annotation", "word", "sent", "fault"),
    [
        (int, "x", "x", "'x' is not an integer"),
        (int, "", "", "'' is not an integer"),
        (int, "1_000", "1_000", "'1_000' is not an integer"),
        (int, "１２", "１２", "'１２' is not an integer"),
        (int, " 7\n", " 7\n", r"' 7\n' is not an integer"),
        (int, "0x10", "0x10", "'0x10' is not an integer"),
        (Annotated[int, Meta(ge=0, le=9)], "10", 10, "10 is not an integer from 0 to 9"),
        (Annotated[int, Meta(gt=0)], "0", 0, "0 is not an integer above 0"),
        (Annotated[int, Meta(lt=5)], "5", 5, "5 is not an integer below 5"),
        (Annotated[int, Meta(le=5)], "6", 6, "6 is not an integer of at most 5"),
        (
            Annotated[int, Meta(multiple_of=2)],
            "3",
            3,
            "3 is not an integer that is a multiple of 2",
        ),
        (float, "1_000.0", "1_000.0", "'1_000.0' is not a number"),
        (float, "1e400", "1e400", "'1e400' is not a number"),
        (float, "infinity", "infinity", "'infinity' is not a number"),
        (float, "٣", "٣", "'٣' is not a number"),
        (Kelvin, "300.5", 300.5, f"300.5 is not {KELVIN}"),
        (Kelvin, "400", 400, f"400 is not {KELVIN}"),
        (Kelvin, "-1", -1, f"-1 is not {KELVIN}"),
        (Kelvin, "nan", math.nan, f"nan is not {KELVIN}"),
        (Kelvin, "-inf", -math.inf, f"-inf is not {KELVIN}"),
        (bool, "2", "2", "'2' is not true or false"),
        (Annotated[str, Meta(max_length=2)], "abc", "abc", "'abc' is not a text (at most 2 char"),
        (bytes, "x", "x", "'x' is not bytes in base64"),
        (datetime.datetime, "yesterday", "yesterday", "'yesterday' is not a date and time such"),
        (datetime.date, "２026-11-22", "２026-11-22", "'２026-11-22' is not a date such as"),
        (Mode, "MIDDLE", "MIDDLE", "'MIDDLE' is not one of FAST (1), SLOW (2)"),
        (Colour, "green", "green", "'green' is not one of red, blue"),
        (Literal["a", 5], "b", "b", "'b' is not one of a, 5"),
        (Optional[int], "x", "x", "'x' is not an integer, or none"),
        (list[int], ["1", "x"], [1, "x"], "'x' is not an integer"),
        (list[Kelvin], ["1", "400"], [1, 400], f"400 is not {KELVIN}"),
        (list[Kelvin], ["1", "nan"], [1, math.nan], f"nan is not {KELVIN}"),
        (
            Annotated[list[int], Meta(max_length=1)],
            ["1", "2"],
            [1, 2],
            "[1,2] is not a list of items, each an integer (at most 1 items)",
        ),
    ],
)
def test_a_word_and_json_are_refused_with_the_same_text(
    annotation: Any, word: Any, sent: Any, fault: str
) -> None:
    """It names the value, the type, the range and the unit."""
    kind = kind_of(annotation)
    with pytest.raises(ValueError, match="is not") as from_word:
        kind.parse(word)
    with pytest.raises(ValueError, match="is not") as from_json:
        kind.check(sent)

    assert str(from_word.value) == str(from_json.value)
    assert str(from_word.value).startswith(fault)


@pytest.mark.parametrize(
    ("annotation", "sent", "fault"),
    [
        (int, True, "true is not an integer"),
        (int, 1.0, "1.0 is not an integer"),
        (int, None, "null is not an integer"),
        (int, [1], "[1] is not an integer"),
        (float, False, "false is not a number"),
        (float, "4.2", "'4.2' is not a number"),
        (float, 10**400, "1000"),
        (bool, 1, "1 is not true or false"),
        (str, 5, "5 is not a text"),
        (datetime.datetime, 5, "5 is not a date and time such as 2026-11-22T21:30:00"),
        (Mode, 1.0, "1.0 is not one of FAST (1), SLOW (2)"),
        (Mode, True, "true is not one of FAST (1), SLOW (2)"),
        (list[int], 5, "5 is not a list of items, each an integer"),
        (list[int], [True], "true is not an integer"),
        (Optional[int], "none", "'none' is not an integer, or none"),
    ],
)
def test_json_is_not_converted(annotation: Any, sent: Any, fault: str) -> None:
    """A program that sends another type has a fault."""
    with pytest.raises(ValueError, match="is not") as error:
        kind_of(annotation).check(sent)

    assert str(error.value).startswith(fault)


def deep(levels: int) -> Any:
    """Return a list within lists."""
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    "sent", ["x" * 10_000, ["x" * 10_000], "\ud800", ["\ud800"], 10**4000, deep(900), deep(100_000)]
)
def test_what_is_said_of_a_value_is_short_and_can_be_sent(sent: Any) -> None:
    """Whatever a client sends."""
    with pytest.raises(ValueError, match="is not an integer from 0 to 9") as error:
        kind_of(Annotated[int, Meta(ge=0, le=9)]).check(sent)

    assert len(str(error.value).encode()) < 300


def test_a_long_word_is_cut() -> None:
    """Also one that is a number."""
    with pytest.raises(ValueError, match=r"0\.\.\. is not a number from 0 to 300 K") as error:
        kind_of(Kelvin).parse("400." + "0" * 10_000)

    assert len(str(error.value)) < 300


def test_numbers_that_are_not_finite_are_taken_without_a_range() -> None:
    """A reading may be lost."""
    assert math.isnan(kind_of(float).parse("nan"))
    assert kind_of(Annotated[float, Unit("K")]).parse("-INF") == -math.inf
    assert kind_of(list[float]).check([math.inf]) == [math.inf]


@pytest.mark.parametrize(
    ("annotation", "expectation"),
    [
        (Kelvin, KELVIN),
        (Annotated[int, Meta(gt=0), Meta(lt=5)], "an integer above 0 and below 5"),
        (Optional[Kelvin], f"{KELVIN}, or none"),
        (list[Kelvin], f"a list of items, each {KELVIN}"),
        (
            Annotated[str, Meta(min_length=1, pattern="^a")],
            "a text (at least 1 characters, matching ^a)",
        ),
        (Annotated[float, Unit("mm/s")], "a number mm/s"),
    ],
)
def test_what_is_expected_is_told(annotation: Any, expectation: str) -> None:
    """With range and unit."""
    assert kind_of(annotation).expectation == expectation
