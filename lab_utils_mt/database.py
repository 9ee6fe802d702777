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

from ._storage.columns import Constraint, DataType
from ._storage.downsampling import Trace
from ._storage.embedded import EmbeddedPostgres
from ._storage.errors import (
    CommitUnknown,
    DatabaseUnavailable,
    InvalidName,
    InvalidValue,
    PoolClosed,
    PoolTimeout,
    TooManyRequests,
)
from ._storage.faces.entries import Entries
from ._storage.faces.series import Series
from ._storage.faces.tables import Tables

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
    "TooManyRequests",
    "Trace",
]


class Database(Tables, Entries, Series):
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
