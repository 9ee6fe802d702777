"""What does TimescaleDB do with a table by itself, and how is it told?"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

import psycopg2
from psycopg2.extensions import cursor as Cursor  # noqa: N812  (a class, spelt small in psycopg2)
from psycopg2.sql import SQL, Literal

from . import sql, tables, timescale
from .errors import InvalidValue
from .session import Session

logger = logging.getLogger("lab_utils_mt.database")

_CALL = "refresh_continuous_aggregate"
_ADD_REFRESH = "add_continuous_aggregate_policy"
# TimescaleDB's own way, since 2.2x, is ten buckets at a time, the newest first: that takes three
# commits for each ten, and as long as it lasts, or for good if it is cut short, the view lacks
# the older buckets. The oldest first, it is right at every moment.
_BATCHES = {"buckets_per_batch": 10_000, "refresh_newest_first": False}
_HAS_ARGUMENT = "SELECT EXISTS (SELECT FROM pg_proc WHERE proname = %s AND %s = ANY (proargnames))"
_KEPT = """
    SELECT (config->>'drop_after')::interval FROM timescaledb_information.jobs
    WHERE proc_name = 'policy_retention'
        AND to_regclass(format('%%I.%%I', hypertable_schema, hypertable_name)) = to_regclass(%s)
"""
# A refresh of times whose readings were removed would remove what was summed up, too.
_REFRESH_ONLY_KEPT = """
    SELECT alter_job(job_id, config => jsonb_set(
        config, '{start_offset}', CASE WHEN %(keep)s::interval IS NULL THEN 'null' ELSE
            to_jsonb(greatest(%(keep)s::interval, 3 * (config->>'end_offset')::interval)::text)
        END
    ))
    FROM timescaledb_information.jobs JOIN timescaledb_information.continuous_aggregates AS views
        ON jobs.hypertable_name IN (view_name, materialization_hypertable_name)
    WHERE proc_name = 'policy_refresh_continuous_aggregate' AND to_regclass(
        format('%%I.%%I', views.hypertable_schema, views.hypertable_name)
    ) = to_regclass(%(table)s)
"""


def refresh(cursor: Cursor, view: str, width: timedelta) -> None:
    """Compute what a continuous aggregate holds, but for the bucket that is not complete."""
    batched = ", options => %(options)s" if _has_argument(cursor, _CALL, "options") else ""
    cursor.execute(
        f"CALL {_CALL}(%(view)s::regclass, NULL, now() - %(width)s{batched})",
        {"view": sql.quoted_table(view), "width": width, "options": json.dumps(_BATCHES)},
    )


def replace_refresh(
    cursor: Cursor, table: str, view: str, width: timedelta, period: timedelta | None
) -> None:
    """Let the server refresh a continuous aggregate once in a while, or never.

    It leaves out the newest bucket: what is not computed in advance is always up to date.
    """
    name = sql.quoted_table(view)
    cursor.execute("SELECT remove_continuous_aggregate_policy(%s::regclass, true)", (name,))
    if period is None:
        return
    keep = _kept(cursor, table)
    start = None if keep is None else max(keep, 3 * width)
    named = [key for key in _BATCHES if _has_argument(cursor, _ADD_REFRESH, key)]
    batched = "".join(f", {key} => %({key})s" for key in named)
    cursor.execute(
        f"SELECT {_ADD_REFRESH}(%(view)s::regclass, start_offset => %(start)s::interval,"
        " end_offset => %(width)s, schedule_interval => %(period)s,"
        f" initial_start => now() + %(period)s{batched})",
        {"view": name, "start": start, "width": width, "period": period, **_BATCHES},
    )


def _has_argument(cursor: Cursor, function: str, argument: str) -> bool:
    cursor.execute(_HAS_ARGUMENT, (function, argument))
    row = cursor.fetchone()
    return bool(row and row[0])


def _kept(cursor: Cursor, table: str) -> timedelta | None:
    cursor.execute(_KEPT, (sql.quoted_table(table),))
    row = cursor.fetchone()
    return row[0] if row else None


def set_retention(session: Session, table: str, keep: timedelta | None) -> bool:
    """Let the server remove old readings, or no longer; tell if it can.

    Raises:
        psycopg2.IntegrityError: There is no such table.
    """
    tables.list_columns(session, table)
    name = sql.quoted_table(table)
    with session.plain_cursor() as cursor:
        obstacle = timescale.obstacle(cursor, table)
        if obstacle:
            _warn(keep, table, "removes no old readings: call delete_before() regularly", obstacle)
            return False
        cursor.execute(sql.ONE_AT_A_TIME, sql.schema_and_name(table))
        cursor.execute("SELECT remove_retention_policy(%s::regclass, true)", (name,))
        if keep is not None:
            cursor.execute("SELECT add_retention_policy(%s::regclass, %s)", (name, keep))
        cursor.execute(_REFRESH_ONLY_KEPT, {"keep": keep, "table": name})
    return True


def check_segments(table: str, columns: Any) -> tuple[str, ...]:
    """Return the names of columns.

    Raises:
        InvalidName: One is not in the allow-list.
        InvalidValue: It is no list.
    """
    if not isinstance(columns, Iterable) or isinstance(columns, (str, bytes)):
        raise InvalidValue(
            f"table {table}: segment_by must be a list, not {type(columns).__name__}"
        )
    names = tuple(columns)
    for name in names:
        sql.column_identifier(name)
    return names


def set_compression(
    session: Session, table: str, after: timedelta | None, segment_by: Sequence[str]
) -> bool:
    """Let the server compress old readings, or no longer; tell if it can.

    Raises:
        psycopg2.IntegrityError: There is no such table, or no such column.
    """
    known = {name for name, _ in tables.list_columns(session, table)}
    missing = ", ".join(column for column in segment_by if column not in known)
    if missing:
        raise psycopg2.IntegrityError(f"table {table} has no column {missing}")
    with session.plain_cursor() as cursor:
        obstacle = timescale.obstacle(cursor, table)
        if obstacle:
            _warn(after, table, "compresses no old readings", obstacle)
            return False
        cursor.execute(sql.ONE_AT_A_TIME, sql.schema_and_name(table))
        _compress(cursor, table, after, ", ".join(f'"{column}"' for column in segment_by))
    return True


def _compress(cursor: Cursor, table: str, after: timedelta | None, segments: str) -> None:
    name = sql.quoted_table(table)
    cursor.execute("SELECT remove_compression_policy(%s::regclass, true)", (name,))
    if after is None:
        return
    options = SQL(", timescaledb.compress_segmentby = {}").format(Literal(segments))
    cursor.execute(
        SQL("ALTER TABLE {} SET (timescaledb.compress{})").format(
            sql.table_identifier(table), options if segments else SQL("")
        )
    )
    cursor.execute("SELECT add_compression_policy(%s::regclass, %s)", (name, after))


def _warn(wanted: Any, table: str, what: str, reason: str) -> None:
    if wanted is not None:
        logger.warning("table %s: the server %s. Reason: %s", table, what, reason)
