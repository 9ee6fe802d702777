"""Rows, one by one: written, changed, counted and found again."""

from __future__ import annotations

import builtins
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from psycopg2.extensions import make_dsn
from psycopg2.extras import Json

from lab_utils_mt.database import Database, InvalidName, InvalidValue

MOMENT = datetime(2026, 1, 31, 12, tzinfo=timezone.utc)


def run(database: Database, text: str) -> list[Any]:
    """Run a statement, and return its rows if it has any."""
    with database.transaction() as session, session.cursor() as cursor:
        cursor.execute(text)
        return cursor.fetchall() if cursor.description else []


@pytest.fixture
def runs(database: Database) -> Database:
    """Return a database with a table of measurements."""
    run(
        database,
        "CREATE TABLE runs (id SERIAL PRIMARY KEY, name TEXT, value FLOAT8, small SMALLINT,"
        " time TIMESTAMPTZ, even INT CHECK (even % 2 = 0), u TEXT UNIQUE DEFERRABLE INITIALLY"
        " DEFERRED)",
    )
    return database


BAD = [
    ("runs", ["nothing"], [1], psycopg2.Error, "table runs.*nothing"),
    ("nowhere", ["name"], ["a"], psycopg2.Error, "table nowhere"),
    ("no.runs", ["name"], ["a"], psycopg2.Error, r"table no\.runs"),
    ("runs", ["name", "value"], ["a"], InvalidValue, "table runs.*: 2 columns, but 1 values"),
    ("runs", [], [], InvalidValue, "table runs: no columns"),
    ("runs", ["name", "value"], ["a", "b"], psycopg2.DataError, "runs.*value: str"),
    ("runs", ["value"], [[1.0]], psycopg2.DataError, "runs.*value: list"),
    ("runs", ["value"], [True], psycopg2.Error, "runs.*value: (bool|a bool)"),
    ("runs", ["time"], [20_260_131], psycopg2.Error, "runs.*time: int|column time: a int"),
    ("runs", ["small"], [40_000], psycopg2.DataError, "runs.*small: int"),
    ("runs", ["small"], [float("nan")], psycopg2.DataError, "runs.*small: float"),
    ("runs", ["even"], [3], psycopg2.IntegrityError, "runs.*even: int"),
    ("runs", ["value"], [10**400], psycopg2.DataError, "runs.*value: int"),
    ("runs", ["value"], [10**5_000], psycopg2.DataError, "runs.*value"),
    ("runs", ["name"], ["a\0"], InvalidValue, "runs.*column name: a str with a NUL"),
    ("runs", ["name"], ["\ud800"], InvalidValue, "runs.*column name: a str with the lone surr"),
    ("runs", ["name"], [object()], InvalidValue, "runs.*column name: a object cannot"),
    ("runs", ["name"], [{"a": 1}], InvalidValue, r"runs.*column name: a dict.*json\.dumps"),
    ("runs", ["name", "name"], ["a", "b"], psycopg2.ProgrammingError, "runs, columns name"),
    ("runs", ["na%me"], ["a"], InvalidName, "column name 'na%me'"),
    ('runs"', ["name"], ["a"], InvalidName, "table name 'runs\"'"),
]


@pytest.mark.parametrize("in_bulk", [False, True])
@pytest.mark.parametrize(("table", "columns", "data", "kind", "message"), BAD)
def test_a_bad_row_is_refused_and_harms_nothing(
    runs: Database,
    in_bulk: bool,
    table: str,
    columns: list[str],
    data: list[Any],
    kind: type[Exception],
    message: str,
) -> None:
    """Its error names table, column and type; nothing is written; the session is as good as new."""
    opened = runs.pool.stats().opened
    with pytest.raises(kind, match=f"(?s){message}") as caught:
        if in_bulk:
            runs.new_entries(table, columns, [data])
        else:
            runs.new_entry(table, columns, data)
    assert isinstance(caught.value, psycopg2.Error)
    str(caught.value).encode()
    assert runs.check_empty_table("runs")
    runs.new_entry("runs", ["name"], ["good"])
    assert runs.new_entries("runs", ["name"], [["good"]]) == 1
    assert runs.pool.stats().opened == opened


def test_what_is_refused_before_needs_no_session(runs: Database) -> None:
    """Nothing was sent."""
    before = runs.pool.stats().requests
    for table, columns, data, kind, _ in BAD:
        if kind in (InvalidValue, InvalidName):
            with pytest.raises(kind):
                runs.new_entry(table, columns, data)
            with pytest.raises(kind):
                runs.update_measurement(table, 1, columns, data)
    assert runs.pool.stats().requests == before


