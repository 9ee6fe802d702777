"""How does a person at the screen see what the program does?

In colour if it is a person who looks, plainly if it is a file; and whatever the encoding of the
screen, with no record lost.
"""

from __future__ import annotations

import io
import logging
import os
import sys
from typing import TYPE_CHECKING, ClassVar, TextIO

import colorama
from colorama.ansi import CSI, AnsiBack, AnsiFore

from .appending import whole_lines
from .direct import DirectHandler
from .line import TIME, LineFormatter, escape
from .raw_streams import LINE_END, raw_of, written

if TYPE_CHECKING:
    _StreamHandler = logging.StreamHandler[TextIO]
else:
    _StreamHandler = logging.StreamHandler  # takes no parameter before Python 3.11

_LAYOUT = "%(asctime)s  %(name)-20s %(message)s"


class ColoredFormatter(LineFormatter):
    """Write the level's name in colour, padded to 9 columns, before the formatted record.

    Attributes:
        colour_map: The colour's name for each level's name.
        colours: The terminal code for each colour's name.
        prefix: What comes before a code.
        suffix: What ends a colour.
    """

    colour_map: ClassVar[dict[str, str]] = {
        "DEBUG": "bggrey",
        "INFO": "cyan",
        "SUCCESS": "green",
        "WARNING": "yellow",
        "ERROR": "red",
        "CRITICAL": "bgred",
        "EXCEPTION": "bgred",
    }
    colours: ClassVar[dict[str, int]] = {
        "black": AnsiFore.BLACK,
        "red": AnsiFore.RED,
        "green": AnsiFore.GREEN,
        "yellow": AnsiFore.YELLOW,
        "blue": AnsiFore.BLUE,
        "magenta": AnsiFore.MAGENTA,
        "cyan": AnsiFore.CYAN,
        "white": AnsiFore.WHITE,
        "darkgrey": AnsiFore.LIGHTBLACK_EX,
        "darkred": AnsiFore.RED,
        "darkyellow": AnsiFore.YELLOW,
        "lightgrey": AnsiFore.WHITE,
        "lightred": AnsiFore.LIGHTRED_EX,
        "lightyellow": AnsiFore.LIGHTYELLOW_EX,
        "bgred": AnsiBack.RED,
        "bggrey": AnsiBack.LIGHTBLACK_EX,
    }
    prefix: str = CSI
    suffix: str = f"{CSI}0m"

    def heading(self, level: str) -> str:
        """Return the level's name in its colour; white, if it has none."""
        name = escape(level)
        colour = self.colours.get(self.colour_map.get(level, "white"), AnsiFore.WHITE)
        return f"{self.prefix}{colour}m{name}{self.suffix}{self.padding(name)}"


class ConsoleHandler(DirectHandler, _StreamHandler):
    """Write records to a stream, with ``\\u03a9`` for what its encoding does not have."""

    title = "console"
    _is_torn = False  # whether the last line was not written to its end

    def write_records(self, records: list[logging.LogRecord]) -> int:
        """Write records, all at once, and return how many.

        Raises:
            OSError: The stream does not take them; some of them may have been written.
            ValueError: The stream is closed.
        """
        texts = [self.text_of(record) for record in records]
        encoding = getattr(self.stream, "encoding", None) or "utf-8"
        # The stream's own error handling stays: others print to it, too.
        lines = [text.encode(encoding, "backslashreplace") for text in texts]
        self.acquire()
        try:
            raw = raw_of(self.stream)
            if raw is not None:
                return self._write_raw(raw, lines)
            self.stream.write("".join(line.decode(encoding) + self.terminator for line in lines))
            self.flush()
        finally:
            self.release()
        return len(records)

    def _write_raw(self, raw: io.FileIO, lines: list[bytes]) -> int:
        self.stream.flush()  # what others printed comes first
        start = LINE_END if self._is_torn else b""
        whole = [line + LINE_END for line in lines]
        data = start + b"".join(whole)
        size, error = written(raw, data)
        if size:
            self._is_torn = data[size - 1 : size] != b"\n"
        count = whole_lines([line[:-1] for line in whole], size - len(start))
        if not count:
            raise error or BlockingIOError("it takes nothing")
        return count


def console_handler(
    stream: TextIO | None = None,
    level: int | str = logging.INFO,
    *,
    colour: bool | None = None,
) -> logging.Handler:
    """Make a handler that shows records on the console.

    Args:
        stream: Where to write; the standard output by default.
        level: The least level that is shown.
        colour: Whether the level is coloured. By default it is on a terminal; never if
            ``NO_COLOR`` is set, always if ``FORCE_COLOR`` is.

    Returns:
        The handler; one that does nothing if there is no standard output (``pythonw``, services).
    """
    # Before sys.stdout is read: on consoles older than Windows 10 this puts a translator there.
    colorama.just_fix_windows_console()
    target = sys.stdout if stream is None else stream
    handler: logging.Handler
    if target is None:
        handler = logging.NullHandler()
    else:
        handler = ConsoleHandler(target)
        in_colour = _in_colour(target) if colour is None else colour
        kind = ColoredFormatter if in_colour else LineFormatter
        handler.setFormatter(kind(_LAYOUT, TIME))
    handler.setLevel(level)
    return handler


def _in_colour(stream: TextIO) -> bool:
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    # What stands in for a missing standard output, in editors and services, may not have it.
    isatty = getattr(stream, "isatty", None)
    return bool(os.environ.get("TERM") != "dumb" and isatty and isatty())
