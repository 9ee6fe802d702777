"""How does somebody at a prompt talk to the database?"""

from __future__ import annotations

import threading
from collections.abc import Callable

from psycopg2.extensions import connection as Connection  # noqa: N812  (classes, spelt small)
from psycopg2.extensions import cursor as Cursor  # noqa: N812

from .cleaning import end
from .errors import PoolClosed
from .forking import tell_of_fork
from .session import Session


class Interactive:
    """A session beside the pool's, opened at its first use and again after it was lost."""

    def __init__(self, open_session: Callable[[], Session]) -> None:
        self._open = open_session
        self._closed = False
        self.forget_parent()
        tell_of_fork(self)

    def forget_parent(self) -> None:
        """Start anew in a forked child."""
        # Guards the two below, and _closed; nothing is opened or closed under it.
        self._lock = threading.Lock()
        self._session: Session | None = None
        self._cursor: Cursor | None = None

    def connection(self) -> Connection:
        """Return the session.

        Raises:
            DatabaseUnavailable: It cannot be opened.
            PoolClosed: It was closed meanwhile.
        """
        known = self._known()
        if known is not None:
            return known
        opened: Session | None = self._prepared()
        with self._lock:
            if not self._closed and not _is_usable(self._session):
                self._session, opened = opened, self._session
            current = self._session
        if opened is not None:
            end(opened)  # the lost one; or ours, for another thread was faster
        if current is None:
            raise PoolClosed("the database was closed meanwhile")
        return current

    def _known(self) -> Session | None:
        with self._lock:
            return self._session if _is_usable(self._session) else None

    def _prepared(self) -> Session:
        session = self._open()
        if not session.is_shared:  # a person may think for long between two statements
            with session.plain_cursor() as cursor:
                cursor.execute("SET idle_in_transaction_session_timeout = 0")
        session.autocommit = False
        return session

    def cursor(self) -> Cursor:
        """Return the session's cursor, always the same while it is open."""
        connection = self.connection()
        with self._lock:
            known = self._cursor
            if known is None or known.closed or known.connection is not connection:
                known = self._cursor = connection.cursor()
        return known

    def close(self) -> None:
        """Close the session, if there is one."""
        with self._lock:
            session, self._session, self._cursor = self._session, None, None
            self._closed = True
        if session is not None:
            end(session)


def _is_usable(session: Session | None) -> bool:
    return session is not None and not session.closed
