"""Which arguments a command takes, and what its docstring says of them."""

from __future__ import annotations

from typing import Annotated, Any, get_type_hints

import pytest

from lab_utils_mt._commands.kinds import Unit
from lab_utils_mt._commands.signature import InvalidArgument, Signature
from lab_utils_mt.commands import Meta, Request


def google(
    self: Any,
    kelvin: Annotated[float, Meta(ge=0, le=300), Unit("K")],
    request: Request,
    steps: int = 1,
    *,
    ramp_rate: float = 0.0,
    names: list[str] = [],  # noqa: B006
) -> float:
    """Set the target temperature.

    Waits for nothing.

    Args:
        kelvin: Target,
            of the upper stage.
        steps: How many.
        ramp_rate: In K/min; 0 jumps.

    Returns:
        The temperature before.
    """
    return kelvin


def numpy_style(self: Any, kelvin: float) -> float:
    """Set it.

    Parameters
    ----------
    kelvin : float
        Target.

    Returns
    -------
    float
        The temperature before.
    """
    return kelvin


def sphinx(self: Any, kelvin: float) -> float:
    """Set it.

    :param kelvin: Target.
    :returns: The temperature before.
    """
    return kelvin


def silent(self: Any, kelvin: float) -> float:
    return kelvin


def signature_of(function: Any) -> Signature:
    """Return a function's signature."""
    return Signature.of(function, get_type_hints(function, include_extras=True))


@pytest.mark.parametrize("function", [google, numpy_style, sphinx])
def test_the_docstring_explains_the_parameters(function: Any) -> None:
    """In any of the usual styles."""
    signature = signature_of(function)

    assert signature.docstring.summary.startswith("Set ")
    assert signature.parameters["kelvin"].text.startswith("Target")
    assert signature.docstring.returns == "The temperature before."


def test_a_docstring_may_be_missing() -> None:
    """Then the texts are empty."""
    signature = signature_of(silent)

    assert (signature.docstring.summary, signature.parameters["kelvin"].text) == ("", "")


def test_a_signature_has_all_but_self_and_the_request() -> None:
    """In their order; keyword-only ones are options."""
    signature = signature_of(google)

    assert list(signature.parameters) == ["kelvin", "steps", "ramp_rate", "names"]
    assert signature.request == "request"
    assert [one.required for one in signature.parameters.values()] == [True, False, False, False]
    assert [one.is_option for one in signature.parameters.values()] == [False, False, True, True]
    assert signature.parameters["ramp_rate"].option == "--ramp-rate"
    assert signature.parameters["kelvin"].text == "Target, of the upper stage."
    assert signature.docstring.description == "Waits for nothing."
    assert signature.result == {"type": "number"}


@pytest.mark.parametrize(
    ("params", "values"),
    [
        ([4], {"kelvin": 4.0}),
        ([4, 2, 0.5], {"kelvin": 4.0, "steps": 2, "ramp_rate": 0.5}),
        ({"names": ["a"], "kelvin": 4}, {"kelvin": 4.0, "names": ["a"]}),
    ],
)
def test_params_are_given_in_order_or_by_name(params: Any, values: dict[str, Any]) -> None:
    """What is left out is left to the method."""
    assert signature_of(google).from_json(params) == values


@pytest.mark.parametrize(
    ("params", "fault", "parameter"),
    [
        ([], "argument kelvin is missing: a number from 0 to 300 K", "kelvin"),
        ({}, "argument kelvin is missing: a number from 0 to 300 K", "kelvin"),
        ({"kelvin": 400}, "argument kelvin: 400 is not a number from 0 to 300 K", "kelvin"),
        ([4, 1.5], "argument steps: 1.5 is not an integer", "steps"),
        ([1, 2, 3, [], 5], "5 arguments are too many: it takes kelvin, steps, ramp_rate", None),
        ({"kelvn": 4}, "there is no argument 'kelvn': did you mean kelvin?", None),
        ({"kelvin": 4, "request": 1}, "there is no argument 'request': choose from kelvin", None),
        ({"kelvin": 4, "self": 1}, "there is no argument 'self': ", None),
        ({"kelvin": 4, "": 1}, "there is no argument '': ", None),
    ],
)
def test_params_that_do_not_fit_are_refused(params: Any, fault: str, parameter: str | None) -> None:
    """Naming the parameter."""
    with pytest.raises(InvalidArgument) as error:
        signature_of(google).from_json(params)

    assert str(error.value).startswith(fault)
    assert error.value.parameter == parameter


def test_words_are_refused_with_the_same_texts_as_params() -> None:
    """The dialects differ in form only."""
    signature = signature_of(google)
    for words, params in (
        ({}, {}),
        ({"kelvin": "400"}, {"kelvin": 400}),
        ({"kelvin": "4", "steps": "x"}, {"kelvin": 4, "steps": "x"}),
        ({"kelvin": "nan"}, {"kelvin": float("nan")}),
    ):
        with pytest.raises(InvalidArgument) as of_words:
            signature.from_words(words)
        with pytest.raises(InvalidArgument) as of_params:
            signature.from_json(params)
        assert str(of_words.value) == str(of_params.value)
        assert of_words.value.parameter == of_params.value.parameter
