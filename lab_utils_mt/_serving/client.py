"""What does a program that sends messages see of all this?"""

from __future__ import annotations

from .._config import check, read_section
from .._wire.text import refuse_controls
from ..exceptions import MessageError
from .caller import Caller
from .settings import ClientSettings, ServerSettings


class Client:
    """Sends messages to a :class:`Server`, also to one of ``lab_utils`` 0.5.x.

    A client may be shared among threads: each message gets its own reply. Connections are kept
    open between messages and opened again when the server was restarted.

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

    host: str = "localhost"  #: Host of the server.
    port: int = 1507  #: Port of the server.

    def __init__(
        self,
        config_file: str | None = None,
        host: str | None = None,
        port: int | None = None,
        *,
        timeout: float | None = None,
        max_reply: int | None = None,
    ) -> None:
        if config_file is not None:
            self.config(config_file)
        self.host = self.host if host is None else host
        self.port = self.port if port is None else port
        self.timeout = timeout
        self._max_reply = max_reply
        values = {"host": self.host, "port": self.port, "timeout": timeout, "max_reply": max_reply}
        check(ClientSettings, values)
        self._caller = Caller(self.host, self.port, max_reply)

    def config(self, config_file: str) -> None:
        """Take host and port from an ini file; the server's own file will do.

        Args:
            config_file: Path; ``~`` is expanded.

        Raises:
            ConfigError: The file cannot be read, or host or port is missing or not allowed.
        """
        required = ("host", "port")
        values = read_section(config_file, "Overall", ServerSettings, required)
        self.host, self.port = values["host"], values["port"]

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
        line = _line_of(message)
        if self._caller.host != self.host or self._caller.port != self.port:
            self.close()
            self._caller = Caller(self.host, self.port, self._max_reply)
        return self._caller.call(line, self.timeout, idempotent)

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


def _line_of(message: str) -> bytes:
    if not isinstance(message, str):
        raise MessageError(f"a message is a str, not {type(message).__name__}")
    text = message.strip()
    if not text:
        raise MessageError("an empty message has no reply")
    refuse_controls(text)
    try:
        return text.encode() + b"\n"
    except UnicodeEncodeError as error:
        fault = f"character {error.start + 1} of the message is a lone surrogate"
        raise MessageError(f"{fault}; quote() sends any text") from None
