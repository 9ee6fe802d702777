"""What of a log record must be settled before the call returns?

Its arguments may change afterwards, and its exception's frames would keep alive what they hold. The
slow part, reading the source for a traceback, is left to the thread that writes it.
"""

from __future__ import annotations

import logging
import math
import traceback
from collections.abc import Iterable, Iterator
from typing import Any

from .line import copy_of, cut, message_of

_STANDARD = frozenset(vars(logging.makeLogRecord({})))
_OF_FORMATTERS = frozenset({"message", "asctime"})
_TRACE = "_lab_utils_mt_trace"  # begins with "_", so no formatter takes it for a user's field
_DEEPEST = 6
_MOST = 1000  # items in a record's fields: copying more takes too long
_TEXTS = ("name", "levelname")
_OPTIONAL_TEXTS = ("exc_text", "stack_info")
_CONTAINERS = (dict, list, tuple, set, frozenset)
_LEAVES = (int, bool, type(None))


def snapshot(record: logging.LogRecord) -> logging.LogRecord:
    """Return a copy of a record that nothing can change any more; never raises an Exception."""
    try:
        return _snapshot(record)
    except Exception as error:  # noqa: BLE001  (objects of users, records made by hand)
        words = f"a record that cannot be read ({type(error).__name__})"
        return _snapshot(logging.makeLogRecord({"msg": words, "levelno": 40, "levelname": "ERROR"}))


def _snapshot(record: logging.LogRecord) -> logging.LogRecord:
    own = copy_of(record)
    fields = own.__dict__
    fields["msg"], fields["args"] = message_of(record), None
    _coerce(fields)
    if len(fields) != len(_STANDARD):
        _settle_extras(fields)
    fields[_TRACE] = None
    if record.exc_info:
        fields["exc_info"] = None
        if not record.exc_text:
            fields[_TRACE] = _trace(record.exc_info)
    return own


def finished(record: logging.LogRecord) -> logging.LogRecord:
    """Return a finished snapshot of a record: itself, if it is one."""
    return finish(record if _TRACE in record.__dict__ else snapshot(record))


def _coerce(fields: dict[str, Any]) -> None:
    """Make fields what everybody takes them for; logging itself lets anything stand there."""
    if type(fields["levelno"]) is not int:
        fields["levelno"] = logging.ERROR
    for name in _TEXTS:
        if type(fields[name]) is not str:
            fields[name] = _shown(fields[name])
    for name in _OPTIONAL_TEXTS:
        if fields[name] is not None:
            fields[name] = _shown(fields[name])


def _settle_extras(fields: dict[str, Any]) -> None:
    budget = [_MOST]
    for name in fields.keys() - _STANDARD - _OF_FORMATTERS:
        if not str(name).startswith("_"):
            fields[name] = settled(fields[name], budget)


def finish(own: logging.LogRecord) -> logging.LogRecord:
    """Write out the traceback of a snapshot; several threads may do it, with one result."""
    trace = own.__dict__.get(_TRACE)
    if trace is not None and not own.exc_text:
        own.exc_text = cut(_text(trace))
    return own


def _trace(exc_info: Any) -> traceback.TracebackException | str | None:
    kind = None
    try:
        kind, error, frames = exc_info
        if error is None:
            return None
        return traceback.TracebackException(kind, error, frames, lookup_lines=False, compact=True)
    except Exception:  # noqa: BLE001  (an exception's own code may do anything)
        return f"{_shown(kind)}: its traceback cannot be shown"


def _text(trace: traceback.TracebackException | str) -> str:
    if isinstance(trace, str):
        return trace
    try:
        return "".join(trace.format()).rstrip("\n")
    except Exception:  # noqa: BLE001  (the same, or its source file has gone strange)
        return f"{trace.exc_type}: its traceback cannot be shown"


def settled(value: Any, budget: list[int] | None = None, depth: int = 0) -> Any:
    """Return a copy of a user's field that is JSON: numbers, texts, lists and dicts of them.

    Args:
        value: Anything.
        budget: How many more items may be copied, shared by all fields of a record.
        depth: How far inside lists and dicts it is.
    """
    kind = type(value)
    if kind is float:
        return value if math.isfinite(value) else str(value)
    if kind in _LEAVES:
        return value
    if not issubclass(kind, _CONTAINERS):
        return _shown(value)
    budget = [_MOST] if budget is None else budget
    if depth == _DEEPEST or budget[0] <= 0:
        return "..."  # its text could be without an end
    try:
        return _settled_items(value, budget, depth + 1)
    except Exception as error:  # noqa: BLE001  (it may change while it is read)
        return f"<{kind.__name__} that raises {type(error).__name__}>"


def _settled_items(container: Any, budget: list[int], depth: int) -> Any:
    if issubclass(type(container), dict):
        items = _within(budget, container.items())
        return {_shown(key): settled(item, budget, depth) for key, item in items}
    return [settled(item, budget, depth) for item in _within(budget, container)]


def _within(budget: list[int], items: Iterable[Any]) -> Iterator[Any]:
    for item in items:
        if budget[0] <= 0:
            return
        budget[0] -= 1
        yield item


def _shown(value: Any) -> str:
    try:
        return cut(str(value))
    except Exception as error:  # noqa: BLE001  (a user's __str__ may do anything)
        return f"<{type(value).__name__}, whose str() raises {type(error).__name__}>"
