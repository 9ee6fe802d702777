"""What does TimescaleDB do with a table by itself, and how is it told?"""

from __future__ import annotations

import dataclasses
import json
import logging
import time
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

import psycopg2
from psycopg2 import errors
from psycopg2.extensions import cursor as Cursor  # noqa: N812  (a class, spelt small in psycopg2)
from psycopg2.sql import SQL, Literal

from . import sql, tables, timescale
from .durations import check_span
from .errors import InvalidValue
from .explaining import explain, explained
from .plain import plain
from .pool import ConnectionPool
from .session import Session
from .standing import MARK

logger = logging.getLogger("lab_utils_mt.database")

_CALL = "refresh_continuous_aggregate"
_ADD_REFRESH = "add_continuous_aggregate_policy"
# TimescaleDB's own way, since 2.2x, is ten buckets at a time, the newest first: that takes three
# commits for each ten, and as long as it lasts, or for good if it is cut short, the view lacks
# the older buckets. The oldest first, it is right at every moment.
_BATCHES = {"buckets_per_batch": 10_000, "refresh_newest_first": False}
_ATTEMPTS, _PAUSE = 5, 1.0
_HAS_ARGUMENT = "SELECT EXISTS (SELECT FROM pg_proc WHERE proname = %s AND %s = ANY (proargnames))"
_KEPT = """
    SELECT (config->>'drop_after')::interval FROM timescaledb_information.jobs
    WHERE proc_name = 'policy_retention'
        AND to_regclass(format('%%I.%%I', hypertable_schema, hypertable_name)) = to_regclass(%s)
"""
_VIEWS = """
    SELECT format('%%I.%%I', view_schema, view_name), job_id, schedule_interval,
        (config->>'start_offset')::interval, (config->>'end_offset')::interval,
        concat(obj_description(seen, 'pg_class'), col_description(seen, 1)) LIKE %(mark)s
    FROM timescaledb_information.continuous_aggregates AS views
    CROSS JOIN LATERAL to_regclass(format('%%I.%%I', view_schema, view_name)) AS seen
    LEFT JOIN timescaledb_information.jobs ON proc_name = 'policy_refresh_continuous_aggregate'
        AND (jobs.hypertable_schema, jobs.hypertable_name) IN (
            (view_schema, view_name),
            (materialization_hypertable_schema, materialization_hypertable_name)
        )
    WHERE to_regclass(format('%%I.%%I', views.hypertable_schema, views.hypertable_name))
        = to_regclass(%(table)s)
"""
_BEGIN_LATER = """
    SELECT {alter_job}(job_id, config => jsonb_set(
        config, '{{start_offset}}', to_jsonb(%(keep)s::interval::text)
    ))
    FROM timescaledb_information.jobs WHERE job_id = %(job)s
"""
_NOTHING = timedelta(0)
_SHORTEST, _LONGEST = timedelta(seconds=1), timedelta(days=700_000)  # then was the year 1 already


@dataclasses.dataclass(frozen=True)
class _View:
    """A continuous aggregate of a table, and the job that refreshes it."""

    name: str
    job: int | None
    period: timedelta | None
    start: timedelta | None
    end: timedelta | None
    ours: bool


def refresh(cursor: Cursor, view: str, width: timedelta, start: timedelta | None = None) -> None:
    """Compute what a continuous aggregate holds, but for the bucket that is not complete.

    Args:
        cursor: Of a session outside a transaction.
        view: The view's quoted name.
        width: How long a bucket is.
        start: How long ago to begin; None is with the first reading.
    """
    batched = ", options => %(options)s" if _has_argument(cursor, _CALL, "options") else ""
    cursor.execute(
        f"CALL {timescale.function(cursor, _CALL)}(%(view)s::regclass,"
        f" now() - %(start)s::interval, now() - %(width)s{batched})",
        {"view": view, "width": width, "start": start, "options": json.dumps(_BATCHES)},
    )


