"""What is one session with PostgreSQL, and how does work begin, end and break off on it?

Nothing here knows that there is a pool.
"""

from __future__ import annotations

import contextlib
import math
import os
import select
import socket
import sys
from typing import Any

import psycopg2
from psycopg2 import extensions as ext
from psycopg2_pool import PoolError

from .breaking_off import break_off
from .call import Call
from .cursors import GuardedCursor, guarded
from .errors import CommitUnknown, DatabaseUnavailable


class Session(ext.connection):
    """A connection that knows who has used it, and since when a call on it has not returned."""

    was_lent = False  #: Anybody but this library had it
    was_used = False  #: ... and took a cursor
    pid = 0  #: The process that opened it
    era = 0  #: When it was opened, as the pool's :class:`~.backoff.Backoff` counts
    limits = ""  #: Statements that must begin each transaction
    is_shared = False  #: A pooler may put another session behind it at each transaction
    wants_a_primary = False  #: A server that only reads will not do
    is_demoted = False  #: ... but this one does only read
    is_gone = False  #: The server has hung up, and the driver has not noticed
    pending = ""  #: Statements to be sent with the next one, such as BEGIN
    _always = ""  #: ... and with each
    _anew = ""  #: ... and with the first after each COMMIT or ROLLBACK of psycopg2's
    current: Call | None = None  #: The call that has not returned
    call_limit: float | None = None  #: Seconds after which such a call is cut
    was_cut = False  #: It was
    _line: socket.socket | None = None
    _commander: ext.cursor | None = None

    def keep_line(self) -> None:
        """Keep a second handle of the connection's socket, which can be shut down at any time."""
        self._line = socket.fromfd(self.fileno(), socket.AF_INET, socket.SOCK_STREAM)

    def cursor(  # type: ignore[override]
        self,
        name: str | bytes | None = None,
        cursor_factory: Any = None,
        scrollable: bool | None = None,
        withhold: bool = False,
    ) -> Any:
        """Return a cursor, as psycopg2 does."""
        self.was_used = True
        own: Any = self.cursor_factory
        factory = guarded(cursor_factory or own or ext.cursor)
        return super().cursor(name, factory, scrollable=scrollable, withhold=withhold)

    def plain_cursor(self) -> ext.cursor:
        """Return a cursor for statements that leave nothing behind but their transaction."""
        return super().cursor(cursor_factory=GuardedCursor)

    def lobject(self, *args: Any, **kwargs: Any) -> Any:
        """Open a large object, as psycopg2 does; what is done with it is not guarded."""
        self.was_used = True
        if self.pending:
            self.send_pending()
        with self.call():
            return super().lobject(*args, **kwargs)

    def commit(self) -> None:
        """Commit what psycopg2 began."""
        with self.call():
            super().commit()
        self.pending = self._anew

    def rollback(self) -> None:
        """Roll back what psycopg2 began."""
        with self.call():
            super().rollback()
        self.pending = self._anew

    def command(self, statement: str, values: Any = None) -> None:
        """Run a statement that has no result, always with the same cursor: it is faster."""
        if self._commander is None:
            self._commander = self.plain_cursor()
        self._commander.execute(statement, values)

    @contextlib.contextmanager
    def call(self) -> Any:
        """Let everybody know how long a call takes.

        Raises:
            DatabaseUnavailable: It took too long, and was cut.
        """
        self.current = Call(self.call_limit)
        try:
            yield
        except psycopg2.Error as error:
            self.explain(error)
            raise
        finally:
            self.current = None

    @contextlib.contextmanager
    def pause(self) -> Any:
        """Let what happens inside a call, but is not the server's work, take any time."""
        self.current = None
        try:
            yield
        finally:
            self.current = Call(self.call_limit)

    def explain(self, error: psycopg2.Error) -> None:
        """Say what an error means for this session.

        Raises:
            DatabaseUnavailable: The call was cut.
        """
        if self.was_cut:
            self.is_gone = True  # which the driver does not notice on all systems
            raise DatabaseUnavailable(
                "the database server did not answer in time, and the connection was cut: check the"
                " server and the network, or raise statement_timeout"
            ) from error
        # A line that breaks while a statement is sent is a DatabaseError without a code, and the
        # driver takes the connection for a good one.
        ours = isinstance(error, (psycopg2.ProgrammingError, psycopg2.InterfaceError))
        if error.pgcode is None and not ours and not self.is_quiet():
            self.is_gone = True
        if isinstance(error, psycopg2.errors.ReadOnlySqlTransaction) and self.wants_a_primary:
            self.is_demoted = True

    @property
    def is_lost(self) -> bool:
        """Whether nothing more can be done with it."""
        return bool(self.closed) or self.is_gone or self.is_demoted

    def is_quiet(self) -> bool:
        """Tell, without a round trip, whether it is alive, if nobody uses it.

        Then it has nothing to say.
        """
        try:
            return not self.closed and not _is_readable(self.fileno())
        except (psycopg2.Error, OSError, ValueError):
            return False

    def cut(self, call: Call) -> bool:
        """Make a call fail, unless it has returned; by any thread, at any time."""
        line, was_cut = self._line, self.was_cut
        if self.current is not call or line is None:
            return False
        self.was_cut = True
        break_off(line)  # once more, if it was cut and has still not returned
        return not was_cut

    def begin(self) -> None:
        """Begin a transaction together with the first statement: it costs no round trip."""
        self.pending = f"BEGIN;{self.limits}"

    def begin_reading(self) -> None:
        """Let each statement be a transaction of its own, with the limits that it must have."""
        self.pending = self._always = self.limits

    def begin_freely(self, settings: str = "") -> None:
        """Let somebody use it as psycopg2 documents it; each transaction gets its limits."""
        self.was_lent = True
        self._commander = None  # it refers to the session: a borrower may drop the last reference
        self.autocommit = False
        self.pending = self._anew = self.limits + settings

    def end_work(self) -> bool:
        """Forget what was not sent yet; tell whether there was anything."""
        never, self.pending, self._always, self._anew = bool(self.pending), "", "", ""
        return never

    def take_back_pending(self, pending: str) -> None:
        """Keep statements for later that were not sent, for the one after them failed here."""
        idle = not self.closed and self.get_transaction_status() == ext.TRANSACTION_STATUS_IDLE
        if idle:
            self.pending = pending

    def send_pending(self) -> None:
        """Send those statements by themselves."""
        self.command(self.take_pending())

    def take_pending(self) -> str:
        """Return the statements to be sent first: who takes them sends them."""
        pending, self.pending = self.pending, self._always
        return pending

    def __del__(self) -> None:
        line = self.detach_line()
        if line is not None:
            line.close()

    def detach_line(self) -> socket.socket | None:
        """Give the second handle away: who takes it closes it."""
        line, self._line = self._line, None
        return line


