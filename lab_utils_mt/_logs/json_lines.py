"""How does a log become one that programs can read?

Each record is a line of JSON. Nothing in it drives a terminal, and what is read back is what was
logged.

Import this module where it is needed: others should not have to wait for pythonjsonlogger.
"""

from __future__ import annotations

import contextlib
import json
import logging
from typing import Any

from pythonjsonlogger.json import JsonFormatter

from .line import TIME, SecondsFormatter
from .redaction import HIDDEN, is_secret_name, redact
from .snapshot import finished, settled
from .unprintable import escape_as_json

_FIELDS = (
    "asctime",
    "levelname",
    "name",
    "module",
    "funcName",
    "message",
    "created",
    "process",
    "threadName",
)
_OWN = frozenset({*_FIELDS, "exc_info", "stack_info"})  # others are the user's
_MOST_BITS = 8192  # Python does not write out numbers of more than 4300 digits
_PLAIN = frozenset({str, int, float, bool, type(None)})

_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode


class JsonLinesFormatter(SecondsFormatter, JsonFormatter):
    """Write a record as one line of JSON, with its extra fields and its traceback."""

    hides_secrets = True

    def __init__(self) -> None:
        super().__init__(_FIELDS, TIME)

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as JSON; the record, shared by all handlers, is not changed."""
        return super().format(finished(record))

    def formatTime(  # noqa: N802  (logging's name)
        self, record: logging.LogRecord, datefmt: str | None = None
    ) -> str:
        """Return the local time; nothing if the record was given none."""
        try:
            return super().formatTime(record, datefmt)
        except (TypeError, ValueError, OverflowError, OSError):
            return ""

    def jsonify_log_record(self, log_data: dict[str, Any]) -> str:
        """Return the fields as JSON."""
        if _is_plain(log_data):
            with contextlib.suppress(ValueError):  # not a number, or one of too many digits
                return escape_as_json(_encode(log_data))
        own = {key: settled(value) for key, value in log_data.items()}
        return escape_as_json(_encode(_clean(own)))


def _is_plain(fields: dict[Any, Any]) -> bool:
    """Tell whether no field has structure or a secret: nearly all records are so."""
    if not _PLAIN.issuperset(map(type, fields.values())):
        return False
    names = [name for name in fields if name not in _OWN]
    texts = [value for value in fields.values() if type(value) is str]
    try:
        text = "\n".join(texts + names)
    except TypeError:  # a name that is no text
        return False
    return redact(text) == text and not any(map(is_secret_name, names))


def _clean(value: Any) -> Any:
    """Return settled data without secrets, and without what cannot be written."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, dict):
        return _clean_fields(value)
    if isinstance(value, list):
        return [_clean(item) for item in value]
    if isinstance(value, int) and value.bit_length() > _MOST_BITS:
        return f"{value:#x}"
    return value


def _clean_fields(fields: dict[Any, Any]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in fields.items():
        name = redact(str(key))
        while name in result:  # two secrets, say, or 1 and "1": none replaces the other
            name += "_"
        result[name] = HIDDEN if _is_secret(name, value) else _clean(value)
    return result


def _is_secret(name: str, value: Any) -> bool:
    # That there is none may be read, and whether there is one.
    return value is not None and not isinstance(value, bool) and is_secret_name(name)
