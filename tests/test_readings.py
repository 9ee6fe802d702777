"""A server whose readings are in a database before their replies leave."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from daemons import TIMEOUT, Stage, serving

from lab_utils_mt.database import Database, DatabaseUnavailable, DataType, PoolClosed
from lab_utils_mt.socket_comm import Client


class Recorder(Stage):
    """Stores a reading for each ``record``."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.order: list[str] = []
        super().__init__(*args, **kwargs)

    def create_parser(self) -> None:
        super().create_parser()
        record = self.sp.add_parser("record")
        record.add_argument("value", type=int)
        record.set_defaults(func=self.record, which="record")

    def record(self) -> None:
        assert self.database is not None
        self.database.new_entry("readings", ["value"], [self.namespace.value])
        self.reply = f"stored {self.namespace.value}"


@pytest.fixture
def readings(database: Database, database_dsn: str) -> Database:
    """Return a database, not connected, with a table for readings."""
    database.create_timescale_db("readings")
    database.new_column("readings", "value", DataType.int)
    return Database(dsn=database_dsn, maxconn=4)


def test_every_answered_reading_is_stored(
    readings: Database, database: Database, pid_file: str
) -> None:
    """By 32 clients at once, over 4 sessions."""
    answers: list[str] = []

    def visit(number: int) -> None:
        with Client(host="127.0.0.1", port=server.port, timeout=TIMEOUT) as client:
            texts = [f"record {number * 10 + turn}" for turn in range(10)]
            answers.extend(client.send_message(text) for text in texts)

    with serving(Recorder(pid_file_name=pid_file, port=0, database=readings)) as server:
        threads = [threading.Thread(target=visit, args=(n,)) for n in range(32)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(TIMEOUT)
        with Client(host="127.0.0.1", port=server.port) as client:
            status = client.send_message("status")
    assert sorted(answers) == sorted(f"stored {n}" for n in range(320))
    with database.transaction() as session, session.cursor() as cursor:
        cursor.execute("SELECT value FROM readings ORDER BY value")
        assert [row[0] for row in cursor.fetchall()] == list(range(320))
    assert "database server: PostgreSQL" in status
    assert "of 4 sessions" in status


def test_the_database_is_open_before_clients_come_and_closed_after_they_left(
    readings: Database, pid_file: str
) -> None:
    """A command that still runs at the stop stores its reading."""
    server = Recorder(pid_file_name=pid_file, port=0, database=readings)
    with pytest.raises(PoolClosed):
        readings.pool  # noqa: B018  (not before the start)
    with serving(server), Client(host="127.0.0.1", port=server.port) as client:
        replies: list[str] = []
        original = server.record
        entered = threading.Event()

        def slow() -> None:
            entered.set()
            server.gate.wait(TIMEOUT)
            original()

        server.sp.choices["record"].set_defaults(func=slow)
        asking = threading.Thread(target=lambda: replies.append(client.send_message("record 7")))
        asking.start()
        assert entered.wait(TIMEOUT)
        closing = threading.Thread(target=server.close)
        closing.start()
        server.gate.set()
        asking.join(TIMEOUT)
        closing.join(TIMEOUT)
        assert replies == ["stored 7"]
    with pytest.raises(PoolClosed):
        readings.pool  # noqa: B018  (not after the stop)


def test_a_database_that_is_down_at_the_start_is_one_clear_error(pid_file: str) -> None:
    """The port is not bound, and nothing is left."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    database = Database(host="127.0.0.1", port=port, database="lab", user="me", timeout=2.0)
    server = Recorder(pid_file_name=pid_file, port=0, database=database)
    with pytest.raises(
        DatabaseUnavailable, match=f"'lab' on host 127.0.0.1, port {port}"
    ) as caught:
        server.start_daemon()
    assert "\n" not in str(caught.value)
    assert server.address is None
    assert not Path(pid_file).exists()


def test_a_program_whose_database_is_down_ends_with_an_error(pid_file: str) -> None:
    """Exit status not 0, PID file released."""
    code = f"""
from lab_utils_mt.database import Database
from lab_utils_mt.socket_comm import Server
database = Database(host="127.0.0.1", port=1, timeout=2.0)
Server(pid_file_name={pid_file!r}, port=0, database=database).start_daemon()
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert "DatabaseUnavailable: cannot open database 'beam'" in done.stderr.splitlines()[-1]
    assert not Path(pid_file).exists()


def test_a_database_error_is_an_error_reply(
    readings: Database, database: Database, admin: Any, pid_file: str
) -> None:
    """And when the database is back, so is the command."""
    with (
        serving(Recorder(pid_file_name=pid_file, port=0, database=readings)) as server,
        Client(host="127.0.0.1", port=server.port) as client,
    ):
        assert client.send_message("record 1") == "stored 1"
        admin.ask("ALTER DATABASE " + admin.name + " ALLOW_CONNECTIONS false")
        admin.terminate()
        reply = client.send_message("record 2")
        assert reply.startswith("Error! DatabaseUnavailable: cannot open database")
        admin.ask("ALTER DATABASE " + admin.name + " ALLOW_CONNECTIONS true")
        assert client.send_message("record 3") == "stored 3"
        assert client.send_message(f"record {2**40}").startswith("Error! NumericValueOutOfRange")
        assert client.send_message("record 4") == "stored 4"
    with database.transaction() as session, session.cursor() as cursor:
        cursor.execute("SELECT value FROM readings ORDER BY value")
        assert cursor.fetchall() == [(1,), (3,), (4,)]


def test_a_server_closes_its_database_even_if_it_never_listened(
    readings: Database, pid_file: str
) -> None:
    """The port is taken; the sessions must not stay open."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        server = Recorder(pid_file_name=pid_file, host="127.0.0.1", port=port, database=readings)
        with pytest.raises(OSError, match="cannot listen"):
            server.start_daemon()
    with pytest.raises(psycopg2.OperationalError, match="not connected"):
        readings.new_entry("readings", ["value"], [1])
