"""How is a JSON-RPC 2.0 message answered?

The standard: https://www.jsonrpc.org/specification. One document per line; the commands are those
of the text dialect. The standard's own errors have its own messages, and what is wrong in ``data``.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from .._wire.text import MAX_WORDS, Dialect
from ..exceptions import CommandFailed, DeviceBusy, LabUtilsError, MessageError
from .devices import ServerStops
from .dispatch import LONGEST_FAULT, QUIT, Dispatcher, Reply
from .parser import HelpRequested
from .request import Report
from .results import to_json
from .signature import InvalidArgument
from .telling import shown, text_of, unknown

if TYPE_CHECKING:
    from .typed import TypedCommand

logger = logging.getLogger("lab_utils_mt.commands")

PARSE_ERROR, INVALID_REQUEST, NOT_FOUND, INVALID_PARAMS = -32700, -32600, -32601, -32602
COMMAND_FAILED = -32000
CODES = {
    "DeviceBusy": -32001,
    "ShuttingDown": -32002,
    "NotAuthorised": -32003,
    "DatabaseUnavailable": -32004,
    "PoolTimeout": -32005,
}

MAX_BATCH = 1000
_NO_ID = object()
_VERSION = "2.0"


class RpcError(Exception):
    """A request that failed.

    Attributes:
        error: The error object of the response.
    """

    def __init__(self, code: int, message: str, **data: Any) -> None:
        super().__init__(message)
        self.error = {"code": code, "message": message, "data": data}


class JsonRpc:
    """Answer JSON-RPC messages with the commands of a dispatcher.

    Args:
        dispatcher: Knows and runs the commands.
        discover: Returns the OpenRPC document as JSON.
        extra: Methods that are no commands: each takes the params.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        discover: Callable[[], bytes],
        extra: Mapping[str, Callable[[Any], Any]] | None = None,
    ) -> None:
        self._dispatcher = dispatcher
        self._discover = discover
        self._extra = dict(extra or {})

    def answer(self, text: str) -> Reply:
        """Run the requests of a line and return the line that answers them, or an empty one."""
        return self._answer_line(text, self._answer_request)

    def refuse(self, text: str) -> Reply:
        """Answer requests that must not run any more, because the server stops."""
        return dataclasses.replace(self._answer_line(text, _refuse_request), ends=True)

    def _answer_line(self, text: str, answer: Callable[[Any], _Outcome]) -> Reply:
        try:
            document = msgspec.json.decode(text)
        except (msgspec.DecodeError, RecursionError, UnicodeEncodeError) as error:
            logger.warning("refused %s: %s", shown(text), error)
            fault = _error(PARSE_ERROR, "Parse error", type="MessageError", text=str(error))
            return Reply(_line(_response(fault, None)), failed=True, is_json=True)
        if isinstance(document, list) and 0 < len(document) <= MAX_BATCH:
            return _joined([self._after_another(one, answer) for one in document])
        outcome = answer(document)
        return Reply(_line(outcome.response), outcome.failed, outcome.quits, is_json=True)

    def _after_another(self, request: Any, answer: Callable[[Any], _Outcome]) -> _Outcome:
        """Answer a request of a batch; what the one before has left is not its reply."""
        self._dispatcher.request.record.end()
        return answer(request)

    def _answer_request(self, request: Any) -> _Outcome:
        try:
            method, params, number = _parts(request)
        except RpcError as invalid:
            logger.warning("refused a request: %s", invalid.error["data"])
            return _Outcome(_response(invalid.error, _id_of(request)), failed=True)
        try:
            result, quits = self._run(method, params, number)
            response = None if number is _NO_ID else _result(result, number)
            return _Outcome(response, quits=quits)
        except RpcError as error:
            fault = error.error
        except (Exception, SystemExit) as error:  # noqa: BLE001  (this is where they stop)
            fault = _fault(method, error)
        return _Outcome(None if number is _NO_ID else _response(fault, number), failed=True)

    def _reporter(self, number: Any) -> Report | None:
        """Return what tells the client how far its command is; None if there is no way."""
        current = self._dispatcher.request.record
        note, push = current.note, current.push
        if number is _NO_ID or push is None:
            return None

        def report(fraction: float, text: str) -> None:
            note(fraction, text)
            params = {"id": number, "fraction": fraction, "text": text}
            with contextlib.suppress(OSError):  # the command goes on without its client
                push(notification("rpc.progress", params))

        return report

    def _run(self, method: str, params: Any, number: Any) -> tuple[bytes, bool]:
        """Run a method; return its result as JSON, and whether the server stops then."""
        dispatcher = self._dispatcher
        typed = dispatcher.typed.get(method)
        if typed is not None:
            return self._run_typed(typed, params, number), method == QUIT
        if method == "rpc.discover":
            return self._discover(), False
        if method in self._extra:
            return to_json(_checked(method, self._extra[method], params)), False
        if method in dispatcher.parser.commands:
            return self._run_words(method, params)
        names = [*dispatcher.typed, *dispatcher.parser.commands, *self._extra]
        text = unknown("command", method, names)
        logger.warning("refused %s: %s", shown(method), text)
        raise RpcError(NOT_FOUND, "Method not found", type="MessageError", text=text)

    def _run_typed(self, typed: TypedCommand, params: Any, number: Any) -> bytes:
        values = _checked(typed.name, typed.signature.from_json, params)
        report = self._reporter(number) if typed.wants_request else None
        result = self._dispatcher.run_typed(typed, values, Dialect.JSON_RPC, report)
        line = to_json(result)
        if b"null" in line:
            typed.warn_of_null(result)
        return line

    def _run_words(self, method: str, params: Any) -> tuple[bytes, bool]:
        words = _checked(method, _words, params)
        try:
            reply = self._dispatcher.run_parsed([method, *words])
        except HelpRequested as help_requested:
            return to_json(str(help_requested)), False
        except MessageError as error:
            logger.warning("refused %s: %s", shown(method), shown(str(error)))
            fault = str(error)[:LONGEST_FAULT]
            raise RpcError(INVALID_PARAMS, fault, type="InvalidParams", parameter=None) from error
        return to_json(reply.payload), reply.quits


