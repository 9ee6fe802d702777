"""Can this server make a hypertable, and what is missed where it cannot?"""

from __future__ import annotations

import enum
import logging

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
                   OR name = 'shared_preload_libraries' AND setting LIKE '%%timescaledb%%')
"""
_MAKE_HYPERTABLE = "SELECT create_hypertable(%s::regclass, 'time')"


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
    USABLE = "hypertables can be made"


def find_extension(cursor: Cursor) -> Extension:
    """Tell how much of TimescaleDB the database has, with one harmless query."""
    cursor.execute(_EVIDENCE, ())
    row = cursor.fetchone()
    assert row is not None
    available, created, loaded = row
    if not available and not created:
        return Extension.ABSENT
    if not loaded:
        return Extension.NOT_PRELOADED
    return Extension.USABLE if created else Extension.NOT_CREATED


def index_by_time(cursor: Cursor, table: str) -> None:
    """Make a new table a hypertable, or give it an index on its times and a warning in the log."""
    extension = find_extension(cursor)
    if extension is Extension.USABLE:
        cursor.execute(_MAKE_HYPERTABLE, (sql.quoted_table(table),))
        return
    cursor.execute(sql.create_time_index(table))
    logger.warning(
        "table %s is a plain table with an index on its times, not a hypertable: it works, but"
        " grows slower with every year, and has no compression, no retention and no continuous"
        " aggregates. Reason: %s",
        table,
        extension.value,
    )
