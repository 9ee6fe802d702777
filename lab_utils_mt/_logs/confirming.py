"""Does a reply say that a server has taken an alarm?

::

    alarm 7                                  yes: any words do
    Error! shutting down                     not now: again, until it does
    Error! OSError: No space left ...        perhaps: again, a few times
    Error! there is no command 'alarm' ...   never, and so is a fault of the server's program
    HTTP/1.1 400 Bad Request                 this is no alarm manager: again, once it is one
"""

from __future__ import annotations

import re

from .line import escape
from .redaction import redact
from .sink import Refused

_FAILED = ("Error! ", "Unknown exception!")  # the second: 0.5.x
_SHOWN = 200  # characters of a reply; the server's whole help may follow

_NOT_NOW = (
    "server full",
    "server has no thread left",
    "shutting down",
    "not authorised",
    "the message was not complete",  # in time: the line is slow
    "DatabaseUnavailable",
    "PoolTimeout",
    "TooManyRequests",
)
"""How refusals begin that are about the server's day, not about the command."""

_FOREIGN = re.compile(
    r"HTTP/|<|SSH-|RFB |\+OK|-ERR|\* (OK|BYE)|(220|421|500|501|502|554)[ -]", re.IGNORECASE
)
"""How web, SSH, VNC, Redis, mail and file servers begin."""

_NO_TEXT = re.compile("[^\t\n\r -~\u00a0-\ufffc\U00010000-\U0010ffff]")  # U+FFFD: not UTF-8
_EXCEPTION = re.compile(r"([A-Z]\w*): ")
_BUGS = {
    "AssertionError",
    "AttributeError",
    "IndexError",
    "KeyError",
    "NameError",
    "NotImplementedError",
    "TypeError",
    "UnboundLocalError",
    "UnicodeDecodeError",
    "UnicodeEncodeError",
    "ValueError",
    "ZeroDivisionError",
}
"""Exceptions that show a fault of a program, which is there the next time, too."""


class CommandFailed(Exception):
    """The command raised an exception that need not come again, such as of a full disk."""


def confirm(reply: str, *, strictly: bool) -> None:
    """Return if a reply confirms an alarm.

    Args:
        reply: It, decoded.
        strictly: Whether nothing but words of a server of this package will do.

    Raises:
        Refused: The server will never take it.
        CommandFailed: It could not.
        OSError: It cannot now, or is no such server.
    """
    if reply.startswith(_FAILED):
        _explain(reply.removeprefix("Error! "))
    if strictly and (not reply.strip() or _FOREIGN.match(reply) or _NO_TEXT.search(reply)):
        raise ConnectionRefusedError(
            f"it answers {_shown(reply)!r}, which no alarm manager does: check host and port"
        )


def _explain(fault: str) -> None:
    words = _shown(fault)
    if words.startswith(_NOT_NOW):
        raise ConnectionRefusedError(f"the server says: {words}")
    found = _EXCEPTION.match(fault)
    if found and found[1] not in _BUGS:
        raise CommandFailed(f"the server says: {words}")
    raise Refused(words)


def _shown(reply: str) -> str:
    return escape(redact(reply.partition("\n")[0]))[:_SHOWN]
