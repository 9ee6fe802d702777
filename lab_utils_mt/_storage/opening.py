"""Who opens the sessions that threads wait for?

Threads of their own, hired when somebody waits and dismissed when nobody does: a caller's time
limit holds however long the network takes, and what was opened too late for one serves the next.
"""

from __future__ import annotations

import logging
import threading

from .backoff import Backoff, Outage
from .cleaning import answers
from .closing import Closing
from .errors import DatabaseUnavailable
from .guard import Guard
from .login import Login, describe
from .session import Session
from .turns import Turns

logger = logging.getLogger("lab_utils_mt.database")

_SLICE = 0.25  # seconds
_PROOF = 5.0  # seconds that a session idle for long has to answer


class Opening:
    """Opens sessions for those who wait."""

    def __init__(
        self, login: Login, turns: Turns[Session], backoff: Backoff, guard: Guard, closing: Closing
    ) -> None:
        self._login = login
        self._turns = turns
        self._backoff = backoff
        self._guard = guard
        self._closing = closing
        self._began = False  # a session was opened at some time: what is down now may come back
        self.forget_all()

    def forget_all(self) -> None:
        """Start anew, as a forked child must."""
        self._closed = threading.Event()

    def call(self) -> None:
        """Hire as many openers as are needed now, and may work."""
        while self._turns.hire(self._backoff.width):
            thread = threading.Thread(target=self._work, name="database-opener", daemon=True)
            try:
                thread.start()
            except RuntimeError as error:  # no more threads
                self._turns.dismiss()
                self._turns.fail(DatabaseUnavailable(f"cannot open a session: {error}"))
                return

    def close(self) -> None:
        """Send the openers home."""
        self._closed.set()

    def _work(self) -> None:
        try:
            while self._turns.keep(self._backoff.width):
                self._work_once(self._closed)
        except BaseException:
            self._turns.dismiss()
            raise

    def _work_once(self, closed: threading.Event) -> None:
        pause = self._backoff.delay()
        place = self._turns.claim(may_open=not pause)
        if place is not None:
            self._provide(place.stale)
        elif pause:
            closed.wait(min(pause, _SLICE))  # meanwhile there may be one to be proved

    def _provide(self, stale: Session | None) -> None:
        try:
            session = self._open() if stale is None else stale
            proved = stale is None or answers(stale, _PROOF)
        except BaseException:
            self._turns.vacate("failed")
            raise
        if session is None:
            self._turns.vacate("failed")
        elif not proved:
            self._discard(session)
        elif not self._turns.admit(session, new=stale is None):
            self._closing.add([session])
        self.call()

    def _discard(self, silent: Session) -> None:
        """Give up a session that does not answer, and those that were idle for as long."""
        self._backoff.lost(silent.era)
        self._closing.add([silent, *self._turns.take_idle()], "lost")

    def _open(self) -> Session | None:
        era = self._backoff.era
        try:
            session = self._login.open(self._guard.watch)
        except DatabaseUnavailable as error:
            self._note(error, era)
            return None
        session.era = era
        self._began = True
        outage = self._backoff.opened()
        if outage is not None:
            self._tell_end(outage)
        return session

    def _note(self, error: DatabaseUnavailable, era: int) -> None:
        self._turns.fail(error, at_once=error.lasting or not self._began)
        if self._backoff.failed(era) and self._began:
            logger.warning("%s; trying again until it works", error)

    def _tell_end(self, outage: Outage) -> None:
        where = describe(self._login.parameters)
        logger.info("%s can be reached again, after %s", where, outage)
