"""Readings reach their tables once, in their order, whatever the database does."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from daemons import wait_until
from storage.proxy import Proxy, proxy
from storage.test_restarts import restart
from storage.worlds import select
from systems import needs_embedded

from lab_utils_mt._storage.recording import ReadingRecorder
from lab_utils_mt._storage.table_writing import data_type
from lab_utils_mt.database import Database, DataType, EmbeddedPostgres

NOON = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)
LOGGER = "lab_utils_mt.recorder"


@pytest.fixture
def recorder(database: Database) -> Iterator[ReadingRecorder]:
    """Return a recorder that runs."""
    with recording(database) as running:
        yield running


@contextlib.contextmanager
def recording(database: Database, **more: Any) -> Iterator[ReadingRecorder]:
    """Run a recorder for a ``with`` block."""
    running = ReadingRecorder(database, **more)
    running.start()
    try:
        yield running
    finally:
        running.close(10.0)


def put(recorder: ReadingRecorder, numbers: range, table: str = "cryo") -> None:
    """Leave one reading for each number, a second apart."""
    for number in numbers:
        recorder.put(table, NOON + timedelta(seconds=number), {"n": number})


def counts(recorder: ReadingRecorder) -> dict[str, int]:
    """Return the numbers of the status line."""
    words = recorder.status()[0].replace(",", "").split()
    names = {"written", "waiting", "dropped", "refused", "unknown"}
    found = {
        word: words[at - (2 if word == "written" else 1)]
        for at, word in reversed(list(enumerate(words)))  # the last ones may be of a fault's text
        if word in names
    }
    return {word: int(number) for word, number in found.items()}


def numbers(database: Database, table: str = "cryo") -> list[int]:
    """Return what is stored, in the order of the times."""
    return [row[0] for row in select(database, f"SELECT n FROM {table} ORDER BY time")]


def wait_idle(recorder: ReadingRecorder) -> None:
    """Wait until nothing waits."""
    wait_until(lambda: counts(recorder)["waiting"] == 0, "an empty queue")


def wait_written(recorder: ReadingRecorder, least: int) -> None:
    """Wait until so many are stored."""
    wait_until(lambda: counts(recorder)["written"] >= least, "stored readings")


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what was logged as an error."""
    return [one.getMessage() for one in caplog.records if one.levelno >= logging.ERROR]


@pytest.mark.parametrize(
    ("kind", "found"),
    [
        (bool, DataType.bool),
        (int, DataType.long),
        (float, DataType.double),
        (str, DataType.string),
        (datetime, DataType.time),
    ],
)
def test_each_type_has_its_column(kind: type, found: DataType) -> None:
    """Wide enough for every value that Python's type usually has."""
    assert data_type(kind) is found


def test_other_types_are_refused_when_declared(database: Database) -> None:
    """Not when the first reading comes."""
    with pytest.raises(TypeError, match="no column can hold a list"):
        ReadingRecorder(database).declare("cryo", {"n": list})


def test_a_declared_table_is_made_at_the_start(database: Database) -> None:
    """With all columns, before there is a reading."""
    recorder = ReadingRecorder(database)
    recorder.declare("cryo", {"kelvin": float, "on": bool, "note": str, "n": int})
    recorder.start()
    wait_until(lambda: database.check_table("cryo") and database.check_column("cryo", "n"))
    recorder.close(5.0)
    assert sorted(database.get_list_columns("cryo")) == [
        ["kelvin", "double precision"],
        ["n", "bigint"],
        ["note", "text"],
        ["on", "boolean"],
        ["time", "timestamp with time zone"],
    ]


def test_readings_keep_their_own_time_and_values(
    database: Database, recorder: ReadingRecorder
) -> None:
    """The time is that of the reading, not of the insertion."""
    moment = NOON + timedelta(microseconds=7)
    values = {"kelvin": 4.2, "on": True, "note": "a\tb", "gone": None, "at": moment}
    recorder.put("cryo", moment, values)
    wait_idle(recorder)
    assert select(database, 'SELECT time, kelvin, "on", note, at FROM cryo') == [
        (moment, 4.2, True, "a\tb", moment)
    ]
    assert not database.check_column("cryo", "gone")


