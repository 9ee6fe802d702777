"""Which database is it, and how does a program get in and out?"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import threading
from pathlib import Path
from typing import Any, TypeVar

from psycopg2.extensions import connection as _Connection  # noqa: N812  (classes, spelt small)
from psycopg2.extensions import cursor as _Cursor  # noqa: N812

from ..._config import check, read_section
from .. import settings as _settings
from .. import tables
from ..errors import PoolClosed
from ..forking import tell_of_fork
from ..interactive import Interactive
from ..pool import ConnectionPool

logger = logging.getLogger("lab_utils_mt.database")

_KEYS = tuple(field.name for field in dataclasses.fields(_settings.DatabaseSettings))
D = TypeVar("D", bound="Connecting")

_REQUIRED = ("host", "port", "database", "user", "passfile")


class Connecting:
    """A database, its settings, and its pool of sessions; ``Database`` explains the arguments."""

    host: str = "localhost"  #: Where the server is
    port: int = 5432  #: Its TCP port
    database: str = "beam"  #: Name of the database
    user: str = "cw-beam"  #: Name of the user
    passfile: str = "~/.pgpass"  #: File with the passwords
    db_version: str = ""  #: The server's version, known once connected

    dsn: str = ""  #: Connection string; if there is one, it counts instead of those above
    application_name: str = "lab_utils_mt"  #: How the server lists the sessions
    maxconn: int = 8  #: Most sessions at one time
    timeout: float = 30.0  #: Seconds that a thread waits for a session
    max_waiting: int | None = None  #: Most threads that may wait while all sessions are in use
    idle_timeout: float = 600.0  #: Seconds; longer unused sessions are closed
    connect_timeout: int = 10  #: Seconds to open a session, for each address of the host
    statement_timeout: float | None = 60.0  #: Seconds that a statement may run
    lock_timeout: float | None = 20.0  #: Seconds that a statement may wait for a lock
    idle_in_transaction_timeout: float | None = 60.0  #: Seconds that a transaction may stand still
    leak_warning: float | None = 60.0  #: Seconds; who keeps a session longer is named in the log

    def __init__(
        self,
        config_file: str | None = None,
        host: str | None = None,
        port: int | None = None,
        database: str | None = None,
        user: str | None = None,
        passfile: str | None = None,
        *,
        dsn: str | None = None,
        maxconn: int | None = None,
        timeout: float | None = None,
    ) -> None:
        self.forget_parent()
        tell_of_fork(self)
        self._pool: ConnectionPool | None = None
        self._interactive: Interactive | None = None
        if config_file is not None:
            self.config(config_file)
        where = {"host": host, "port": port, "database": database, "user": user}
        limits = {"dsn": dsn, "maxconn": maxconn, "timeout": timeout}
        self._accept({**where, "passfile": passfile, **limits})

    def forget_parent(self) -> None:
        """Start anew in a forked child; the pool does so by itself."""
        # Guards _pool, _interactive and db_version, and nothing is opened or closed under it.
        self._pool_lock = threading.Lock()

    def _accept(self, arguments: dict[str, Any]) -> None:
        given = {key: value for key, value in arguments.items() if value is not None}
        check(_settings.DatabaseSettings, given)
        self._assign(given)
        if self.dsn:
            self.dsn = _settings.override_dsn(self.dsn, given)
            self._assign(_settings.attributes_of_dsn(self.dsn))

    def _assign(self, values: dict[str, Any]) -> None:
        for key, value in values.items():
            setattr(self, key, value)
        if "passfile" in values:
            self.passfile = str(Path(self.passfile).expanduser().absolute())

    def config(self, config_file: str) -> None:
        """Load a configuration file, see ``conf/database.ini``; it counts from the next connect().

        Args:
            config_file: Its path; ``~`` is expanded. Without a ``dsn``, the keys host, port,
                database, user and passfile are required.

        Raises:
            ConfigError: It cannot be used (also a :class:`configparser.Error`).
        """
        values = read_section(config_file, "Overall", _settings.DatabaseSettings)
        if not values.get("dsn"):
            read_section(config_file, "Overall", _settings.DatabaseSettings, required=_REQUIRED)
        self._assign(values)
        if self.dsn:
            self._assign(_settings.attributes_of_dsn(self.dsn))

    def connect(self, print_version: bool = False) -> None:
        """Open the pool and make sure that the database answers; does nothing if it is open.

        Args:
            print_version: Write the server's version to the log at level INFO, not DEBUG.

        Raises:
            DatabaseUnavailable: No session can be opened; the text says why, and what to do.
            ConfigError: A setting cannot be used.
        """
        if self._pool is None:
            self._open_pool()
        level = logging.INFO if print_version else logging.DEBUG
        logger.log(level, "connected to %s: %s", self._place(), self.db_version)

    def _open_pool(self) -> None:
        with contextlib.ExitStack() as undo:
            pool = undo.enter_context(ConnectionPool(**self._parameters()))
            version = pool.read(tables.version)
            with self._pool_lock:
                if self._pool is None:  # else another thread was faster, and ours is closed
                    self.db_version, self._pool = version, pool
                    self._interactive = Interactive(pool.open_beside)
                    undo.pop_all()

    def _parameters(self) -> dict[str, Any]:
        values = {key: getattr(self, key) for key in _KEYS}
        check(_settings.DatabaseSettings, values, f"{type(self).__name__} attribute")
        return _settings.connect_parameters(_settings.DatabaseSettings(**values))

    def close(self) -> None:
        """Close the pool; sessions in use are closed when they come back. Does nothing if closed.

        :meth:`connect` opens it again.
        """
        with self._pool_lock:
            pool, self._pool = self._pool, None
            interactive, self._interactive = self._interactive, None
        if interactive is not None:
            interactive.close()
        if pool is not None:
            pool.close()

    def __enter__(self: D) -> D:
        self.connect()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _place(self) -> str:
        pool = self._pool
        if pool is not None and pool.place:
            return pool.place
        if self.dsn:
            return _settings.describe_dsn(self.dsn)
        return f"{self.database} on {self.host}, port {self.port}, as {self.user}"

    def __repr__(self) -> str:
        pool = self._pool
        state = "not connected" if pool is None else repr(pool)
        return f"<{type(self).__name__} {self._place()}: {state}>"

    @property
    def pool(self) -> ConnectionPool:
        """The pool of sessions.

        Raises:
            PoolClosed: Not connected.
        """
        pool = self._pool
        if pool is None:
            raise PoolClosed(f"not connected to {self._place()}: call connect() first")
        return pool

    @property
    def connection(self) -> _Connection | None:
        """A psycopg2 connection of its own, for interactive use; None if not connected.

        It is opened at the first use, beside the pool's ``maxconn``, and again at the next use if
        it was lost. What is done with it must be committed. No method of this class uses it.

        Raises:
            DatabaseUnavailable: It cannot be opened.
        """
        interactive = self._interactive
        return None if interactive is None else interactive.connection()

    @property
    def cursor(self) -> _Cursor | None:
        """A cursor of :attr:`connection`; None if not connected.

        Raises:
            DatabaseUnavailable: The connection cannot be opened.
        """
        interactive = self._interactive
        return None if interactive is None else interactive.cursor()

    def status(self) -> list[str]:
        """Describe database, server and pool, one line each."""
        pool = self._pool
        if pool is None:
            return [f"database: {self._place()}, not connected"]
        now = pool.stats()
        return [
            f"database: {self._place()}",
            f"database server: {self.db_version.partition(' on ')[0]}",
            f"database pool: {now}",
        ]

    def transaction(
        self, timeout: float | None = None, *, statement_timeout: float | None = None
    ) -> contextlib.AbstractContextManager[_Connection]:
        """Lend a psycopg2 connection for a ``with`` block: one transaction, committed at its end.

        Args:
            timeout: Seconds to wait for it.
            statement_timeout: Seconds that a statement in it may run, ``math.inf`` for any number;
                default: the setting of that name.

        Raises:
            PoolTimeout: None came back in time.
            TooManyRequests: Too many threads wait already.
            PoolClosed: Not connected.
            DatabaseUnavailable: None can be opened.
            CommitUnknown: The session was lost during the commit.
        """
        return self.pool.connection(timeout, statement_timeout=statement_timeout)
