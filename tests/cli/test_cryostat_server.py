"""The cryostat's daemon: its commands, and that an answer means a stored reading."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from daemons import Line, serving

from lab_utils_mt._cli.cryostat_server import Cryostat
from lab_utils_mt._cli.readings import Readings
from lab_utils_mt.database import Database
from lab_utils_mt.socket_comm import Client


@pytest.fixture
def cryostat(database: Database, database_dsn: str, pid_file: str) -> Iterator[Cryostat]:
    """Return a running cryostat with a table of its own."""
    readings = Readings(database, own_database=True)
    readings.make()
    server = Cryostat(Database(dsn=database_dsn), readings.table, pid_file_name=pid_file, port=0)
    with serving(server):
        yield server


def ask(server: Cryostat, message: str) -> str:
    """Return the reply to one message."""
    with Client(host="127.0.0.1", port=server.port, timeout=20) as client:
        return client.send_message(message)


def test_a_reading_is_stored_when_its_reply_comes(cryostat: Cryostat, database: Database) -> None:
    """With who asked, and the client's own number."""
    reply = ask(cryostat, "read still 3 17")

    with database.transaction() as session:
        cursor = session.cursor()
        cursor.execute("SELECT stage, client, number, kelvin FROM cryostat")
        [(stage, client, number, kelvin)] = cursor.fetchall()
    assert (stage, client, number) == ("still", 3, 17)
    assert reply == f"still {kelvin:.5g} K, reading 17 of client 3"
    assert kelvin == pytest.approx(295.0, rel=0.1)


def test_somebody_with_netcat_needs_no_numbers(cryostat: Cryostat) -> None:
    """The server counts for them."""
    with Line(cryostat) as line:
        assert line.ask("read 4K-plate").endswith("reading 1 of client 0")
        assert line.ask("read 4K-plate").endswith("reading 2 of client 0")


def test_set_and_ramp_change_the_set_point(cryostat: Cryostat) -> None:
    """At once, or slowly."""
    assert ask(cryostat, "set still 2.5") == "still goes to 2.5 K"
    assert cryostat.stages["still"].setpoint(cryostat.now()) == 2.5
    assert ask(cryostat, "ramp still 5 0.1") == "still goes to 5 K at 0.1 K/min"
    assert 2.5 <= cryostat.stages["still"].setpoint(cryostat.now()) < 5.0


@pytest.mark.parametrize(
    ("message", "complaint"),
    [
        ("read stil", "invalid choice: 'stil'"),
        ("set still -4", "-4 K is not above 0"),
        ("set still nan", "nan K is not above 0"),
        ("set still 1e4", "1e4 K is not above 0 and at most 400 K"),
        ("set still cold", "'cold' is not a number"),
        ("ramp still 4 0", "0 K/min is not above 0"),
        ("ramp still 4", "required: rate"),
    ],
)
def test_nonsense_is_refused(cryostat: Cryostat, message: str, complaint: str) -> None:
    """In the first line of the reply; the set point stays."""
    reply = ask(cryostat, message).splitlines()[0]
    assert reply.startswith("Error! ")
    assert complaint in reply
    assert cryostat.stages["still"].setpoint(cryostat.now()) == 295.0


def test_status_shows_the_pool(cryostat: Cryostat) -> None:
    """The database's lines are in the server's status."""
    assert "database pool:" in ask(cryostat, "status")
