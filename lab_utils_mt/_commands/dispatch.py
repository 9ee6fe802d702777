"""Which handler answers a message, and what if it fails?"""

from __future__ import annotations

import argparse
import dataclasses
import difflib
import logging
import reprlib
import threading
from collections.abc import Callable

from .._wire.text import Dialect, dialect_of, split
from ..exceptions import MessageError
from .parser import ArgumentParser, HelpRequested
from .request import CurrentRequest

logger = logging.getLogger("lab_utils_mt.commands")

_short = reprlib.Repr()
_short.maxstring = 200

_LONGEST_FAULT = 4000  # characters; argparse lists all choices, and they may be range(10**6)


def shown(text: str) -> str:
    """Return a client's text for logs: quoted, its control characters escaped, not too long."""
    return _short.repr(text)


@dataclasses.dataclass(frozen=True)
class Reply:
    """The answer to one request.

    Attributes:
        payload: What to send; bytes travel as a block.
        failed: Whether the request counts as an error.
        quits: Whether the server stops once the reply is sent.
    """

    payload: str | bytes
    failed: bool = False
    quits: bool = False


SHUTTING_DOWN = Reply("Error! shutting down", failed=True)


class Dispatcher:
    """Answer text commands with the handlers of a parser.

    :meth:`answer` is where a handler's exceptions stop: they become a reply and a log record.

    Args:
        parser: Knows the commands; each has a default ``func``, called without arguments.
        request: Where a handler finds its message and words, and leaves its reply.
        serial: Whether commands run one at a time.
        never_wait: Handlers that run at once even so.
        stopping: Tells whether a command whose turn has come must not run any more.
        delimiters: Returns what stands before and behind a word with blanks in it.
    """

    def __init__(
        self,
        parser: ArgumentParser,
        request: CurrentRequest,
        serial: bool = False,
        never_wait: tuple[Callable[[], object], ...] = (),
        stopping: Callable[[], bool] = lambda: False,
        delimiters: Callable[[], tuple[str, str]] = lambda: ("{", "}"),
    ) -> None:
        self._parser = parser
        self._request = request
        self._never_wait = never_wait
        self._stopping = stopping
        self._delimiters = delimiters
        # Held while a command runs, if commands run one at a time: that is its purpose, and the
        # one exception to "no callback under a lock".
        self._turn = threading.Lock() if serial else None

    def answer(self, text: str) -> Reply:
        """Run the command that ``text`` asks for and return its reply."""
        self._request.begin(text)
        try:
            return self._answer_or_explain(text)
        except (Exception, SystemExit) as error:
            logger.exception("command %s failed", shown(text))
            return Reply(f"Error! {type(error).__name__}: {error}", failed=True)
        finally:
            self._request.begin("")  # or an idle thread would keep a large reply

    def _answer_or_explain(self, text: str) -> Reply:
        try:
            return self._run(text)
        except HelpRequested as help_requested:
            return Reply(str(help_requested))
        except MessageError as error:
            logger.warning("refused %s: %s", shown(text), shown(str(error)))
            fault = str(error)[:_LONGEST_FAULT]
            return Reply(f"Error! {fault}\n\n{self._parser.full_help()}", failed=True)

    def _run(self, text: str) -> Reply:
        if dialect_of(text) is Dialect.JSON_RPC:
            return Reply("Error! this server speaks text commands, not JSON-RPC", failed=True)
        words = split(text, *self._delimiters())
        namespace = self._parse(words)
        handler = getattr(namespace, "func", None)
        if handler is None:
            raise MessageError("the command is incomplete, or its parser has no default 'func'")
        self._request.namespace = namespace
        if self._turn is None or handler in self._never_wait:
            handler()
        else:
            with self._turn:
                if self._stopping():
                    return SHUTTING_DOWN
                handler()
        return self._reply(quits=self._which(words, namespace) == "quit")

    def _parse(self, words: list[str]) -> argparse.Namespace:
        try:
            return self._parser.parse_args(words)
        except MessageError as error:
            names = self._parser.commands
            if words and names and words[0] not in names and not words[0].startswith("-"):
                raise MessageError(unknown_command(words[0], list(names))) from error
            raise

    def _which(self, words: list[str], namespace: argparse.Namespace) -> object:
        """Return the ``which`` of the command, whatever an argument of that name may say."""
        command = self._parser.commands.get(words[0])
        if isinstance(command, ArgumentParser) and command.takes("which"):
            return command.get_default("which")
        return getattr(namespace, "which", None)

    def _reply(self, quits: bool) -> Reply:
        reply = self._request.reply
        if isinstance(reply, bytearray | memoryview):
            reply = bytes(reply)
        if not isinstance(reply, bytes):
            reply = str(reply)
        # A 0.5.x handler reports its failures in the text.
        failed = isinstance(reply, str) and reply.startswith("Error! ")
        return Reply(reply, failed, quits)


def unknown_command(name: str, names: list[str]) -> str:
    """Say that there is no such command, and which were meant."""
    near = difflib.get_close_matches(name, names, n=3)
    hint = f"did you mean {' or '.join(near)}?" if near else f"choose from {', '.join(names)}"
    return f"there is no command {shown(name)}: {hint}"