class _Outcome(msgspec.Struct):
    """What became of one request; a notification has no response."""

    response: bytes | None
    failed: bool = False
    quits: bool = False


def _joined(outcomes: list[_Outcome]) -> Reply:
    responses = [one.response for one in outcomes if one.response is not None]
    line = b"[" + b",".join(responses) + b"]" if responses else None
    return Reply(
        _line(line),
        any(one.failed for one in outcomes),
        any(one.quits for one in outcomes),
        is_json=True,
    )


def _parts(request: Any) -> tuple[str, Any, Any]:
    """Return method, params and id of a request.

    Raises:
        RpcError: It is none.
    """
    if isinstance(request, list) and request:
        raise _invalid(f"{len(request)} requests; at most {MAX_BATCH} in a batch")
    if not isinstance(request, dict):
        raise _invalid("a request is an object")
    if request.get("jsonrpc") != _VERSION:
        raise _invalid(f'"jsonrpc" must be "{_VERSION}"')
    method, params = request.get("method"), request.get("params", {})
    if not isinstance(method, str):
        raise _invalid('"method" must be a string')
    if not isinstance(params, dict | list):
        raise _invalid('"params" must be an object or an array')
    number = request.get("id", _NO_ID)
    if number is not _NO_ID and not _is_id(number):
        raise _invalid('"id" must be a string, a number or null')
    return method, params, number


def _invalid(text: str) -> RpcError:
    return RpcError(INVALID_REQUEST, "Invalid Request", type="MessageError", text=text)


