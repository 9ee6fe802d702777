"""Which errors can this package raise?

::

    LabUtilsError
    ├── ConfigError              a setting cannot be used; also configparser.Error
    ├── LockError                another server holds the PID file
    ├── MessageError             the text is not a valid message or command
    ├── CommandFailed            a command raised an error on the server
    ├── DeviceBusy               a command waited in vain for its device; also TimeoutError
    ├── ShuttingDown             the server takes no more commands; also ConnectionError
    ├── ConnectionClosed         the other end is gone; also ConnectionError
    │   └── ReplyLost            ... after the request, before its reply
    │       └── ReplyTimeout     ... because the reply did not come in time; also TimeoutError
    ├── DatabaseUnavailable      no session with the database can be had
    ├── CommitUnknown            the connection was lost during COMMIT: stored, or not
    ├── PoolTimeout              all sessions are in use, and none came back in time
    ├── TooManyRequests          ... and too many threads wait for one already
    ├── PoolClosed               the pool was closed
    ├── InvalidName              a table's or column's name is not allowed; also ValueError
    └── InvalidValue             data cannot be stored as they are; also TypeError, ValueError

An error with a second parent is caught by code that was written for ``lab_utils`` 0.5.x or for the
library underneath. The last seven are psycopg2.Error too, so they are made in
:mod:`lab_utils_mt.database`, where that driver is imported: a client needs no database driver.
"""

from __future__ import annotations

import configparser


class LabUtilsError(Exception):
    """Any error of this package."""


class ConfigError(LabUtilsError, configparser.Error):
    """A setting cannot be used; the text names file, section and key."""


class LockError(LabUtilsError):
    """The PID file is held by another server, or cannot be used; the text names the owner."""


class MessageError(LabUtilsError):
    """A text is not a valid message: malformed, or refused by the command parser."""


class CommandFailed(LabUtilsError):
    """A command raised an error on the server; the text is the error's.

    A command may raise it itself when it cannot do what it is asked for: then the text is the
    reply, and the log has no traceback.
    """


class DeviceBusy(LabUtilsError, TimeoutError):
    """A command waited in vain for its device.

    Attributes:
        device: The device.
        command: The command that holds it.
        client: Where that command comes from.
        seconds: For how long it has held the device.
        waited: For how long the other command has waited, in seconds.
    """

    def __init__(
        self,
        text: str,
        *,
        device: str = "",
        command: str = "",
        client: str = "",
        seconds: float = 0.0,
        waited: float = 0.0,
    ) -> None:
        super().__init__(text)
        self.device, self.command, self.client = device, command, client
        self.seconds, self.waited = seconds, waited


class ShuttingDown(LabUtilsError, ConnectionError):
    """The server takes no more commands, because it stops."""


class ConnectionClosed(LabUtilsError, ConnectionError):
    """The other end of the connection is gone."""


class ReplyLost(ConnectionClosed):
    """A request was sent, but its reply never came: the command may or may not have run."""


class ReplyTimeout(ReplyLost, TimeoutError):
    """The reply did not come in time: the command may still be running."""
