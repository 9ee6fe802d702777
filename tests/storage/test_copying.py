"""Many rows at once: all or none, whatever gives them."""

from __future__ import annotations

import threading
import time
import tracemalloc
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from lab_utils_mt._storage import copying
from lab_utils_mt.database import Database, DataType, InvalidValue

MOMENT = datetime(2026, 1, 31, 12, tzinfo=timezone.utc)


@pytest.fixture
def cryo(database: Database) -> Database:
    """Return a database with a table."""
    database.create_timescale_db("cryo")
    database.new_column("cryo", "number", DataType.int)
    database.new_column("cryo", "sample", DataType.double)
    database.new_column("cryo", "note", DataType.string)
    return database


def run(database: Database, text: str) -> list[Any]:
    """Run a statement, and return its rows if it has any."""
    with database.transaction() as session, session.cursor() as cursor:
        cursor.execute(text)
        return cursor.fetchall() if cursor.description else []


def numbers(database: Database) -> list[Any]:
    """Return what is in the column of that name."""
    return [row[0] for row in run(database, "SELECT number FROM cryo ORDER BY number")]


@pytest.mark.parametrize(
    "make", [list, tuple, iter, lambda rows: (row for row in rows), lambda rows: dict(rows).items()]
)
def test_rows_come_from_anything_that_gives_some(cryo: Database, make: Any) -> None:
    """Of any length: no row, one, and some at the edges of a block."""
    for count in (0, 1, copying._BLOCK - 1, copying._BLOCK, copying._BLOCK + 1, 3 * copying._BLOCK):
        rows = make([(number, number / 2) for number in range(count)])
        assert cryo.new_entries("cryo", ["number", "sample"], rows) == count
        assert numbers(cryo) == list(range(count))
        run(cryo, "TRUNCATE cryo")


def test_a_row_is_a_list_of_any_kind(cryo: Database) -> None:
    """Also several kinds together."""
    rows = [[1, "a"], (2, "b"), range(3, 5)]
    assert cryo.new_entries("public.cryo", ("number", "note"), rows) == 3
    assert run(cryo, "SELECT note FROM cryo ORDER BY number") == [("a",), ("b",), ("4",)]


def test_a_column_may_hold_several_types(cryo: Database) -> None:
    """One after the other, or mixed."""
    rows = [[1.0], [None], [2], [True and 3], [-0.0]] * 500
    assert cryo.new_entries("cryo", ["sample"], rows) == 2_500
    found = run(cryo, "SELECT sample::text, count(*) FROM cryo GROUP BY 1 ORDER BY 1")
    assert found == [("-0", 500), ("1", 500), ("2", 500), ("3", 500), (None, 500)]


def test_texts_that_mean_something_to_copy_are_texts(cryo: Database) -> None:
    """Backslashes, its signs for NULL and for the end, tabs, ends of lines."""
    texts = [
        "\\",
        "\\N",
        "\\.",
        "",
        "N",
        "a\tb",
        "\n",
        "\r\n",
        "\\t",
        "\b\f\v",
        "\\x41",
        "\\101",
        "é",
    ]
    rows = [[number, text] for number, text in enumerate(texts)]
    cryo.new_entries("cryo", ["number", "note"], rows)
    cryo.new_entries("cryo", ["note"], [["\\."]])
    found = run(cryo, "SELECT note FROM cryo ORDER BY number")
    assert [row[0] for row in found] == [*texts, "\\."]


@pytest.mark.parametrize("offset", [timedelta(0), timedelta(hours=5, minutes=30), None])
def test_times_keep_their_moment(cryo: Database, offset: timedelta | None) -> None:
    """In any zone, or in none."""
    zone = None if offset is None else timezone(offset)
    times = [datetime(2026, month, 1, 12, 0, 0, month, zone) for month in range(1, 13)]
    cryo.new_entries("cryo", ["time", "number"], [(time, time.month) for time in times])
    found = run(cryo, "SELECT time FROM cryo ORDER BY number")
    assert [row[0] for row in found] == [time.astimezone() for time in times]


@pytest.mark.parametrize(
    "rows", [5, None, "ab", b"ab", {"a": 1}, [5], ["a"], [None], [{"a": 1}], [{1}]]
)
def test_what_gives_no_rows_is_refused(cryo: Database, rows: Any) -> None:
    """With what to write."""
    with pytest.raises(InvalidValue, match=r"table cryo: (rows|data) must be a list"):
        cryo.new_entries("cryo", ["number"], rows)
    assert cryo.pool.stats().opened == 1


