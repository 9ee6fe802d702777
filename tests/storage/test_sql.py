"""Names and statements."""

from __future__ import annotations

import psycopg2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab_utils_mt._storage import sql
from lab_utils_mt._storage.columns import Constraint, DataType
from lab_utils_mt._storage.errors import InvalidName
from lab_utils_mt.exceptions import LabUtilsError

BAD = [
    "", " ", "1st", "a b", 'a"b', "a'b", "a;b", "a%b", "%(val)s", "a\0b", "a\nb", "a\n", "é", "a-b",
    "a" * 64, "١", "\ud800", "a.b.c", ".a", "a.", None, 5, b"a", ["a"],
]  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_name_outside_the_allow_list_is_refused(name: object) -> None:
    """With an error that callers of any of three kinds catch."""
    for call in (sql.table_identifier, sql.quoted_table, sql.column_identifier):
        with pytest.raises(InvalidName, match=r"name .* is refused") as caught:
            call(name)  # type: ignore[arg-type]
        assert isinstance(caught.value, (LabUtilsError, ValueError))
        assert isinstance(caught.value, psycopg2.Error)


def test_the_error_tells_table_from_column() -> None:
    """So that the user knows which of many arguments it was."""
    with pytest.raises(InvalidName, match="column name 'a b'"):
        sql.insert_row("t", ("a b",))
    with pytest.raises(InvalidName, match="table name 'a b'"):
        sql.insert_row("a b", ("c",))


def test_a_schema_is_split_off_once() -> None:
    """Both parts are quoted, upper case is kept."""
    assert sql.quoted_table("Lab.cryo_1") == '"Lab"."cryo_1"'
    assert sql.quoted_table("a" * 63) == f'"{"a" * 63}"'
    with pytest.raises(InvalidName):
        sql.column_identifier("a.b")


@given(st.text())
def test_only_clean_names_get_through(name: str) -> None:
    """Whatever is accepted consists of letters, digits and underscores."""
    try:
        sql.column_identifier(name)
    except InvalidName:
        return
    assert name.isascii()
    assert name.replace("_", "a").isalnum()
    assert len(name) in range(1, 64)


def test_statements_are_built_from_quoted_names(database: object) -> None:
    """And from nothing that a caller wrote."""
    with database.transaction() as session:  # type: ignore[attr-defined]
        column = sql.add_column("s.t", "T", DataType.double, [Constraint.positive])
        assert column.as_string(session) == (
            'ALTER TABLE "s"."t" ADD COLUMN IF NOT EXISTS "T" FLOAT(53) CHECK("T" >= 0) '
        )
    assert sql.insert_row("t", ("a", "B")) == 'INSERT INTO "t" ("a", "B") VALUES (%s, %s)'


def test_statements_about_rows_have_quoted_names_and_bound_values(database: object) -> None:
    """Whatever they do."""
    with database.transaction() as session:  # type: ignore[attr-defined]
        for composed, text in [
            (sql.copy_rows("s.t", ["a", "B"]), 'COPY "s"."t" ("a", "B") FROM STDIN'),
            (sql.update_row("t", ["a", "b"]), 'UPDATE "t" SET "a" = %s, "b" = %s WHERE id = %s'),
            (sql.newest_row("t", None), 'SELECT * FROM "t" ORDER BY time DESC LIMIT 1'),
            (
                sql.newest_row("t", ["a"]),
                'SELECT "time", "a" FROM "t" ORDER BY time DESC LIMIT 1',
            ),
            (sql.is_empty("t"), 'SELECT NOT EXISTS (SELECT FROM "t")'),
            (sql.select_rows("t", [], []), 'SELECT * FROM "t"'),
            (
                sql.select_rows("t", [sql.sql.SQL("1=1")] * 2, ["time", "id"]),
                'SELECT * FROM "t" WHERE 1=1 AND 1=1 ORDER BY "time", "id"',
            ),
        ]:
            assert composed.as_string(session) == text


@pytest.mark.parametrize("name", BAD)
def test_no_statement_is_made_with_a_bad_name(name: object) -> None:
    """Neither as a table's nor as a column's."""
    bad: str = name  # type: ignore[assignment]
    for call in (
        lambda: sql.copy_rows(bad, ["a"]),
        lambda: sql.copy_rows("t", [bad]),
        lambda: sql.update_row(bad, ["a"]),
        lambda: sql.update_row("t", [bad]),
        lambda: sql.newest_row(bad, None),
        lambda: sql.newest_row("t", [bad]),
        lambda: sql.is_empty(bad),
        lambda: sql.select_rows(bad, [], []),
    ):
        with pytest.raises(InvalidName):
            call()