def test_an_error_of_the_commit_names_the_row(runs: Database) -> None:
    """A constraint may be looked at only then."""
    runs.new_entry("runs", ["u"], ["a"])
    with pytest.raises(psycopg2.IntegrityError, match="table runs, columns u: str"):
        runs.new_entry("runs", ["u"], ["a"])
    with pytest.raises(psycopg2.IntegrityError, match="table runs"):
        runs.new_entries("runs", ["u"], [["a"]])
    assert len(run(runs, "SELECT 1 FROM runs")) == 1


@pytest.mark.parametrize("zone", ["LINT-14", "EST5EDT,M3.2.0,M11.1.0", "UTC"])
def test_a_naive_time_is_this_computers_whatever_the_server_thinks(
    runs: Database, database_dsn: str, zone: str
) -> None:
    """The session's time zone shifts nothing, in winter and in summer, one by one and in bulk."""
    times = [datetime(2026, 1, 31, 12), datetime(2026, 7, 31, 12, 0, 0, 1)]
    with Database(dsn=make_dsn(database_dsn, options=f"-c TimeZone={zone}")) as abroad:
        assert run(abroad, "SHOW TimeZone") == [(zone,)]
        for number, moment in enumerate(times):
            abroad.new_entry("runs", ["id", "time"], [number, moment])
        abroad.new_entries("runs", ["id", "time"], [(2, times[0]), (3, times[1])])
        abroad.update_measurement("runs", 3, ["time"], [times[1]])
        found = abroad.retrieve_entries("runs", [("time", "<=", times[1])], as_rows=True)
        for row in found:
            assert row["time"] == times[row["id"] % 2].astimezone()
        assert len(found) == 4


def test_a_naive_time_on_a_computer_elsewhere(runs: Database, database_dsn: str) -> None:
    """In a process of its own, whose clock is another's."""
    if sys.platform == "win32":
        pytest.skip("Windows has no TZ")
    code = (
        "import sys, datetime, lab_utils_mt.database as d\n"
        "with d.Database(dsn=sys.argv[1]) as b:\n"
        "    b.new_entry('runs', ['time'], [datetime.datetime(2026, 7, 31, 12)])\n"
    )
    root = Path(__file__).parents[2]
    environment = {**os.environ, "TZ": "JST-9"}
    command = [sys.executable, "-c", code, database_dsn]
    subprocess.run(command, cwd=root, env=environment, check=True, timeout=60)
    assert runs.fetch_latest_value("runs", []) == (datetime(2026, 7, 31, 3, tzinfo=timezone.utc),)


def test_arrays_and_documents_are_stored(runs: Database) -> None:
    """For columns that were made for them."""
    run(runs, "CREATE TABLE wide (a FLOAT8[], b TEXT[], c JSONB, d TIMESTAMPTZ[])")
    runs.new_entry(
        "wide", list("abcd"), [[[1, None], [-0.0, 2.5]], ["a,b", None], Json({"k": 1}), [MOMENT]]
    )
    (row,) = run(runs, "SELECT * FROM wide")
    assert repr(row[0]) == "[[1.0, None], [-0.0, 2.5]]"
    assert row[1:] == (["a,b", None], {"k": 1}, [MOMENT])
    with pytest.raises(InvalidValue, match=r"row 1 .* column c: a Json cannot be stored this way"):
        runs.new_entries("wide", ["c"], [[Json({"k": 1})]])


def test_an_update_changes_one_row(runs: Database) -> None:
    """By lists or by pairs, which win."""
    runs.new_entries("runs", ["id", "name"], [(1, "a"), (2, "b")])
    assert runs.update_measurement("runs", 1, ["name", "value"], ["it's %s", -0.0]) is None
    runs.update_measurement("runs", 2, ["name"], ["no"], pairs=[("value", 2.5), ["small", None]])
    assert repr(run(runs, "SELECT id, name, value FROM runs ORDER BY id")) == (
        "[(1, \"it's %s\", -0.0), (2, 'b', 2.5)]"
    )
    runs.update_measurement("public.runs", 1, pairs=iter([("name", None)]))
    assert run(runs, "SELECT name FROM runs WHERE id = 1") == [(None,)]


