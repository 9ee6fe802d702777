"""How is a session opened, and why not?"""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable, Mapping
from typing import Any

import psycopg2
from psycopg2 import extensions as ext

from .cleaning import end
from .errors import DatabaseUnavailable
from .session import Session

logger = logging.getLogger("lab_utils_mt.database")

# All of these are off, or endless, unless somebody says otherwise.
_DEFAULTS: dict[str, Any] = {
    "connect_timeout": 10,  # seconds for each address of the host
    "keepalives": 1,
    "keepalives_idle": 30,  # seconds
    "keepalives_interval": 10,  # seconds
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,  # milliseconds that sent data may stay unacknowledged
    "application_name": "lab_utils_mt",
}
# The driver reads times, intervals and floats right in these forms only; a server, a database or a
# role may have others by default.
_FORMS = {"datestyle": "ISO", "intervalstyle": "postgres", "extra_float_digits": "1"}

# The first that is found counts: what names a role or a database on its way comes before them.
_HINTS = {
    "system is starting up": "the server is starting, try again",
    "system is not yet accepting": "the server is starting, try again",
    "system is in recovery mode": "the server recovers from a crash, try again",
    "system is shutting down": "the server is stopping, start it again",
    "too many connections for database": "lower maxconn, or raise the database's CONNECTION LIMIT",
    "too many connections for role": "lower maxconn, or raise the role's CONNECTION LIMIT",
    "no more connections allowed": "lower maxconn, or raise the pooler's max_client_conn",
    "query_wait_timeout": "the pooler has no free session, or the server behind it is down",
    "too many": "the server has no free session: lower maxconn, or raise its max_connections",
    "connection slots": "the server has no free session: lower maxconn, or raise max_connections",
    "translate host name": "check the host's name",
}
# The same, where only somebody's hand can help.
_LASTING = {
    "permission denied for database": "let its owner GRANT CONNECT ON DATABASE to this user",
    "not currently accepting": "let its owner run ALTER DATABASE ... ALLOW_CONNECTIONS true",
    "not permitted to log in": "let an administrator run ALTER ROLE ... LOGIN",
    "no pg_hba.conf entry": "the server's pg_hba.conf does not let this user in from here",
    "password": "check the user's line in the passfile",
    "role ": "check the user's name",
    "database ": "check the database's name, or create it",
}

# Whoever answers without it is not the server itself, but a PgBouncer or the like before it: the
# limits did not arrive, and the session behind may be another one in each transaction.
_MARK = "lab_utils_mt.direct"
_IS_DIRECT = f"SELECT current_setting('{_MARK}', true) IS NOT NULL"
_REFUSED_BY_A_POOLER = "unsupported startup parameter"