def test_columns_that_come_later_are_added(database: Database, recorder: ReadingRecorder) -> None:
    """What was not there before is NULL."""
    recorder.put("cryo", NOON, {"a": 1.0})
    recorder.put("cryo", NOON + timedelta(seconds=1), {"b": 2.0, "a": None})
    wait_idle(recorder)
    assert select(database, "SELECT a, b FROM cryo ORDER BY time") == [(1.0, None), (None, 2.0)]


def test_many_readings_are_written_in_batches(
    database: Database, recorder: ReadingRecorder
) -> None:
    """All of them, in their order."""
    put(recorder, range(5000))
    wait_idle(recorder)
    assert numbers(database) == list(range(5000))
    assert counts(recorder)["written"] == 5000


def test_a_dropped_table_is_made_again(database: Database, recorder: ReadingRecorder) -> None:
    """And so is a column."""
    put(recorder, range(3))
    wait_idle(recorder)
    with database.transaction() as session, session.cursor() as cursor:
        cursor.execute("DROP TABLE cryo")
    put(recorder, range(3, 6))
    wait_idle(recorder)
    assert numbers(database) == [3, 4, 5]
    with database.transaction() as session, session.cursor() as cursor:
        cursor.execute("ALTER TABLE cryo DROP COLUMN n")
    put(recorder, range(6, 9))
    wait_idle(recorder)
    assert numbers(database)[-3:] == [6, 7, 8]
    assert counts(recorder)["refused"] == 0


def test_a_reading_that_is_refused_does_not_hold_up_others(
    database: Database, recorder: ReadingRecorder, caplog: pytest.LogCaptureFixture
) -> None:
    """It is named in the log, and the rest of its batch is stored."""
    database.create_timescale_db("cryo")
    with database.transaction() as session, session.cursor() as cursor:
        cursor.execute("ALTER TABLE cryo ADD COLUMN n INT CHECK (n <> 13)")
    put(recorder, range(40))
    put(recorder, range(5), "other")
    wait_idle(recorder)
    assert numbers(database) == [n for n in range(40) if n != 13]
    assert numbers(database, "other") == list(range(5))
    assert counts(recorder)["refused"] == 1
    (text,) = errors(caplog)
    assert "table cryo" in text
    assert "12:00:13" in text


def test_a_table_that_cannot_be_made_is_told_once(
    database: Database, recorder: ReadingRecorder, caplog: pytest.LogCaptureFixture
) -> None:
    """Its readings are lost, those of others are not."""
    for _ in range(3):
        put(recorder, range(2), "no_schema.cryo")
        wait_idle(recorder)
    put(recorder, range(2))
    wait_idle(recorder)
    assert counts(recorder) == {
        "written": 2, "waiting": 0, "dropped": 0, "refused": 6, "unknown": 0
    }  # fmt: skip
    assert len(errors(caplog)) == 1
    assert "no_schema" in errors(caplog)[0]


def test_what_waits_is_written_at_the_end(database: Database) -> None:
    """Closing drains the queue."""
    recorder = ReadingRecorder(database)
    put(recorder, range(3000))
    recorder.start()
    recorder.close(20.0)
    assert numbers(database) == list(range(3000))
    recorder.put("cryo", NOON, {"n": 0})
    assert counts(recorder)["dropped"] == 1


