"""Which rows are meant, and which conditions are none."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import psycopg2
import pytest

from lab_utils_mt._storage.conditions import OPERATORS, Condition, clause, parsed
from lab_utils_mt.database import Database, DataType, InvalidName, InvalidValue


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("id > 3", ("id", ">", 3)),
        ("id>=-3", ("id", ">=", -3)),
        ("  id\n=\t+7  ", ("id", "=", 7)),
        ("x <> .5", ("x", "<>", "0.5")),
        ("x != 1.", ("x", "!=", 1)),
        ("x < 1e-3", ("x", "<", 1e-3)),
        ("x <= 1.5E+3", ("x", "<=", 1500.0)),
        ("name = 'x'", ("name", "=", "x")),
        ("name = 'it''s AND id = 3; --'", ("name", "=", "it's AND id = 3; --")),
        ("name like '50%\\_'", ("name", "like", "50%\\_")),
        ("name ILIKE ''", ("name", "ilike", "")),
        ("ok = TRUE", ("ok", "=", True)),
        ("ok = false", ("ok", "=", False)),
        ("ok = NULL", ("ok", "is null", None)),
        ("ok != null", ("ok", "is not null", None)),
        ("name IS NULL", ("name", "is null", None)),
        ("name is  Not\nnull", ("name", "is not null", None)),
        ("like = 1", ("like", "=", 1)),
    ],
)
def test_a_text_is_one_column_one_operator_one_literal(text: str, expected: Any) -> None:
    """As 0.5.12 took it; the literal becomes a value."""
    assert parsed("t", text) == [Condition(*expected)]
    assert parsed("t", [text, "b = 2"]) == [Condition(*expected), Condition("b", "=", 2)]
    assert parsed("t", f"{text} AND b = 2 and c = 3")[1:] == [("b", "=", 2), ("c", "=", 3)]


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "id", "id >", "> 3", "3 > id", "id = other", "id = 3 OR 1 = 1",
        "id = 3; DROP TABLE t",
        "id = 3 --", "id = 3 /* */", "(id = 3)", "id = (3)", "id = 3 AND", "AND id = 3",
        "id = 3 id = 4",
        "id = 3AND x = 4", "id = 3x", "id = 0x10", "id = 1_000", "id == 3", "id =< 3",
        "id = 'a' 'b'",
        "id = 'a", "id = a'", "id = E'\\n'", "id = $1", "id = %s", "id = %(a)s", "id::text = '3'",
        "lower(name) = 'x'", "t.id = 3", '"id" = 3', "id IN (1, 2)", "id BETWEEN 1 AND 2", "NOT ok",
        "id = now()", "id = 3\0", "é = 3", "idLIKE 'x'", "id LIKE null", "id > NULL", "id IS TRUE",
        "id = -", "id = 1e999", "id = '\0'", "id = " + "1" * 5_000, "id = '" + "x''" * 50_000,
    ],
)  # fmt: skip
def test_any_other_text_is_refused(text: str) -> None:
    """With what to write instead, and before anything is sent."""
    with pytest.raises(InvalidValue, match="table t"):
        parsed("t", text)
    with pytest.raises(InvalidValue):
        parsed("t", [text])


def test_a_refusal_shows_the_way() -> None:
    """The mapping, the list, and the operators."""
    with pytest.raises(InvalidValue, match=r'"id": \[3, 4\].*\("id", ">", 3\).*is not null'):
        parsed("t", "id = 3 OR 1 = 1")


@pytest.mark.parametrize(
    "given",
    [
        5, b"id = 3", [5], [None], {"id"}, [("id",)], [("id", "=")], [("id", "=", 1, 2)],
        [("id", "or", 1)], [("id", "= 1 OR 1 =", 1)], [("id", None, 1)], [("id", ["="], 1)],
        [("id", ">", None)], [("id", "like", None)], [("id", "is null", 3)], [("id", "in", None)],
        [("id", "in", 3)], [("id", "in", "abc")], {"id": object()}, {"id": {"a": 1}},
        {"id": [object()]}, {"name": "a\0"}, {"name": ["\ud800"]},
    ],
)  # fmt: skip
def test_other_things_are_no_conditions(given: Any) -> None:
    """Whatever they are."""
    with pytest.raises(InvalidValue, match="table t"):
        parsed("t", given)


@pytest.mark.parametrize("name", ["a b", "a;", "", 'x"', "a" * 64, 5, "a = 1 OR b"])
def test_columns_are_names(name: Any) -> None:
    """In a mapping and in a list."""
    for given in ({name: 1}, [(name, "=", 1)], [(name, "is null")]):
        with pytest.raises(InvalidName):
            parsed("t", given)


@pytest.mark.parametrize("operator", OPERATORS)
def test_every_operator_becomes_sql_with_a_bound_value(database: Database, operator: str) -> None:
    """In any case, with any blanks; the value is nowhere in it."""
    value = {"in": ["canary"], "not in": ["canary"], "is null": None, "is not null": None}
    spelled = f"  {operator.upper().replace(' ', '   ')} "
    (one,) = parsed("t", [("c", spelled, value.get(operator, "canary"))])
    composed, bound = clause(one)
    with database.transaction() as session:
        text = composed.as_string(session)
    assert "canary" not in text
    assert text.count("%s") == len(bound) == ("null" not in operator)


@pytest.fixture
def runs(database: Database) -> Database:
    """Return a database with a table of five rows."""
    database.create_timescale_db("runs")
    for column, kind in [("id", "int"), ("name", "string"), ("x", "float"), ("y", "double"),
                         ("ok", "bool"), ("small", "short")]:  # fmt: skip
        database.new_column("runs", column, DataType[kind])
    moment = datetime(2026, 1, 31, tzinfo=timezone.utc)
    rows = [
        (5, "a", 0.1, 0.1, True, 1), (4, "b", 2.0, 2.0, False, 2), (3, "it's", 1e9, -0.0, None, 3),
        (2, None, None, None, True, None), (1, "A%", 0.7, 0.7, True, 5),
    ]  # fmt: skip
    columns = ["time", "id", "name", "x", "y", "ok", "small"]
    database.new_entries("runs", columns, [(moment, *row) for row in rows])
    return database


@pytest.mark.parametrize(
    ("given", "ids"),
    [
        (None, [1, 2, 3, 4, 5]),
        ({}, [1, 2, 3, 4, 5]),
        ([], [1, 2, 3, 4, 5]),
        ({"name": "it's"}, [3]),
        ({"name": None}, [2]),
        ({"id": [1, 3, 99]}, [1, 3]),
        ({"name": ["a", None]}, [2, 5]),
        ({"id": []}, []),
        ({"id": range(2, 4)}, [2, 3]),
        ({"x": 0.1}, [5]),
        ({"y": 0.1, "ok": True}, [5]),
        ({"x": [0.7, 2.0, 1e9]}, [1, 3, 4]),
        ({"y": 0.0}, [3]),
        ({"time": datetime(2026, 1, 31, 1, tzinfo=timezone.utc)}, []),
        ([("time", "<=", datetime(2026, 1, 31, tzinfo=timezone.utc)), ("id", ">", 3)], [4, 5]),
        ([("id", ">", 1.5), ("id", "<", 4)], [2, 3]),
        ([("small", "<", 40_000)], [1, 3, 4, 5]),
        ([("x", "!=", 0.1)], [1, 3, 4]),
        ([("name", "like", "a%")], [5]),
        ([("name", "ilike", "a%")], [1, 5]),
        ([("name", "not in", ["a", "b"])], [1, 2, 3]),
        ([("name", "not in", ["a", None])], [1, 3, 4]),
        ([("name", "is null")], [2]),
        ([("name", "is not null", None), "ok = true"], [1, 5]),
        ([("ok", "=", None)], [3]),
        ([("ok", "!=", None), ("id", "<>", 1)], [2, 4, 5]),
        ("id > 3", [4, 5]),
        ("name = 'it''s' AND id = 3", [3]),
        (["id >= 2", "x < 1e3"], [4, 5]),
    ],
)
def test_the_rows_that_are_meant_are_found(runs: Database, given: Any, ids: list[int]) -> None:
    """In the order of time, then of id."""
    assert [row["id"] for row in runs.retrieve_entries("runs", given, as_rows=True)] == ids


def test_numpy_values_and_arrays_are_values(runs: Database) -> None:
    """An array is a list."""
    numpy = pytest.importorskip("numpy")
    for given, ids in [
        ({"id": numpy.int64(3)}, [3]),
        ({"x": numpy.float64(0.1)}, [5]),
        ({"id": numpy.array([1, 2])}, [1, 2]),
        ([("id", "in", numpy.array([1, 2]))], [1, 2]),
    ]:
        assert [row["id"] for row in runs.retrieve_entries("runs", given, as_rows=True)] == ids


def test_what_cannot_be_compared_is_an_error(runs: Database) -> None:
    """Which names table, column and type; the session can be used afterwards."""
    with pytest.raises(psycopg2.Error, match="table runs, columns id: str"):
        runs.retrieve_entries("runs", {"id": "abc"})
    with pytest.raises(psycopg2.IntegrityError, match="table runs has no column nothing"):
        runs.retrieve_entries("runs", {"nothing": 3})
    with pytest.raises(psycopg2.IntegrityError, match="table no does not exist"):
        runs.retrieve_entries("no", {"id": 3})
    assert len(runs.retrieve_entries("runs", as_rows=True)) == 5
    assert runs.pool.stats().opened == 1


def test_a_column_is_sent_as_it_was_looked_at() -> None:
    """A subclass of str has no say in it."""

    class Liar(str):
        """It says something else when it is used."""

        def __format__(self, _: str) -> str:
            return "x OR TRUE"

        __str__ = __repr__ = lambda self: "x OR TRUE"

    for given in ({Liar("a"): 1}, [(Liar("a"), "=", 1)], [(Liar("a"), "is null")]):
        (one,) = parsed("t", given)
        assert type(one.column) is str
        assert one.column == "a"