@pytest.mark.parametrize(
    "arguments",
    [
        {}, {"columns": ["name"]}, {"values": ["a"]}, {"columns": [], "values": []}, {"pairs": []},
        {"columns": ["name"], "values": ["a", "b"]}, {"pairs": [("name",)]}, {"pairs": 5},
        {"pairs": [5]}, {"columns": ["name"], "values": ["\0"]},
        {"columns": "name", "values": ["a"]}, {"columns": ["name"], "values": "a"},
        {"columns": 5, "values": 5},
    ],
)  # fmt: skip
def test_an_update_of_nothing_is_refused(runs: Database, arguments: dict[str, Any]) -> None:
    """And so is one that does not fit together."""
    with pytest.raises(InvalidValue, match="table runs"):
        runs.update_measurement("runs", 1, **arguments)


def test_an_update_of_what_is_not_there_is_an_error(runs: Database) -> None:
    """A row, a column, a table; 0.5.12 said nothing of the first."""
    runs.new_entry("runs", ["id"], [1])
    with pytest.raises(
        psycopg2.IntegrityError, match=r"no row with id 7 .*table runs, columns name"
    ):
        runs.update_measurement("runs", 7, ["name"], ["a"])
    with pytest.raises(psycopg2.IntegrityError, match=r'table runs: .*"nothing"'):
        runs.update_measurement("runs", 1, ["nothing"], ["a"])
    with pytest.raises(psycopg2.IntegrityError, match=r"table no: .*make it first"):
        runs.update_measurement("no", 1, ["name"], ["a"])
    with pytest.raises(psycopg2.IntegrityError, match="even: int"):
        runs.update_measurement("runs", 1, ["even"], [3])
    with pytest.raises(psycopg2.DataError, match="small: int"):
        runs.update_measurement("runs", 1, ["small"], [40_000])
    assert run(runs, "SELECT name, even FROM runs") == [(None, None)]


def test_the_latest_value_begins_with_the_time(runs: Database) -> None:
    """Then what was asked for, or all the others."""
    assert runs.fetch_latest_value("runs") is None
    rows = [(number, MOMENT + timedelta(hours=number % 3), number / 2) for number in (1, 2, 3)]
    runs.new_entries("runs", ["id", "time", "value"], rows)
    latest = MOMENT + timedelta(hours=2)
    assert runs.fetch_latest_value("runs") == (latest, 2, None, 1.0, None, None, None)
    assert runs.fetch_latest_value("runs", ["value", "id"]) == (latest, 1.0, 2)
    assert runs.fetch_latest_value("runs", "value") == (latest, 1.0)
    assert runs.fetch_latest_value("public.runs", ("time",)) == (latest, latest)


def test_what_is_not_there_has_no_latest_value(runs: Database) -> None:
    """Nor is it empty, nor has it a next number."""
    run(runs, "CREATE TABLE timeless (id INT)")
    for call, message in [
        (lambda: runs.fetch_latest_value("no"), "table no: "),
        (lambda: runs.fetch_latest_value("runs", ["no"]), 'table runs: .*"no"'),
        (lambda: runs.fetch_latest_value("timeless"), 'table timeless: .*"time"'),
        (lambda: runs.check_empty_table("nowhere.no"), r"table nowhere\.no: "),
        (lambda: runs.fetch_next_serial_id("no"), "table no: "),
        (lambda: runs.fetch_next_serial_id("timeless"), "AS IDENTITY"),
        (lambda: runs.retrieve_entries("no"), "table no does not exist"),
    ]:
        with pytest.raises(psycopg2.IntegrityError, match=message):
            call()
    run(runs, "CREATE TABLE nameless (time TIMESTAMPTZ)")
    with pytest.raises(psycopg2.IntegrityError, match=r'table nameless: .*"id"'):
        runs.fetch_next_serial_id("nameless")


def test_an_empty_table_is_told_from_one_with_rows(runs: Database) -> None:
    """With one row it is not empty."""
    assert runs.check_empty_table("runs") is True
    runs.new_entry("runs", ["name"], [None])
    assert runs.check_empty_table("runs") is False
    assert runs.check_empty_table("public.runs") is False