@pytest.mark.parametrize("position", [0, 1, 255, 256, 1_000])
@pytest.mark.parametrize(
    ("row", "message"),
    [
        ((1,), "2 columns, but 1 values"),
        ((1, "a", 2), "2 columns, but 3 values"),
        ((1, "a\0"), "column note: a str with a NUL"),
        ((1, "\ud800"), "column note: a str with the lone surrogate"),
        ((1, object()), "column note: a object cannot be stored"),
        ((True, "a"), "column number: a bool cannot be stored in a column of this type"),
        ((10**5_000, "a"), "(column number|integer)"),
        (("abc", "a"), 'column number: "abc".*number: int or str'),
        ((2**31, "a"), 'column number: "2147483648".*number: int'),
        ((2.5e9, "a"), "column number: .*number: float or int"),
        (("", "a"), 'column number: ""'),
    ],
)
def test_an_error_tells_table_row_and_column(
    cryo: Database, position: int, row: Any, message: str
) -> None:
    """The first row is 1; none of the rows is written."""
    rows: list[Any] = [(number, "x") for number in range(1_200)]
    rows[position] = row
    with pytest.raises(psycopg2.DataError, match=f"(?s){message}") as caught:
        cryo.new_entries("cryo", ["number", "note"], iter(rows))
    assert f"table cryo, row {position + 1} (the first is 1)" in str(caught.value)
    assert numbers(cryo) == []
    assert cryo.new_entries("cryo", ["number", "note"], [(1, "a")]) == 1
    assert cryo.pool.stats().opened == 1


def test_constraints_hold_for_every_row(cryo: Database) -> None:
    """One that breaks them, and none is written."""
    run(cryo, "CREATE UNIQUE INDEX ON cryo (number)")
    rows = [(number % 700,) for number in range(1_000)]
    with pytest.raises(psycopg2.IntegrityError, match=r"table cryo, row 701 \(the first is 1\)"):
        cryo.new_entries("cryo", ["number"], rows)
    assert numbers(cryo) == []


class Unforeseen(Exception):
    """What only the test raises."""


@pytest.mark.parametrize(
    "error",
    [Unforeseen("mine"), ValueError("mine"), KeyboardInterrupt(), psycopg2.DataError("mine")],
)
@pytest.mark.parametrize("after", [0, 1, 10_000])
def test_an_error_of_the_rows_reaches_the_caller(
    cryo: Database, error: BaseException, after: int
) -> None:
    """As it is; nothing is written, and the session is as good as new."""

    def rows() -> Iterator[Any]:
        for number in range(after):
            yield (number,)
        raise error

    with pytest.raises(type(error)) as caught:
        cryo.new_entries("cryo", ["number"], rows())
    assert caught.value is error
    assert str(error) in ("mine", "")
    assert numbers(cryo) == []
    cryo.new_entries("cryo", ["number"], [(1,)])
    assert numbers(cryo) == [1]
    assert cryo.pool.stats().opened == 1


def test_rows_are_sent_while_they_are_made(cryo: Database) -> None:
    """Many need no more memory than a few."""

    def rows() -> Iterator[Any]:
        for number in range(20_000):
            yield (number, "x" * 1_000)

    cryo.new_entries("cryo", ["number", "note"], [(1, "a")])
    tracemalloc.start()
    try:
        assert cryo.new_entries("cryo", ["number", "note"], rows()) == 20_000
        assert tracemalloc.get_traced_memory()[1] < 5_000_000  # of 20 MB
    finally:
        tracemalloc.stop()


def test_a_list_is_sent_again_after_a_lost_session(cryo: Database, admin: Any) -> None:
    """What can be given only once is not, and is an error."""

    class Cutting(list[Any]):
        """Rows during which the session is lost, the first time."""

        cuts = 1

        def __iter__(self) -> Iterator[Any]:
            if self.cuts:
                self.cuts -= 1
                admin.terminate()
            return super().__iter__()

    def once(source: list[Any]) -> Iterator[Any]:
        yield from source

    rows = Cutting([(number,) for number in range(10)])
    assert cryo.new_entries("cryo", ["number"], rows) == 10
    assert numbers(cryo) == list(range(10))
    rows.cuts = 1
    with pytest.raises(psycopg2.OperationalError, match="table cryo"):
        cryo.new_entries("cryo", ["number"], map(list, once(rows)))
    assert numbers(cryo) == list(range(10))


def test_what_is_not_there_is_an_error(cryo: Database) -> None:
    """Of the kind that 0.5.x has for it; the rows are not touched."""
    rows = iter([(1,)])
    with pytest.raises(psycopg2.IntegrityError, match="table no does not exist"):
        cryo.new_entries("no", ["number"], rows)
    with pytest.raises(psycopg2.IntegrityError, match="table cryo has no column nothing, other"):
        cryo.new_entries("cryo", ["nothing", "number", "other"], rows)
    assert list(rows) == [(1,)]


