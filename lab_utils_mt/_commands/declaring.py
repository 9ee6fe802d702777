"""Which methods of a class are commands or pollers?

A decorator leaves a note on its method; :func:`declared` collects the notes when the class is made,
so that a declaration that cannot work fails there and not at night. A subclass that overrides such
a method overrides what is done; the note stays.
"""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import math
import re
import sys
import types
from collections.abc import Callable, Container, Mapping
from typing import Any, Generic, TypeVar, get_type_hints, overload

from .signature import Signature

_NOTE = "__lab_utils_mt__"
_NAME = re.compile(r"(?!rpc\.)[A-Za-z_][A-Za-z0-9_.-]*", re.ASCII)
_Hints = dict[str, Any]
_Method = TypeVar("_Method", bound=Callable[..., Any])


@dataclasses.dataclass(frozen=True)
class CommandNote:
    """What ``@command`` was told; see there."""

    name: str | None
    devices: tuple[str, ...]
    timeout: float | None
    idempotent: bool


@dataclasses.dataclass(frozen=True)
class PollNote:
    """What ``@poll`` was told; see there."""

    name: str | None
    every: float
    devices: tuple[str, ...]
    table: str | None


_Note = TypeVar("_Note", CommandNote, PollNote)


@dataclasses.dataclass(frozen=True)
class Declaration(Generic[_Note]):
    """A method that has a note.

    Attributes:
        name: The command's or poller's name.
        method: The method's name in the class.
        note: What its decorator was told.
        signature: What it takes and returns.
    """

    name: str
    method: str
    note: _Note
    signature: Signature


@overload
def command(method: _Method, /) -> _Method: ...
@overload
def command(
    *,
    name: str | None = ...,
    device: str | tuple[str, ...] = ...,
    timeout: float | None = ...,
    idempotent: bool = ...,
) -> Callable[[_Method], _Method]: ...
def command(
    method: _Method | None = None,
    /,
    *,
    name: str | None = None,
    device: str | tuple[str, ...] = (),
    timeout: float | None = None,
    idempotent: bool = False,
) -> _Method | Callable[[_Method], _Method]:
    """Make a command of a method of a :class:`~lab_utils_mt.socket_comm.Server`.

    The parameters' type hints say which values are taken, the docstring explains them. Positional
    parameters are words of the text command, keyword-only ones are options (``ramp_rate`` is
    ``--ramp-rate``); in JSON-RPC both are ``params``. What the method returns is the reply. An
    exception is an error for the client, and the server goes on.

    Args:
        method: The method, if the decorator is used without arguments.
        name: The command's name; by default the method's.
        device: What the command works with: commands of one device run one at a time, in the order
            of their arrival.
        timeout: Seconds to wait for the device; by default the server's ``device_timeout``.
        idempotent: Whether running it twice does no harm: a client then repeats it by itself if the
            connection is lost.

    Raises:
        TypeError: This is no method, or an argument cannot be used.
    """

    def note() -> CommandNote:
        return CommandNote(name, _devices(device), _seconds("timeout", timeout), bool(idempotent))

    if method is not None:
        return _annotate(method, note, "command")
    return lambda function: _annotate(function, note, "command")


def poll(
    *,
    every: float,
    device: str | tuple[str, ...] = (),
    table: str | None = None,
    name: str | None = None,
) -> Callable[[_Method], _Method]:
    """Call a method again and again while the server runs.

    It takes no arguments and returns a reading: a mapping, dataclass or NamedTuple of columns, or
    one value. Clients may ``watch`` it. If it raises, that is reported once, and it is called less
    often until it works again.

    Args:
        every: Seconds from one call to the next; calls that come too late are left out.
        device: What it works with, as for :func:`command`.
        table: Table of the server's database that keeps the readings; it and its columns are made
            if they are missing, from the return type.
        name: The poller's name; by default the method's.

    Raises:
        TypeError: This is no method, or an argument cannot be used.
    """

    def note() -> PollNote:
        if not _seconds("every", every):
            raise TypeError(f"every: a positive number of seconds, not {every!r}")
        return PollNote(name, float(every), _devices(device), table)

    return lambda function: _annotate(function, note, "poll")


def declared(owner: type, kind: type[_Note], reserved: Container[str]) -> list[Declaration[_Note]]:
    """Collect the declarations of a class and of those that it derives from.

    Args:
        owner: The class.
        kind: Which notes.
        reserved: Names of the server's own attributes, which no method may replace.

    Raises:
        TypeError: One cannot work; names class and method.
    """
    found: dict[str, Declaration[_Note]] = {}
    for method, (note, hints) in _notes(owner, kind).items():
        try:
            _refuse_reserved(method, reserved)
            one = _declaration(owner, method, note, hints)
            _refuse_taken(one.name, found)
        except TypeError as error:
            raise TypeError(f"class {owner.__name__}, method {method}: {error}") from error
        found[one.name] = one
    return list(found.values())


