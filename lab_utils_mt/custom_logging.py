"""How does a program of this package log?

::

    from lab_utils_mt.custom_logging import configure_logging, getLogger

    configure_logging("logging.ini")  # its keys: see lab_utils_mt/conf/logging.ini
    logger = getLogger("cryostat")
    logger.success("cold: %.2f K", 4.2)

No sink can hurt the program: each has a bounded queue and a thread of its own, and counts what it
had to drop. Text that drives terminals or forges lines is written out; secrets are not.
"""

from __future__ import annotations

from ._config import string_to_bool
from ._logs import configuring
from ._logs.alarm import LONGEST_REPLY, AlarmSink
from ._logs.console import ColoredFormatter, console_handler
from ._logs.files import CustomTimedRotatingFileHandler
from ._logs.line import escape
from ._logs.living import status_lines as logging_status
from ._logs.logger import SUCCESS, CustomLogger, getLogger
from ._logs.mail import TlsSMTPHandler
from ._logs.plan import Kind
from ._logs.settings import AlarmSettings
from ._logs.slack import SlackHandler

__all__ = [
    "SUCCESS",
    "ColoredFormatter",
    "CustomLogger",
    "CustomTimedRotatingFileHandler",
    "NonPickledSocketHandler",
    "SlackHandler",
    "TlsSMTPHandler",
    "configure_logging",
    "console_handler",
    "getLogger",
    "logging_status",
    "string_to_bool",
    "unconfigure_logging",
]


class NonPickledSocketHandler(AlarmSink):
    """Send each record to a server as a command, as ``examples/alarm_manager.py`` takes it::

        alarm NAME --date DATE --level LEVEL --app NAME --module MODULE --function FUNCTION
              --message TEXT

    What cannot be delivered waits, and is delivered in order once the server is back. Logging
    itself never waits and never raises. A reply in words, such as ``alarm 7``, confirms a record;
    one that begins with ``Error! `` or is empty does not.

    Args:
        host: The server's host.
        port: Its port.
        timeout: Seconds for a record and its reply; one that is not answered is sent again.
        capacity: Most records that wait; then the oldest below ERROR make room, and are counted.
        command: The command's name; empty for alarm managers of ``lab_utils`` 0.5.x, for which the
            line begins with the logger's name.

    Raises:
        ConfigError: An argument cannot be used.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        timeout: float = 5.0,
        capacity: int = 1000,
        command: str = "alarm",
    ) -> None:
        from ._client.client import Client  # noqa: PLC0415  (nobody else here needs it)

        client = Client(host=host, port=port, timeout=timeout, max_reply=LONGEST_REPLY)
        super().__init__(f"alarms to {escape(host)}:{port}", client, capacity, command=command)
        self.host, self.port = host, port


def configure_logging(
    config_file: str | None = None,
    fallback: bool = False,
    logger_name: str = "root",
    log_level: int | str | None = None,
) -> None:
    """Send the records of this process where an ini file says; again replaces what was before.

    Sinks that can be had are in force even if others cannot: a wrong password for the mail does
    not take the console away.

    Args:
        config_file: The file, like ``lab_utils_mt/conf/logging.ini``; without one, there is only
            the console, from level INFO.
        fallback: Whether to log a warning instead of raising; if nothing of the file can be had,
            what was in force stays, or else :func:`logging.basicConfig` is called.
        logger_name: The application's name: the logger that ``getLogger()`` returns without a
            name, and that ``log_level`` is for.
        log_level: The least level of that logger, a name or number; overrides the file.

    Raises:
        ConfigError: There is no such file or none of its sections is known (nothing is changed
            then), or some sinks cannot be had: names file, section and key of each.
    """
    configuring.configure(config_file, fallback, logger_name, log_level, {"AlarmLogger": _ALARMS})


def unconfigure_logging() -> None:
    """Undo :func:`configure_logging`: deliver what waits, within seconds, and free everything."""
    configuring.unconfigure()


def _alarms(settings: AlarmSettings) -> NonPickledSocketHandler:
    return NonPickledSocketHandler(
        settings.host,
        settings.port,
        timeout=settings.timeout,
        capacity=settings.capacity,
        command=settings.command,
    )


_ALARMS = Kind(AlarmSettings, (), _alarms)
