"""What the recorder does at the edges: rows that never fit, declarations, a stop in a hurry."""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

import pytest
from daemons import TIMEOUT
from storage.test_recording import NOON, counts, errors, numbers, put, recording, wait_idle
from storage.worlds import select

from lab_utils_mt._storage.recording import ReadingRecorder
from lab_utils_mt.database import Database


def execute(database: Database, statement: str) -> None:
    """Run a statement."""
    with database.transaction() as session, session.cursor() as cursor:
        cursor.execute(statement)


def test_a_text_too_long_for_an_index_stops_nobody(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """It is refused for ever, and the readings behind it are stored."""
    with recording(database) as recorder:
        recorder.put("cryo", NOON, {"n": -1, "note": "short"})
        wait_idle(recorder)
        execute(database, "CREATE INDEX ON cryo (note)")
        text = "".join(map(chr, range(0x4E00, 0x4E00 + 9000)))  # does not compress
        recorder.put("cryo", NOON, {"n": -2, "note": text})
        put(recorder, range(5))
        wait_idle(recorder)
        assert counts(recorder)["refused"] == 1
    assert sorted(numbers(database)) == [-1, 0, 1, 2, 3, 4]
    assert len(errors(caplog)) == 1


def test_a_column_of_another_type_is_told_once(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """The readings of other tables are stored."""
    execute(database, "CREATE TABLE cryo (time timestamptz NOT NULL, n boolean)")
    with recording(database) as recorder:
        put(recorder, range(5))
        put(recorder, range(5), "other")
        wait_idle(recorder)
        assert counts(recorder)["refused"] == 5
    assert numbers(database, "other") == [0, 1, 2, 3, 4]
    assert len(errors(caplog)) == 1


def test_capital_letters_in_names(database: Database) -> None:
    """Are kept, and made once."""
    with recording(database) as recorder:
        recorder.declare("Cryo", {"T_hot": float})
        for _ in range(3):
            recorder.put("Cryo", NOON, {"T_hot": 1.5, "P": 1})
        wait_idle(recorder)
        assert counts(recorder)["written"] == 3
    assert select(database, 'SELECT "T_hot", "P" FROM "Cryo"') == [(1.5, 1)] * 3


def test_a_column_has_one_type(database: Database) -> None:
    """Two pollers that disagree are told at once, not by the database at night."""
    recorder = ReadingRecorder(database)
    recorder.declare("cryo", {"n": int})
    recorder.declare("cryo", {"n": int, "x": float})
    with pytest.raises(TypeError, match="table cryo: the column n is declared as int and as float"):
        recorder.declare("cryo", {"n": float})


class Deaf:
    """A database that does not answer before it is told to."""

    def __init__(self) -> None:
        self.answers = threading.Event()
        self.asked = threading.Event()

    def create_timescale_db(self, *_: Any, **__: Any) -> None:
        self.asked.set()
        self.answers.wait(TIMEOUT)

    def get_list_columns(self, _: str) -> list[list[str]]:
        return [["n", "bigint"]]

    def new_column(self, *_: Any) -> None:
        raise AssertionError("it is there")

    def new_entries(self, _: str, __: Any, rows: Any) -> int:
        return len(rows)


@pytest.mark.parametrize("hurried_from_the_start", [True, False])
def test_a_second_signal_hurries_the_last_readings(
    hurried_from_the_start: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """The stop need not have begun in a hurry."""
    database, hurry = Deaf(), threading.Event()
    recorder = ReadingRecorder(database)
    recorder.start()
    put(recorder, range(3))
    assert database.asked.wait(TIMEOUT)
    if hurried_from_the_start:
        hurry.set()
    timer = threading.Timer(0.3, hurry.set)
    timer.start()
    began = time.monotonic()
    recorder.close(3600.0, hurry.is_set)
    assert time.monotonic() - began < TIMEOUT
    assert "3 readings are lost, or not confirmed" in caplog.text
    database.answers.set()
    timer.join()
    assert recorder._thread is not None
    recorder._thread.join(TIMEOUT)


def test_no_thread_left_for_a_recorder(monkeypatch: pytest.MonkeyPatch) -> None:
    """The start fails, and the stop does not fail over it."""

    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    recorder = ReadingRecorder(Deaf())
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        with pytest.raises(RuntimeError, match="can't start"):
            recorder.start()
    recorder.close(1.0)


def test_who_may_only_read_is_told_once(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """The server goes on, and so do readings when the right is given."""
    with recording(database) as recorder:
        put(recorder, range(1))
        wait_idle(recorder)
        execute(
            database,
            "CREATE FUNCTION deny() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN RAISE insufficient_privilege; END $$;"
            "CREATE TRIGGER deny BEFORE INSERT ON cryo EXECUTE FUNCTION deny()",
        )
        put(recorder, range(1, 4))
        wait_idle(recorder)
        execute(database, "DROP TRIGGER deny ON cryo")
        put(recorder, range(4, 6))
        wait_idle(recorder)
    assert numbers(database) == [0, 4, 5]
    assert len(errors(caplog)) == 1
    assert all(one.levelno < logging.CRITICAL for one in caplog.records)