def test_bulks_from_16_threads_are_all_there(cryo: Database) -> None:
    """Each whole."""
    barrier = threading.Barrier(16)

    def write(thread: int) -> None:
        barrier.wait(20)
        start = thread * 1_000
        cryo.new_entries("cryo", ["number"], ((start + step,) for step in range(1_000)))

    threads = [threading.Thread(target=write, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert numbers(cryo) == list(range(16_000))


def test_arrays_of_numpy_are_rows(cryo: Database) -> None:
    """With two dimensions, or with named fields."""
    numpy = pytest.importorskip("numpy")
    array = numpy.arange(1_000.0).reshape(500, 2)
    assert cryo.new_entries("cryo", ["sample", "number"], array) == 500
    assert numbers(cryo) == list(range(1, 1_000, 2))
    run(cryo, "TRUNCATE cryo")
    records = numpy.array([(1, "a"), (2, "b")], [("number", "i4"), ("note", "U1")])
    assert cryo.new_entries("cryo", ["number", "note"], records) == 2
    assert cryo.new_entries("cryo", ["number", "note"], list(records[:0])) == 0
    assert cryo.new_entries("cryo", ["sample", "number"], list(array[:3])) == 3
    for wrong in (numpy.arange(3.0), numpy.zeros((2, 3, 4))):
        with pytest.raises(InvalidValue, match="table cryo"):
            cryo.new_entries("cryo", ["number"], wrong)


def test_a_file_of_lines_can_be_split_into_rows(cryo: Database, tmp_path: Path) -> None:
    """Texts are read as the column's type."""
    path = tmp_path / "readings.csv"
    path.write_text(
        "2026-01-31 12:00:00+00,1,4.2\n2026-01-31 12:00:01+00,2,-0.0\n", encoding="utf-8"
    )
    with path.open(encoding="utf-8") as file:
        rows = (line.rstrip("\n").split(",") for line in file)
        assert cryo.new_entries("cryo", ["time", "number", "sample"], rows) == 2
    found = run(cryo, "SELECT time, sample FROM cryo ORDER BY time")
    assert repr(found[1][1]) == "-0.0"
    assert found[0] == (MOMENT, 4.2)


def endless(row: tuple[Any, ...], first: tuple[Any, ...] | None = None) -> Iterator[Any]:
    """Give rows for ever, but no longer than a test may take."""
    end = time.monotonic() + 30
    yield row if first is None else first
    while time.monotonic() < end:
        yield row


def modern(database: Database) -> None:
    """Skip the test if the server does not tell a notice from another message in time."""
    if run(database, "SHOW server_version_num") < [("140000",)]:
        pytest.skip("PostgreSQL 13 is not listened to")


def test_rows_without_end_end_when_the_server_has_refused_one(cryo: Database) -> None:
    """With its error, though it lets the client go on."""
    modern(cryo)
    rows = endless((1,), ("bad",))
    with pytest.raises(psycopg2.DataError, match=r"table cryo, row 1 \(the first is 1\)"):
        cryo.new_entries("cryo", ["number"], rows)
    assert next(rows, None) is not None  # the time was not up
    assert numbers(cryo) == []
    assert cryo.new_entries("cryo", ["number"], [(1,)]) == 1
    assert cryo.pool.stats().opened == 1


@pytest.mark.parametrize("pause", [0.0, 0.02])
def test_rows_end_with_the_statement_timeout(
    cryo: Database, database_dsn: str, pause: float
) -> None:
    """However fast they come, and whoever notices first."""
    given = 0

    def rows() -> Iterator[Any]:
        nonlocal given
        for given, row in enumerate(endless((1,))):  # noqa: B007
            time.sleep(pause)
            yield row

    hurried = Database(dsn=database_dsn)
    hurried.statement_timeout = 0.5
    hurried.connect()
    began = time.monotonic()
    with pytest.raises(psycopg2.errors.QueryCanceled, match=r"table cryo.*raise statement"):
        hurried.new_entries("cryo", ["number"], rows())
    assert 0.4 < time.monotonic() - began < 20
    assert given
    assert numbers(cryo) == []
    assert hurried.new_entries("cryo", ["number"], [(1,)]) == 1
    hurried.close()


@pytest.mark.parametrize("length", [1, 20_000])
@pytest.mark.parametrize("pause", [0.0, 0.002])
def test_notices_of_a_trigger_stop_nothing(cryo: Database, length: int, pause: float) -> None:
    """Though they come in pieces; nor does what a trigger sets."""
    run(
        cryo,
        "CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql SET timezone = 'UTC' AS $$ BEGIN"
        f" RAISE NOTICE '%', repeat('x', {length}); RETURN NEW; END $$;"
        "CREATE TRIGGER tell BEFORE INSERT ON cryo FOR EACH ROW WHEN (NEW.number % 5 = 0)"
        " EXECUTE FUNCTION tell()",
    )

    def rows() -> Iterator[Any]:
        for number in range(400 if pause else 20_000):
            time.sleep(pause)
            yield (number,)

    count = cryo.new_entries("cryo", ["number"], rows() if pause else iter(list(rows())))
    assert numbers(cryo) == list(range(count))
    assert count in (400, 20_000)


def test_a_server_that_hangs_up_ends_the_rows(cryo: Database, admin: Any) -> None:
    """With an error that says so; nothing is written."""
    modern(cryo)

    def rows() -> Iterator[Any]:
        for number, row in enumerate(endless((1,))):
            if number == 1_000:
                admin.terminate()
            yield row

    given = rows()
    with pytest.raises(psycopg2.OperationalError, match="table cryo"):
        cryo.new_entries("cryo", ["number"], given)
    assert next(given, None) is not None
    assert numbers(cryo) == []
