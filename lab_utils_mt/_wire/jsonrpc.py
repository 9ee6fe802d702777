"""What do JSON-RPC 2.0 lines say, as a client writes and reads them?

One document per line in each direction. A server may also answer with a line of text: one of
``lab_utils`` 0.5.x, or one that is full.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple, TypeAlias, TypeVar

import msgspec

from ..exceptions import MessageError

_T = TypeVar("_T")

# What JSON lets stand in a string, but no line may hold: DEL and the second set of controls.
_CONTROLS = re.compile(rb"\x7f|\xc2[\x80-\x9f]")
_ENCODER = msgspec.json.Encoder()


class Response(NamedTuple):
    """The answer to a request: a result, or an error with its code and message."""

    id: Any
    result: Any
    error: dict[str, Any] | None


class Notification(NamedTuple):
    """What the server tells unasked."""

    method: str
    params: dict[str, Any]


class Refusal(NamedTuple):
    """A line of text instead of JSON."""

    text: str


Message: TypeAlias = Response | Notification | Refusal


def encode_request(number: int, method: str, params: object) -> bytes:
    """Return the line of a request.

    Args:
        number: Its id.
        method: The command.
        params: JSON values: a dict, a list, or None for none.

    Raises:
        MessageError: Something is no JSON value; the text tells what.
    """
    request = {"jsonrpc": "2.0", "id": number, "method": method}
    if params:
        request["params"] = params
    try:
        data = _ENCODER.encode(request)
    except UnicodeEncodeError:
        raise MessageError(f"a text for {method} holds a lone surrogate: JSON cannot") from None
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise MessageError(f"an argument of {method} cannot be sent: {error}") from None
    return _CONTROLS.sub(_escape, data) + b"\n"


def _escape(found: re.Match[bytes]) -> bytes:
    return b"\\u%04x" % ord(found[0].decode())


def decode_message(line: bytes) -> Message:
    """Return what a line of the server says.

    Raises:
        MessageError: It begins like JSON, but is no JSON-RPC.
    """
    if not line.startswith(b"{"):
        return Refusal(line.decode("utf-8", "replace"))
    try:
        document = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MessageError(f"the server's line is no JSON: {error}") from None
    method, params = document.get("method"), document.get("params", {})
    if isinstance(method, str) and isinstance(params, dict):
        return Notification(method, params)
    fault = document.get("error")
    if ("result" in document) != isinstance(fault, dict):
        return Response(document.get("id"), document.get("result"), fault)
    raise MessageError("the server's line is no JSON-RPC")


def value_of(text: object, kind: type[_T]) -> _T:
    """Return the date, time or other value that a JSON string stands for.

    Raises:
        ValueError: It stands for none.
    """
    return msgspec.convert(text, kind)
