"""Words are assigned without argparse as argparse would assign them."""

# ruff: noqa: UP045  (of Annotated types there is no X | None in Python 3.10)

from __future__ import annotations

import inspect
import math
from typing import Annotated, Any, Literal, Optional

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab_utils_mt._commands.parser import ArgumentParser
from lab_utils_mt._commands.signature import InvalidArgument, Signature
from lab_utils_mt._commands.words import WordPlan, words_of
from lab_utils_mt.commands import Meta, Unit
from lab_utils_mt.exceptions import MessageError

TYPES: list[tuple[Any, Any]] = [
    (int, 3),
    (float, 0.5),
    (Annotated[float, Meta(ge=-1, le=300), Unit("K")], 1.0),
    (bool, False),
    (str, "x"),
    (Literal["a", "-b"], "a"),
    (Optional[int], None),
    (Optional[str], None),
]
NAMES = ["kelvin", "steps", "func", "which", "fast", "ramp_rate", "no_fast", "a"]
WORDS = [
    *("1", "0", "-5", "4.2", "-1e-3", "-.5", "-inf", "-INF", "-nan", "inf", "nan", "1_000", "-1_0"),
    *("１２", "-１", "", " ", "a b", "-a b", "-5 b", "--a b", "-", "--", "---", "-b", "a", "none"),
    *("true", "no", "x=1", "-5=3", "--fast=1", "--ramp-rate=2", "--x=1", "--no", "--fas", "-f"),
    *("--ramp_rate", "--ramp", "--fast", "--no-fast", "--no-no-fast", "--ramp-rate", "--steps"),
    *("--kelvin", "--a", "--func", "--which", "-inf\n", "-infx", "1e400", "\u00a0", "--no-a"),
]

Case = tuple[Signature, list[str]]


@st.composite
def signatures(draw: st.DrawFn) -> Signature:
    """Return the signature of a method with up to five parameters, of any kind but lists."""
    given_names = draw(st.lists(st.sampled_from(NAMES), max_size=5, unique=True))
    count = draw(st.integers(0, len(given_names)))
    parameters = [inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)]
    optional_from = draw(st.integers(0, count))
    hints = {}
    for place, name in enumerate(given_names):
        hints[name], default = draw(st.sampled_from(TYPES))
        is_option = place >= count
        has_default = draw(st.booleans()) if is_option else place >= optional_from
        form = inspect.Parameter.KEYWORD_ONLY if is_option else parameters[0].kind
        more = {"default": default} if has_default else {}
        parameters.append(inspect.Parameter(name, form, **more))

    def method(self: Any) -> None: ...

    method.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    try:
        return Signature.of(method, hints)  # type: ignore[arg-type]
    except TypeError:  # --no-fast twice
        return draw(signatures())


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Return a signature and words that often fit it."""
    signature = draw(signatures())
    own = [
        word
        for one in signature.parameters.values()
        if one.is_option
        for word in (one.option, f"--no{one.option[1:]}")[: 1 + one.is_flag]
    ]
    any_word = st.sampled_from([*WORDS, *own * 6, *["1", "-2.5", "true", "a"] * 6])
    words = draw(st.lists(any_word | st.text(max_size=4), max_size=9))
    return signature, words


def options_of(signature: Signature) -> tuple[set[str], set[str]]:
    """Return the options with a value, and the flags."""
    options = {p.option for p in signature.parameters.values() if p.is_option and not p.is_flag}
    flags = {p.option for p in signature.parameters.values() if p.is_flag}
    return options, flags | {f"--no{one[1:]}" for one in flags}


def is_number(word: str) -> bool:
    """Tell whether a word that begins with a hyphen is a negative number."""
    rest = word[1:].lower()
    return rest[:1].isascii() and (
        rest[:1].isdigit()
        or (rest[:1] == "." and rest[1:2].isascii() and rest[1:2].isdigit())
        or rest.removesuffix("\n") in {"inf", "nan"}
    )


def positionals_first(signature: Signature, words: list[str]) -> list[str]:
    """Order words as argparse before 3.13 needs them for optional positionals."""
    options, _ = options_of(signature)
    positionals, others = [], []
    rest = iter(words)
    for word in rest:
        if word in options:
            others += [word, *(value for value in [next(rest, None)] if value is not None)]
        elif word[:1] == "-" and not is_number(word):
            others.append(word)
        else:
            positionals.append(word)
    return positionals + others


def is_plain(signature: Signature, words: list[str]) -> bool:
    """Tell whether each word can only be an option of the signature, its value, or a value."""
    options, flags = options_of(signature)
    rest = iter(words)
    for word in rest:
        if word in options:
            value = next(rest, None)
            if not value or (value[:1] == "-" and not is_number(value)):
                return False
        elif word[:1] == "-" and not is_number(word) and word not in flags:
            return False
    return True


def by_argparse(signature: Signature, words: list[str]) -> dict[str, Any]:
    """Return the values that argparse finds.

    Raises:
        MessageError: There are none.
    """
    parser = ArgumentParser(prog="x", allow_abbrev=False)
    WordPlan(signature).add_arguments(parser)
    namespace = parser.parse_args(positionals_first(signature, words))
    return signature.from_words(words_of(namespace))


def same(one: Any, other: Any) -> bool:
    """Compare values; NaN is itself."""
    if isinstance(one, float) and math.isnan(one):
        return isinstance(other, float) and math.isnan(other)
    return type(one) is type(other) and bool(one == other)


@settings(max_examples=3000, deadline=None)
@given(cases())
def test_words_mean_what_they_mean_to_argparse(case: Case) -> None:
    """Value for value; where the one refuses, the other does; only odd words are left to it."""
    signature, words = case
    try:
        assigned = WordPlan(signature).assign(words)
        if assigned is None:
            assert WordPlan(signature).read_plain(["name", *words]) is None
            assert not is_plain(signature, words)
            return
        values = signature.from_words(assigned)
    except InvalidArgument:
        assert WordPlan(signature).read_plain(["name", *words]) is None
        with pytest.raises(MessageError):
            by_argparse(signature, words)
        return
    expected = by_argparse(signature, words)
    read = WordPlan(signature).read_plain(["name", *words])
    assert read is None or list(map(repr, read.items())) == list(map(repr, values.items()))
    assert values.keys() == expected.keys()
    assert all(same(values[name], expected[name]) for name in values)


def test_a_flag_may_be_called_no_something() -> None:
    """argparse by itself takes all that begins with --no- for False."""

    def method(self: Any, *, no_fast: bool = False) -> None: ...

    signature = signature_of(method)
    for word, value in (("--no-fast", True), ("--no-no-fast", False)):
        assert by_argparse(signature, [word]) == {"no_fast": value}
        assigned = WordPlan(signature).assign([word])
        assert assigned is not None
        assert signature.from_words(assigned) == {"no_fast": value}


@settings(max_examples=1000, deadline=None)
@given(cases())
def test_plain_words_never_need_argparse(case: Case) -> None:
    """That is what makes them fast."""
    signature, words = case
    if is_plain(signature, words):
        try:
            assert WordPlan(signature).assign(words) is not None
        except InvalidArgument as error:
            assert "too many" in str(error)  # noqa: PT017


def signature_of(function: Any) -> Signature:
    """Return a function's signature."""
    return Signature.of(function, inspect.get_annotations(function, eval_str=True))