class TestLine:
    """With a line to the server that can be cut."""

    @pytest.fixture
    def line(self, database_dsn: str) -> Iterator[Proxy]:
        """Return the line."""
        with proxy(database_dsn) as running:
            yield running

    @pytest.fixture
    def remote(self, line: Proxy) -> Iterator[Database]:
        """Return the database at its other end."""
        with Database(dsn=line.dsn, timeout=2.0) as connected:
            yield connected

    def test_an_outage_is_told_once_and_loses_nothing(
        self, remote: Database, line: Proxy, caplog: pytest.LogCaptureFixture
    ) -> None:
        """What came meanwhile is written afterwards, once and in its order."""
        caplog.set_level(logging.INFO, LOGGER)
        with recording(remote) as recorder:
            put(recorder, range(10))
            wait_idle(recorder)
            line.refuse()
            put(recorder, range(10, 3000))
            wait_until(lambda: "down for" in recorder.status()[0], "the failure")
            assert counts(recorder)["waiting"] == 2990
            line.lift()
            wait_idle(recorder)
            wait_until(lambda: "ok" in recorder.status()[0], "the end of the outage")
        assert numbers(remote) == list(range(3000))
        own = [one for one in caplog.records if one.name == LOGGER]
        assert [one.levelname for one in own] == ["ERROR", "INFO"]
        assert "cannot be stored" in own[0].getMessage()
        assert "stored again after" in own[1].getMessage()

    def test_beyond_the_bound_the_oldest_are_dropped(self, remote: Database, line: Proxy) -> None:
        """And counted; whoever leaves a reading never waits."""
        with recording(remote, capacity=100) as recorder:
            put(recorder, range(1))
            wait_idle(recorder)
            line.refuse()
            put(recorder, range(1, 1001))
            assert counts(recorder)["waiting"] == 100
            assert counts(recorder)["dropped"] == 900
            line.lift()
            wait_idle(recorder)
        stored = numbers(remote)
        assert stored[0] == 0
        assert len(stored) == 101
        assert stored[-1] == 1000

    @pytest.mark.parametrize("offset", [1, 12])
    def test_a_batch_in_doubt_is_counted_and_not_repeated(
        self, remote: Database, line: Proxy, offset: int, caplog: pytest.LogCaptureFixture
    ) -> None:
        """It may be stored or not, but never twice."""
        with recording(remote) as recorder:
            put(recorder, range(1))
            wait_idle(recorder)
            before = line.passed["up"]
            put(recorder, range(1, 2))
            wait_idle(recorder)
            line.cut_after("up", line.passed["up"] - before - offset)
            put(recorder, range(2, 3))
            wait_idle(recorder)
            line.cut_after("up", 1 << 30)
            put(recorder, range(3, 4))
            wait_idle(recorder)
            assert counts(recorder)["unknown"] == 1
        assert [n for n in numbers(remote) if n != 2] == [0, 1, 3]
        assert "may be stored or not" in errors(caplog)[0]

    def test_an_end_without_database_is_bounded(
        self, remote: Database, line: Proxy, caplog: pytest.LogCaptureFixture
    ) -> None:
        """What is lost is counted in the log."""
        recorder = ReadingRecorder(remote)
        recorder.start()
        put(recorder, range(1))
        wait_idle(recorder)
        line.refuse()
        put(recorder, range(1, 8))
        recorder.close(0.3)
        assert "7 readings are lost" in errors(caplog)[-1]
        remote.close()


@needs_embedded
def test_restarts_lose_nothing_and_store_nothing_twice() -> None:
    """A server that is killed five times under load."""
    with EmbeddedPostgres() as server, Database(dsn=server.dsn, timeout=5.0) as database:
        stop = threading.Event()
        sent = 0
        with recording(database) as recorder:

            def feed() -> None:
                nonlocal sent
                while not stop.wait(0.002):
                    put(recorder, range(sent, sent + 5))
                    sent += 5

            feeder = threading.Thread(target=feed, name="feeder")
            feeder.start()
            for mode in ["immediate", "fast", "immediate", "immediate", "fast"]:
                wait_written(recorder, counts(recorder)["written"] + 1)
                restart(server, mode)
            stop.set()
            feeder.join()
            wait_idle(recorder)
            told = counts(recorder)
        stored = numbers(database)
    assert len(stored) == len(set(stored)), "a reading was stored twice"
    assert told["dropped"] == told["refused"] == 0
    assert told["written"] + told["unknown"] == sent
    assert told["written"] <= len(stored) <= sent
