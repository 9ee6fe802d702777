"""Which declarations work, and what is said of those that cannot."""

from __future__ import annotations

import enum
import functools
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Annotated, Any, Literal

import pytest

from lab_utils_mt._commands.declaring import CommandNote, Declaration, declared
from lab_utils_mt.commands import Meta, Request, Unit, command, poll
from lab_utils_mt.socket_comm import Server


def commands_of(owner: type[Server]) -> dict[str, Declaration[CommandNote]]:
    """Return the declared commands of a class."""
    return {one.name: one for one in owner._declared.commands}


def unsupported(self: Any, value: complex) -> None: ...
def two_types(self: Any, value: int | str) -> None: ...
def nested_list(self: Any, value: list[list[int]]) -> None: ...
def bare_list(self: Any, value: list) -> None: ...  # type: ignore[type-arg]
def a_dict(self: Any, value: dict[str, int]) -> None: ...
def no_hint(self: Any, value) -> None: ...  # type: ignore[no-untyped-def]
def bad_default(self: Any, value: int = 1.5) -> None: ...  # type: ignore[assignment]
def default_of_other_type(self: Any, value: int = True) -> None: ...
def default_out_of_range(self: Any, value: Annotated[int, Meta(ge=5)] = 1) -> None: ...
def default_is_no_choice(self: Any, value: Literal["a", "b"] = "c") -> None: ...  # type: ignore[assignment]
def list_not_last(self: Any, values: list[int], value: int) -> None: ...
def star(self: Any, *values: int) -> None: ...
def two_stars(self: Any, **values: int) -> None: ...
def slash(self: Any, value: int, /) -> None: ...
def slash_for_request(self: Any, request: Request, /) -> None: ...
def two_requests(self: Any, one: Request, two: Request) -> None: ...
def flag_twice(self: Any, *, fast: bool = False, no_fast: bool = False) -> None: ...
def bad_meta(self: Any, value: Annotated[str, Meta(ge=1)]) -> None: ...
def bad_length(self: Any, value: Annotated[float, Meta(max_length=1)]) -> None: ...
def unsendable(self: Any) -> object: ...
def unresolvable(self: Any, value: Nowhere) -> None: ...  # type: ignore[name-defined]  # noqa: F821
def no_attribute(self: Any, value: enum.Nothing) -> None: ...  # type: ignore[name-defined]
def no_self() -> None: ...
async def coroutine(self: Any) -> int: ...  # type: ignore[empty-body]
def generator(self: Any) -> Iterator[int]:
    yield 1


async def async_generator(self: Any) -> AsyncIterator[int]:
    yield 1


