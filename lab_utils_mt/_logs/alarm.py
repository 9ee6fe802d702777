"""How does a record become an alarm, which somebody must acknowledge?

It is one command to a server of this package, whose reply confirms it::

    alarm cryostat --date "2026-11-22 18:30:00.123456" --level ERROR --app cryostat
          --module main --function read --message "6.1 K:\\nTraceback ..."

(in one line). An alarm that is sent again, as its reply was lost, has the same date. Without the
command's name it is what ``lab_utils`` 0.5.x sends, for alarm managers that were written for it:
``{cryostat} --date {2026-11-22 18:30:00} --level {ERROR} ...``. Braces cannot carry everything:
there, control characters are escaped and braces become parentheses.
"""

from __future__ import annotations

import dataclasses
import functools
import logging
import re
import time
from collections.abc import Callable
from typing import Protocol

from .._wire.text import quote
from ..exceptions import ConfigError, ConnectionClosed, MessageError, ReplyLost
from .confirming import CommandFailed, confirm
from .health import explain
from .line import TIME, copy_of, escape
from .redaction import redact
from .sink import Refused, SinkHandler

_LONGEST = 60_000  # bytes of a line; a server takes 64 KiB
_LONGEST_OLD = 4000  # a 0.5.x server takes what one recv(4096) brings
_LONGEST_NAME = 100  # characters of a logger's, module's, function's or level's name
LONGEST_REPLY = 1_000_000  # bytes: a server's help may follow a refusal
_CUT = " (cut)"
_NO_BRACES = str.maketrans("{}", "()")
_ONE_WORD = re.compile(r"[A-Za-z0-9_.-]*")
_SILENCES = 3
_TRIES = 5


class Transport(Protocol):
    """What sends a message to a server; :class:`lab_utils_mt.socket_comm.Client` does."""

    def send_message(self, message: str) -> str:
        """Send one line and return the reply, within a time that the transport knows.

        Raises:
            MessageError: The message cannot be sent as a line.
            OSError: It was not sent.
            ReplyLost: It was, and nobody knows what became of it.
        """

    def cut(self) -> None:
        """End what another thread is sending, and all that would follow."""

    def close(self) -> None:
        """Free what waits for the next message."""


@dataclasses.dataclass(frozen=True)
class _Dialect:
    """How a server wants its words.

    Attributes:
        write: Makes one word of any text.
        longest: Most bytes of a line.
        tells_microseconds: Whether dates do, so that no two alarms of a daemon look the same.
    """

    write: Callable[[str], str]
    longest: int
    tells_microseconds: bool

    def option(self, name: str, text: str) -> str:
        """Return an option with its value, whatever that begins with."""
        if text == "--":  # the value is lost by argparse before Python 3.13
            text = "-- "
        if text.startswith("-"):  # else the server takes it for another option
            return self.write(f"{name}={text}")
        return f"{name} {self.write(text)}"

    def positional(self, text: str) -> str:
        """Return a word that is no option, whatever it begins with."""
        return self.write(f" {text}" if text.startswith("-") else text)


def _in_braces(text: str) -> str:
    return "{" + escape(text).translate(_NO_BRACES) + "}"


_QUOTED = _Dialect(quote, _LONGEST, tells_microseconds=True)
_BRACED = _Dialect(_in_braces, _LONGEST_OLD, tells_microseconds=False)


