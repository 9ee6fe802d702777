"""Which arguments does a command take, and what do the words of a message say of them?"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Iterable, Mapping
from types import FunctionType
from typing import Any

import msgspec

from ..exceptions import MessageError
from .docstring import Docstring
from .kinds import Kind, kind_of
from .quick import Quick, Unsure
from .request import Request
from .results import schema_of
from .telling import unknown

_EMPTY = inspect.Parameter.empty
_VARIADIC = {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}
_LATER = inspect.CO_COROUTINE | inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR

Values = dict[str, Any]


class InvalidArgument(MessageError):
    """An argument is missing, surplus or not of its kind.

    Attributes:
        parameter: Its name, if it belongs to one.
    """

    def __init__(self, text: str, parameter: str | None = None) -> None:
        super().__init__(text)
        self.parameter = parameter


@dataclasses.dataclass(frozen=True)
class Parameter:
    """One argument of a command.

    Attributes:
        name: Its name.
        kind: What it takes.
        default: Its value if it is left out; ``inspect.Parameter.empty``: it must not be.
        is_option: Whether text commands give it as ``--name``.
        text: What it means.
    """

    name: str
    kind: Kind
    default: Any
    is_option: bool
    text: str

    @property
    def required(self) -> bool:
        """Whether it must be given."""
        return self.default is _EMPTY

    @property
    def option(self) -> str:
        """How text commands name it."""
        return "--" + self.name.replace("_", "-")

    @property
    def is_flag(self) -> bool:
        """Whether it is an option without a value: ``--fast`` or ``--no-fast``."""
        return self.is_option and self.kind.is_truth

    def check(self, value: Any) -> Any:
        """Return a value as the handler gets it.

        Raises:
            InvalidArgument: It is not of this kind.
        """
        try:
            return self.kind.check(value)
        except ValueError as error:
            raise self._invalid(error) from None

    def parse(self, words: str | list[str] | bool) -> Any:
        """Return what words say as the handler gets it.

        Raises:
            InvalidArgument: They are not of this kind.
        """
        if isinstance(words, bool):  # a flag
            return words
        try:
            return self.kind.parse(words)
        except ValueError as error:
            raise self._invalid(error) from None

    def _invalid(self, error: ValueError) -> InvalidArgument:
        return InvalidArgument(f"argument {self.name}: {error}", self.name)


@dataclasses.dataclass(frozen=True)
class Signature:
    """The arguments of a command, its result, and what its docstring says.

    Attributes:
        parameters: By name, in their order.
        request: The parameter that gets the :class:`.request.Request`, or None.
        returns: The annotation of the result.
        result: Its JSON schema.
        docstring: What the docstring says.
    """

    parameters: Mapping[str, Parameter]
    request: str | None
    returns: Any
    result: Mapping[str, Any]
    docstring: Docstring
    _required: tuple[str, ...] = dataclasses.field(init=False, repr=False)
    _quick: Mapping[str, Quick] = dataclasses.field(init=False, repr=False)

    def __post_init__(self) -> None:
        required = tuple(one.name for one in self.parameters.values() if one.required)
        object.__setattr__(self, "_required", required)  # looked at in each call
        ways = ((one.name, one.kind.quick_value) for one in self.parameters.values())
        object.__setattr__(self, "_quick", {name: take for name, take in ways if take})

    @classmethod
    def of(cls, function: FunctionType, hints: dict[str, Any]) -> Signature:
        """Read a method's signature.

        Raises:
            TypeError: It cannot be that of a command; says why.
        """
        if function.__code__.co_flags & _LATER:
            raise TypeError("it must return its result: it is a coroutine or a generator")
        docstring = Docstring.of(function)
        parameters: dict[str, Parameter] = {}
        request = None
        given = list(inspect.signature(function).parameters.values())
        if not given or given[0].kind in _VARIADIC:
            raise TypeError("it has no parameter self")
        for one in given[1:]:
            _refuse_form(one)
            if hints.get(one.name) is Request:
                if request is not None:
                    raise TypeError(f"parameter {one.name}: {request} is the request already")
                request = one.name
            else:
                text = docstring.parameters.get(one.name, "")
                parameters[one.name] = _parameter(one, hints, text)
        _refuse_order(parameters)
        returns = hints.get("return", Any)
        return cls(parameters, request, returns, _result_schema(returns), docstring)

    def _whole(self, values: Values) -> Values:
        for name in self._required:
            if name not in values:
                expected = self.parameters[name].kind.expectation
                raise InvalidArgument(f"argument {name} is missing: {expected}", name)
        return values

    def from_words(self, words: Mapping[str, str | list[str] | bool]) -> Values:
        """Return the arguments that words say.

        Raises:
            InvalidArgument: One is missing or not of its kind.
        """
        parameters = self.parameters
        return self._whole({name: parameters[name].parse(word) for name, word in words.items()})

    def from_json(self, params: object) -> Values:
        """Return the arguments that the ``params`` of a JSON-RPC request say.

        Raises:
            InvalidArgument: One is missing, surplus or not of its kind.
        """
        parameters = self.parameters
        if isinstance(params, list):
            if len(params) > len(parameters):
                raise InvalidArgument(too_many(len(params), parameters))
            params = dict(zip(parameters, params, strict=False))
        assert isinstance(params, dict), "a request has no other params"
        values = {}
        for name, value in params.items():
            try:
                values[name] = self._quick[name](value)
            except (KeyError, Unsure):
                if name not in parameters:
                    raise InvalidArgument(unknown("argument", name, parameters)) from None
                values[name] = parameters[name].check(value)
        return self._whole(values)


def _result_schema(hint: Any) -> dict[str, Any]:
    try:
        return schema_of(hint)
    except TypeError as error:
        raise TypeError(f"what it returns cannot be sent: {error}") from None


def too_many(count: int, names: Iterable[str]) -> str:
    """Say that there are more arguments than parameters."""
    return f"{count} arguments are too many: it takes {', '.join(names) or 'none'}"


def _refuse_form(one: inspect.Parameter) -> None:
    if one.kind in _VARIADIC:
        raise TypeError(f"parameter {one.name}: write one with a list[...] instead of * or **")
    if one.kind is inspect.Parameter.POSITIONAL_ONLY:
        raise TypeError(f"parameter {one.name}: / is not supported, arguments have names")


def _parameter(one: inspect.Parameter, hints: dict[str, Any], text: str) -> Parameter:
    if one.name not in hints:
        raise TypeError(f"parameter {one.name} has no type hint")
    try:
        kind = kind_of(hints[one.name])
        if one.default is not _EMPTY:
            _check_default(kind, one.default)
    except (TypeError, ValueError) as error:
        raise TypeError(f"parameter {one.name}: {error}") from error
    return Parameter(one.name, kind, one.default, one.kind is inspect.Parameter.KEYWORD_ONLY, text)


def _check_default(kind: Kind, default: Any) -> None:
    try:
        given = msgspec.to_builtins(default)  # as a client would send it
        checked = kind.check(given)
    except (TypeError, ValueError) as error:
        raise TypeError(f"its default does not fit: {error}") from None
    if checked != default and not isinstance(default, float):  # NaN differs from itself
        raise TypeError(f"its default {default!r} does not fit its type")


def _refuse_order(parameters: Mapping[str, Parameter]) -> None:
    """Refuse what words could not be told apart for.

    Raises:
        TypeError: A list is followed by another positional parameter, or two options have one name.
    """
    for one in parameters.values():
        if one.is_flag and (other := parameters.get(f"no_{one.name}")) and other.is_option:
            raise TypeError(f"parameter {other.name}: {other.option} means that not {one.name}")
    positional = [one for one in parameters.values() if not one.is_option]
    for one in positional[:-1]:
        if one.kind.item is not None:
            raise TypeError(f"parameter {one.name}: a list must be the last, or come after *")
