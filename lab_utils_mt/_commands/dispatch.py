"""Which handler answers a message, and what if it fails?"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from .._wire.text import Dialect, is_json_rpc, split
from ..exceptions import CommandFailed, DeviceBusy, MessageError
from .devices import Devices, Hold, Holder, ServerStops
from .parser import ArgumentParser, HelpRequested
from .request import CurrentRequest, Report
from .telling import shown, text_of, unknown

if TYPE_CHECKING:
    from .rpc import JsonRpc
    from .typed import TypedCommand

logger = logging.getLogger("lab_utils_mt.commands")

LONGEST_FAULT = 4000  # characters; argparse lists all choices, and they may be range(10**6)
_FAILURE = "Error! "
_SERIAL = "one command at a time"  # the device that all commands need then
QUIT = "quit"


@dataclasses.dataclass(slots=True)
class Reply:
    """The answer to one request.

    Attributes:
        payload: What to send; bytes travel as a block.
        failed: Whether the request counts as an error.
        quits: Whether the server stops once the reply is sent.
        is_json: Whether the payload is a line of JSON-RPC; an empty one is not sent.
        ends: Whether the connection is closed once the reply is sent.
    """

    payload: str | bytes
    failed: bool = False
    quits: bool = False
    is_json: bool = False
    ends: bool = False


SHUTTING_DOWN = Reply("Error! shutting down", failed=True, ends=True)


@dataclasses.dataclass(frozen=True)
class Turns:
    """When may a command run?

    Attributes:
        devices: Who uses which instrument.
        serial: Whether commands run one at a time.
        never_wait: Handlers that run at once even so.
        device_timeout: Returns the seconds to wait for a device, unless the command says.
    """

    devices: Devices
    serial: bool = False
    never_wait: tuple[Callable[[], object], ...] = ()
    device_timeout: Callable[[], float] = lambda: 30.0

    def turn(self, holder: Holder, deadline: float | None = None) -> Hold:
        """Return a context manager: within its block it is one's turn.

        Args:
            holder: Whose turn it is to be.
            deadline: Monotonic time until which to wait; None waits as long as other commands run.

        Raises:
            DeviceBusy: At the beginning of the block: the turn did not come in time.
            ShuttingDown: The server stops.
        """
        return self.devices.hold((_SERIAL,) if self.serial else (), holder, deadline)

    @contextlib.contextmanager
    def hold(self, names: tuple[str, ...], holder: Holder, deadline: float) -> Iterator[None]:
        """Have devices and the turn within a ``with`` block; the deadline is for all of them."""
        with self.turn(holder, deadline), self.devices.hold(names, holder, deadline):
            yield


class Dispatcher:
    """Answer messages with the handlers of a parser, and with typed commands.

    :meth:`answer` is where a handler's exceptions stop: they become a reply and a log record.

    Args:
        parser: Knows the commands; each has a default ``func``, called without arguments.
        request: Where a handler finds its message and words, and leaves its reply.
        turns: When a command may run.
        typed: The typed commands, which the parser knows as well.
        delimiters: Returns what stands before and behind a word with blanks in it.
        make_rpc: Makes what answers JSON-RPC, when the first such message comes.
    """

    def __init__(
        self,
        parser: ArgumentParser,
        request: CurrentRequest,
        turns: Turns | None = None,
        typed: Mapping[str, TypedCommand] | None = None,
        delimiters: Callable[[], tuple[str, str]] = lambda: ("{", "}"),
        make_rpc: Callable[[], JsonRpc] | None = None,
    ) -> None:
        self.parser = parser
        self.request = request
        self.turns = turns or Turns(Devices())
        self.typed = typed or {}
        # A lab's own parse_args() may give the words another meaning.
        self._parses_itself = type(parser).parse_args is not argparse.ArgumentParser.parse_args
        self._delimiters = delimiters
        self._make_rpc = make_rpc
        self._rpc: JsonRpc | None = None

    def answer(self, text: str) -> Reply:
        """Run the command that ``text`` asks for and return its reply."""
        record = self.request.record
        record.message = text
        try:
            if is_json_rpc(text):
                return self._answer_json(text)
            left, right = self._delimiters()
            return self._run_words(split(text, left, right))
        except (HelpRequested, MessageError) as error:
            return self._explain(text, error)
        except ServerStops:
            return SHUTTING_DOWN
        except (CommandFailed, DeviceBusy) as error:  # no fault of the program
            return self._refuse(text, error)
        except (Exception, SystemExit) as error:
            logger.exception("command %s failed", shown(text))
            return Reply(f"Error! {type(error).__name__}: {text_of(error)}", failed=True)
        finally:
            record.end()

    def refuse(self, text: str) -> Reply:
        """Answer a request that must not run any more, because the server stops."""
        if is_json_rpc(text) and self._make_rpc is not None:
            return self._json_rpc().refuse(text)
        return SHUTTING_DOWN

    def _answer_json(self, text: str) -> Reply:
        if self._make_rpc is None:
            return Reply("Error! this server speaks text commands, not JSON-RPC", failed=True)
        return self._json_rpc().answer(text)

    def _json_rpc(self) -> JsonRpc:
        if self._rpc is None:  # two threads may make one each: they are alike
            assert self._make_rpc is not None
            self._rpc = self._make_rpc()
        return self._rpc

    def _refuse(self, text: str, error: CommandFailed | DeviceBusy) -> Reply:
        logger.warning("%s: %s", shown(text), text_of(error))
        kind = "" if type(error) is CommandFailed else f"{type(error).__name__}: "
        return Reply(f"Error! {kind}{text_of(error)}", failed=True)

    def _explain(self, text: str, error: HelpRequested | MessageError) -> Reply:
        if isinstance(error, HelpRequested):
            return Reply(str(error))
        logger.warning("refused %s: %s", shown(text), shown(str(error)))
        fault = str(error)[:LONGEST_FAULT]
        return Reply(f"Error! {fault}\n\n{self.parser.full_help()}", failed=True)

    def _run_words(self, words: list[str]) -> Reply:
        typed = self.typed.get(words[0]) if words else None
        if typed is not None and not self._parses_itself:
            values = typed.bind_words(words)
            if values is not None:
                return self._finish_typed(typed, values)
        return self.run_parsed(words)

    def run_parsed(self, words: list[str]) -> Reply:
        """Run the command that words ask for, as argparse understands them.

        Raises:
            MessageError: They are no command.
        """
        namespace = self._parse(words)
        handler = getattr(namespace, "func", None)
        if handler is None:
            raise MessageError("the command is incomplete, or its parser has no default 'func'")
        self.request.record.namespace = namespace
        which = self._which(words, namespace)
        typed = next((one for one in self.typed.values() if one is handler), None)
        if typed is not None:  # by its handler: an option of all commands may stand before its name
            return self._finish_typed(typed, typed.bind_namespace(namespace))
        if handler in self.turns.never_wait:
            handler()
        else:
            self._run_old(words, self._devices(words, namespace), handler)
        return self._reply(self.request.record.reply, quits=which == QUIT)

    def run_typed(
        self,
        typed: TypedCommand,
        values: dict[str, Any],
        dialect: Dialect = Dialect.TEXT,
        report: Report | None = None,
    ) -> Any:
        """Run a typed command when its devices are free, and return its result.

        Raises:
            DeviceBusy: They were not in time.
            ShuttingDown: The server stops, and it has waited.
        """
        if not typed.devices and not self.turns.serial:
            return typed.call(values, dialect, None, report)
        holder = Holder(typed.name, self.request.record.peer)
        with self.turns.turn(holder):
            deadline = time.monotonic() + typed.timeout if typed.devices else None
            with self.turns.devices.hold(typed.devices, holder, deadline):
                return typed.call(values, dialect, deadline, report)

    def _finish_typed(self, typed: TypedCommand, values: dict[str, Any]) -> Reply:
        try:
            payload = typed.reply_of(self.run_typed(typed, values))
        except MessageError as error:  # not this message: the method has met another one
            raise CommandFailed(f"{type(error).__name__}: {text_of(error)}") from error
        failed = type(payload) is str and payload.startswith(_FAILURE)
        return Reply(payload, failed, typed.name == QUIT)

    def _run_old(
        self, words: list[str], devices: tuple[str, ...], handler: Callable[[], object]
    ) -> None:
        if not devices and not self.turns.serial:
            handler()
            return
        holder = Holder(words[0], self.request.record.peer)
        with self.turns.turn(holder):
            deadline = time.monotonic() + self.turns.device_timeout()
            with self.turns.devices.hold(devices, holder, deadline):
                handler()

    def _parse(self, words: list[str]) -> argparse.Namespace:
        try:
            return self.parser.parse_args(words)
        except MessageError as error:
            names = self.parser.commands
            if words and names and words[0] not in names and not words[0].startswith("-"):
                raise MessageError(unknown("command", words[0], names)) from error
            raise

    def _which(self, words: list[str], namespace: argparse.Namespace) -> object:
        """Return the ``which`` of the command, whatever an argument of that name may say."""
        return self._default(words, namespace, "which")

    def _devices(self, words: list[str], namespace: argparse.Namespace) -> tuple[str, ...]:
        """Return the ``device`` of a 0.5.x command; what is no name is for its handler."""
        if self.parser.takes("device"):  # what a client says there is not for us
            return ()
        device = self._default(words, namespace, "device")
        names = (device,) if isinstance(device, str) else device
        if isinstance(names, tuple | list) and all(isinstance(one, str) for one in names):
            return tuple(names)
        return ()

    def _default(self, words: list[str], namespace: argparse.Namespace, name: str) -> Any:
        command = self.parser.commands.get(words[0])
        if isinstance(command, ArgumentParser) and command.takes(name):
            return command.get_default(name)
        return getattr(namespace, name, None)

    def _reply(self, reply: Any, quits: bool = False) -> Reply:
        if isinstance(reply, bytearray | memoryview):
            reply = bytes(reply)
        elif not isinstance(reply, str | bytes):
            reply = str(reply)
        # A 0.5.x handler reports its failures in the text.
        failed = isinstance(reply, str) and reply.startswith(_FAILURE)
        return Reply(reply, failed, quits)