def replace_refresh(
    cursor: Cursor, table: str, view: str, width: timedelta, period: timedelta | None, new: bool
) -> None:
    """Let the server refresh a continuous aggregate once in a while, or never.

    It leaves out the newest bucket: what is not computed in advance is always up to date. A
    refresh of times whose readings were removed would remove what was summed up, too: it goes
    back no further than the table does, nor than it went before.

    Args:
        cursor: Of a session in a transaction.
        table: The table's quoted name.
        view: The view's quoted name.
        width: How long a bucket is.
        period: How often; None is never.
        new: The view holds nothing yet.

    Raises:
        InvalidValue: Readings would be removed before they are summed up.
    """
    keep = _kept(cursor, table)
    if keep is not None:
        _check_kept(view, width, period, keep)
    known = _list_views(cursor, table)
    starts = [] if new else [one.start for one in known if one.name == _bare(cursor, view)]
    limits = [limit for limit in (*starts, keep) if limit is not None]
    remove = timescale.function(cursor, "remove_continuous_aggregate_policy")
    cursor.execute(f"SELECT {remove}(%s::regclass, true)", (view,))
    if period is None:
        return
    named = [key for key in _BATCHES if _has_argument(cursor, _ADD_REFRESH, key)]
    batched = "".join(f", {key} => %({key})s" for key in named)
    cursor.execute(
        f"SELECT {timescale.function(cursor, _ADD_REFRESH)}(%(view)s::regclass,"
        " start_offset => %(start)s::interval,"
        " end_offset => %(width)s, schedule_interval => %(period)s,"
        f" initial_start => now() + %(period)s{batched})",
        {
            "view": view,
            "start": min(limits, default=None),
            "width": width,
            "period": period,
            **_BATCHES,
        },
    )


def _bare(cursor: Cursor, view: str) -> str:
    """Return a quoted name as the server quotes it: where it must be."""
    cursor.execute(
        "SELECT format('%%I.%%I', nspname, relname) FROM pg_class"
        " JOIN pg_namespace ON pg_namespace.oid = relnamespace"
        " WHERE pg_class.oid = to_regclass(%s)",
        (view,),
    )
    row = cursor.fetchone()
    return str(row[0]) if row else view


def _check_kept(view: str, width: timedelta, period: timedelta | None, keep: timedelta) -> None:
    if period is None:
        raise InvalidValue(
            f"view {view} is never refreshed: what retention removes from its table would be lost"
            " from it; call create_aggregate_view() with refresh=True, or drop it"
        )
    # A bucket is left alone until the one after it is complete, a refresh must come before its
    # first reading is removed, and TimescaleDB refuses to refresh less than two buckets.
    least = max(3 * width, 2 * width + period)
    if keep < least:
        raise InvalidValue(
            f"keep = {keep} is too short for view {view}, whose buckets of {width} are computed"
            f" every {period}: readings would be removed before they are summed up; keep at least"
            f" {least}"
        )


def _has_argument(cursor: Cursor, function: str, argument: str) -> bool:
    cursor.execute(_HAS_ARGUMENT, (function, argument))
    row = cursor.fetchone()
    return bool(row and row[0])


def _kept(cursor: Cursor, table: str) -> timedelta | None:
    cursor.execute(_KEPT, (table,))
    row = cursor.fetchone()
    return row[0] if row else None


def _list_views(cursor: Cursor, table: str) -> list[_View]:
    cursor.execute(_VIEWS, {"table": table, "mark": f"%{MARK}%"})
    return [_View(*row) for row in cursor.fetchall()]


def check_keep(table: str, keep: Any) -> timedelta | None:
    """Return how long readings are kept; None is for ever.

    Raises:
        InvalidValue: It is no timedelta, too short or too long.
    """
    if keep is None:
        return None
    span = check_span("keep", keep, _SHORTEST)
    if span > _LONGEST:
        raise InvalidValue(f"table {table}: keep must be at most {_LONGEST.days} days; None is all")
    return span


