"""Is this session alive, and is it as good as new?

One session with PostgreSQL: how it is opened, judged, made clean and ended. Nothing here knows
that there is a pool.
"""

from __future__ import annotations

import contextlib
import math
import os
import select
import socket
import sys
import time
from collections.abc import Mapping
from typing import Any

import psycopg2
from psycopg2 import extensions as ext

from .errors import CommitUnknown, DatabaseUnavailable

# All of these are off, or endless, unless somebody says otherwise.
_DEFAULTS: dict[str, Any] = {
    "connect_timeout": 10,  # seconds for each address of the host
    "keepalives": 1,
    "keepalives_idle": 30,  # seconds
    "keepalives_interval": 10,  # seconds
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,  # milliseconds that sent data may stay unacknowledged
    "application_name": "lab_utils_mt",
    "client_encoding": "UTF8",  # whatever the database is stored in, any text can be sent
}

# The first that is found counts: what names a role or a database on its way comes before them.
_HINTS = {
    "system is starting up": "the server is starting, try again",
    "system is not yet accepting": "the server is starting, try again",
    "system is in recovery mode": "the server recovers from a crash, try again",
    "system is shutting down": "the server is stopping, start it again",
    "too many connections for database": "lower maxconn, or raise the database's CONNECTION LIMIT",
    "too many connections for role": "lower maxconn, or raise the role's CONNECTION LIMIT",
    "too many": "the server has no free session: lower maxconn, or raise its max_connections",
    "connection slots": "the server has no free session: lower maxconn, or raise max_connections",
    "permission denied for database": "let its owner GRANT CONNECT ON DATABASE to this user",
    "not currently accepting": "let its owner run ALTER DATABASE ... ALLOW_CONNECTIONS true",
    "not permitted to log in": "let an administrator run ALTER ROLE ... LOGIN",
    "no pg_hba.conf entry": "the server's pg_hba.conf does not let this user in from here",
    "password": "check the user's line in the passfile",
    "role ": "check the user's name",
    "database ": "check the database's name, or create it",
    "translate host name": "check the host's name",
}

_END_WAIT = 1.0  # seconds


class Session(ext.connection):
    """A connection that knows whether anybody but this library has used it."""

    used_freely = False
    pid = 0

    def cursor(self, *args: Any, **kwargs: Any) -> Any:
        """Return a cursor, as psycopg2 does; afterwards the session may be in any state."""
        self.used_freely = True
        return super().cursor(*args, **kwargs)

    def plain_cursor(self) -> ext.cursor:
        """Return a cursor for statements that leave nothing behind but their transaction."""
        return super().cursor(cursor_factory=ext.cursor)


def complete(given: Mapping[str, Any], timeouts: Mapping[str, float | None]) -> dict[str, Any]:
    """Complete connection parameters with the time limits that psycopg2 leaves out.

    Args:
        given: Parameters of :func:`psycopg2.connect`; a ``dsn`` is taken apart. They win.
        timeouts: Server settings such as ``statement_timeout``, in seconds; None is "no limit".

    Raises:
        psycopg2.ProgrammingError: A parameter is unknown (``connection_factory`` and
            ``cursor_factory`` are the pool's own), or the ``dsn`` is malformed.
    """
    parameters = dict(given)
    dsn = parameters.pop("dsn", None)
    parameters = {**_DEFAULTS, **(ext.parse_dsn(dsn) if dsn else {}), **parameters}
    limits = [
        f"-c {name}={math.ceil(seconds * 1000)}"
        for name, seconds in timeouts.items()
        if seconds is not None
    ]
    # An explicit value hides the environment's, so it is repeated here; what comes last wins.
    own = parameters.get("options") or os.environ.get("PGOPTIONS", "")
    parameters["options"] = " ".join([*limits, own]).strip()
    ext.make_dsn(**parameters)  # raises now what every attempt to connect would raise
    return parameters


def describe(parameters: Mapping[str, Any]) -> str:
    """Say which database is meant, without any secret."""
    if parameters.get("service"):
        return f"the database of service {parameters['service']!r}"
    host = parameters.get("host") or parameters.get("hostaddr") or "the default host"
    port = parameters.get("port") or 5432
    user = parameters.get("user") or "the default user"
    name = parameters.get("dbname") or parameters.get("database") or user
    return f"database {name!r} on host {host}, port {port}, as user {user!r}"


def place(session: Session) -> str:
    """Say which database this is, as libpq knows it: by then services and defaults are resolved."""
    info = session.info
    return f"{info.dbname} on {info.host}, port {info.port}, as {info.user}"


def _explain(parameters: Mapping[str, Any], error: Exception) -> str:
    reason = "; ".join(line.strip() for line in str(error).splitlines() if line.strip())
    # "connection to server at ..., port ... failed: FATAL: " hides the words that decide.
    decisive = reason.rpartition("failed: ")[2]
    hints = (hint for words, hint in _HINTS.items() if words in decisive)
    hint = next(hints, "check that the server runs and can be reached")
    return f"cannot open {describe(parameters)}: {reason or type(error).__name__}; {hint}"


