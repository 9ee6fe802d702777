"""How does a program keep its readings in PostgreSQL or TimescaleDB?

::

    database = Database("database.ini")
    database.connect()
    database.create_timescale_db("cryostat", if_not_exists=True)
    database.new_column("cryostat", "sample", DataType.double)
    database.new_entry("cryostat", ["sample"], [4.2])

Every method may be called from any thread: each call borrows one of a few sessions.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from psycopg2.extensions import connection as _Connection  # noqa: N812  (a class, spelt small)

from ._config import check, read_section
from ._storage import settings as _settings
from ._storage import tables
from ._storage.columns import Constraint, DataType
from ._storage.embedded import EmbeddedPostgres
from ._storage.errors import (
    CommitUnknown,
    DatabaseUnavailable,
    InvalidName,
    InvalidValue,
    PoolClosed,
    PoolTimeout,
)
from ._storage.pool import ConnectionPool

__all__ = [
    "CommitUnknown",
    "Constraint",
    "DataType",
    "Database",
    "DatabaseUnavailable",
    "EmbeddedPostgres",
    "InvalidName",
    "InvalidValue",
    "PoolClosed",
    "PoolTimeout",
]

logger = logging.getLogger("lab_utils_mt.database")

_KEYS = tuple(field.name for field in dataclasses.fields(_settings.DatabaseSettings))
_REQUIRED = ("host", "port", "database", "user", "passfile")


class Database:
    """A PostgreSQL database, shared by all threads of a program.

    What an argument does not say comes from the configuration file, then from a subclass's
    attribute, then from the default.

    Args:
        config_file: See ``conf/database.ini``.
        host: Name or address of the server, or the folder of its unix socket.
        port: TCP port of the server.
        database: Name of the database.
        user: Name of the user.
        passfile: File with the passwords; it may be missing.
        dsn: A PostgreSQL connection string; the five arguments above replace parts of it.
        maxconn: Most sessions at one time, at least 1.
        timeout: Seconds that a thread waits for a session.

    Raises:
        ConfigError: A setting cannot be used (also a :class:`configparser.Error`).
    """

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
    idle_timeout: float = 600.0  #: Seconds; longer unused sessions are closed at the next use
    connect_timeout: int = 10  #: Seconds to open a session, for each address of the host
    statement_timeout: float | None = 60.0  #: Seconds that a statement may run
    lock_timeout: float | None = 20.0  #: Seconds that a statement may wait for a lock
    idle_in_transaction_timeout: float | None = 60.0  #: Seconds that a transaction may stand still

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
        # Guards _pool, _connected_to and db_version, and nothing is opened or closed under it.
        self._pool_lock = threading.Lock()
        self._pool: ConnectionPool | None = None
        self._connected_to = ""
        if config_file is not None:
            self.config(config_file)
        where = {"host": host, "port": port, "database": database, "user": user}
        limits = {"dsn": dsn, "maxconn": maxconn, "timeout": timeout}
        self._accept({**where, "passfile": passfile, **limits})

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
            version, place = pool.run(tables.identity, reads=True)
            with self._pool_lock:
                if self._pool is None:  # else another thread was faster, and ours is closed
                    self._connected_to, self.db_version, self._pool = place, version, pool
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
        if pool is not None:
            pool.close()

    def __enter__(self) -> Database:
        self.connect()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _place(self) -> str:
        if self._pool is not None:
            return self._connected_to
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
        self, timeout: float | None = None
    ) -> contextlib.AbstractContextManager[_Connection]:
        """Lend a psycopg2 connection for a ``with`` block: one transaction, committed at its end.

        Args:
            timeout: Seconds to wait for it.

        Raises:
            PoolTimeout: None came back in time.
            PoolClosed: Not connected.
            DatabaseUnavailable: None can be opened.
        """
        return self.pool.connection(timeout)

    def create_timescale_db(
        self, table_name: str, default_now: bool = True, *, if_not_exists: bool = False
    ) -> None:
        """Make a table with one column, ``time``, of type TIMESTAMPTZ.

        It is a TimescaleDB hypertable. On a server that cannot make one, it is a plain table with
        an index on its times, and the log has a warning.

        Args:
            table_name: Its name, or ``schema.table``.
            default_now: Let ``time`` default to the time of the insertion.
            if_not_exists: Do nothing if there is a table of that name.

        Raises:
            psycopg2.Error: It could not be made.
        """
        self.pool.run(
            lambda session: tables.create_time_table(
                session, table_name, default_now, if_not_exists
            ),
            idempotent=True,
        )

    def check_table(self, table_name: str) -> bool:
        """Tell if a table exists.

        Args:
            table_name: Its name, or ``schema.table``.

        Raises:
            psycopg2.Error: The database cannot be asked, or the name is not allowed.
        """
        return self.pool.run(lambda session: tables.table_exists(session, table_name), reads=True)

    def check_column(self, table_name: str, column_name: str) -> bool:
        """Tell if a table has a column.

        Args:
            table_name: The table's name, or ``schema.table``.
            column_name: The column's name.

        Raises:
            psycopg2.Error: The database cannot be asked, or a name is not allowed.
        """
        return self.pool.run(
            lambda session: tables.column_exists(session, table_name, column_name),
            reads=True,
        )

    def new_column(
        self,
        table_name: str,
        column_name: str,
        data_type: DataType,
        constraints: list[Constraint] | None = None,
    ) -> None:
        """Add a column to a table; does nothing if it exists.

        Args:
            table_name: The table's name, or ``schema.table``.
            column_name: The new column's name.
            data_type: What it holds.
            constraints: Conditions on its values.

        Raises:
            TypeError: The type or a constraint is not one of ours.
            psycopg2.Error: The table does not exist, or the column could not be made.
        """
        wanted = list(constraints or ())
        tables.check_kinds(column_name, data_type, wanted)
        self.pool.run(
            lambda session: tables.add_column(session, table_name, column_name, data_type, wanted),
            idempotent=True,
        )

    def new_entry(
        self,
        table_name: str,
        columns: Sequence[str],
        data: Sequence[Any],
        check_columns: bool = False,
    ) -> None:
        """Insert one row; when this returns, the server has committed it.

        The server rounds a float that goes into a column of integers, and stores -0.0 as 0.0.

        Args:
            table_name: The table's name, or ``schema.table``.
            columns: Names of the columns.
            data: Their values, in the same order.
            check_columns: Ask first if table and columns exist.

        Raises:
            InvalidValue: A value cannot be stored (also TypeError, ValueError and
                :class:`psycopg2.DataError`).
            CommitUnknown: The session was lost during the commit: the row may or may not be there.
            psycopg2.Error: Any other: nothing was written.
        """
        tables.store_row(self.pool, table_name, columns, data, check_columns)
