"""How do programs talk to a lab daemon?

:class:`Server` turns a subclass into a daemon that answers many clients at once; :class:`Client`
sends it messages. Names, arguments and defaults are those of ``lab_utils`` 0.5.4; what is new is
keyword-only or has a name of its own.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import os
import re
import sys
import weakref
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING, Any

from . import __version__
from ._client.client import Client
from ._commands.parser import ArgumentParser
from ._commands.repertoire import Declared, Repertoire
from ._commands.request import per_request
from ._config import check, read_section
from ._logs.living import status_lines as logging_status
from ._logs.logger import CustomLogger, getLogger
from ._process.notify import Notifier
from ._process.pid_lock import PidLock
from ._process.runtime_folder import default_pid_file
from ._process.signals import handling
from ._serving.answering import AnsweringServer
from ._serving.subclassing import own_names, settle_names
from ._settings import ServerSettings
from ._wire.framing import BUFFER_SIZE
from ._wire.text import quote
from .exceptions import (
    ConfigError,
    ConnectionClosed,
    LockError,
    MessageError,
    ReplyLost,
    ReplyTimeout,
)

if TYPE_CHECKING:
    from ._client.async_client import AsyncClient
    from ._client.reading import Reading
    from .database import Database

__all__ = [
    "ArgumentParser",
    "AsyncClient",
    "Client",
    "ConfigError",
    "ConnectionClosed",
    "LockError",
    "MessageError",
    "Reading",
    "ReplyLost",
    "ReplyTimeout",
    "Server",
    "buffer_size",
    "quote",
]

buffer_size: int = BUFFER_SIZE
"""Bytes read at a time. In 0.5.x the longest message; here ``max_message`` is."""

_LIVING_ATTRIBUTES = frozenset({"message", "reply", "namespace", "quit_flag", "sock"})


class Server(AnsweringServer):
    """A lab daemon: many clients at once, one instance per PID file.

    Subclass it, override :meth:`create_parser`, and register a method for each command::

        def create_parser(self):
            super().create_parser()
            move = self.sp.add_parser("move", description="moves the stage")
            move.add_argument("position", type=float, help="where to, in mm")
            move.set_defaults(func=self.move, which="move")

        def move(self):
            self.reply = f"at {self.stage.move(self.namespace.position)} mm"

    Commands run at once for different clients; what they share they must guard, or set
    :attr:`serial_commands`. ``help``, ``ping``, ``status`` and ``quit`` are there unless the
    subclass has commands of these names.

    A setting is taken from the argument, then from the file, then from an attribute of the
    subclass, then from the default here; ``conf/server.ini`` explains each.

    Args:
        config_file: An ini file with a section ``[Overall]``.
        pid_file_name: Path of the PID file.
        host: Address to listen on.
        port: TCP port; 0 takes a free one.
        database: Connected before the server listens, closed after the last command.

    Raises:
        ConfigError: A setting cannot be used.
        LockError: Another server holds the PID file.
    """

    host: str = ServerSettings.host  #: Address to listen on.
    port: int = ServerSettings.port  #: TCP port; the real one once the server listens.
    #: Path of the PID file; by default named like the class, in the user's runtime folder.
    pid_file_name: str = ServerSettings.pid_file_name
    max_clients: int = ServerSettings.max_clients  #: Most clients at a time.
    max_backlog: int = ServerSettings.max_backlog  #: Connections the system keeps waiting.
    max_message: int = ServerSettings.max_message  #: Most bytes of a request.
    serial_commands: bool = ServerSettings.serial_commands  #: Run one command at a time.
    one_processor: bool = ServerSettings.one_processor  #: Serve all clients on one processor.
    #: Seconds after which a first message without newline is complete; None: never.
    unterminated_pause: float | None = ServerSettings.unterminated_pause
    line_timeout: float = ServerSettings.line_timeout  #: Seconds for a line to be complete.
    #: Seconds after which a silent client is disconnected; None: never.
    idle_timeout: float | None = ServerSettings.idle_timeout
    send_timeout: float = ServerSettings.send_timeout  #: Seconds without progress in sending.
    stop_timeout: float = ServerSettings.stop_timeout  #: Seconds that commands get at the stop.
    device_timeout: float = ServerSettings.device_timeout  #: Seconds to wait for a device.
    socket_timeout: float = ServerSettings.socket_timeout  #: Seconds between two service_actions().

    address: str | None = None  #: ``host:port`` once the server listens.
    logger: CustomLogger  #: The logger of the server.
    lock: PidLock | None = None  #: The lock of the PID file.
    database: Database | None = None  #: Connected while the server runs.
    parser: ArgumentParser  #: Knows the commands.
    sp: argparse._SubParsersAction[ArgumentParser]  #: Takes new commands.
    delimiter_left: str = "{"  #: Begins a word with blanks in it.
    delimiter_right: str = "}"  #: Ends it.
    regex: re.Pattern[str] = re.compile(r" (?![^{}]*})")  #: How 0.5.x cut a message.

    message = per_request("message", "Text of the request that this thread answers.")
    reply = per_request("reply", "What it sends back: text, or bytes.")
    namespace = per_request("namespace", "The words of the request, parsed.")

    def __init__(
        self,
        config_file: str | None = None,
        pid_file_name: str | None = None,
        host: str | None = None,
        port: int | None = None,
        *,
        database: Database | None = None,
    ) -> None:
        self.logger = getLogger("lab_utils_mt.server")
        # The public names may be given another meaning by a lab's subclass: these two are closed.
        self._given_database = database
        self._pid_lock: PidLock | None = None
        if database is not None:
            self.database = database
        if config_file is not None:
            self.config(config_file)
        arguments = {"pid_file_name": pid_file_name, "host": host, "port": port}
        self._take_settings({k: v for k, v in arguments.items() if v is not None}, "argument")
        self._check_settings()
        super().__init__(self.host, self.port)
        try:
            self._repertoire = self._make_repertoire()
            self.daemonize()
        except BaseException:
            self.socket.close()
            if self._pid_lock is not None:
                self._pid_lock.release()
            raise

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Let a subclass redeclare what 0.5.x declared; refuse names that would break the server.

        Raises:
            TypeError: The subclass, or a class that it is mixed with, has a method of such a name.
        """
        super().__init_subclass__(**kwargs)
        settle_names(cls, Server, _LIVING_ATTRIBUTES)
        cls._declared = Declared.by(cls, own_names(Server))

    # --- configuration ---------------------------------------------------------------------

    def config(self, filename: str) -> None:
        """Take the settings of an ini file.

        Args:
            filename: Path; ``~`` is expanded.

        Raises:
            ConfigError: The file cannot be read, a key is unknown or a value not allowed.
        """
        self._take_settings(read_section(filename, "Overall", ServerSettings), filename)

    def _take_settings(self, values: dict[str, Any], source: str) -> None:
        check(ServerSettings, values, source)
        for name, value in values.items():
            setattr(self, name, value)

    def _check_settings(self) -> None:
        values = {name: getattr(self, name) for name in ServerSettings.__dataclass_fields__}
        check(ServerSettings, values, f"class {type(self).__name__}")

    # --- commands --------------------------------------------------------------------------

    def create_parser(self) -> None:
        """Make :attr:`parser` and :attr:`sp`; override it to add commands to ``self.sp``.

        ``help``, ``ping``, ``status`` and ``quit`` are added afterwards, unless they are there.
        """
        self.parser = ArgumentParser(
            prog="daemon",
            description=type(self).__doc__ if type(self) is not Server else "A lab daemon.",
            epilog="See the README of lab_utils_mt for more information.",
        )
        self.sp = self.parser.add_subparsers(title="command", description="Daemon actions")

    def _make_repertoire(self) -> Repertoire:
        self.create_parser()
        if not (hasattr(self, "parser") and hasattr(self, "sp")):
            raise TypeError(
                f"{type(self).__name__}.create_parser() must set self.parser and self.sp:"
                " call super().create_parser() first"
            )
        recorder = None
        if self._given_database is not None and self._declared.is_recorded:
            from ._storage.recording import ReadingRecorder  # noqa: PLC0415  (its driver)

            recorder = ReadingRecorder(self._given_database)
        version = getattr(self, "version", None)
        return Repertoire(
            self,
            self._declared,
            self._current_request,
            self._describe,
            version if isinstance(version, str) else __version__,
            type(self).quit is not Server.quit,
            recorder,
        )

    def _describe(self) -> list[str]:
        database = self._given_database
        return [
            f"server: {type(self).__name__}",
            f"version: lab_utils_mt {__version__}, Python {sys.version.split()[0]}",
            f"pid file: {self.pid_file_name}",
            *super()._describe(),
            *(database.status() if database is not None else []),
            *logging_status(),
        ]

    def quit(self) -> None:
        """Answer the command ``quit``; the server stops afterwards.

        Also called when a signal stops the server, after the last command and before the database
        is closed. Override it to clean up.
        """
        self.reply = "Goodbye!"

    # --- life ------------------------------------------------------------------------------

    def daemonize(self) -> None:
        """Lock the PID file.

        Raises:
            LockError: Another server holds it, or it cannot be written.
        """
        if not self.pid_file_name:
            self.pid_file_name = default_pid_file(type(self).__name__)
        if self._pid_lock is None:
            lock = PidLock(self.pid_file_name)
            lock.acquire()
            self.lock = self._pid_lock = lock
            weakref.finalize(self, lock.release)  # for a server that is dropped without close()

    def start_daemon(self) -> None:
        """Serve until the command ``quit``, Ctrl-C or SIGTERM; then free everything.

        May run in any thread; signals are handled in the main thread only. systemd is told.

        Raises:
            OSError: The port is in use or forbidden; the text names it.
            DatabaseUnavailable: The database cannot be reached.
            RuntimeError: The server runs already.
        """
        with handling(self.signal_handler):
            self._life.claim_loop()
            try:
                self._run_claimed_loop(supervisor=Notifier())
            finally:
                self.close()

    def signal_handler(self, _: int, __: FrameType | None) -> None:
        """Let the server stop; a second signal cuts the commands that still run."""
        self._life.request_stop(by_signal=True)

    @property
    def quit_flag(self) -> bool:
        """Whether the server is to stop; set it to True to stop the server."""
        return self._life.quitting

    @quit_flag.setter
    def quit_flag(self, value: bool) -> None:
        if value:
            self._life.request_stop()
        else:
            self._life.resume()

    @property
    def sock(self) -> Any:
        """The listening socket, None before the server listens."""
        return self.socket if self.address else None

    @sock.setter
    def sock(self, _: object) -> None:
        """Accept what code for 0.5.x sets; the listening socket stays."""

    def _start_listening(self) -> None:
        if self._given_database is not None and self.address is None:
            self._given_database.connect()
        super()._start_listening()

    def _bind_fault(self, error: OSError, in_use: bool) -> str:
        fault = super()._bind_fault(error, in_use)
        holder = f"this process, {os.getpid()}, holds the PID file {self.pid_file_name}"
        return f"{fault} ({holder}{', so it is another program' if in_use else ''})"

    def _tear_down(self) -> None:
        with contextlib.ExitStack() as stack:  # runs all of it, the last one first
            if self._pid_lock is not None:
                stack.callback(self._pid_lock.release)
            if self._given_database is not None:
                stack.callback(self._give_up, self._given_database.close, "closing the database")
            stack.callback(self._give_up, self._drain, "storing the last readings")
            if self._life.signalled:
                stack.callback(self._give_up, self.quit, "quit()")
            stack.callback(super()._tear_down)

    def _give_up(self, step: Callable[[], object], name: str) -> None:
        """Take a step of the stop; if it fails, the others must be taken all the same."""
        try:
            step()
        except Exception:
            self.logger.exception("%s failed", name)


def __getattr__(name: str) -> Any:
    # Not every program needs asyncio, or datetime.
    late = {"AsyncClient": "async_client", "Reading": "reading"}
    if name in late:
        return getattr(importlib.import_module(f"._client.{late[name]}", __package__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