@pytest.mark.parametrize(
    ("method", "fault"),
    [
        (unsupported, "parameter value: complex is no type"),
        (two_types, "parameter value: .*is no type"),
        (nested_list, "parameter value: .*a list holds single values"),
        (bare_list, "parameter value: list is no type"),
        (a_dict, "parameter value: .*is no type"),
        (no_hint, "parameter value has no type hint"),
        (bad_default, "parameter value: its default does not fit: 1.5 is not an integer"),
        (default_of_other_type, "parameter value: its default does not fit: true is not"),
        (
            default_out_of_range,
            "parameter value: its default does not fit: 1 is not an integer of at least 5",
        ),
        (default_is_no_choice, "parameter value: its default does not fit: .c. is not one of a, b"),
        (list_not_last, "parameter values: a list must be the last"),
        (star, r"parameter values: write one with a list\[...\]"),
        (two_stars, r"parameter values: write one with a list\[...\]"),
        (slash, "parameter value: / is not supported"),
        (slash_for_request, "parameter request: / is not supported"),
        (two_requests, "parameter two: one is the request already"),
        (flag_twice, "parameter no_fast: --no-fast means that not fast"),
        (bad_meta, "parameter value: .*numeric"),
        (bad_length, "parameter value: .*"),
        (unsendable, "what it returns cannot be sent"),
        (unresolvable, "a type hint cannot be resolved: name 'Nowhere'"),
        (no_attribute, "a type hint cannot be resolved: .*Nothing"),
        (no_self, "it has no parameter self"),
        (coroutine, "it must return its result"),
        (generator, "it must return its result"),
        (async_generator, "it must return its result"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_method_that_cannot_be_a_command_is_refused(
    method: Callable[..., Any], fault: str
) -> None:
    """When the class is made, naming class and method."""
    fresh = functools.partial(type, "Lab", (Server,))

    with pytest.raises(TypeError, match=f"^class Lab, method {method.__name__}: {fault}"):
        fresh({method.__name__: command(method)})


@pytest.mark.parametrize("name", ["", "rpc.x", "1st", "a b", "größe", 5])
def test_a_name_that_is_none_is_refused(name: Any) -> None:
    """An empty one as well."""
    with pytest.raises(TypeError, match=r"class Lab, method move: .* is no name"):

        class Lab(Server):
            @command(name=name)
            def move(self) -> None: ...


@pytest.mark.parametrize(
    "arguments",
    [
        {"device": 5},
        {"device": ""},
        {"device": ["a"]},
        {"device": ("a", 5)},
        {"timeout": "5"},
        {"timeout": True},
        {"timeout": -1},
        {"timeout": float("nan")},
    ],
)
def test_a_device_or_timeout_that_is_none_is_refused(arguments: Any) -> None:
    """Where the decorator stands."""
    with pytest.raises(TypeError, match=f"class Lab, method move: {next(iter(arguments))}: "):

        class Lab(Server):
            @command(**arguments)
            def move(self) -> None: ...


@pytest.mark.parametrize("every", [0, -1.0, None, "1", True, float("inf")])
def test_an_interval_that_is_none_is_refused(every: Any) -> None:
    """A poller needs a positive one."""
    with pytest.raises(TypeError, match="class Lab, method read: every: "):

        class Lab(Server):
            @poll(every=every)
            def read(self) -> float: ...  # type: ignore[empty-body]


@pytest.mark.parametrize("wrapper", [staticmethod, classmethod, property])
def test_a_command_is_a_method(wrapper: Callable[..., Any]) -> None:
    """Whichever decorator stands above the other."""

    def move(self: Any) -> None: ...

    move.__qualname__ = "Lab.move"
    with pytest.raises(TypeError, match="class Lab, method move: @command is for methods"):
        command(wrapper(move))
    with pytest.raises(TypeError, match="class Lab, method move: a command or poller is a method"):
        type("Lab", (Server,), {"move": wrapper(command(move))})


def test_two_commands_of_one_name_are_refused() -> None:
    """The one would hide the other."""
    with pytest.raises(
        TypeError, match=r"class Lab, method go: the name 'move' is taken by .* move"
    ):

        class Lab(Server):
            @command
            def move(self) -> None: ...

            @command(name="move")
            def go(self) -> None: ...


def test_a_command_that_the_parser_has_is_refused(pid_file: str) -> None:
    """Whichever was meant."""

    class Lab(Server):
        def create_parser(self) -> None:
            super().create_parser()
            self.sp.add_parser("move")

        @command
        def move(self) -> None: ...

    with pytest.raises(TypeError, match=r"the command 'move' is declared .* create_parser\(\)"):
        Lab(pid_file_name=pid_file, port=0)


@pytest.mark.parametrize("name", ["host", "config", "serve_forever", "quit", "address"])
def test_a_command_must_not_be_called_like_an_attribute_of_the_server(name: str) -> None:
    """It would break it; the decorator may give the name all the same."""

    def method(self: Any) -> None: ...
    def other(self: Any) -> None: ...

    with pytest.raises(TypeError, match=f"method {name}: .* rename the method.*name='{name}'"):
        type("Lab", (Server,), {name: command(method)})
    owner = type("Lab", (Server,), {"other": command(name=name)(other)})
    assert list(commands_of(owner)) == [name]


# --- what works ------------------------------------------------------------------------------


class Base(Server):
    """A server with a command."""

    @command(device="motor", timeout=3, idempotent=True)
    def move(self, position: Annotated[float, Unit("mm")]) -> float:
        """Move."""
        return position


def test_an_override_keeps_the_note() -> None:
    """Its signature and docstring are its own."""

    class Derived(Base):
        def move(self, position: Annotated[float, Unit("mm")], *, fast: bool = False) -> float:
            """Move faster."""
            return position

    found = commands_of(Derived)["move"]
    assert found.note == commands_of(Base)["move"].note
    assert list(found.signature.parameters) == ["position", "fast"]
    assert found.signature.docstring.summary == "Move faster."


def test_an_override_may_change_the_note() -> None:
    """With a decorator of its own."""

    class Derived(Base):
        @command(device="other")
        def move(self, position: float) -> float:
            return position

    assert commands_of(Derived)["move"].note == CommandNote(None, ("other",), None, False)


def test_an_override_that_is_no_method_is_refused() -> None:
    """The command would be gone without a word."""
    with pytest.raises(TypeError, match="class Derived, method move: a command or poller is"):

        class Derived(Base):
            move = None  # type: ignore[assignment]


def test_a_mixin_that_is_no_server_brings_its_commands() -> None:
    """In the order of the classes, the base first."""

    class Thermometer:
        @command
        def kelvin(self) -> float:
            return 4.2

    class Both(Thermometer, Base):
        @command
        def last(self) -> None: ...

    assert list(commands_of(Both)) == ["move", "kelvin", "last"]
    assert list(commands_of(Base)) == ["move"]


def test_types_that_are_local_to_a_function_are_found() -> None:
    """Hints are strings here, because of ``from __future__ import annotations``."""

    class Mode(enum.Enum):
        FAST = "fast"

    class Local(Server):
        Inner = Literal["a", "b"]

        @command
        def bare(self, mode: Mode, inner: Inner) -> Mode:
            return mode

        @command(name="called")
        def with_arguments(self, mode: Mode | None = None) -> None: ...

    found = commands_of(Local)
    assert found["bare"].signature.parameters["mode"].check("fast") is Mode.FAST
    assert found["bare"].signature.parameters["inner"].check("b") == "b"
    assert found["called"].signature.parameters["mode"].check("fast") is Mode.FAST


def test_a_wrapped_method_is_a_command() -> None:
    """The note travels with what functools.wraps() copies."""

    def logged(method: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(method)
        def call(*args: Any, **kwargs: Any) -> Any:
            return method(*args, **kwargs)

        return call

    class Lab(Server):
        @logged
        @command
        def above(self, value: int) -> int:
            return value

        @command
        @logged
        def below(self, value: int) -> int:
            return value

    assert [list(one.signature.parameters) for one in commands_of(Lab).values()] == [["value"]] * 2


def test_an_attribute_that_has_any_name_is_no_command() -> None:
    """Such as a proxy of another server."""

    class Proxy:
        def __getattr__(self, name: str) -> Proxy:
            return self

    owner = type("Lab", (), {"other": Proxy()})

    assert declared(owner, CommandNote, ()) == []