def scan(self: Any, points: int, modes: list[str] = [], *, fast: bool = False) -> None:  # noqa: B006
    """Scan."""


def move(
    self: Any, to: float, speed: float = 1.0, *, ramp: float = 0.0, fast: bool = False
) -> None:
    """Move."""


@pytest.mark.parametrize(
    "words", [["1"], ["1", "a", "b"], ["1", "a", "--fast"], ["1", "--no-fast"], ["1", "-5"]]
)
def test_lists_are_left_to_argparse(words: list[str]) -> None:
    """It knows how many words they take."""
    signature = signature_of(scan)

    assert WordPlan(signature).assign(words) is None
    assert by_argparse(signature, words)["points"] == 1


@pytest.mark.parametrize(
    ("words", "values"),
    [
        (["-1e-3"], {"to": -1e-3}),
        (["--ramp", "-inf", "5"], {"to": 5.0, "ramp": -math.inf}),
        (["--ramp", "1", "5", "--ramp", "2", "7"], {"to": 5.0, "speed": 7.0, "ramp": 2.0}),
        (["--fast", "5", "--no-fast"], {"to": 5.0, "fast": False}),
    ],
)
def test_plain_words_are_assigned(words: list[str], values: dict[str, Any]) -> None:
    """In any order; of a repeated option the last one counts."""
    signature = signature_of(move)
    assigned = WordPlan(signature).assign(words)

    assert assigned is not None
    assert signature.from_words(assigned) == values


@pytest.mark.parametrize(
    "words", [["--ramp"], ["--ramp", ""], ["--ramp=1"], ["--"], ["-"], ["-x y"]]
)
def test_odd_words_are_left_to_argparse(words: list[str]) -> None:
    """It knows all forms."""
    assert WordPlan(signature_of(move)).assign(["1", *words]) is None


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (["-x"], "there is no option '-x'; -- stands before texts that begin with -"),
        (["--rmp", "1"], "there is no option '--rmp': did you mean --ramp"),
        (["1", "2", "3"], "3 arguments are too many: it takes to, speed"),
    ],
)
def test_unknown_options_and_surplus_words_are_refused(words: list[str], fault: str) -> None:
    """With the nearest names."""
    with pytest.raises(InvalidArgument, match=fault):
        WordPlan(signature_of(move)).assign(words)
