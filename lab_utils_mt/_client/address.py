"""Where is the server, and what may be sent to it?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .._config import check, read_section
from .._settings import ClientSettings, ServerSettings
from .._wire.text import refuse_controls
from ..exceptions import MessageError

if TYPE_CHECKING:
    from .batch import Terms
    from .conversation import Progress

SAME: Any = ...
"""Instead of an option: as it is."""


class Address:
    """The settings of a client; arguments as in :class:`Client`."""

    host: str = "localhost"  #: Host of the server.
    port: int = 1507  #: Port of the server.
    timeout: float | None  #: Seconds for a message and its reply; None: as long as it takes.

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
        self._max_reply = max_reply
        values = {"host": self.host, "port": self.port, "max_reply": max_reply}
        check(ClientSettings, values)
        self._on_progress: Progress | None = None
        self._set_options(timeout, SAME)
        self._make_caller()

    def _make_caller(self) -> None:
        """Make what reaches the server that host and port name."""
        raise NotImplementedError

    @property
    def _terms(self) -> Terms:
        from .batch import Terms  # noqa: PLC0415

        return Terms(self.timeout, self._max_reply, self._on_progress)

    def _set_options(self, timeout: float | None, on_progress: Progress | None) -> None:
        if timeout is not SAME:
            check(ClientSettings, {"timeout": timeout})
            self.timeout = timeout
        if on_progress is not SAME:
            self._on_progress = on_progress

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


def line_of(message: str) -> bytes:
    """Return the bytes of a text command.

    Raises:
        MessageError: It cannot be sent as a line.
    """
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
