"""Which commands does every server have?"""

from __future__ import annotations

import argparse
from collections.abc import Callable

from ..exceptions import MessageError
from .manual import command_manual
from .parser import ArgumentParser
from .request import CurrentRequest
from .telling import unknown


class Builtins:
    """``help [command]``, ``ping`` and ``status``; ``quit`` is the server's own.

    Args:
        parser: The server's parser, with all commands of the user's.
        request: Where the words are and the reply goes.
        describe: Returns the lines of the status.
    """

    def __init__(
        self, parser: ArgumentParser, request: CurrentRequest, describe: Callable[[], list[str]]
    ) -> None:
        self._parser = parser
        self._request = request
        self._describe = describe

    @property
    def handlers(self) -> tuple[Callable[[], object], ...]:
        """What answers them."""
        return (self.help, self.ping, self.status)

    def add_to(
        self,
        commands: argparse._SubParsersAction[ArgumentParser],
        quit_handler: Callable[[], object],
    ) -> None:
        """Add those that the user has not."""
        wanted = {
            "help": (self.help, "explains all commands, or one"),
            "ping": (self.ping, "answers pong"),
            "status": (self.status, "tells how the server is"),
            "quit": (quit_handler, "stops the daemon"),
        }
        for name, (handler, description) in wanted.items():
            if name in commands.choices:
                continue
            command = commands.add_parser(name, description=description)
            command.set_defaults(func=handler, which=name)
            if name == "help":
                command.add_argument("command", nargs="?", help="the command to explain")

    def help(self) -> None:
        """Explain all commands, or one."""
        assert self._request.record.namespace is not None
        name = self._request.record.namespace.command
        commands = self._parser.commands
        if name is None:
            self._request.record.reply = self._parser.full_help()
        elif name in commands:
            self._request.record.reply = command_manual(name, commands[name])
        else:
            raise MessageError(unknown("command", name, commands))

    def ping(self) -> None:
        """Answer."""
        self._request.record.reply = "pong"

    def status(self) -> None:
        """Tell how the server is."""
        self._request.record.reply = "\n".join(self._describe())
