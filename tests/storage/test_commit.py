"""What is told of a row whose session is lost, wherever the line breaks."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg2
import pytest
from storage.proxy import Proxy, proxy

from lab_utils_mt.database import CommitUnknown, Database, DataType
from lab_utils_mt.exceptions import LabUtilsError

COMMIT = 12  # bytes of the message
COMMITTED = 18  # bytes of its answer


@pytest.fixture
def line(database_dsn: str) -> Iterator[Proxy]:
    """Return a line to the server that can be cut."""
    with proxy(database_dsn) as running:
        yield running


@pytest.fixture
def remote(line: Proxy) -> Iterator[Database]:
    """Return a database at the other end of the line, with a table and one idle session."""
    with Database(dsn=line.dsn) as connected:
        connected.create_timescale_db("cryo")
        connected.new_column("cryo", "n", DataType.int)
        yield connected


def stored(database: Database, number: int) -> int:
    """Count the rows with a number."""
    with database.transaction() as session, session.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM cryo WHERE n = %s", (number,))
        row = cursor.fetchone()
    return int(row[0]) if row else 0


def cost(database: Database, line: Proxy, direction: str) -> int:
    """Return the bytes that one row takes."""
    before = line.passed[direction]
    database.new_entry("cryo", ["n"], [1000])
    return line.passed[direction] - before


@pytest.mark.parametrize(
    ("direction", "part", "rows"), [("up", COMMIT, 0), ("down", COMMITTED, 1), ("down", 1, 1)]
)
def test_a_line_lost_during_the_commit_is_told(
    remote: Database, line: Proxy, direction: str, part: int, rows: int
) -> None:
    """Stored or not, it is the same error, which names the table; and it is not tried again."""
    line.cut_after(direction, cost(remote, line, direction) - part)
    with pytest.raises(CommitUnknown, match=r"the connection was lost dur.*\(table cryo") as caught:
        remote.new_entry("cryo", ["n"], [1001])
    assert isinstance(caught.value, LabUtilsError)
    assert isinstance(caught.value, psycopg2.OperationalError)
    assert stored(remote, 1001) == rows
    assert remote.pool.stats().retried == 0


def test_a_block_tells_it_too(remote: Database, line: Proxy) -> None:
    """With the driver's error as its cause."""
    with pytest.raises(CommitUnknown) as caught, remote.transaction() as session:
        session.cursor().execute("INSERT INTO cryo (n) VALUES (1)")
        line.cut_after("down", 1)
    assert isinstance(caught.value.__cause__, psycopg2.Error)
    assert stored(remote, 1) == 1


def test_a_session_lost_before_the_commit_is_not_in_doubt(remote: Database) -> None:
    """Nothing was sent, so nothing is stored."""
    with pytest.raises(psycopg2.Error) as caught, remote.transaction() as session:
        session.cursor().execute("INSERT INTO cryo (n) VALUES (1)")
        session.close()
    assert not isinstance(caught.value, CommitUnknown)
    assert stored(remote, 1) == 0


@pytest.mark.parametrize("direction", ["up", "down"])
def test_wherever_the_line_breaks_the_row_is_as_told(
    remote: Database, line: Proxy, direction: str
) -> None:
    """Returned: stored once. In doubt: at most once. Any other error: not at all."""
    doubts = 0
    for place in range(1, cost(remote, line, direction), 5):
        number = 2000 + place
        line.cut_after(direction, place)
        allowed = {1}
        try:
            remote.new_entry("cryo", ["n"], [number])
        except CommitUnknown:
            allowed, doubts = {0, 1}, doubts + 1
        except psycopg2.Error:
            allowed = {0}
        line.cut_after("up", 1 << 30)
        assert stored(remote, number) in allowed
    assert doubts
    assert remote.pool.stats().retried
