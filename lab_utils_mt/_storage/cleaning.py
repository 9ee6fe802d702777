"""Is this session alive, and is it as good as new?

How a session is judged, made clean, and closed.
"""

from __future__ import annotations

import contextlib
import socket
import time

import psycopg2
from psycopg2 import extensions as ext

from .session import Session

_END_WAIT = 1.0  # seconds
_CLEAN_WAIT = 5.0  # seconds


def answers(session: Session, limit: float) -> bool:
    """Tell, by a round trip, whether the server answers."""
    session.call_limit = limit
    try:
        with session.plain_cursor() as cursor:
            cursor.execute("SELECT 1")
    except psycopg2.Error:
        return False
    return True


def clean(session: Session) -> bool:
    """Make a session as good as new.

    Costs a round trip if a transaction is open, and another if anybody but this library has used
    the session: settings, temporary tables, advisory locks and LISTEN outlast a transaction.

    Returns:
        False if that is impossible; the session must be ended.
    """
    if session.is_lost or session.was_cut:
        return False
    session.end_work()
    if not session.was_lent and session.get_transaction_status() == ext.TRANSACTION_STATUS_IDLE:
        return True
    if session.call_limit is None or session.call_limit > _CLEAN_WAIT:
        session.call_limit = _CLEAN_WAIT
    try:
        return _end_transaction(session) and _forget_state(session)
    except psycopg2.Error:  # it died; the borrower's own error tells more than this one
        return False


def _end_transaction(session: Session) -> bool:
    state = session.get_transaction_status()
    if state in (ext.TRANSACTION_STATUS_ACTIVE, ext.TRANSACTION_STATUS_UNKNOWN):
        return False
    if session.status != ext.STATUS_READY:
        session.rollback()
    elif state != ext.TRANSACTION_STATUS_IDLE:  # begun by us, not by psycopg2
        session.command("ROLLBACK")
    return session.get_transaction_status() == ext.TRANSACTION_STATUS_IDLE


def _forget_state(session: Session) -> bool:
    if not session.was_lent:
        return True
    if session.encoding != "UTF8":
        return False  # the driver would not learn of the way back
    if not _may_be_altered(session):
        session.autocommit = True
        session.was_lent = False
        return True
    session.set_session("default", "default", "default", autocommit=False)
    session.autocommit = True  # in two steps: at once would SET what outlasts the transaction
    if not session.is_shared:  # else it is not ours to reset
        session.command("DISCARD ALL")
    session.cursor_factory = None  # type: ignore[assignment]  # which is how it began
    session.string_types.clear()
    session.binary_types.clear()
    session.notices = []
    session.notifies = []
    session.was_lent = session.was_used = False
    return True


def _may_be_altered(session: Session) -> bool:
    return bool(
        session.was_used
        or session.isolation_level is not None
        or session.readonly is not None
        or session.deferrable is not None
        or session.cursor_factory is not None
        or session.string_types
        or session.binary_types
    )


def end(*unwanted: Session) -> None:
    """Close sessions and wait, for at most a second, until the server has let go of them.

    Else the session opened in one's place would be one more than the server was promised.
    """
    with contextlib.ExitStack() as stack:
        lines = []
        for session in unwanted:
            line = session.detach_line()
            with contextlib.suppress(psycopg2.Error):
                session.close()
            if line is not None:
                lines.append(stack.enter_context(line))
        deadline = time.monotonic() + _END_WAIT
        for line in lines:
            _await_end_of_stream(line, deadline)


def _await_end_of_stream(line: socket.socket, deadline: float) -> None:
    with contextlib.suppress(OSError):
        while (left := deadline - time.monotonic()) > 0:
            line.settimeout(left)
            if not line.recv(4096):
                return