def _is_id(number: Any) -> bool:
    return number is None or (
        isinstance(number, str | int | float) and not isinstance(number, bool)
    )


def _id_of(request: Any) -> Any:
    """Return the id of an invalid request, None if it has none."""
    number = request.get("id") if isinstance(request, dict) else None
    return number if _is_id(number) else None


def _checked(method: str, check: Callable[[Any], Any], params: Any) -> Any:
    try:
        return check(params)
    except InvalidArgument as error:
        logger.warning("refused %s: %s", shown(method), shown(str(error)))
        raise RpcError(
            INVALID_PARAMS, str(error), type="InvalidParams", parameter=error.parameter
        ) from None


def _words(params: Any) -> list[str]:
    """Return the words for a 0.5.x command."""
    words = params
    if isinstance(params, dict):
        if set(params) - {"words"}:
            raise InvalidArgument("it takes one argument, words: a list of texts", "words")
        words = params.get("words", [])
    elif len(params) == 1 and isinstance(params[0], list):
        words = params[0]
    if not (isinstance(words, list) and all(isinstance(word, str) for word in words)):
        raise InvalidArgument("argument words: it is not a list of texts", "words")
    if len(words) >= MAX_WORDS:
        raise InvalidArgument(f"more than {MAX_WORDS} words, with the command's name", "words")
    return words


def _fault(method: str, error: BaseException) -> dict[str, Any]:
    """Return the error object of an exception, and log it where it stops."""
    if isinstance(error, CommandFailed | DeviceBusy):  # no fault of the program
        logger.warning("%s: %s", shown(method), text_of(error))
    elif isinstance(error, ServerStops):
        return _error(CODES["ShuttingDown"], str(error), type="ShuttingDown")
    else:
        logger.error("command %s failed", shown(method), exc_info=error)
    known = (kind.__name__ for kind in type(error).__mro__ if kind.__module__.startswith(_PACKAGE))
    code = next((_RAISED[kind] for kind in known if kind in _RAISED), COMMAND_FAILED)
    names = _BUSY if isinstance(error, DeviceBusy) else ()
    fields = {name: getattr(error, name) for name in names}
    return _error(code, text_of(error), type=type(error).__name__, **fields)


_BUSY = ("device", "command", "client", "seconds", "waited")
# One that a method raises means another server.
_RAISED = {name: code for name, code in CODES.items() if name != "ShuttingDown"}
_PACKAGE = LabUtilsError.__module__.partition(".")[0]


def _refuse_request(request: Any) -> _Outcome:
    fault = _error(CODES["ShuttingDown"], "shutting down", type="ShuttingDown")
    is_request = isinstance(request, dict) and "id" in request
    return _Outcome(_response(fault, _id_of(request)) if is_request else None, failed=True)


def _error(code: int, message: str, **data: Any) -> dict[str, Any]:
    return {"code": code, "message": message, "data": data}


def _result(result: bytes, number: Any) -> bytes:
    return b'{"jsonrpc":"2.0","result":%b,"id":%b}' % (result, to_json(number))


def _response(error: Mapping[str, Any], number: Any) -> bytes:
    return b'{"jsonrpc":"2.0","error":%b,"id":%b}' % (_safe_json(error), to_json(number))


def _safe_json(error: Mapping[str, Any]) -> bytes:
    """Return an error as JSON even if its text holds lone surrogates."""
    try:
        return to_json(error)
    except UnicodeEncodeError:
        clean = str(error["message"]).encode("utf-8", "replace").decode()
        return to_json({**error, "message": clean, "data": {"type": error["data"].get("type")}})


def notification(method: str, params: Mapping[str, Any]) -> bytes:
    """Return the line of a notification."""
    return b'{"jsonrpc":"2.0","method":%b,"params":%b}\n' % (to_json(method), to_json(params))


def _line(response: bytes | None) -> bytes:
    return b"" if response is None else response + b"\n"
