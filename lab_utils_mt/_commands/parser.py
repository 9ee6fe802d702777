"""Which commands are there, and which words do they take?

:class:`ArgumentParser` is argparse for a server: it never ends the process and never prints, and
:meth:`~ArgumentParser.full_help` is the server's whole manual.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from ..exceptions import MessageError
from .manual import manual_of

logger = logging.getLogger("lab_utils_mt.commands")


class HelpRequested(Exception):
    """A command was asked for its help; the text is the help."""


class ArgumentParser(argparse.ArgumentParser):
    """The standard library's parser, made safe for a server.

    Arguments, defaults and use are those of :class:`argparse.ArgumentParser`, but ``add_help`` is
    off. Commands added by ``add_subparsers().add_parser(...)`` get the same class.
    """

    def __init__(
        self,
        prog: str | None = None,
        usage: str | None = None,
        description: str | None = None,
        epilog: str | None = None,
        parents: Sequence[argparse.ArgumentParser] | None = None,
        formatter_class: Any = argparse.HelpFormatter,
        prefix_chars: str = "-",
        fromfile_prefix_chars: str | None = None,
        argument_default: Any = None,
        conflict_handler: str = "error",
        add_help: bool = False,
        allow_abbrev: bool = True,
    ) -> None:
        super().__init__(
            prog=prog,
            usage=usage,
            description=description,
            epilog=epilog,
            parents=list(parents or ()),
            formatter_class=formatter_class,
            prefix_chars=prefix_chars,
            fromfile_prefix_chars=fromfile_prefix_chars,
            argument_default=argument_default,
            conflict_handler=conflict_handler,
            add_help=add_help,
            allow_abbrev=allow_abbrev,
        )
        if sys.version_info >= (3, 14):
            self.color = False  # the help goes to a client, whatever the server's terminal can do

    def error(self, message: str) -> NoReturn:
        """Refuse the words instead of ending the process.

        Raises:
            MessageError: Always, with ``message``.
        """
        raise MessageError(message)

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        """Refuse the words instead of ending the process.

        Raises:
            MessageError: Always.
        """
        raise MessageError((message or f"the command asked to exit with status {status}").strip())

    def _print_message(self, message: str, file: Any = None) -> None:
        # argparse prints help, usage and version here; the client asked, and the client gets it.
        if file in (None, sys.stdout, sys.stderr):
            raise HelpRequested(message)
        super()._print_message(message, file)

    def _warning(self, message: str) -> None:
        # Since Python 3.13: a command or an option is deprecated.
        logger.warning("%s: %s", self.prog, message)

    def full_help(self) -> str:
        """Return the manual of the server.

        Returns:
            Description, usage, then every command with its arguments, their choices, defaults and
            help texts.
        """
        return manual_of(self)

    @property
    def commands(self) -> Mapping[str, argparse.ArgumentParser]:
        """The parsers of the commands by name; empty if a message does not begin with one."""
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction):
                return action.choices
            if not action.option_strings:
                break
        return {}

    def takes(self, name: str) -> bool:
        """Tell whether one of the arguments is kept under this name."""
        return any(action.dest == name for action in self._actions)