@pytest.mark.parametrize(
    "column", ["SERIAL", "BIGSERIAL", "INT GENERATED BY DEFAULT AS IDENTITY", "BIGINT"]
)
def test_no_two_of_32_threads_get_the_same_id(database: Database, column: str) -> None:
    """And each can write its row with it."""
    run(database, f'CREATE TABLE "Runs" (id {column} PRIMARY KEY, thread INT)')
    if column == "BIGINT":
        run(database, 'CREATE SEQUENCE mine OWNED BY "Runs".id')
    assert database.fetch_next_serial_id("Runs") == 1
    barrier = threading.Barrier(32)

    def take(thread: int) -> list[int]:
        barrier.wait(20)
        taken = []
        for _ in range(10):
            taken.append(database.fetch_next_serial_id("public.Runs"))
            database.new_entry("Runs", ["id", "thread"], [taken[-1], thread])
        return taken

    with ThreadPoolExecutor(32) as threads:
        numbers = [number for taken in threads.map(take, range(32)) for number in taken]
    assert sorted(numbers) == list(range(2, 322))
    if column != "BIGINT":  # what nobody numbered gets the next one
        database.new_entry("Runs", ["thread"], [0])
    assert len(run(database, 'SELECT id FROM "Runs"')) == 320 + (column != "BIGINT")


def test_entries_come_as_a_data_frame_or_as_rows(runs: Database) -> None:
    """With the columns' names, also if there is none."""
    pandas = pytest.importorskip("pandas")
    runs.new_entries("runs", ["id", "name"], [(2, "b"), (1, "a")])
    frame = runs.retrieve_entries("runs", {"id": [1, 2]})
    assert isinstance(frame, pandas.DataFrame)
    assert list(frame.columns) == ["id", "name", "value", "small", "time", "even", "u"]
    assert list(frame["name"]) == ["a", "b"]
    none = runs.retrieve_entries("runs", "id = 7")
    assert list(none.columns) == list(frame.columns)
    assert none.empty
    (row,) = runs.retrieve_entries("runs", {"id": 1}, as_rows=True)
    assert row == {**dict.fromkeys(frame.columns), "id": 1, "name": "a"}
    assert runs.retrieve_entries("runs", {"id": 7}, as_rows=True) == []


def test_without_pandas_entries_are_rows(runs: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is an extra; one that is broken is an error."""
    original, missing = builtins.__import__, ["pandas"]

    def without(name: str, *rest: Any) -> Any:
        if name == "pandas":
            raise ModuleNotFoundError(f"No module named {missing[0]!r}", name=missing[0])
        return original(name, *rest)

    runs.new_entry("runs", ["id"], [1])
    monkeypatch.setattr(builtins, "__import__", without)
    (row,) = runs.retrieve_entries("runs")
    assert row["id"] == 1
    missing[0] = "numpy"
    with pytest.raises(ModuleNotFoundError, match="numpy"):
        runs.retrieve_entries("runs")


def test_importing_the_module_imports_no_pandas() -> None:
    """It takes a second, and nobody may need it."""
    code = (
        "import sys, lab_utils_mt.database\nsys.exit(bool({'pandas', 'numpy'} & set(sys.modules)))"
    )
    root = Path(__file__).parents[2]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0


def test_frames_of_pandas_are_read_back(runs: Database) -> None:
    """Numbers, texts, times and gaps: written in bulk and retrieved."""
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(
        {
            "name": ["a", None, "c\\"],
            "id": [1, 2, 3],
            "value": [0.5, float("nan"), -0.0],
            "time": pandas.to_datetime([MOMENT, None, MOMENT], utc=True),
            "small": pandas.array([1, None, 3], "Int16"),
        }
    )
    columns = ["id", "time", "small", "name", "value"]
    assert runs.new_entries("runs", columns, frame) == 3
    found = runs.retrieve_entries("runs", as_rows=True)
    values = sorted((tuple(row[name] for name in columns) for row in found), key=lambda row: row[0])
    assert repr([(a, c, d, e) for a, _, c, d, e in values]) == repr(
        [(1, 1, "a", 0.5), (2, None, None, float("nan")), (3, 3, "c\\", -0.0)]
    )
    assert [row[1] for row in values] == [MOMENT, None, MOMENT]
    with pytest.raises(InvalidValue, match="of the columns even, u"):
        runs.new_entries("runs", ["id", "even", "u"], frame)


def test_a_decimal_keeps_its_digits(runs: Database) -> None:
    """In a column of type NUMERIC."""
    run(runs, "CREATE TABLE exact (a NUMERIC)")
    digits = Decimal("-12345678901234567890.12345678901234567890")
    runs.new_entry("exact", ["a"], [digits])
    runs.new_entries("exact", ["a"], [[digits]])
    assert run(runs, "SELECT a FROM exact") == [(digits,)] * 2
