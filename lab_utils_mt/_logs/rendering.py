"""What does a record look like in a message to people, by mail or by Slack?

Like a line of the console, with where it comes from; and short enough to be read.
"""

from __future__ import annotations

import logging

from .line import CONTINUATION, TIME, LineFormatter, copy_of, escape
from .redaction import redact

_MARGIN = CONTINUATION.lstrip("\n")


def message_formatter() -> logging.Formatter:
    """Return the formatter that messages have unless somebody sets another."""
    return LineFormatter("%(asctime)s %(name)s %(module)s %(funcName)s %(message)s", TIME)


def render(handler: logging.Handler, record: logging.LogRecord, most: int) -> str:
    """Return a record as text by a handler's formatter, whatever that does.

    Lines after the first begin with ``  | ``, so that no text can pass for another record.

    Args:
        handler: Whose formatter.
        record: The record, which may be shared with other handlers.
        most: Characters; a longer text has its middle left out, and says so.
    """
    first, *rest = redact(_formatted(handler, record)).split("\n")
    lines = [line.removeprefix(_MARGIN) for line in rest]
    return _cut(CONTINUATION.join(map(escape, [first, *lines])), most)


def _formatted(handler: logging.Handler, record: logging.LogRecord) -> str:
    try:
        # A formatter leaves its results in the record, which other sinks have, too.
        return str(handler.format(copy_of(record)))
    except Exception as error:  # noqa: BLE001  (a formatter of the user's; the record is not lost)
        fault = f"(the formatter of this handler raises {type(error).__name__})"
        return f"{message_formatter().format(record)}\n{fault}"


def _cut(text: str, most: int) -> str:
    if len(text) <= most:
        return text
    head, tail = text[: most - most // 4], text[-(most // 4) :]  # where tracebacks say why
    left_out = len(text) - len(head) - len(tail)
    return CONTINUATION.join([head, f"[... {left_out} characters are left out ...]", tail])