def set_statement_timeout(session: Session, seconds: float) -> None:
    """Let statements of the transactions that somebody begins take longer, or less long.

    Raises:
        ValueError: ``seconds`` is not greater than 0.
    """
    if not seconds > 0:
        raise ValueError(f"statement_timeout must be greater than 0, not {seconds}")
    limit = 0 if math.isinf(seconds) else math.ceil(seconds * 1000)
    session.begin_freely(f"SET LOCAL statement_timeout={limit};")


def commit(session: Session) -> None:
    """Commit, and tell a failed COMMIT from one of which nobody knows what became of it.

    Raises:
        CommitUnknown: The session was lost after the COMMIT was sent, or while it was.
        psycopg2.Error: Nothing was committed.
    """
    if session.pid != os.getpid():
        raise PoolError("this session belongs to the parent process: open another one")
    nothing_sent = session.end_work()
    if nothing_sent and session.get_transaction_status() == ext.TRANSACTION_STATUS_IDLE:
        return
    lost_before = bool(session.closed)
    try:
        _commit(session)
    except psycopg2.Error as error:
        if lost_before or not (session.closed or session.is_gone):
            raise
        reason = " ".join(str(error).split())
        raise CommitUnknown(
            "the connection was lost during COMMIT: the data may or may not be stored, look before"
            f" you write them again ({reason})"
        ) from error


def _commit(session: Session) -> None:
    if session.get_transaction_status() == ext.TRANSACTION_STATUS_INERROR:
        raise psycopg2.errors.InFailedSqlTransaction(
            "nothing was stored: a statement of this transaction failed, and its error was ignored;"
            " use a SAVEPOINT around what may fail"
        )
    if session.autocommit:
        session.command("COMMIT")
    else:
        session.commit()


if sys.platform == "win32":

    def _is_readable(handle: int) -> bool:
        return bool(select.select([handle], [], [], 0)[0])

else:

    def _is_readable(handle: int) -> bool:
        poll = select.poll()  # select() refuses file descriptors from 1024 on
        poll.register(handle, select.POLLIN)
        return bool(poll.poll(0))