class Login:
    """The way to open sessions with one database.

    Args:
        given: Parameters of :func:`psycopg2.connect`; a ``dsn`` is taken apart. They win over what
            is set here.
        limits: Server settings such as ``statement_timeout``, in seconds; None is "no limit".

    Raises:
        psycopg2.ProgrammingError: A parameter is unknown (``connection_factory`` and
            ``cursor_factory`` are the pool's own), or the ``dsn`` is malformed.
    """

    def __init__(self, given: Mapping[str, Any], limits: Mapping[str, float | None]) -> None:
        own = dict(given)
        dsn = own.pop("dsn", None)
        self.parameters = {**_DEFAULTS, **(_taken_apart(dsn) if dsn else {}), **own}
        # An explicit value hides the environment's, so it is repeated here; what comes last wins.
        self.parameters["client_encoding"] = "UTF8"  # for any text, and all that COPY sends
        self._options = str(self.parameters.get("options") or os.environ.get("PGOPTIONS", ""))
        self._limits = {name: value for name, value in limits.items() if value is not None}
        self.parameters["options"] = self._with_limits()
        ext.make_dsn(**self.parameters)  # raises now what every attempt to connect would raise
        self._is_direct = True
        self.place = ""  #: Which database the newest session is with

    def _with_limits(self) -> str:
        limits = [f"-c {name}={_milliseconds(value)}" for name, value in self._limits.items()]
        forms = [f"-c {name}={value}" for name, value in _FORMS.items()]
        return " ".join(filter(None, [f"-c {_MARK}=on", *limits, self._options, *forms]))

    def _limits_for_a_transaction(self) -> str:
        limits = {name: _milliseconds(value) for name, value in self._limits.items()}
        settings = {**limits, **_FORMS}
        return "".join(f"SET LOCAL {name}={value};" for name, value in settings.items())

    def open(self, watch: Callable[[Session], object] = id) -> Session:
        """Open a session.

        libpq counts whole seconds for each address of the host, and does not count the resolution
        of its name.

        Args:
            watch: Called with the session before the first word is spoken on it.

        Raises:
            DatabaseUnavailable: There is none to be had.
        """
        try:
            session = self._connect()
            try:
                self._prepare(session, watch)
            except BaseException:
                end(session)
                raise
        # A localised server, or no more file descriptors or threads.
        except (psycopg2.Error, UnicodeDecodeError, OSError, RuntimeError) as error:
            raise _explain(self.parameters, error) from error
        return session

    def _prepare(self, session: Session, watch: Callable[[Session], object]) -> None:
        session.pid = os.getpid()
        session.autocommit = True
        session.keep_line()
        seconds = float(self.parameters["connect_timeout"] or 0)
        session.call_limit = seconds if seconds > 0 else None
        watch(session)
        self._meet(session)
        session.call_limit = None

    def _meet(self, session: Session) -> None:
        """Find out with whom the session is."""
        attributes = session.info.dsn_parameters.get("target_session_attrs")
        session.wants_a_primary = attributes in {"read-write", "primary"}
        if not (self._is_direct and _is_direct(session)):
            session.limits = self._limits_for_a_transaction()
            session.is_shared = True
        self.place = _place(session)

    def _connect(self) -> Session:
        if self._is_direct:
            try:
                return _connect(self.parameters)
            except psycopg2.OperationalError as error:
                if _REFUSED_BY_A_POOLER not in str(error):
                    raise
                self._is_direct = False
                self._tell_of_options()
        return _connect({**self.parameters, "options": ""})

    def _tell_of_options(self) -> None:
        if self._options:
            logger.warning(
                "%s is behind a pooler, which refuses the options %r: they are left out",
                describe(self.parameters),
                self._options,
            )


def _taken_apart(dsn: str) -> dict[str, Any]:
    try:
        return dict(ext.parse_dsn(dsn))
    except psycopg2.ProgrammingError:  # its text may have a piece of a password
        raise psycopg2.ProgrammingError("the dsn is not a valid connection string") from None


def _milliseconds(seconds: float) -> int:
    return math.ceil(seconds * 1000)


def _connect(parameters: Mapping[str, Any]) -> Session:
    session: Session = psycopg2.connect(connection_factory=Session, **parameters)
    return session


def _is_direct(session: Session) -> bool:
    with session.plain_cursor() as cursor:
        cursor.execute(_IS_DIRECT)
        row = cursor.fetchone()
    return bool(row and row[0])


def describe(parameters: Mapping[str, Any]) -> str:
    """Say which database is meant, without any secret."""
    if parameters.get("service"):
        return f"the database of service {parameters['service']!r}"
    host = parameters.get("host") or parameters.get("hostaddr") or "the default host"
    port = parameters.get("port") or 5432
    user = parameters.get("user") or "the default user"
    name = parameters.get("dbname") or parameters.get("database") or user
    return f"database {name!r} on host {host}, port {port}, as user {user!r}"


def _place(session: Session) -> str:
    # As libpq knows it: by then services, defaults and lists of hosts are resolved.
    info = session.info
    return f"{info.dbname} on {info.host}, port {info.port}, as {info.user}"


def _explain(parameters: Mapping[str, Any], error: Exception) -> DatabaseUnavailable:
    reason = "; ".join(line.strip() for line in str(error).splitlines() if line.strip())
    # "connection to server at ..., port ... failed: FATAL: " hides the words that decide.
    decisive = reason.rpartition("failed: ")[2]
    found = [hint for words, hint in (_HINTS | _LASTING).items() if words in decisive]
    hint = found[0] if found else "check that the server runs and can be reached"
    text = f"cannot open {describe(parameters)}: {reason or type(error).__name__}; {hint}"
    unavailable = DatabaseUnavailable(text)
    unavailable.lasting = hint in _LASTING.values()
    return unavailable