def open_session(parameters: Mapping[str, Any], deadline: float) -> Session:
    """Open a session, in what is left of the time.

    libpq counts whole seconds, for each address of the host, and does not count name resolution:
    the attempt may outlast ``deadline`` by that much.

    Raises:
        DatabaseUnavailable: There is none to be had.
    """
    left = math.ceil(deadline - time.monotonic())
    limit = max(1, min(int(parameters["connect_timeout"]) or left, left))
    chosen = {**parameters, "connect_timeout": limit}
    try:
        session: Session = psycopg2.connect(connection_factory=Session, **chosen)
    except (psycopg2.OperationalError, UnicodeDecodeError) as error:  # a localised server
        raise DatabaseUnavailable(_explain(parameters, error)) from error
    session.pid = os.getpid()
    return session


def commit(session: Session) -> None:
    """Commit, and tell a failed COMMIT from one of which nobody knows what became of it.

    Raises:
        CommitUnknown: The session was lost after the COMMIT was sent, or while it was.
        psycopg2.Error: Nothing was committed.
    """
    lost_before = session.closed
    try:
        session.commit()
    except psycopg2.Error as error:
        if lost_before or not session.closed:
            raise
        reason = " ".join(str(error).split())
        raise CommitUnknown(
            "the connection was lost during COMMIT: the data may or may not be stored, look before"
            f" you write them again ({reason})"
        ) from error


def is_quiet(session: Session) -> bool:
    """Tell, without a round trip, whether an idle session is alive: then it has nothing to say."""
    try:
        return not session.closed and not _is_readable(session.fileno())
    except (psycopg2.Error, OSError, ValueError):
        return False


if sys.platform == "win32":

    def _is_readable(handle: int) -> bool:
        return bool(select.select([handle], [], [], 0)[0])

else:

    def _is_readable(handle: int) -> bool:
        poll = select.poll()  # select() refuses file descriptors from 1024 on
        poll.register(handle, select.POLLIN)
        return bool(poll.poll(0))


def clean(session: Session) -> bool:
    """Make a session as good as new.

    Costs a round trip if a transaction is open, and another if anybody but this library has used
    the session: settings, temporary tables, advisory locks and LISTEN outlast a transaction.

    Returns:
        False if that is impossible; the session must be ended.
    """
    try:
        return _end_transaction(session) and _forget_state(session)
    except psycopg2.Error:  # it died; the borrower's own error tells more than this one
        return False


def _end_transaction(session: Session) -> bool:
    if session.closed:
        return False
    state = session.get_transaction_status()
    if state in (ext.TRANSACTION_STATUS_ACTIVE, ext.TRANSACTION_STATUS_UNKNOWN):
        return False
    if state != ext.TRANSACTION_STATUS_IDLE or session.status != ext.STATUS_READY:
        session.rollback()
    return session.get_transaction_status() == ext.TRANSACTION_STATUS_IDLE


def _forget_state(session: Session) -> bool:
    if session.encoding != "UTF8":
        return False  # the driver would not learn of the way back
    if not _may_be_altered(session):
        return True
    session.autocommit = True  # DISCARD ALL refuses to run inside a transaction
    with session.plain_cursor() as cursor:
        cursor.execute("DISCARD ALL")
    session.set_session("default", "default", "default", autocommit=False)
    session.cursor_factory = None  # type: ignore[assignment]  # which is how it began
    session.string_types.clear()
    session.binary_types.clear()
    session.notices = []
    session.notifies = []
    session.used_freely = False
    return True


def _may_be_altered(session: Session) -> bool:
    return bool(
        session.used_freely
        or session.autocommit
        or session.isolation_level is not None
        or session.readonly is not None
        or session.deferrable is not None
        or session.cursor_factory is not None
        or session.string_types
        or session.binary_types
    )


def end(session: Session) -> None:
    """Close a session and wait, for at most a second, until the server has let go of it.

    Else the session opened in its place would be one more than the server was promised.
    """
    with contextlib.ExitStack() as stack:
        line: socket.socket | None = None
        with contextlib.suppress(psycopg2.Error, OSError, ValueError):
            line = stack.enter_context(
                socket.fromfd(session.fileno(), socket.AF_INET, socket.SOCK_STREAM)
            )
        with contextlib.suppress(psycopg2.Error):
            session.close()
        if line is not None:
            _await_end_of_stream(line)


def _await_end_of_stream(line: socket.socket) -> None:
    deadline = time.monotonic() + _END_WAIT
    with contextlib.suppress(OSError):
        while (left := deadline - time.monotonic()) > 0:
            line.settimeout(left)
            if not line.recv(4096):
                return