def set_retention(pool: ConnectionPool, table: str, keep: timedelta | None) -> bool:
    """Let the server remove old readings, or no longer; tell if it can.

    Raises:
        psycopg2.IntegrityError: There is no such table.
        InvalidValue: Readings would be removed before they are summed up.
    """
    with explained(f"table {table}: keep = {keep} cannot be set", "nothing is removed by it"):
        views = pool.run(lambda session: _look_ahead(session, table, keep), idempotent=True)
        if views is None:
            return False
        for view in views:
            _catch_up(pool, view)
        pool.run(lambda session: _set_retention(session, table, keep), idempotent=True)
    return True


def _look_ahead(session: Session, table: str, keep: timedelta | None) -> list[_View] | None:
    """Return the views that must be up to date first; None if the server removes nothing."""
    tables.list_columns(session, table)
    with session.plain_cursor() as cursor:
        obstacle = timescale.obstacle(cursor, table)
        if obstacle:
            _warn(keep, table, "removes no old readings: call delete_before() regularly", obstacle)
            return None
        return [] if keep is None else _check_views(cursor, sql.quoted_table(table), keep)


def _check_views(cursor: Cursor, table: str, keep: timedelta) -> list[_View]:
    """Return the views that this library made, if what is kept is long enough for all."""
    views = _list_views(cursor, table)
    for view in views:
        # Somebody who made one by other means may well refresh it by other means.
        if view.ours or view.job is not None:
            _check_kept(view.name, view.end or _NOTHING, view.period, keep)
    return [view for view in views if view.ours]


def _catch_up(pool: ConnectionPool, view: _View) -> None:
    """Compute what the server has not computed yet: its readings may go any moment now."""

    def catch_up(session: Session) -> None:
        with session.plain_cursor() as cursor:
            refresh(cursor, view.name, view.end or _NOTHING, view.start)

    for left in reversed(range(_ATTEMPTS)):
        try:
            pool.run(catch_up, transaction=False)
            return
        except errors.LockNotAvailable:  # the server is just at it
            if not left:
                raise
            time.sleep(_PAUSE)
        except psycopg2.Error as error:
            advice = "no retention is set: let it be refreshed first, without a statement_timeout"
            explain(error, f"view {view.name} cannot be brought up to date", advice)
            raise


def _set_retention(session: Session, table: str, keep: timedelta | None) -> None:
    name = sql.quoted_table(table)
    with session.plain_cursor() as cursor:
        cursor.execute(sql.ONE_AT_A_TIME, sql.schema_and_name(table))
        remove = timescale.function(cursor, "remove_retention_policy")
        cursor.execute(f"SELECT {remove}(%s::regclass, true)", (name,))
        if keep is None:
            return  # What was removed before stays in the views only if no refresh looks at it.
        _check_views(cursor, name, keep)
        add = timescale.function(cursor, "add_retention_policy")
        cursor.execute(f"SELECT {add}(%s::regclass, %s)", (name, keep))
        begin_later = _BEGIN_LATER.format(alter_job=timescale.function(cursor, "alter_job"))
        for view in _list_views(cursor, name):
            if view.job is not None and (view.start is None or view.start > keep):
                cursor.execute(begin_later, {"keep": keep, "job": view.job})


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
    names = tuple(map(plain, columns))
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
        with explained(f"table {table}: after = {after} cannot be set", "nothing was changed"):
            _compress(cursor, table, after, ", ".join(f'"{column}"' for column in segment_by))
    return True


def _compress(cursor: Cursor, table: str, after: timedelta | None, segments: str) -> None:
    name = sql.quoted_table(table)
    remove = timescale.function(cursor, "remove_compression_policy")
    cursor.execute(f"SELECT {remove}(%s::regclass, true)", (name,))
    if after is None:
        return
    options = SQL(", timescaledb.compress_segmentby = {}").format(Literal(segments))
    cursor.execute(
        SQL("ALTER TABLE {} SET (timescaledb.compress{})").format(
            sql.table_identifier(table), options if segments else SQL("")
        )
    )
    add = timescale.function(cursor, "add_compression_policy")
    cursor.execute(f"SELECT {add}(%s::regclass, %s)", (name, after))


def _warn(wanted: Any, table: str, what: str, reason: str) -> None:
    if wanted is not None:
        logger.warning("table %s: the server %s. Reason: %s", table, what, reason)
