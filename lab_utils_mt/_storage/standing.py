"""What has a view's name now, who made it, and what of it must outlast its replacement?"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection

import psycopg2
from psycopg2.extensions import cursor as Cursor  # noqa: N812  (a class, spelt small in psycopg2)
from psycopg2.sql import SQL, Identifier, Literal

from . import sql, timescale

#: What the comments of this library's views begin with
MARK = "lab_utils_mt:"

_PLACE = """
    SELECT nspname, relname FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
    WHERE pg_class.oid = to_regclass(%s)
"""
_WHAT_IS_THERE = """
    SELECT relkind, pg_get_userbyid(relowner), obj_description(oid, 'pg_class'),
        col_description(oid, 1), ARRAY(
            SELECT attname::text FROM pg_attribute
            WHERE attrelid = pg_class.oid AND attnum > 0 AND NOT attisdropped ORDER BY attnum
        ), EXISTS (
            SELECT FROM pg_rewrite JOIN pg_depend ON classid = 'pg_rewrite'::regclass
                AND objid = pg_rewrite.oid AND refclassid = 'pg_class'::regclass
            WHERE ev_class = pg_class.oid AND refobjid = to_regclass(%s)
        )
    FROM pg_class WHERE oid = to_regclass(%s)
"""
_IS_CONTINUOUS = """
    SELECT to_regclass(format('%%I.%%I', hypertable_schema, hypertable_name)) = to_regclass(%s),
        view_definition
    FROM timescaledb_information.continuous_aggregates
    WHERE to_regclass(format('%%I.%%I', view_schema, view_name)) = to_regclass(%s)
"""
_GRANTS = """
    SELECT attname, format(
        'GRANT %%s%%s ON %%s TO %%s%%s', privilege_type, '(' || quote_ident(attname) || ')',
        %(view)s,
        CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END,
        CASE WHEN is_grantable THEN ' WITH GRANT OPTION' END
    )
    FROM (
        SELECT NULL::name AS attname, (aclexplode(relacl)).*
        FROM pg_class WHERE oid = to_regclass(%(view)s)
        UNION ALL
        SELECT attname, (aclexplode(attacl)).*
        FROM pg_attribute WHERE attrelid = to_regclass(%(view)s) AND NOT attisdropped
    ) AS rights
    WHERE grantee <> (SELECT relowner FROM pg_class WHERE oid = to_regclass(%(view)s))
"""
# lab_utils 0.5.4 made views of one kind, and left no mark on them.
_OF_0_5_4 = re.compile(r"\s*SELECT (\w+\.)?time_bucket\('00:01:00'::interval,", re.ASCII)
_FILTERED = re.compile(r"\b(WHERE|HAVING|JOIN)\b", re.ASCII)


@dataclasses.dataclass(frozen=True)
class Found:
    """What has a view's name."""

    kind: str  #: ``pg_class.relkind``
    owner: str
    comment: str | None
    mark: str | None  #: Comment on its first column, where users do not write their own
    columns: list[str]
    reads: bool  #: It is made of the table in question
    continuous: bool
    definition: str  #: Of a continuous aggregate

    @property
    def own_comment(self) -> str | None:
        """What somebody wrote about the view."""
        return None if (self.comment or MARK).startswith(MARK) else self.comment

    def is_replaceable(self, numbers: Collection[str]) -> bool:
        """Tell if this library, or 0.5.4, made it of a table with these columns of numbers."""
        marked = any((text or "").startswith(MARK) for text in (self.comment, self.mark))
        return self.reads and self.kind == "v" and (marked or self._is_of_0_5_4(numbers))

    def _is_of_0_5_4(self, numbers: Collection[str]) -> bool:
        first, *others = self.columns
        return (
            first == "time"
            and bool(others)
            and set(others) <= {f"{name}_avg" for name in numbers}
            and _OF_0_5_4.match(self.definition) is not None
            and not _FILTERED.search(self.definition)
        )


def find_place(cursor: Cursor, table: str) -> tuple[str, str]:
    """Return the schema and the name of a table: all its spellings are one.

    Raises:
        psycopg2.IntegrityError: There is no such table.
    """
    cursor.execute(_PLACE, (sql.quoted_table(table),))
    row = cursor.fetchone()
    if row is None:
        raise psycopg2.IntegrityError(f"table {table} does not exist: check its name")
    return row[0], row[1]


def look(cursor: Cursor, table: str, view: str) -> Found | None:
    """Return what has a view's name; both names are quoted, with their schema."""
    cursor.execute(_WHAT_IS_THERE, (table, view))
    row = cursor.fetchone()
    if row is None:
        return None
    kind, owner, comment, mark, columns, reads = row
    aggregate = None
    if timescale.find_extension(cursor).has_hypertables:
        cursor.execute(_IS_CONTINUOUS, (table, view))
        aggregate = cursor.fetchone()
    if aggregate is not None:
        reads, definition = aggregate
    continuous = aggregate is not None
    return Found(
        kind,
        owner,
        comment,
        mark,
        columns,
        bool(reads),
        continuous,
        definition if continuous else "",
    )


def list_grants(cursor: Cursor, view: str) -> list[tuple[str | None, str]]:
    """Return the column, if any, and the statement of all that was granted to others."""
    cursor.execute(_GRANTS, {"view": view})
    return [(row[0], row[1]) for row in cursor.fetchall()]


def give_back(
    cursor: Cursor,
    view: Identifier,
    found: Found,
    grants: list[tuple[str | None, str]],
    continuous: bool,
) -> None:
    """Give a new view what the one in its place had: rights, and its owner."""
    cursor.execute(
        "SELECT ARRAY(SELECT attname::text FROM pg_attribute WHERE attrelid = to_regclass(%s))"
        ", current_user::text",
        (view.as_string(cursor),),
    )
    row = cursor.fetchone()
    assert row is not None
    columns, user = row
    for column, statement in grants:
        if column is None or column in columns:
            cursor.execute(statement)
    if found.owner != user:
        kind = SQL("MATERIALIZED VIEW" if continuous else "VIEW")
        cursor.execute(SQL("ALTER {} {} OWNER TO {}").format(kind, view, Identifier(found.owner)))


def describe(
    cursor: Cursor, view: Identifier, index: Identifier, text: str, own: str | None
) -> None:
    """Mark a view as this library's; a comment of somebody's own stays."""
    column = Identifier(*view.strings, *index.strings)
    cursor.execute(SQL("COMMENT ON COLUMN {} IS {}").format(column, Literal(text)))
    cursor.execute(SQL("COMMENT ON VIEW {} IS {}").format(view, Literal(own or text)))
