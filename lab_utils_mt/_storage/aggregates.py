"""How are readings summed up, bucket by bucket, in views of their own?

With all of TimescaleDB they are continuous aggregates, which the server keeps up to date; else
they are plain views, which it computes whenever they are read. Both hold the same numbers.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import logging
from collections.abc import Iterable
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Any

import psycopg2
from psycopg2 import errors
from psycopg2.extensions import cursor as Cursor  # noqa: N812  (a class, spelt small in psycopg2)
from psycopg2.sql import SQL, Composable, Composed, Identifier, Literal

from . import policies, sql, standing, tables, timescale
from .durations import bucket_of, check_span, name_width, parse_width
from .errors import InvalidName, InvalidValue
from .explaining import explained
from .plain import plain
from .pool import ConnectionPool
from .session import Session
from .standing import Found

logger = logging.getLogger("lab_utils_mt.database")

_AGGREGATES = {
    **{name: name + "({column})" for name in ("avg", "min", "max", "count", "sum", "stddev")},
    "first": "(array_agg({column} ORDER BY {time}) FILTER (WHERE {column} IS NOT NULL))[1]",
    "last": "(array_agg({column} ORDER BY {time} DESC) FILTER (WHERE {column} IS NOT NULL))[1]",
}
# A continuous aggregate may not sort, and has functions of its own for these two.
_CONTINUOUSLY = {
    "first": "{place}first({column}, {time}) FILTER (WHERE {column} IS NOT NULL)",
    "last": "{place}last({column}, {time}) FILTER (WHERE {column} IS NOT NULL)",
}
_MOST_BYTES = 63
_SOONEST = timedelta(minutes=1)
_OFTENEST = timedelta(seconds=1)
_ATTEMPTS = 5


@dataclasses.dataclass(frozen=True)
class Bucket:
    """One view: its name, ``schema.name`` as callers write it, and its buckets' width."""

    view: str
    name: str
    text: str
    width: timedelta


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a caller wants of the views of one table; checked, but for what the server knows."""

    table: str
    index: str
    buckets: tuple[Bucket, ...]
    aggregates: tuple[str, ...]
    recreate: bool
    refresh: bool | timedelta

    def period(self, width: timedelta) -> timedelta | None:
        """Return how often the server refreshes a continuous aggregate by itself; None: never."""
        if isinstance(self.refresh, timedelta):
            return self.refresh
        return max(width, _SOONEST) if self.refresh else None


def check_plan(
    table: str,
    index: str,
    recreate: bool,
    widths: Any,
    aggregates: Any,
    refresh: Any,
) -> Plan:
    """Check what a caller wants, before anything is sent.

    Raises:
        InvalidName: A name is not in the allow-list, or a view's would be too long.
        InvalidValue: Anything else.
    """
    table, index = plain(table), plain(index)
    sql.column_identifier(index)
    buckets = [_bucket(table, width) for width in _listed("widths", widths)]
    chosen = list(map(plain, _listed("aggregates", aggregates)))
    for one in chosen:
        if not isinstance(one, str) or one not in _AGGREGATES:
            raise InvalidValue(f"aggregate {one!r} is unknown: use {', '.join(_AGGREGATES)}")
    if not isinstance(refresh, bool):
        check_span("refresh", refresh, _OFTENEST)
    return Plan(
        table,
        index,
        tuple(dict.fromkeys(buckets)),
        tuple(dict.fromkeys(chosen)),
        bool(recreate),
        refresh,
    )


def _listed(name: str, given: Any) -> list[Any]:
    if not isinstance(given, Iterable) or isinstance(given, (str, bytes)):
        raise InvalidValue(f"{name} must be a list, not {type(given).__name__}")
    items = list(given)
    if not items:
        raise InvalidValue(f"{name} is empty: give at least one")
    return items


def _bucket(table: str, width: Any) -> Bucket:
    schema, name = sql.schema_and_name(table)
    text = name_width(width)
    view = f"{name}_{text}"
    if len(view) > _MOST_BYTES:
        raise InvalidName(f"view name {view!r} is refused: it exceeds {_MOST_BYTES} bytes")
    return Bucket(f"{schema}.{view}" if schema else view, view, text, parse_width(width))


def make_views(pool: ConnectionPool, plan: Plan) -> None:
    """Make the views of one table, all or none, and fill those that can be filled."""
    for quoted, bucket in _make_despite_refreshes(pool, plan):
        _fill(pool, quoted, bucket)


def _make_despite_refreshes(pool: ConnectionPool, plan: Plan) -> list[tuple[str, Bucket]]:
    for _ in range(_ATTEMPTS - 1):
        # The server may be refreshing just the view that is to be replaced.
        with contextlib.suppress(errors.DeadlockDetected, errors.InternalError_):
            return pool.run(lambda session: _make_all(session, plan), idempotent=True)
    return pool.run(lambda session: _make_all(session, plan), idempotent=True)


def _make_all(session: Session, plan: Plan) -> list[tuple[str, Bucket]]:
    """Return the continuous aggregates that are new and empty."""
    with session.plain_cursor() as cursor:
        schema, table = standing.find_place(cursor, plan.table)
        cursor.execute(sql.ONE_AT_A_TIME, (schema, table))
        columns = _numbers(session, plan)
        obstacle = timescale.obstacle(cursor, plan.table)
        maker = _Maker(cursor, plan, Identifier(schema, table), columns, obstacle is None)
        made = [bucket for bucket in plan.buckets if maker.make(bucket)]
        quoted = [maker.identifier(bucket.name).as_string(cursor) for bucket in made]
    if made and obstacle:
        logger.info(
            "table %s: %s are plain views, computed whenever they are read. Reason: %s",
            plan.table,
            ", ".join(bucket.view for bucket in made),
            obstacle,
        )
    return [] if obstacle else list(zip(quoted, made, strict=True))


def _numbers(session: Session, plan: Plan) -> list[str]:
    types = dict(tables.list_columns(session, plan.table))
    if plan.index not in types:
        raise psycopg2.IntegrityError(f"table {plan.table} has no column {plan.index}")
    if types[plan.index] != "timestamp with time zone":
        raise psycopg2.IntegrityError(
            f"table {plan.table}: column {plan.index} is {types[plan.index]}, not TIMESTAMPTZ:"
            " it cannot be the index of an aggregate view"
        )
    columns = [
        name for name, kind in types.items() if kind in tables.NUMBERS and name != plan.index
    ]
    if not columns:
        raise psycopg2.IntegrityError(
            f"table {plan.table} has no column of numbers: there is nothing to sum up"
        )
    return columns


class _Maker:
    """Makes the views of one table inside a transaction."""

    def __init__(
        self, cursor: Cursor, plan: Plan, table: Identifier, columns: list[str], continuous: bool
    ) -> None:
        self._cursor = cursor
        self._plan = plan
        self._columns = columns
        self._continuous = continuous
        self._table = table
        self._quoted = table.as_string(cursor)
        self._place = timescale.function(cursor, "")

    def identifier(self, name: str) -> Identifier:
        """Return the full name of the table, or of a view, which is where its table is."""
        return Identifier(self._table.strings[0], name)

    def make(self, bucket: Bucket) -> bool:
        """Make a view; tell if it is new: one that is as it would be made again may stay."""
        query = self._query(bucket.width).as_string(self._cursor)
        comment = self._comment(bucket, query)
        view = self.identifier(bucket.name)
        found = standing.look(self._cursor, self._quoted, view.as_string(self._cursor))
        self._check(bucket.view, found)
        new = found is None or self._is_to_be_replaced(found, comment)
        if new:
            with self._explained(bucket.view):
                self._put(view, query, found)
            own = found.own_comment if found else None
            index = sql.column_identifier(self._plan.index)
            standing.describe(self._cursor, view, index, comment, own)
        if self._continuous and (new or self._plan.recreate):
            period = self._plan.period(bucket.width)
            policies.replace_refresh(
                self._cursor, self._quoted, view.as_string(self._cursor), bucket.width, period, new
            )
        return new

    def _check(self, view: str, found: Found | None) -> None:
        if found is None or found.is_replaceable(self._columns):
            return
        if found.kind != "v" or not found.reads or self._plan.recreate:
            raise errors.DuplicateTable(
                f"{view} exists, and is not an aggregate view that was made for table"
                f" {self._plan.table}: nothing was changed; rename it, or drop it"
            )

    def _is_to_be_replaced(self, found: Found, comment: str) -> bool:
        same = comment in (found.mark, found.comment) and found.continuous == self._continuous
        return self._plan.recreate and not same

    def _explained(self, view: str) -> AbstractContextManager[None]:
        return explained(
            f"view {view} was not made, nothing was changed",
            "what is made of it must be dropped first; recreate=False leaves it as it is",
        )

    def _comment(self, bucket: Bucket, query: str) -> str:
        digest = hashlib.sha256(query.encode()).hexdigest()[:16]
        names = ", ".join(self._plan.aggregates)
        table = ".".join(self._table.strings)
        return f"{standing.MARK} {names} of {table} for each {bucket.text} ({digest})"

    def _query(self, width: timedelta) -> Composed:
        time = sql.column_identifier(self._plan.index)
        if self._continuous:
            bucket = SQL("{}({}, {})").format(
                SQL(f"{self._place}time_bucket"), Literal(width), time
            )
        else:
            bucket = bucket_of(time, width, self._cursor.connection.server_version)
        return SQL("SELECT {bucket} AS {time}, {values} FROM {table} GROUP BY 1").format(
            bucket=bucket,
            time=time,
            values=SQL(", ").join(self._values(time)),
            table=self._table,
        )

    def _values(self, time: Identifier) -> list[Composable]:
        texts = {**_AGGREGATES, **(_CONTINUOUSLY if self._continuous else {})}
        place = SQL(self._place)
        return [
            SQL("{value} AS {name}").format(
                value=SQL(texts[aggregate]).format(
                    column=sql.column_identifier(column), time=time, place=place
                ),
                name=sql.column_identifier(f"{column}_{aggregate}"),
            )
            for column in self._columns
            for aggregate in self._plan.aggregates
        ]

    def _put(self, view: Identifier, query: str, found: Found | None) -> None:
        if found is None:
            self._create(view, query)
        elif self._can_be_extended(found):
            # Rights on it, and views that are made of it, stay.
            self._cursor.execute(SQL("CREATE OR REPLACE VIEW {} AS {}").format(view, SQL(query)))
        else:
            grants = standing.list_grants(self._cursor, view.as_string(self._cursor))
            kind = SQL("MATERIALIZED VIEW" if found.continuous else "VIEW")
            self._cursor.execute(SQL("DROP {} {}").format(kind, view))
            self._create(view, query)
            standing.give_back(self._cursor, view, found, grants, self._continuous)

    def _can_be_extended(self, found: Found) -> bool:
        wanted = [self._plan.index, *self._names()]
        plain_views = not found.continuous and not self._continuous
        return plain_views and found.columns == wanted[: len(found.columns)]

    def _names(self) -> list[str]:
        return [f"{column}_{name}" for column in self._columns for name in self._plan.aggregates]

    def _create(self, view: Identifier, query: str) -> None:
        if self._continuous:
            form = (
                "CREATE MATERIALIZED VIEW {} WITH (timescaledb.continuous,"
                " timescaledb.materialized_only = false) AS {} WITH NO DATA"
            )
        else:
            form = "CREATE VIEW {} AS {}"
        self._cursor.execute(SQL(form).format(view, SQL(query)))


def _fill(pool: ConnectionPool, quoted: str, bucket: Bucket) -> None:
    def refresh(session: Session) -> None:
        with session.plain_cursor() as cursor:
            policies.refresh(cursor, quoted, bucket.width)

    try:
        pool.run(refresh, transaction=False)
    except psycopg2.Error as error:
        # Another thread may replace it, and a long table takes longer than a statement may; where
        # there is no lock to be had, somebody else is at it.
        logger.log(
            logging.INFO if isinstance(error, errors.LockNotAvailable) else logging.WARNING,
            "view %s is right, but not all of it is computed in advance yet, which makes it slow:"
            " the server does so when it refreshes the view. Reason: %s",
            bucket.view,
            " ".join(str(error).split()),
        )