def _refuse_reserved(method: str, reserved: Container[str]) -> None:
    if method in reserved:
        raise TypeError(
            f"every server has an attribute {method}: rename the method; the decorator"
            f" may give the old name (name={method!r})"
        )


def _refuse_taken(name: str, found: Mapping[str, Declaration[_Note]]) -> None:
    if name in found:
        raise TypeError(f"the name {name!r} is taken by the method {found[name].method}")


def _notes(owner: type, kind: type[_Note]) -> dict[str, tuple[_Note, _Hints | None]]:
    """Return the notes by method, base classes first; an override has the note of its base."""
    notes: dict[str, tuple[_Note, _Hints | None]] = {}
    for base in reversed(owner.__mro__):
        for name, value in vars(base).items():
            # Statically: an attribute may be a proxy that has any name.
            note, hints = inspect.getattr_static(_inner(value), _NOTE, (None, None))
            if isinstance(note, kind):
                notes.pop(name, None)
                notes[name] = note, hints
            elif name in notes:
                notes[name] = notes[name][0], None
    return notes


def _declaration(owner: type, method: str, note: _Note, hints: _Hints | None) -> Declaration[_Note]:
    function = inspect.getattr_static(owner, method)
    if not isinstance(function, types.FunctionType):
        raise TypeError("a command or poller is a method: no static or class method, no property")
    name = method if note.name is None else note.name
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise TypeError(
            f"{name!r} is no name: letters, digits, _, . and -, beginning with a letter or _,"
            " but not with rpc."
        )
    if hints is None:
        hints = _hints_of(function)
    return Declaration(name, method, note, Signature.of(function, hints))


def _hints_of(function: types.FunctionType, around: _Hints | None = None) -> _Hints:
    try:
        return get_type_hints(function, localns=around, include_extras=True)
    except (NameError, AttributeError, SyntaxError, ValueError) as error:
        raise TypeError(f"a type hint cannot be resolved: {error}") from error


def _annotate(
    method: _Method, make_note: Callable[[], CommandNote | PollNote], decorator: str
) -> _Method:
    if not isinstance(method, types.FunctionType):
        place = f"@{decorator} is for methods and stands right above their def"
        raise TypeError(f"{_whole_name(method)}: {place}")
    try:
        note = make_note()
    except TypeError as error:
        raise TypeError(f"{_whole_name(method)}: {error}") from error
    hints = None
    with contextlib.suppress(Exception):  # what is wrong with it is told when the class is made
        hints = _hints_of(method, _names_around())
    if _NOTE in vars(method):
        raise TypeError(f"{_whole_name(method)}: it is a command or a poller already")
    setattr(method, _NOTE, (note, hints))
    return method


def _inner(value: Any) -> Any:
    """Return the function within a static method, a class method or a property."""
    if isinstance(value, staticmethod | classmethod):
        return value.__func__
    return value.fget if isinstance(value, property) else value


def _whole_name(method: Any) -> str:
    """Return how errors name a method whose class is not made yet."""
    owner, _, name = str(getattr(_inner(method), "__qualname__", method)).rpartition(".")
    return f"class {owner.rpartition('.')[2]}, method {name}" if owner else name


def _names_around() -> _Hints:
    """Return the local names where a class is being defined: its hints may be strings."""
    body = sys._getframe(3)  # of the class; between are the decorator and _annotate()
    outer = body.f_back
    is_function = outer is not None and outer.f_code.co_flags & inspect.CO_OPTIMIZED
    return {**(outer.f_locals if outer and is_function else {}), **body.f_locals}


def _devices(device: str | tuple[str, ...]) -> tuple[str, ...]:
    names = device if isinstance(device, tuple) else (device,)
    if not all(isinstance(name, str) and name for name in names):
        raise TypeError(f"device: a name, or a tuple of names, not {device!r}")
    return names


def _seconds(what: str, seconds: float | None) -> float | None:
    if seconds is None:
        return None
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise TypeError(f"{what}: a number of seconds, not {seconds!r}")
    if not (math.isfinite(seconds) and seconds >= 0):
        raise TypeError(f"{what}: a number of seconds from 0, not {seconds!r}")
    return float(seconds)
