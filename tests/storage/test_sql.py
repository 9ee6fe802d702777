"""Names and statements."""

from __future__ import annotations

import enum
from typing import Any

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


class Liar(str):
    """A name that passes every check, and says something else when it is used."""

    def __str__(self) -> str:
        return 'x"; DROP TABLE victim; --'

    __repr__ = __str__

    def __format__(self, _: str) -> str:
        return str(self)

    def __hash__(self) -> int:
        return hash("cryo")

    def __eq__(self, other: object) -> bool:
        return True

    def split(self, *_: Any) -> list[Any]:  # type: ignore[override]
        """Return two lies."""
        return [self, self]


class Name(str, enum.Enum):
    """A name as a member of an Enum, whose text has changed from one Python to the next."""

    CRYO = "cryo"


@pytest.mark.parametrize("name", [Liar("cryo"), Name.CRYO])
def test_what_is_sent_is_what_was_looked_at(database: object, name: str) -> None:
    """A subclass of str has no say in it, wherever a name is taken."""
    with database.transaction() as session:  # type: ignore[attr-defined]
        for text in (
            sql.table_identifier(name).as_string(session),
            sql.column_identifier(name).as_string(session),
            sql.quoted_table(name),
            '"{1}"'.format(*sql.schema_and_name(name)),
            '"{}"'.format(*sql.plain_columns([name])),
            sql.copy_rows(name, [name]).as_string(session)[5:11],
            sql.update_row(name, [name]).as_string(session)[7:13],
        ):
            assert text == '"cryo"'
    assert all(
        type(part) is str for part in (*sql.schema_and_name(name)[1:], sql.quoted_table(name))
    )


@pytest.mark.parametrize("name", [Liar("cryo"), Name.CRYO])
def test_one_name_does_not_spoil_the_ready_made_text_of_another(name: str) -> None:
    """Whatever it claims to be equal to."""
    plain = 'INSERT INTO "cryo" ("cryo") VALUES (%s)'
    for table, column in [(name, name), ("cryo", "cryo"), ("cryo", name), (name, "cryo")]:
        assert sql.insert_row(table, (column,)) == plain
    assert sql.insert_row(name, ["other"]) == 'INSERT INTO "cryo" ("other") VALUES (%s)'


def test_an_object_that_claims_to_be_a_str_is_no_name() -> None:
    """Nor is one that cannot be looked up."""

    class Claim:
        """It lies about its class."""

        __class__ = str  # type: ignore[assignment]

    for name in (Claim(), [], {}):
        for call in (sql.table_identifier, sql.quoted_table, sql.column_identifier):
            with pytest.raises(InvalidName):
                call(name)  # type: ignore[arg-type]
        with pytest.raises(InvalidName, match="table name"):
            sql.insert_row(name, ["a"])  # type: ignore[arg-type]
        with pytest.raises(InvalidName, match="column name"):
            sql.insert_row("t", [name])  # type: ignore[list-item]