class AlarmSink(SinkHandler):
    """Sends each record as a command, in order, until the server has confirmed it.

    Any reply in words confirms it, such as ``alarm 7``; one that begins with ``Error! `` does not,
    nor does an empty one, nor the greeting of a web or mail server. A command whose reply is lost
    is sent again: the server may get one twice, in a row. A formatter of the user's is honoured:
    its text is the command.

    Args:
        title: What the sink is called.
        transport: Where to; owned, and closed, by the sink.
        capacity: Most records that wait.
        command: The command's name; empty for servers of 0.5.x.

    Raises:
        ConfigError: The command is not one word.
    """

    longest_pause = 10.0

    def __init__(
        self, title: str, transport: Transport, capacity: int = 1000, *, command: str = "alarm"
    ) -> None:
        if not isinstance(command, str) or not _ONE_WORD.fullmatch(command):
            raise ConfigError(f"argument: command = {command!r} must be one word, or empty")
        super().__init__(title, capacity)
        self.command = command
        self._transport = transport
        self._has_replied = False
        self._silences = 0  # of a 0.5.x server, to the record that is next
        self._failed_line, self._failures_in_a_row = "", 0

    # --- the sink's thread -----------------------------------------------------------------

    def deliver(self, records: list[logging.LogRecord]) -> int:
        """Send the first record.

        Raises:
            Refused: The server will never take it.
            OSError: It was not taken, or nobody knows.
        """
        self._send(self._line(records[0]))
        return 1

    def _line(self, record: logging.LogRecord) -> str:
        try:
            if self.formatter is None:
                return alarm_line(record, self.command)
            # The formatter leaves its results in the record, which other sinks have, too.
            text = self.formatter.format(copy_of(record))
            return _cut(redact(text), escape, self._dialect.longest)
        except Exception as error:  # a formatter of the user's may do anything
            raise Refused(f"a record cannot be formatted: {explain(error)}") from error

    @property
    def _dialect(self) -> _Dialect:
        return _QUOTED if self.command else _BRACED

    def _send(self, line: str) -> None:
        try:
            reply = self._transport.send_message(line)
        except MessageError as error:
            raise Refused(explain(error)) from error
        except ReplyLost as error:
            if self.command or not isinstance(error.__cause__, ConnectionClosed):
                raise
            self._note_silence(error)
        else:
            self._has_replied = True
            self._judge(line, reply)
        self._silences = 0

    def _judge(self, line: str, reply: str) -> None:
        try:
            confirm(reply, strictly=bool(self.command))
        except CommandFailed as error:
            before = self._failures_in_a_row if line == self._failed_line else 0
            self._failed_line, self._failures_in_a_row = line, before + 1
            if self._failures_in_a_row < _TRIES:
                raise
            raise Refused(f"{_TRIES} times, {error}") from error

    def _note_silence(self, error: ReplyLost) -> None:
        """Judge a 0.5.x server that read a command and closed in good order, without a word.

        It does so if its command leaves no reply, and then nothing else is to be had from it. It
        does so, too, when it fails to print its help.
        """
        if not self._has_replied:
            return
        self._silences += 1
        if self._silences < _SILENCES:
            raise error
        self._silences = 0
        raise Refused("the server closes the connection without a reply") from error

    def interrupt(self) -> None:
        """Break off the exchange that the sink's thread is in."""
        self._transport.cut()

    def finish(self) -> None:
        """Close the connection."""
        super().finish()
        self._transport.close()


# --- the line -------------------------------------------------------------------------------


def alarm_line(record: logging.LogRecord, command: str) -> str:
    """Return the command that tells a server of a record.

    Args:
        record: A finished snapshot.
        command: The command's name; empty for the form of 0.5.x.
    """
    dialect = _QUOTED if command else _BRACED
    name = _name(record.name)
    words = [
        *([command] if command else []),
        dialect.positional(name),
        dialect.option("--date", _date(record, dialect.tells_microseconds)),
        dialect.option("--level", _name(record.levelname)),
        dialect.option("--app", name),
        dialect.option("--module", _name(record.module)),
        dialect.option("--function", _name(record.funcName)),
    ]
    head = " ".join(words)
    room = dialect.longest - len(head.encode()) - 1
    write = functools.partial(dialect.option, "--message")
    return f"{head} {_cut(redact(_message(record)), write, room)}"


def _date(record: logging.LogRecord, tells_microseconds: bool) -> str:
    date = time.strftime(TIME, time.localtime(record.created))
    return f"{date}.{int(record.created % 1 * 1e6):06d}" if tells_microseconds else date


def _name(text: object) -> str:
    name = redact("" if text is None else str(text))
    return name if len(name) <= _LONGEST_NAME else name[:_LONGEST_NAME] + _CUT


def _message(record: logging.LogRecord) -> str:
    parts = (str(record.msg), record.exc_text, record.stack_info)
    return "\n".join(part for part in parts if part)


def _cut(text: str, write: Callable[[str], str], room: int) -> str:
    """Write a text in at most ``room`` bytes; one that is cut says so."""
    if len(text) <= room and _fits(word := write(text), room):
        return word
    least, most = 0, min(len(text), room)
    while least < most:
        middle = (least + most + 1) // 2
        if _fits(write(text[:middle] + _CUT), room):
            least = middle
        else:
            most = middle - 1
    return write(text[:least] + _CUT)


def _fits(word: str, room: int) -> bool:
    return len(word.encode()) <= room
