"""What of a log record must be settled before the call returns?

Its arguments may change afterwards, and its exception's frames would keep alive what they hold. The
slow part, reading the source for a traceback, is left to the thread that writes it.
"""

from __future__ import annotations

import contextlib
import logging
import math
import traceback
from typing import Any

from .line import copy_of, message_of

_STANDARD = frozenset(vars(logging.makeLogRecord({})))
_OF_FORMATTERS = frozenset({"message", "asctime"})
_TRACE = "_lab_utils_mt_trace"  # begins with "_", so no formatter takes it for a user's field
_DEEPEST = 6
_LEAVES = (str, int, bool, type(None))


def snapshot(record: logging.LogRecord) -> logging.LogRecord:
    """Return a copy of a record that nothing can change any more; never raises an Exception."""
    own = copy_of(record)
    fields = own.__dict__
    fields["msg"], fields["args"] = message_of(record), None
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


def _settle_extras(fields: dict[str, Any]) -> None:
    for name in fields.keys() - _STANDARD - _OF_FORMATTERS:
        if not str(name).startswith("_"):
            fields[name] = settled(fields[name])


def finish(own: logging.LogRecord) -> logging.LogRecord:
    """Write out the traceback of a snapshot; several threads may do it, with one result."""
    trace = own.__dict__.get(_TRACE)
    if trace is not None and not own.exc_text:
        own.exc_text = _text(trace)
    return own


def _trace(exc_info: Any) -> traceback.TracebackException | str | None:
    kind, error, frames = exc_info if isinstance(exc_info, tuple) else (None, None, None)
    if error is None:
        return None
    try:
        return traceback.TracebackException(kind, error, frames, lookup_lines=False, compact=True)
    except Exception:  # noqa: BLE001  (an exception's own code may do anything)
        return f"{getattr(kind, '__name__', kind)}: its traceback cannot be shown"


def _text(trace: traceback.TracebackException | str) -> str:
    if isinstance(trace, str):
        return trace
    try:
        return "".join(trace.format()).rstrip("\n")
    except Exception:  # noqa: BLE001  (the same, or its source file has gone strange)
        return f"{trace.exc_type}: its traceback cannot be shown"


def settled(value: Any, depth: int = 0) -> Any:
    """Return a copy of a user's field that is JSON: numbers, texts, lists and dicts of them."""
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if type(value) in _LEAVES:
        return value
    if depth < _DEEPEST:
        with contextlib.suppress(Exception):  # it may change while it is read
            if isinstance(value, dict):
                return {_shown(key): settled(item, depth + 1) for key, item in value.items()}
            if isinstance(value, (list, tuple, set, frozenset)):
                return [settled(item, depth + 1) for item in value]
    return _shown(value)


def _shown(value: Any) -> str:
    try:
        return str(value)
    except Exception as error:  # noqa: BLE001  (a user's __str__ may do anything)
        return f"<{type(value).__name__}, whose str() raises {type(error).__name__}>"
