"""What does one server answer, and how is that put together?

::

    create_parser() ─┐
    @command ────────┼─> Dispatcher ── JsonRpc, when the first such message comes
    built-ins ───────┘        └─ Turns ── Devices
    @poll ───> Monitoring ── watch, unwatch
"""

from __future__ import annotations

import argparse
import dataclasses
import inspect
import sys
from collections.abc import Callable, Container
from typing import TYPE_CHECKING, NamedTuple, Protocol

from .builtins import Builtins
from .devices import Devices
from .dispatch import Dispatcher, Turns
from .parser import ArgumentParser
from .request import CurrentRequest

# A server without @command, @poll and JSON-RPC clients needs none of these, nor msgspec.
if TYPE_CHECKING:
    from .declaring import CommandNote, Declaration, PollNote
    from .monitoring import Monitoring, Recorder
    from .rpc import JsonRpc
    from .typed import TypedCommand
    from .watch_commands import WatchCommands

_ROOM = __name__.rpartition(".")[0]


class Declared(NamedTuple):
    """What the methods of a class are declared to be."""

    commands: tuple[Declaration[CommandNote], ...] = ()
    pollers: tuple[Declaration[PollNote], ...] = ()

    @classmethod
    def by(cls, owner: type, reserved: Container[str]) -> Declared:
        """Collect the declarations of a class and of those that it derives from.

        Args:
            owner: The class.
            reserved: Names of every server's own attributes.

        Raises:
            TypeError: One cannot work; names class and method.
        """
        if f"{_ROOM}.declaring" not in sys.modules:  # then nobody can have declared anything
            return cls()
        from .declaring import CommandNote, declared  # noqa: PLC0415
        from .monitoring import declared_pollers  # noqa: PLC0415

        commands = declared(owner, CommandNote, reserved)
        return cls(tuple(commands), tuple(declared_pollers(owner, reserved)))

    @property
    def is_recorded(self) -> bool:
        """Whether a poller has a table."""
        return any(one.note.table is not None for one in self.pollers)


class Host(Protocol):
    """What a repertoire needs of its server."""

    parser: ArgumentParser
    sp: argparse._SubParsersAction[ArgumentParser]
    delimiter_left: str
    delimiter_right: str
    serial_commands: bool
    device_timeout: float

    @property
    def is_stopping(self) -> bool:
        """Whether no further command may begin."""

    def quit(self) -> None:
        """Answer the command ``quit``."""


class Repertoire:
    """The commands, pollers and devices of one server.

    Args:
        host: The server; its parser knows the commands of the 0.5.x style.
        declared: What its class declares.
        request: The request that the calling thread answers.
        describe: Returns the lines of the status.
        version: Of the server, for clients.
        quit_waits: Whether ``quit`` waits for its turn, for it may touch hardware.
        recorder: Keeps what pollers read.

    Raises:
        ConfigError: A poller has a table, and there is no recorder.
        TypeError: A command is declared twice.
    """

    def __init__(
        self,
        host: Host,
        declared: Declared,
        request: CurrentRequest,
        describe: Callable[[], list[str]],
        version: str,
        quit_waits: bool,
        recorder: Recorder | None,
    ) -> None:
        self._host, self._declared, self._version = host, declared, version
        self._request = request
        typed = self._typed_commands()
        for command in typed.values():
            command.add_to(host.sp)
        builtins = Builtins(host.parser, request, describe)
        builtins.add_to(host.sp, host.quit)
        never_wait = builtins.handlers if quit_waits else (*builtins.handlers, host.quit)
        self.devices = Devices(tuple(name for one in typed.values() for name in one.devices))
        turns = Turns(self.devices, host.serial_commands, never_wait, lambda: host.device_timeout)
        self.monitoring = self._monitoring(turns, recorder)
        self._watching = self._watch_commands()
        if self._watching is not None:
            never_wait += self._watching.handlers
        self.dispatcher = Dispatcher(
            host.parser,
            request,
            dataclasses.replace(turns, never_wait=never_wait),
            typed,
            delimiters=lambda: (host.delimiter_left, host.delimiter_right),
            make_rpc=self._make_rpc,
        )

    def get_ready(self) -> None:
        """Import what answers need, so that no client waits for it."""
        import difflib  # noqa: F401, PLC0415  (for a name that is none)

        if self._declared.commands or self._declared.pollers:
            from . import openrpc, rpc  # noqa: F401, PLC0415

    def status(self) -> list[str]:
        """Return the status command's lines about devices and pollers."""
        monitoring = self.monitoring
        return [*self.devices.status(), *(monitoring.status_lines() if monitoring else [])]

    def _typed_commands(self) -> dict[str, TypedCommand]:
        if not self._declared.commands:
            return {}
        from .typed import TypedCommand  # noqa: PLC0415

        return {
            one.name: TypedCommand(one, getattr(self._host, one.method), self._request, self._host)
            for one in self._declared.commands
        }

    def _monitoring(self, turns: Turns, recorder: Recorder | None) -> Monitoring | None:
        if not self._declared.pollers:
            return None
        from .monitoring import Monitoring  # noqa: PLC0415

        threads = type(self._host).__name__.lower()
        return Monitoring(
            self._declared.pollers,
            lambda name: getattr(self._host, name),
            turns,
            threads,
            recorder,
        )

    def _watch_commands(self) -> WatchCommands | None:
        if self.monitoring is None:
            return None
        from .watch_commands import WatchCommands  # noqa: PLC0415

        watching = WatchCommands(self.monitoring.hub, self._request)
        watching.add_to(self._host.sp)
        return watching

    def _make_rpc(self) -> JsonRpc:
        from .openrpc import document  # noqa: PLC0415
        from .rpc import JsonRpc  # noqa: PLC0415

        owner, watching = type(self._host), self._watching
        extra = {} if watching is None else watching.methods
        commands = self._host.parser.commands.items()
        found = document(
            owner.__name__,
            self._version,
            inspect.getdoc(owner) or "",
            self.dispatcher.typed,
            {name: one.description or "" for name, one in commands if name not in extra},
            self._declared.pollers,
            [] if watching is None else watching.descriptions(extra),
        )
        return JsonRpc(self.dispatcher, lambda: found, extra)
