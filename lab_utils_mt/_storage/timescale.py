"""How much of TimescaleDB does this server have, and what is missed where it has not all?"""

from __future__ import annotations

import enum
import logging
from datetime import timedelta

from psycopg2.extensions import cursor as Cursor  # noqa: N812  (a class, spelt small in psycopg2)

from . import sql

logger = logging.getLogger("lab_utils_mt.database")

# An ordinary user may not read shared_preload_libraries, and CREATE EXTENSION or a call into an
# extension that is not preloaded kills the session: the settings that a loaded library brings are
# visible to everybody.
_EVIDENCE = """
    SELECT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'timescaledb'),
           EXISTS (SELECT FROM pg_extension WHERE extname = 'timescaledb'),
           EXISTS (SELECT FROM pg_settings WHERE name LIKE 'timescaledb.%%'
                   OR name = 'shared_preload_libraries' AND setting LIKE '%%timescaledb%%'),
           current_setting('timescaledb.license', true)
"""
_IS_HYPERTABLE = """
    SELECT EXISTS (
        SELECT FROM timescaledb_information.hypertables
        WHERE to_regclass(format('%%I.%%I', hypertable_schema, hypertable_name)) = to_regclass(%s)
    )
"""
_KIND = "SELECT relkind::text FROM pg_class WHERE oid = to_regclass(%s)"
_SCHEMA = """
    SELECT quote_ident(nspname) FROM pg_extension
    JOIN pg_namespace ON pg_namespace.oid = extnamespace WHERE extname = 'timescaledb'
"""
_NO_HYPERTABLE = {
    "v": "it is a view, which has no readings of its own: name the table that it is made of",
    "m": "it is a view, which has no readings of its own: name the table that it is made of",
    "p": "it is a partitioned table, which cannot become a hypertable: copy it to one",
    "f": "it is a foreign table: look after it where its readings are",
}


class Extension(enum.Enum):
    """How much of TimescaleDB a database has; the text says what to do."""

    ABSENT = "the server does not have the TimescaleDB extension: install it there"
    NOT_PRELOADED = (
        "the server has TimescaleDB, but does not load it:"
        " add it to shared_preload_libraries and restart the server"
    )
    NOT_CREATED = (
        "this database has no TimescaleDB: let its owner or a superuser run"
        " CREATE EXTENSION timescaledb"
    )
    APACHE = (
        "TimescaleDB runs with timescaledb.license = 'apache', which has hypertables, but no"
        " continuous aggregates, compression and retention: set it to 'timescale'"
    )
    USABLE = "all of TimescaleDB can be used"

    @property
    def has_hypertables(self) -> bool:
        """Tell if tables can be hypertables."""
        return self in (Extension.APACHE, Extension.USABLE)


def find_extension(cursor: Cursor) -> Extension:
    """Tell how much of TimescaleDB the database has, with one harmless query."""
    cursor.execute(_EVIDENCE, ())
    row = cursor.fetchone()
    assert row is not None
    available, created, loaded, licence = row
    if not available and not created:
        return Extension.ABSENT
    if not loaded:
        return Extension.NOT_PRELOADED
    if not created:
        return Extension.NOT_CREATED
    return Extension.APACHE if licence == "apache" else Extension.USABLE


def is_hypertable(cursor: Cursor, table: str) -> bool:
    """Tell if a table is one, in a database whose extension has them."""
    cursor.execute(_IS_HYPERTABLE, (sql.quoted_table(table),))
    row = cursor.fetchone()
    return bool(row and row[0])


def obstacle(cursor: Cursor, table: str) -> str | None:
    """Say why the server cannot look after a table by itself; None if it can."""
    extension = find_extension(cursor)
    if extension is not Extension.USABLE:
        return str(extension.value)
    if is_hypertable(cursor, table):
        return None
    cursor.execute(_KIND, (sql.quoted_table(table),))
    row = cursor.fetchone()
    return _NO_HYPERTABLE.get(row[0] if row else "") or (
        "it is not a hypertable: let its owner run SELECT"
        f" {function(cursor, 'create_hypertable')}('{sql.quoted_table(table)}', 'time',"
        " migrate_data => true)"
    )


def function(cursor: Cursor, name: str) -> str:
    """Return the full name of one of TimescaleDB's functions: search_path may not lead to it."""
    cursor.execute(_SCHEMA)
    row = cursor.fetchone()
    return f"{row[0]}.{name}" if row else name


def index_by_time(cursor: Cursor, table: str, chunk: timedelta | None = None) -> None:
    """Make a new table a hypertable, or give it an index on its times and a warning in the log."""
    extension = find_extension(cursor)
    if extension.has_hypertables:
        _make_hypertable(cursor, table, chunk)
        if extension is Extension.APACHE:
            logger.info("table %s is a hypertable. %s", table, extension.value)
        return
    cursor.execute(sql.create_time_index(table))
    logger.warning(
        "table %s is a plain table with an index on its times, not a hypertable: it works, but"
        " grows slower with every year, and has no compression, no retention and no continuous"
        " aggregates. Reason: %s",
        table,
        extension.value,
    )


def _make_hypertable(cursor: Cursor, table: str, chunk: timedelta | None) -> None:
    make = f"SELECT {function(cursor, 'create_hypertable')}(%s::regclass, 'time'"
    name = sql.quoted_table(table)
    if chunk is None:
        cursor.execute(f"{make})", (name,))
    else:
        cursor.execute(f"{make}, chunk_time_interval => %s)", (name, chunk))
