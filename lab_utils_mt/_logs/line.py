"""What does one event look like as text, and what can the text do to its reader?

Log records carry text from clients. In the output every event begins with its level, in the first
column; nothing else can begin there:

* characters that do not print (control characters, escape sequences' ESC, line separators, bidi
  overrides, lone surrogates) are written as ``\\x1b``, ``\\n``, ``\\u202e``;
* secrets are written as ``***``;
* a message is one line, whatever it holds; a traceback keeps its lines, each after ``  | ``.
"""

from __future__ import annotations

import logging

from .redaction import redact

LEVEL_WIDTH = 9
LONGEST = 100_000  # characters of a text
CONTINUATION = "\n  | "
TIME = "%Y-%m-%d %H:%M:%S"
"""How every sink writes a time, as 0.5.x does; local."""


def escape(text: str) -> str:
    """Make text harmless: one line, and nothing in it drives a terminal or reverses reading."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii")
        for char in text
    )


def copy_of(record: logging.LogRecord) -> logging.LogRecord:
    """Return another record with the same fields, of the plain class: it does what we expect."""
    own = logging.LogRecord.__new__(logging.LogRecord)
    own.__dict__.update(record.__dict__)
    return own


def message_of(record: logging.LogRecord) -> str:
    """Return a record's message; one whose arguments do not fit it is told as it was written."""
    try:
        return cut(record.getMessage())
    except Exception as error:  # noqa: BLE001  (a record is not lost for an argument's fault)
        told = cut(f"{_source(record.msg)} % {_source(record.args)}")
        return f"{told} ({type(error).__name__}: the arguments do not fit)"


def cut(text: str) -> str:
    """Return a text of bounded length: a queue of records must not eat up the memory."""
    if len(text) <= LONGEST:
        return text
    return f"{text[:LONGEST]} (cut: {len(text)} characters)"


def _source(message: object) -> str:
    try:
        return str(message)
    except Exception:  # noqa: BLE001  (the message is an object of the user's)
        return f"<{type(message).__name__}>"


class SecondsFormatter(logging.Formatter):
    """Make the time of a whole second once: many records share it."""

    # In one attribute, as several threads may use a formatter.
    _second: tuple[tuple[int, str], str] = ((0, ""), "")

    def formatTime(  # noqa: N802  (logging's name)
        self, record: logging.LogRecord, datefmt: str | None = None
    ) -> str:
        """Return the record's time."""
        if datefmt is None:  # has milliseconds
            return super().formatTime(record)
        second = (int(record.created), datefmt)
        if self._second[0] != second:
            self._second = (second, super().formatTime(record, datefmt))
        return self._second[1]


class LineFormatter(SecondsFormatter):
    """Write the level's name, padded to 9 columns, before the formatted record."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as text; the record, shared by all handlers, is not changed."""
        # Formatting stores its results in the record; a copy takes them.
        own = copy_of(record)
        own.msg, own.args = escape(message_of(record)), None
        lines = redact(super().format(own)).split("\n")
        return self.heading(record.levelname) + CONTINUATION.join(map(escape, lines))

    def heading(self, level: str) -> str:
        """Return what stands before the text, 9 columns wide or, for long names, one more."""
        name = escape(level)
        return name + self.padding(name)

    @staticmethod
    def padding(name: str) -> str:
        """Return the blanks that follow a level's name."""
        return " " * max(1, LEVEL_WIDTH - len(name))
