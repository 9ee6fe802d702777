"""How a session is opened: its parameters, and what is said when it cannot be."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import psycopg2
import pytest

from lab_utils_mt._storage import login
from lab_utils_mt._storage.errors import DatabaseUnavailable
from lab_utils_mt._storage.login import Login
from lab_utils_mt.database import Database, DataType


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({}, "database 'the default user' on host the default host, port 5432"),
        ({"service": "lab", "password": "p"}, "the database of service 'lab'"),
        ({"hostaddr": "1.2.3.4", "dbname": "d", "user": "u"}, "database 'd' on host 1.2.3.4"),
    ],
)
def test_a_database_is_described_without_secrets(parameters: dict[str, str], text: str) -> None:
    """Whatever is known of it."""
    assert login.describe(parameters).startswith(text)


def test_parameters_are_completed() -> None:
    """With limits that would be missing; the caller's own win."""
    given = {
        "dsn": "host=h keepalives_idle=5 options='-c work_mem=9MB'",
        "application_name": "mine",
    }
    complete = Login(given, {"statement_timeout": 0.0001, "lock_timeout": None}).parameters
    assert complete["keepalives_idle"] == "5"
    assert complete["tcp_user_timeout"] == 15000
    assert complete["application_name"] == "mine"
    assert "-c statement_timeout=1 " in complete["options"]  # 0 would mean no limit
    assert "lock_timeout" not in complete["options"]
    assert " -c work_mem=9MB " in complete["options"]
    assert "dsn" not in complete
    with pytest.raises(psycopg2.ProgrammingError):
        Login({"connection_factory": dict}, {})


def test_what_the_server_prefers_does_not_spoil_what_is_read(
    database: Database, database_dsn: str, admin: Any
) -> None:
    """Neither the forms of times and floats, nor another encoding; not after a reset either."""
    for setting in ("datestyle = 'SQL, DMY'", "intervalstyle = iso_8601", "extra_float_digits = 0"):
        admin.ask(f"ALTER DATABASE {admin.name} SET {setting}")
    database.create_timescale_db("t")
    database.new_column("t", "x", DataType.double)
    database.new_column("t", "note", DataType.string)
    now = datetime.now(timezone.utc)
    with Database(dsn=f"{database_dsn} client_encoding=LATIN1") as other:
        for value in (0.1 + 0.2, 1e-300):
            other.new_entries("t", ["time", "x", "note"], [[now, value, "é €"]])
            assert other.fetch_latest_value("t") == (now, value, "é €")
            with other.transaction() as session, session.cursor() as cursor:
                cursor.execute("SELECT interval '1 day 2 s', max(time) FROM t")
                assert cursor.fetchone() == (timedelta(days=1, seconds=2), now)
            now += timedelta(seconds=1)


def test_a_session_is_watched_before_the_first_word_is_spoken(database_dsn: str) -> None:
    """Even a login can hang."""
    seen: list[Any] = []
    session = Login({"dsn": database_dsn}, {}).open(seen.append)
    assert seen == [session]
    assert not session.is_shared
    assert session.limits == ""
    session.close()


@pytest.mark.parametrize(
    ("message", "lasting"),
    [
        ('password authentication failed for user "u"', True),
        ('database "beam" does not exist', True),
        ('role "u" does not exist', True),
        ("the database system is starting up", False),
        ("sorry, too many clients already", False),
        ('too many connections for database "beam"', False),
        ("Connection refused", False),
    ],
)
def test_what_waiting_does_not_mend_is_told_apart(message: str, lasting: bool) -> None:
    """A wrong password is told at once, a restart is waited for."""
    error = psycopg2.OperationalError(f"connection to server failed: FATAL:  {message}")
    assert login._explain({}, error).lasting is lasting


def test_nobody_there_is_told_with_the_place() -> None:
    """And without the password."""
    nobody = Login({"dsn": "host=127.0.0.1 port=1 dbname=d user=u password=secret"}, {})
    with pytest.raises(DatabaseUnavailable, match="cannot open database 'd' on host") as caught:
        nobody.open()
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("message", "advice"),
    [
        ("the database system is starting up", "try again"),
        ("the database system is not yet accepting connections", "try again"),
        ("the database system is in recovery mode", "try again"),
        ("the database system is shutting down", "start it again"),
        ('too many connections for database "beam"', "CONNECTION LIMIT"),
        ('too many connections for role "cw-beam"', "CONNECTION LIMIT"),
        ("sorry, too many clients already", "max_connections"),
        ("remaining connection slots are reserved for roles with SUPERUSER", "max_connections"),
        ('permission denied for database "beam"', "GRANT CONNECT"),
        ('database "beam" is not currently accepting connections', "ALLOW_CONNECTIONS"),
        ('role "cw-beam" is not permitted to log in', "LOGIN"),
        ('role "cw-beam" does not exist', "check the user's name"),
        ('database "beam" does not exist', "check the database's name"),
        ('password authentication failed for user "cw-beam"', "passfile"),
        ('no pg_hba.conf entry for host "::1", user "u", database "d"', "pg_hba.conf does not"),
        ("Connection refused", "check that the server runs"),
    ],
)
def test_the_advice_fits_the_servers_words(message: str, advice: str) -> None:
    """Whatever else is named in them."""
    error = psycopg2.OperationalError(
        f'connection to server at "h", port 1 failed: FATAL:  {message}'
    )
    assert advice in str(login._explain({"host": "h"}, error)).rpartition(";")[2]
