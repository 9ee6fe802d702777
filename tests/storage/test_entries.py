"""Rows, one by one: written, changed, counted and found again."""

from __future__ import annotations

import builtins
import enum
import json
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
from psycopg2.extensions import AsIs, make_dsn
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


class Runs(str, enum.Enum):
    """Names as an Enum has them."""

    TABLE = "runs"
    NAME = "name"


def test_names_may_be_members_of_an_enum(runs: Database) -> None:
    """That is a str; they do not spoil the plain ones."""
    runs.new_entry(Runs.TABLE, [Runs.NAME], ["a"], check_columns=True)
    runs.new_entry("runs", ["name"], ["a"])
    assert runs.new_entries(Runs.TABLE, [Runs.NAME], [["a"]]) == 1
    runs.update_measurement(Runs.TABLE, 1, [Runs.NAME], ["b"])
    assert len(runs.retrieve_entries(Runs.TABLE, {Runs.NAME: "a"}, as_rows=True)) == 2
    assert runs.fetch_latest_value(Runs.TABLE, [Runs.NAME]) is not None


def test_names_of_any_other_kind_are_refused(runs: Database) -> None:
    """Also if they cannot be looked up anywhere."""
    for call in (
        lambda: runs.new_entry("runs", [["name"]], [1]),  # type: ignore[list-item]
        lambda: runs.new_entry(["runs"], ["name"], [1]),  # type: ignore[arg-type]
        lambda: runs.new_entries(["runs"], ["name"], [[1]]),  # type: ignore[arg-type]
        lambda: runs.new_entries("runs", [{}], [[1]]),  # type: ignore[list-item]
    ):
        with pytest.raises(InvalidName, match="is refused"):
            call()


def test_no_value_becomes_a_part_of_the_statement(runs: Database) -> None:
    """Neither one that is written, nor one that is looked for."""
    sneaky = AsIs("1); DELETE FROM runs; --")
    runs.new_entry("runs", ["name"], ["a"])
    with pytest.raises(InvalidValue, match="column value: a psycopg2"):
        runs.new_entry("runs", ["value"], [sneaky])
    with pytest.raises(InvalidValue, match="column value: a psycopg2"):
        runs.retrieve_entries("runs", {"value": AsIs("value OR TRUE")})
    assert not runs.check_empty_table("runs")


def test_an_error_about_what_is_read_speaks_of_reading(runs: Database) -> None:
    """Of the table alone, if there are no conditions."""
    with pytest.raises(
        psycopg2.IntegrityError, match="no column nothing: check the name"
    ) as caught:
        runs.retrieve_entries("runs", {"nothing": 1})
    assert "written" not in str(caught.value)
    with pytest.raises(psycopg2.IntegrityError, match="table absent does not exist") as caught:
        runs.retrieve_entries("absent")
    assert "columns )" not in str(caught.value)


def test_a_frame_keeps_integers_and_booleans_exact(runs: Database) -> None:
    """Beside what is missing too; without rows there are types too."""
    pytest.importorskip("pandas")
    run(runs, "CREATE TABLE wide (id INT, n BIGINT, f BOOLEAN, j JSONB, x FLOAT8, s TEXT)")
    big = 2**53 + 1
    run(runs, f"INSERT INTO wide VALUES (1, {big}, TRUE, '{big}', 0.5, 'a')")
    run(runs, "INSERT INTO wide VALUES (2)")
    frame = runs.retrieve_entries("wide")
    kinds = {name: str(kind) for name, kind in frame.dtypes.items() if name != "s"}
    assert kinds == {"id": "int64", "n": "Int64", "f": "boolean", "j": "object", "x": "float64"}
    assert (frame["n"][0], frame["j"][0], frame["f"][0]) == (big, big, True)
    assert list(frame.isna().sum()) == [0, 1, 1, 1, 1, 1]
    assert str(runs.retrieve_entries("wide", "id = 7")["n"].dtype) == "int64"


@pytest.mark.parametrize("zone", ["CET-1CEST,M3.5.0,M10.5.0/3", "UTC"])
def test_a_frame_has_its_times_in_one_zone(runs: Database, database_dsn: str, zone: str) -> None:
    """Whatever offsets the server gives them."""
    pytest.importorskip("pandas")
    run(runs, "ALTER TABLE runs ADD t TIMESTAMP")
    moments = [datetime(2026, month, 1, 12, tzinfo=timezone.utc) for month in (1, 7)]
    runs.new_entries("runs", ["time", "t"], [*((one, one) for one in moments), (None, None)])
    with Database(dsn=make_dsn(database_dsn, options=f"-c TimeZone={zone}")) as abroad:
        frame = abroad.retrieve_entries("runs")
    assert list(frame["time"][:2]) == moments
    assert frame["time"].isna()[2]
    assert list(frame["time"].dt.hour[:2]) == list(frame["t"].dt.hour[:2]) == [12, 12]
    assert str(frame["time"].dt.tz) == "UTC"


def test_times_at_the_ends_of_the_calendar_are_kept_in_a_frame(runs: Database) -> None:
    """Further than nanoseconds would reach."""
    pytest.importorskip("pandas")
    ends = [datetime(1, 1, 2, tzinfo=timezone.utc), datetime(9999, 12, 30, tzinfo=timezone.utc)]
    runs.new_entries("runs", ["time"], [[one] for one in ends])
    assert [one.year for one in runs.retrieve_entries("runs")["time"]] == [1, 9999]


def test_a_time_that_python_cannot_hold_is_an_error_of_the_database(runs: Database) -> None:
    """It names the table, and the way out."""
    run(runs, "INSERT INTO runs (time) VALUES ('0044-03-15 BC')")
    for call in (
        lambda: runs.retrieve_entries("runs"),
        lambda: runs.retrieve_entries("runs", as_rows=True),
        lambda: runs.fetch_latest_value("runs"),
        lambda: runs.fetch_latest_value("runs", ["time"]),
    ):
        with pytest.raises(psycopg2.DataError, match=r"table runs: .*year.* as a text") as caught:
            call()
        assert not isinstance(caught.value, InvalidValue)


def test_a_naive_time_keeps_its_digits_in_a_column_without_zone(runs: Database) -> None:
    """One by one and in bulk."""
    run(runs, "CREATE TABLE plain (t TIMESTAMP)")
    naive = datetime(2026, 3, 29, 2, 30)
    runs.new_entry("plain", ["t"], [naive])
    runs.new_entries("plain", ["t"], [[naive]])
    assert run(runs, "SELECT t FROM plain") == [(naive,)] * 2


def test_an_empty_list_in_a_document_is_documented(runs: Database) -> None:
    """It is an array; json.dumps() makes it a document."""
    run(runs, "CREATE TABLE documents (j JSONB)")
    runs.new_entry("documents", ["j"], [json.dumps([])])
    assert run(runs, "SELECT j FROM documents") == [([],)]
    assert "json.dumps" in str(Database.new_entry.__doc__)
