"""The cryostat's daemon: its commands, and that an answer means a stored reading."""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

import pytest
from daemons import Line, serving

from lab_utils_mt._cli.cryostat import make_stages
from lab_utils_mt._cli.cryostat_server import Cryostat, StageName
from lab_utils_mt._cli.readings import Readings
from lab_utils_mt.database import Database
from lab_utils_mt.exceptions import MessageError
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
        ("read stil", "'stil' is not one of 50K-plate, 4K-plate, still, mixing-chamber"),
        ("set still -4", "kelvin: -4 is not a number above 0"),
        ("set still nan", "kelvin: nan is not a number above 0"),
        ("set still 1e4", "is not a number above 0 and of at most 400 K"),
        ("set still cold", "kelvin: 'cold' is not a number"),
        ("ramp still 4 0", "rate: 0 is not a number above 0 K/min"),
        ("ramp still 4 inf", "rate: inf is not a number above 0 K/min"),
        ("ramp still 4", "rate is missing: a number above 0 K/min"),
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


def test_each_stage_has_a_name_that_commands_take() -> None:
    """And there are no others."""
    assert list(get_args(StageName)) == list(make_stages())


def test_programs_get_numbers(cryostat: Cryostat) -> None:
    """With typed arguments, and the error says what is wrong with one."""
    with Client(host="127.0.0.1", port=cryostat.port, timeout=20) as client:
        assert client.call("set", stage="still", kelvin=2.5) == "still goes to 2.5 K"
        with pytest.raises(MessageError, match="kelvin: 401 is not a number above 0"):
            client.call("set", "still", 401)
