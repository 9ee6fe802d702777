"""Which names and statements may be sent to the server?

A name is compared with an allow-list, then quoted: psycopg2's quoting alone is not safe, for it
leaves ``%`` as it is, and the server cuts off what exceeds 63 bytes. Values are always bound.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Sequence
from typing import Any

from psycopg2 import sql

from .columns import Constraint, DataType
from .errors import InvalidName

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}", re.ASCII)

# An index or a sequence has columns too, and is no table.
_TABLE = "SELECT oid FROM pg_class WHERE oid = to_regclass(%s) AND relkind = ANY('{r,p,v,m,f}')"
_OF_TABLE = f"attrelid = ({_TABLE}) AND attnum > 0 AND NOT attisdropped"
TABLE_EXISTS = f"SELECT EXISTS ({_TABLE})"
COLUMN_EXISTS = f"SELECT EXISTS (SELECT FROM pg_attribute WHERE {_OF_TABLE} AND attname = %s)"  # noqa: S608
COLUMNS_AND_TYPES = f"""
    SELECT attname, atttypid::regtype::text FROM pg_attribute WHERE {_OF_TABLE} ORDER BY attnum
"""  # noqa: S608
# A domain counts as the type that it is made of.
COLUMN_KINDS = f"""
    SELECT attname, CASE WHEN coalesce(nullif(typbasetype, 0), pg_type.oid) IN (20, 21, 23)
                         THEN 'integer' ELSE typcategory::text END
    FROM pg_attribute JOIN pg_type ON pg_type.oid = atttypid
    WHERE {_OF_TABLE}
"""  # noqa: S608
NEXT_ID = "SELECT nextval(pg_get_serial_sequence(%s, 'id'))"
# Both spellings of a table, with and without the schema it would be made in, are one name.
ONE_AT_A_TIME = """
    SELECT pg_advisory_xact_lock(
        hashtextextended(
            concat('lab_utils_mt ', coalesce(%s, current_schema()::text), '.', %s), 0
        )
    )
"""
VERSION = "SELECT version()"


def _checked(name: Any, kind: str, part: Any) -> str:
    if not issubclass(type(part), str) or not _NAME.fullmatch(part):
        raise InvalidName(
            f"{kind} name {name!r} is refused: use 1 to 63 letters, digits and underscores,"
            " not starting with a digit"
        )
    return str.__str__(part)  # a subclass may say another thing each time that it is asked


def _parts(table: Any) -> list[str]:
    pieces = str.split(table, ".", 1) if issubclass(type(table), str) else [table]
    return [_checked(table, "table", piece) for piece in pieces]


def table_identifier(table: str) -> sql.Identifier:
    """Return a table's name for SQL; ``schema.table`` is one name in another schema.

    Raises:
        InvalidName: It is not in the allow-list.
    """
    return sql.Identifier(*_parts(table))


def plain_columns(columns: Iterable[Any]) -> list[str]:
    """Return columns' names as plain texts, also those of an Enum that is a str.

    Raises:
        InvalidName: One is not in the allow-list.
    """
    return [_checked(column, "column", column) for column in columns]


def column_identifier(column: str) -> sql.Identifier:
    """Return a column's name for SQL.

    Raises:
        InvalidName: It is not in the allow-list.
    """
    return sql.Identifier(_checked(column, "column", column))


def quoted_table(table: str) -> str:
    """Return a table's name as the text that ``to_regclass()`` takes."""
    return ".".join(f'"{piece}"' for piece in _parts(table))


def schema_and_name(table: str) -> tuple[str | None, str]:
    """Return a table's schema, None if it is left to the server, and its name."""
    *schema, name = _parts(table)
    return (schema[0] if schema else None), name


def create_time_table(table: str, default_now: bool) -> sql.Composed:
    """Make a table whose one column is ``time``."""
    default = sql.SQL(" DEFAULT NOW()" if default_now else "")
    return sql.SQL("CREATE TABLE {table} (time TIMESTAMPTZ NOT NULL{default})").format(
        table=table_identifier(table), default=default
    )


def create_time_index(table: str) -> sql.Composed:
    """Make the index that a hypertable would have, the newest first."""
    return sql.SQL("CREATE INDEX ON {table} (time DESC)").format(table=table_identifier(table))


def add_column(
    table: str, column: str, data_type: DataType, constraints: Sequence[Constraint]
) -> sql.Composed:
    """Add a column to a table."""
    name = column_identifier(column)
    checks = [sql.SQL(one.value).format(column_name=name) for one in constraints]
    return sql.SQL(
        "ALTER TABLE {table} ADD COLUMN IF NOT EXISTS {name} {data_type}{checks}"
    ).format(
        table=table_identifier(table),
        name=name,
        data_type=sql.SQL(data_type.value),
        checks=sql.Composed(checks),
    )


def _listed(columns: Sequence[str]) -> sql.Composable:
    return sql.SQL(", ").join(map(column_identifier, columns))


def copy_rows(table: str, columns: Sequence[str]) -> sql.Composed:
    """Add the rows that the client sends."""
    return sql.SQL("COPY {table} ({columns}) FROM STDIN").format(
        table=table_identifier(table), columns=_listed(columns)
    )


def update_row(table: str, columns: Sequence[str]) -> sql.Composed:
    """Change what the rows of one id hold."""
    one = sql.SQL("{} = %s")
    return sql.SQL("UPDATE {table} SET {changes} WHERE id = %s").format(
        table=table_identifier(table),
        changes=sql.SQL(", ").join([one.format(column_identifier(name)) for name in columns]),
    )


def newest_row(table: str, columns: Sequence[str] | None) -> sql.Composed:
    """Return the row with the latest time."""
    wanted = sql.SQL("*") if columns is None else _listed(["time", *columns])
    return sql.SQL("SELECT {wanted} FROM {table} ORDER BY time DESC LIMIT 1").format(
        table=table_identifier(table), wanted=wanted
    )


def is_empty(table: str) -> sql.Composed:
    """Tell if a table has no row."""
    return sql.SQL("SELECT NOT EXISTS (SELECT FROM {})").format(table_identifier(table))


def select_rows(
    table: str, clauses: Sequence[sql.Composable], order: Sequence[str]
) -> sql.Composed:
    """Return the rows for which all clauses hold."""
    parts: list[sql.Composable] = [sql.SQL("SELECT * FROM {}").format(table_identifier(table))]
    if clauses:
        parts += [sql.SQL("WHERE"), sql.SQL(" AND ").join(clauses)]
    if order:
        parts += [sql.SQL("ORDER BY"), _listed(order)]
    return sql.SQL(" ").join(parts)


def insert_row(table: str, columns: Iterable[str]) -> str:
    """Add one row; ready-made text, for this is what is done most.

    Raises:
        InvalidName: A name is not in the allow-list.
    """
    names = tuple(columns)
    if type(table) is not str or set(map(type, names)) != {str}:  # others may equal anything
        table, names = ".".join(_parts(table)), tuple(plain_columns(names))
    return _insert_row(table, names)


@functools.lru_cache(maxsize=256)
def _insert_row(table: str, columns: tuple[str, ...]) -> str:
    names = ", ".join(f'"{column}"' for column in plain_columns(columns))
    values = ", ".join(["%s"] * len(columns))
    # Names that passed the allow-list need no escaping.
    return f"INSERT INTO {quoted_table(table)} ({names}) VALUES ({values})"  # noqa: S608
