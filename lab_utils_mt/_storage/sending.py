"""When must a client stop sending rows, though there are more of them?

The driver sends all that it is given before it reads what the server says. A server that has
refused the first row lets it do so.
"""

from __future__ import annotations

import socket
import time

import psycopg2
from psycopg2 import errors as pg

from .session import Session
from .values import name_error

_DOUBT = 0.25  # seconds in which what the server says must turn out to be a notice
_SETTINGS_WAIT = 140_000  # Older servers tell of a trigger's SET at once, which is no refusal.
_ADVICE = "send fewer rows at once, or raise statement_timeout"


class Refused(Exception):
    """The server has ended the COPY: its error is still to be read."""


class Watch:
    """Looks after one COPY, which begins now.

    Args:
        session: Where the rows go.
        table: The table's name, for errors.
    """

    def __init__(self, session: Session, table: str) -> None:
        self._session = session
        self._table = table
        self._began = time.monotonic()
        self._heard: float | None = None

    def check(self) -> None:
        """Make sure that more rows may be sent.

        Raises:
            Refused: The server wants no more of them.
            psycopg2.errors.QueryCanceled: They have taken longer than the ``statement_timeout``.
        """
        now, limit = time.monotonic(), self._session.call_limit
        if limit is not None and now - self._began > limit:
            raise pg.QueryCanceled(
                f"table {self._table}: nothing was written: the rows did not end within the"
                f" statement_timeout: {_ADVICE}"
            )
        if self._is_refused(now):
            raise Refused

    def explain(self, error: psycopg2.Error) -> None:
        """Say what to do, if the server was the first to find that they take too long."""
        if isinstance(error, pg.QueryCanceled) and self._session.call_limit is not None:
            name_error(error, _ADVICE)

    def _is_refused(self, now: float) -> bool:
        """Tell if the server has said anything but notices, which may come in pieces."""
        if self._heard is None:
            if self._session.is_quiet() or self._session.info.server_version < _SETTINGS_WAIT:
                return False
        elif now - self._heard < _DOUBT:
            return False
        was_heard, self._session.notices = self._heard is not None, []
        if not self._session.is_quiet():
            if self._has_hung_up():  # the driver must find out by itself
                return True
            self._session.poll()
        self._heard = None if self._session.notices else now
        return was_heard and self._heard is not None

    def _has_hung_up(self) -> bool:
        with socket.fromfd(self._session.fileno(), socket.AF_INET, socket.SOCK_STREAM) as line:
            try:
                return not line.recv(1, socket.MSG_PEEK)
            except OSError:
                return True
