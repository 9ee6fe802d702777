"""Which call does not return, who forgot a session, and which sessions are idle for too long?

The driver waits for an answer in C, where nothing but the end of its socket reaches it; and limits
that the server sets need a working link. One thread for each pool looks after that.
"""

from __future__ import annotations

import dataclasses
import logging
import math
import sys
import threading
import time
import weakref
from types import CodeType

from .closing import Closing
from .session import Session
from .turns import Turns

logger = logging.getLogger("lab_utils_mt.database")

_LEAST_PAUSE, _MOST_PAUSE = 0.02, 1.0  # seconds
_DEPTH = 12  # calls of a borrower that are shown


def call_limit(statement_timeout: float | None) -> float | None:
    """Return the seconds after which a call is cut: the server, if it is well, was faster."""
    if statement_timeout is None or math.isinf(statement_timeout):
        return None
    return statement_timeout + _grace(statement_timeout)


def _grace(statement_timeout: float) -> float:
    return max(0.1 * statement_timeout, 0.25)


def _pause(statement_timeout: float | None, *others: float | None) -> float:
    limits = [limit / 10 for limit in others if limit]
    if statement_timeout is not None:
        limits.append(_grace(statement_timeout) / 8)
    return max(_LEAST_PAUSE, min([_MOST_PAUSE, *limits]))


@dataclasses.dataclass
class Loan:
    """Who borrowed a session."""

    began: float
    thread: str
    calls: list[tuple[CodeType, int]]
    was_told: bool = False

    def __str__(self) -> str:
        lines = [f"  {code.co_filename}:{line}, in {code.co_name}" for code, line in self.calls]
        return "\n".join([f"borrowed by thread {self.thread}, innermost call first:", *lines])


def note_loan(depth: int) -> Loan:
    """Note who asks for a session; cheap, for it is not turned into text.

    Args:
        depth: How many calls of this package to leave out.
    """
    frame = sys._getframe(depth + 1)  # inspect.stack() reads source files
    calls: list[tuple[CodeType, int]] = []
    while frame is not None and len(calls) < _DEPTH:
        calls.append((frame.f_code, frame.f_lineno))
        frame = frame.f_back  # type: ignore[assignment]
    return Loan(time.monotonic(), threading.current_thread().name, calls)


class Guard:
    """Watches one pool's sessions.

    Args:
        turns: The pool's places.
        closing: Closes idle sessions.
        statement_timeout: Seconds that a statement may take; None for any number.
        idle_timeout: Seconds after which an idle session is closed; 0 keeps it.
        leak_warning: Seconds after which a borrower is named in the log; None never does.
    """

    def __init__(
        self,
        turns: Turns[Session],
        closing: Closing,
        statement_timeout: float | None,
        idle_timeout: float,
        leak_warning: float | None,
    ) -> None:
        self._turns = turns
        self._closing = closing
        self._pause = _pause(statement_timeout, idle_timeout, leak_warning)
        self._idle_timeout = idle_timeout
        self._leak_warning = leak_warning
        self._stopped = False
        self.forget_all()

    def forget_all(self) -> None:
        """Start anew, as a forked child must."""
        self._wake = threading.Event()
        # Guards the three below.
        self.lock = threading.Lock()
        self._sessions: weakref.WeakSet[Session] = weakref.WeakSet()
        self._loans: dict[weakref.ref[Session], Loan] = {}
        self._thread: threading.Thread | None = None

    def watch(self, session: Session) -> None:
        """Look after a session, from now until it is closed."""
        with self.lock:
            self._sessions.add(session)
            if self._thread is not None:
                return
            thread = threading.Thread(target=self._work, name="database-guard", daemon=True)
            thread.start()  # under the lock, or somebody might join it before
            self._thread = thread

    def lend(self, session: Session, loan: Loan) -> None:
        """Note who has a session."""
        with self.lock:
            self._loans[weakref.ref(session)] = loan

    def take_back(self, session: Session) -> None:
        """Forget who had it."""
        with self.lock:
            self._loans.pop(weakref.ref(session), None)

    def end(self, timeout: float) -> None:
        """Look at once, and wait for the guard's end if there is nothing left to watch."""
        self._wake.set()
        with self.lock:
            thread = self._thread
        if thread is None or thread is threading.current_thread() or self._turns.stats().size:
            return
        thread.join(timeout)

    def stop(self) -> None:
        """Close what is idle, for the pool was garbage collected; takes no lock."""
        self._stopped = True

    def _work(self) -> None:
        while self._goes_on():
            self._wake.wait(self._pause)
            self._wake.clear()

    def _goes_on(self) -> bool:
        self._cut_stuck()
        self._close_idle()
        self._tell_of_loans()
        with self.lock:
            if any(not session.closed for session in self._sessions):
                return True
            self._thread = None
            return False

    def _cut_stuck(self) -> None:
        now = time.monotonic()
        with self.lock:
            calls = [(session, session.current) for session in self._sessions]
        stuck = [(session, call) for session, call in calls if call and call.is_overdue(now)]
        cut = [call for session, call in stuck if session.cut(call)]
        for call in cut:  # afterwards: a log may be slow, and sessions go from hand to hand
            self._turns.count("cut")
            logger.warning(
                "a call to the database did not return within %.3g s: the connection was cut",
                call.limit,
            )

    def _close_idle(self) -> None:
        if self._stopped:
            self._closing.add(self._turns.take_idle())
        elif self._idle_timeout:
            self._closing.add(self._turns.take_idle(time.monotonic() - self._idle_timeout))

    def _tell_of_loans(self) -> None:
        with self.lock:
            dropped = [(key, loan) for key, loan in self._loans.items() if key() is None]
            for key, _ in dropped:
                del self._loans[key]
            overdue = [loan for loan in self._loans.values() if self._is_overdue(loan)]
        for _, loan in dropped:
            logger.warning("a database session was dropped without being returned\n%s", loan)
        for loan in overdue:
            loan.was_told = True
            lasts = time.monotonic() - loan.began
            logger.warning("a database session has been in use for %.3g s\n%s", lasts, loan)

    def _is_overdue(self, loan: Loan) -> bool:
        if self._leak_warning is None or loan.was_told:
            return False
        return time.monotonic() - loan.began > self._leak_warning
