"""One session: what is said of it, and what is left of it."""

from __future__ import annotations

from typing import Any

import psycopg2
import pytest

from lab_utils_mt._storage import session as sessions
from lab_utils_mt._storage.errors import DatabaseUnavailable


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
    assert sessions.describe(parameters).startswith(text)


def test_parameters_are_completed() -> None:
    """With limits that would be missing; the caller's own win."""
    given = {"dsn": "host=h keepalives_idle=5", "application_name": "mine"}
    complete = sessions.complete(given, {"statement_timeout": 0.0001, "lock_timeout": None})
    assert complete["keepalives_idle"] == "5"
    assert complete["tcp_user_timeout"] == 15000
    assert complete["application_name"] == "mine"
    assert complete["options"].startswith("-c statement_timeout=1")  # 0 would mean no limit
    assert "dsn" not in complete
    with pytest.raises(psycopg2.ProgrammingError):
        sessions.complete({"connection_factory": dict}, {})


def test_an_ended_session_is_gone_from_the_server(database_dsn: str, admin: Any) -> None:
    """Not soon, but at once: its place is taken next."""
    parameters = sessions.complete({"dsn": database_dsn}, {})
    for _ in range(20):
        session = sessions.open_session(parameters, deadline=float("1e12"))
        assert sessions.is_quiet(session)
        sessions.end(session)
        assert admin.sessions() == 0
    assert not sessions.is_quiet(session)
    assert not sessions.clean(session)
    sessions.end(session)


def test_no_time_left_is_still_one_attempt() -> None:
    """A place was given to this caller: it says what is wrong, not that it was late."""
    with pytest.raises(DatabaseUnavailable, match="cannot open"):
        sessions.open_session(sessions.complete({"dsn": "host=127.0.0.1 port=1"}, {}), 0.0)


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
    assert advice in sessions._explain({"host": "h"}, error).rpartition(";")[2]
