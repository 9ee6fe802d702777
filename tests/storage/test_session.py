"""One session: how it is judged, interrupted, made clean and closed."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import psycopg2
import pytest
from psycopg2 import extras

from lab_utils_mt._storage.cleaning import clean, end
from lab_utils_mt._storage.errors import DatabaseUnavailable
from lab_utils_mt._storage.login import Login
from lab_utils_mt._storage.session import Session, commit


@pytest.fixture
def session(database_dsn: str) -> Iterator[Session]:
    """Return a session in the state in which a pool keeps it."""
    opened = Login({"dsn": database_dsn}, {}).open()
    yield opened
    end(opened)


def test_ended_sessions_are_gone_from_the_server(database_dsn: str, admin: Any) -> None:
    """Not soon, but at once: their places are taken next."""
    login = Login({"dsn": database_dsn}, {})
    for _ in range(10):
        pair = [login.open(), login.open()]
        assert all(session.is_quiet() for session in pair)
        end(*pair)
        assert admin.sessions() == 0
    assert not pair[0].is_quiet()
    assert not clean(pair[0])
    end(*pair)


def test_a_transaction_begins_with_its_first_statement(session: Session) -> None:
    """Whichever kind of cursor and of call sends it; and none begins without one."""
    for factory in (None, extras.DictCursor, extras.NamedTupleCursor, extras.RealDictCursor):
        session.begin()
        with session.cursor(cursor_factory=factory) as cursor:
            cursor.execute("SELECT %s AS x", (1,))
            assert cursor.rowcount == 1
        assert session.get_transaction_status() == psycopg2.extensions.TRANSACTION_STATUS_INTRANS
        commit(session)
        assert session.get_transaction_status() == psycopg2.extensions.TRANSACTION_STATUS_IDLE
    session.begin()
    with session.plain_cursor() as cursor:
        cursor.callproc("pg_backend_pid")
    assert session.get_transaction_status() == psycopg2.extensions.TRANSACTION_STATUS_INTRANS
    assert clean(session)
    session.begin()
    commit(session)
    assert not session.pending


def test_an_error_that_was_ignored_is_no_silent_rollback(session: Session) -> None:
    """The server answers such a COMMIT with ROLLBACK, which the driver takes for success."""
    bare: Any = session
    with session.plain_cursor() as cursor:
        cursor.execute("CREATE TABLE t (x int)")
    for own in (True, False):
        session.autocommit = own
        if own:
            session.begin()
        with session.plain_cursor() as cursor:
            cursor.execute("INSERT INTO t VALUES (1)")
            with pytest.raises(psycopg2.errors.DivisionByZero):
                cursor.execute("SELECT 1/0")
        with pytest.raises(psycopg2.errors.InFailedSqlTransaction, match="nothing was stored"):
            commit(session)
        assert clean(session)
    session.autocommit = False
    with session.plain_cursor() as cursor, pytest.raises(psycopg2.errors.DivisionByZero):
        cursor.execute("SELECT 1/0")
    psycopg2.extensions.connection.commit(bare)  # the driver's own: no error
    session.autocommit = True


def test_a_call_is_known_while_it_lasts(session: Session, wait_until: Any) -> None:
    """From another thread; and that thread can end it."""
    session.call_limit = 0.0
    errors: list[Exception] = []

    def work() -> None:
        try:
            with session.plain_cursor() as cursor:
                cursor.execute("SELECT pg_sleep(60)")
        except psycopg2.Error as error:
            errors.append(error)

    assert session.current is None
    thread = threading.Thread(target=work)
    thread.start()
    wait_until(lambda: session.current is not None)
    call = session.current
    assert call is not None
    assert call.is_overdue(time.monotonic() + 1)
    assert session.cut(call)
    # Again and again, as a pool's guard does: Windows wakes no wait that begins at that moment.
    wait_until(lambda: session.cut(call) or not thread.is_alive())
    thread.join(20)
    assert isinstance(errors[0], DatabaseUnavailable)
    assert isinstance(errors[0].__cause__, psycopg2.DatabaseError)
    assert session.is_lost
    assert not clean(session)


def test_guarded_cursors_are_still_what_was_asked_for(session: Session) -> None:
    """Of the class that the caller named, by any of the driver's ways to name it."""
    named = session.cursor("mine", extras.NamedTupleCursor, scrollable=True)
    assert isinstance(named, extras.NamedTupleCursor)
    session.autocommit = False
    named.execute("SELECT generate_series(1, 5) AS x")
    assert [row.x for row in named] == [1, 2, 3, 4, 5]
    named.close()
    session.cursor_factory = extras.DictCursor  # type: ignore[assignment]
    assert isinstance(session.cursor(), extras.DictCursor)
    with session.cursor() as cursor:
        extras.execute_values(cursor, "SELECT * FROM (VALUES %s) AS t (x)", [(1,), (2,)])
        assert cursor.fetchall() == [[1], [2]]
    assert clean(session)


def test_a_call_that_returned_is_not_cut(session: Session) -> None:
    """The session may be another borrower's by then."""
    with session.call():
        seen = session.current
        assert seen is not None
    with session.call():
        assert not session.cut(seen)
        assert session.current is not seen
    assert not session.was_cut


def test_a_failure_before_anything_was_sent_does_not_lose_the_begin(session: Session) -> None:
    """Whoever goes on after it is still in a transaction."""
    session.begin()
    with session.plain_cursor() as cursor:
        with pytest.raises(psycopg2.ProgrammingError, match="can't adapt"):
            cursor.execute("SELECT %s", (object(),))
        for wrong in (b"\xff", None, 5):
            with pytest.raises((TypeError, UnicodeDecodeError)):
                cursor.execute(wrong)  # type: ignore[arg-type]
        with pytest.raises(psycopg2.errors.SyntaxError):  # refused as a whole
            cursor.execute("SELEC 1")
        cursor.execute("CREATE TABLE t (x int)")
    assert clean(session)
    with session.plain_cursor() as cursor:
        cursor.execute("SELECT to_regclass('t')")
        assert cursor.fetchone() == (None,)


def test_work_on_a_foreign_cursor_is_committed(session: Session) -> None:
    """Although what must be sent before it was not."""
    session.limits = "SET LOCAL lock_timeout=7;"
    session.begin_freely()
    foreign = psycopg2.extensions.cursor(session)
    foreign.execute("CREATE TABLE t (x int)")
    commit(session)
    assert clean(session)
    with session.plain_cursor() as cursor:
        cursor.execute("SELECT 't'::regclass")


def test_a_named_cursor_is_guarded_row_by_row(session: Session) -> None:
    """Each bunch is a call of its own; of a cursor without a name all is here already."""
    session.autocommit = False
    named = session.cursor("mine")
    named.itersize = 2
    named.execute("SELECT generate_series(1, 5)")
    calls = []
    original = Session.call

    def call(self: Session) -> Any:
        calls.append(1)
        return original(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Session, "call", call)
        assert [row[0] for row in named] == [1, 2, 3, 4, 5]
        assert len(calls) == 4
    named.close()


def test_a_doubt_about_ones_own_error_is_no_loss(session: Session) -> None:
    """A notification waits to be read, and then the caller makes a mistake."""
    with session.plain_cursor() as cursor:
        cursor.execute("LISTEN news")
        cursor.execute("NOTIFY news; SELECT pg_sleep(0)")
        with pytest.raises(psycopg2.ProgrammingError):
            cursor.execute("SELECT %s", (object(),))
    assert not session.is_lost
