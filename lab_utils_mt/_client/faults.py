"""Which exception is the error that a server reports?

The one that the server raised, as far as it is known here. Message texts are for people: the class
is told by the error's ``data``.
"""

from __future__ import annotations

import builtins
import sys
from typing import Any

from .. import exceptions
from .._wire.jsonrpc import Refusal
from ..exceptions import CommandFailed, ConnectionClosed, LabUtilsError, MessageError

_MALFORMED = (-32700, -32600, -32601, -32602)
UNKNOWN_METHOD = -32601
# These mean something to the interpreter: they would end loops, not tell of a failure.
_UNFIT = (StopIteration, StopAsyncIteration, Warning)
_twins: dict[type[Exception], type[CommandFailed]] = {}


def exception_of(error: dict[str, Any]) -> Exception:
    """Return the exception for an error object of JSON-RPC.

    Args:
        error: Has ``code``, ``message``, and often ``data`` with the class as ``type``.
    """
    text = str(error.get("message", "no message"))
    data = error.get("data")
    details = data if isinstance(data, dict) else {}
    if error.get("code") in _MALFORMED:
        return MessageError(str(details.get("text", text)))
    return remote_error(str(details.get("type", "CommandFailed")), text, details)


def remote_error(name: str, text: str, details: dict[str, Any]) -> Exception:
    """Return an instance of the class of that name, with the error's details as attributes."""
    cls = _class_of(name)
    if cls is None:
        return CommandFailed(f"{name}: {text}")
    try:
        error = cls(text)
    except TypeError:  # its constructor wants more
        error = cls.__new__(cls)
        error.args = (text,)
    for key, value in details.items():
        if key in _DETAILS:
            setattr(error, key, value)
    return error


_DETAILS = {"device", "command", "client", "seconds", "waited"}


def _class_of(name: str) -> type[Exception] | None:
    for module in (exceptions, sys.modules.get("lab_utils_mt.database")):
        cls = getattr(module, name, None)
        if isinstance(cls, type) and issubclass(cls, LabUtilsError):
            return cls
    cls = getattr(builtins, name, None)
    if isinstance(cls, type) and issubclass(cls, Exception) and not issubclass(cls, _UNFIT):
        return _twin(cls)
    return None


def _twin(cls: type[Exception]) -> type[CommandFailed] | None:
    """Return a class that ``except CommandFailed`` and ``except`` of a builtin both catch."""
    twin = _twins.get(cls)
    if twin is not None:
        return twin
    names = {
        "__module__": CommandFailed.__module__,
        "__doc__": f"A command raised {cls.__name__} on the server.",
        "__init__": _set_text,
        "__str__": _get_text,
        "__reduce__": _reduce,
    }
    try:
        made = type(cls.__name__, (CommandFailed, cls), names)
        made("a trial")
    except TypeError:  # such as ExceptionGroup
        return None
    return _twins.setdefault(cls, made)


def _set_text(error: Exception, text: str = "") -> None:
    error.args = (text,)


def _get_text(error: Exception) -> str:
    return str(error.args[0])


def _reduce(error: Exception) -> tuple[Any, ...]:
    return remote_error, (type(error).__name__, str(error), {})


def refused(name: str, refusal: Refusal) -> LabUtilsError:
    """Return the exception for a text where JSON-RPC was expected.

    Args:
        name: ``host:port`` of the server.
        refusal: What it said.
    """
    text = refusal.text.split("\n", 1)[0].strip()[:300]
    reason = text.removeprefix("Error! ")
    if reason.startswith("message longer"):
        return MessageError(f"{name}: {reason}")
    if reason == "shutting down":
        return exceptions.ShuttingDown(f"{name}: {reason}")
    if reason != text and reason.startswith(("server full", "not authorised")):
        return ConnectionClosed(f"{name}: {reason}")
    return MessageError(
        f"{name} does not speak JSON-RPC, so it has no typed commands: use send_message();"
        f" it said {text!r}"
    )
