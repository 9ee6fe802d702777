"""What does a program that sends messages see of all this?"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from .address import SAME, Address, line_of
from .caller import Caller
from .text_exchange import TextExchange

if TYPE_CHECKING:
    from .conversation import Progress
    from .proxy import Commands
    from .remote import Catalogue
    from .watch import Watch


class Client(Address):
    """Sends messages to a :class:`Server`, also to one of ``lab_utils`` 0.5.x.

    A client may be shared among threads: each message gets its own reply. Connections are kept
    open between messages and opened again when the server was restarted.

    Typed commands are called with Python values: ``client.call("set_temperature", 4.2, ramp=2)``
    or ``client.commands.set_temperature(4.2, ramp=2)``.

    Args:
        config_file: An ini file with ``host`` and ``port`` in its section ``[Overall]``.
        host: The server's host; overrides the file.
        port: The server's port; overrides the file.
        timeout: Seconds for a message and its reply; None waits as long as the command runs.
        max_reply: Most bytes of a reply, as it travels; a longer one is lost, and with None, none
            is too long.

    Raises:
        ConfigError: A setting cannot be used.
    """

    def _make_caller(self) -> None:
        self._caller = Caller(self.host, self.port)

    # --- text ------------------------------------------------------------------------------

    def send_message(self, message: str, *, idempotent: bool = False) -> str:
        """Send a message and return the reply.

        Args:
            message: One line of text; :func:`quote` makes a word of any text.
            idempotent: Whether the message may be sent again if its reply is lost.

        Returns:
            The reply; one that begins with ``Error! `` tells of a failure.

        Raises:
            MessageError: The message cannot be sent as a line.
            OSError: The server cannot be reached.
            ReplyLost: The connection ended before the reply: the command may have been executed.
            ReplyTimeout: The reply did not come in time; the command may still run.
        """
        return self.query_bytes(message, idempotent=idempotent).decode("utf-8", "replace")

    def query_bytes(self, message: str, *, idempotent: bool = False) -> bytes:
        """Like :meth:`send_message`, for a command that replies with bytes."""
        line = line_of(message)
        caller = self._current_caller()
        exchange = TextExchange(line, caller.traits, self._max_reply, idempotent)
        caller.run(exchange, self.timeout)
        return exchange.reply

    def _current_caller(self) -> Caller:
        """Return what reaches the server that host and port name now."""
        if self._caller.host != self.host or self._caller.port != self.port:
            self.close()
            self._make_caller()
        return self._caller

    # --- typed commands: their modules are imported by those who use them --------------------

    def call(self, command: str, /, *args: Any, **kwargs: Any) -> Any:
        """Call a typed command and return its result.

        Args:
            command: Its name.
            *args: Its arguments in their order.
            **kwargs: Its arguments by name.

        Returns:
            What the command returned: numbers, text, bytes, dates, numpy arrays, lists and dicts of
            them. A float that is NaN or infinite on the server is NaN here.

        Raises:
            LabUtilsError: The class that the server raised. A builtin class is a
                :class:`CommandFailed` too: ``except ValueError`` and ``except CommandFailed`` both
                catch the ValueError of a command.
            MessageError: There is no such command, or an argument is not allowed.
            OSError: The server cannot be reached.
            ReplyLost: The connection ended before the reply: the command may have been executed.
                One that is idempotent is sent again instead.
            ReplyTimeout: The reply did not come in time; the command may still run.
        """
        from . import batch, calling  # noqa: PLC0415

        caller, calls = self._current_caller(), [batch.call_of(command, args, kwargs)]
        return caller.follow(calling.call_all(caller, self._terms, calls), self.timeout)[0]

    def call_many(self, calls: Iterable[Any], return_exceptions: bool = False) -> list[Any]:
        """Call many typed commands over one connection, without waiting for each reply.

        They are executed one after another, all of them even if some fail; only if the connection
        is lost, those that were not sent yet are left out.

        Args:
            calls: Pairs of a command and its params: a dict, a list, a tuple, or left out.
            return_exceptions: Whether errors are returned in place of results; otherwise the first
                is raised, after all replies are in.

        Returns:
            The results, in the order of the calls.

        Raises:
            LabUtilsError: As :meth:`call` does; the timeout counts from each reply to the next.
        """
        from . import batch, calling  # noqa: PLC0415

        caller, wanted = self._current_caller(), batch.calls_of(calls)
        plan = calling.call_all(caller, self._terms, wanted, return_exceptions)
        return caller.follow(plan, self.timeout)

    @property
    def commands(self) -> Commands:
        """The server's commands as functions with signatures and help texts."""
        from .proxy import Commands  # noqa: PLC0415

        return Commands(self._current_caller().name, self.call, self._catalogue)

    def discover(self) -> dict[str, Any]:
        """Return what the server says of its commands and pollers: an OpenRPC document.

        It is asked for once, and again after :meth:`close`, after the server was restarted, or
        when a command is unknown.
        """
        return self._catalogue().document

    def _catalogue(self, refresh: bool = False) -> Catalogue:
        from .calling import catalogue  # noqa: PLC0415

        caller = self._current_caller()
        return caller.follow(catalogue(caller, self._terms, refresh), self.timeout)

    def watch(self, name: str, every: float | None = None, on_change: float | None = None) -> Watch:
        """Follow the readings of a poller: ``for reading in client.watch("sensor")``.

        The newest one comes at once; the iterator has a connection of its own, which is made again
        when the server was restarted. ``close()`` it, or use it in a ``with`` statement.

        Args:
            name: The poller.
            every: Least seconds between two readings.
            on_change: Only readings in which a number has changed by so much.

        Raises:
            MessageError: There is no such poller.
            OSError: The server cannot be reached.
        """
        from .subscription import params_of  # noqa: PLC0415
        from .watch import Watch  # noqa: PLC0415

        return Watch(self._current_caller(), self._terms, params_of(name, every, on_change))

    def using(self, *, timeout: float | None = SAME, on_progress: Progress | None = SAME) -> Client:
        """Return a client on the same connections that differs in the options that are given.

        Args:
            timeout: Seconds for a message and its reply; None waits as long as the command runs.
            on_progress: Called with the fraction that is done and a text, in the thread that
                called a typed command which reports progress.

        Raises:
            ConfigError: The timeout cannot be used.
        """
        other = copy.copy(self)
        other._set_options(timeout, on_progress)
        return other

    # --- life ------------------------------------------------------------------------------

    def close(self) -> None:
        """Close the connections; the next message opens one again."""
        self._caller.close()

    def cut(self) -> None:
        """End for good, also what other threads are doing: they get an OSError, such as ReplyLost.

        Only a connection that is still being made is waited for: by the thread that makes it.
        """
        self._caller.cut()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Client of {self._caller.name}>"
