"""The count: a lost or doubled reading is found, whatever the totals say."""

from __future__ import annotations

import pytest

from lab_utils_mt._cli.cryostat_server import COLUMNS
from lab_utils_mt._cli.instruments import Report
from lab_utils_mt._cli.readings import Count, Readings
from lab_utils_mt.database import Database
from lab_utils_mt.exceptions import LabUtilsError


@pytest.fixture
def readings(database: Database) -> Readings:
    """Return a table with the readings 1 to 5 of the clients 1 and 2."""
    table = Readings(database, own_database=True)
    table.make()
    for client in (1, 2):
        for number in range(1, 6):
            store(database, client, number)
    return table


def store(database: Database, client: int, number: int) -> None:
    """Store a reading."""
    database.new_entry("cryostat", list(COLUMNS), ["still", client, number, 0.9])


def delete(database: Database, client: int, number: int) -> None:
    """Delete a reading behind everybody's back."""
    with database.transaction() as session:
        session.cursor().execute(
            "DELETE FROM cryostat WHERE client = %s AND number = %s", (client, number)
        )


def test_all_there(readings: Readings) -> None:
    """Ten acknowledged, ten stored."""
    assert readings.count(Report(sent={1: 5, 2: 5})) == Count(stored=10, lost=0, duplicates=0)


def test_a_missing_reading_is_lost(readings: Readings, database: Database) -> None:
    """One is deleted."""
    delete(database, 2, 3)
    assert readings.count(Report(sent={1: 5, 2: 5})) == Count(stored=9, lost=1, duplicates=0)


def test_a_duplicate_does_not_make_up_for_a_loss(readings: Readings, database: Database) -> None:
    """The total is right, and yet one is lost."""
    delete(database, 2, 3)
    store(database, 1, 3)
    assert readings.count(Report(sent={1: 5, 2: 5})) == Count(stored=10, lost=1, duplicates=1)


def test_what_was_not_acknowledged_cannot_be_lost(readings: Readings, database: Database) -> None:
    """Stored or not: its client was told nothing. Nor does it make up for another."""
    delete(database, 2, 5)
    report = Report(sent={1: 5, 2: 5}, open=[(1, 4), (2, 5)])
    assert report.acknowledged == 8
    assert readings.count(report) == Count(stored=9, lost=0, duplicates=0)
    delete(database, 2, 1)
    assert readings.count(report) == Count(stored=8, lost=1, duplicates=0)


def test_readings_of_strangers_only_count_as_stored(readings: Readings, database: Database) -> None:
    """Somebody may have talked to the server with netcat."""
    store(database, 0, 1)
    assert readings.count(Report(sent={1: 5, 2: 5})) == Count(stored=11, lost=0, duplicates=0)


def test_an_empty_run_has_nothing(database: Database) -> None:
    """No client came to read."""
    table = Readings(database, own_database=True)
    table.make()
    assert table.count(Report()) == Count(stored=0, lost=0, duplicates=0)


def test_readings_come_back_by_stage(readings: Readings, database: Database) -> None:
    """With the seconds since the first one."""
    database.new_entry("cryostat", list(COLUMNS), ["4K-plate", 3, 1, 4.1])
    found = readings.read_back(11)

    assert found["4K-plate"][1] == [4.1]
    seconds, kelvin = found["still"]
    assert kelvin == [0.9] * 10
    assert seconds[0] == 0.0
    assert seconds == sorted(seconds)


def test_two_runs_in_one_database_have_different_tables(database: Database) -> None:
    """And each removes its own."""
    first, second = (Readings(database, own_database=False) for _ in range(2))
    first.make()
    second.make()
    first.drop()
    assert not database.check_table(first.table)
    assert database.check_table(second.table)


def test_a_failure_is_one_line(readings: Readings) -> None:
    """The table is there already."""
    with pytest.raises(LabUtilsError, match=r"\Acannot make the table cryostat: .*exists\Z"):
        readings.make()
