"""How does a record reach a place that may be slow, deaf or gone, without the caller noticing?

::

    thread that logs          SinkHandler                  the sink's own thread
    handle() -- filters --> snapshot --> Outbox.put()      Outbox.take() --> deliver()
                                                             ^                 | failed
                                                             +--- back-off ----+

The thread starts with the first record. A kind of sink adds :meth:`SinkHandler.deliver`.
"""

from __future__ import annotations

import contextlib
import logging
import random
import threading
import time
from typing import TYPE_CHECKING

from . import living
from .health import ABOUT, FAREWELL, HEARD, Health, explain
from .outbox import Counts, Outbox
from .snapshot import finish, snapshot


class TryLater(Exception):
    """The other end works, and asks for patience.

    Args:
        seconds: How much.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__(f"in {seconds:g} s")
        self.seconds = seconds


class Refused(Exception):
    """The other end will never take what it was given.

    Args:
        reason: Its words.
        count: How many records that concerns, of those that were to be delivered the first.
    """

    def __init__(self, reason: str, count: int = 1) -> None:
        super().__init__(reason)
        self.reason, self.count = reason, count


# The threads of all sinks: what a library logs while it delivers must not be delivered.
_sink_threads: set[int] = set()


class TakingHandler(logging.Handler):
    """A handler whose :meth:`emit` never waits and never raises: it needs no lock."""

    is_ours = True  # for those who look for other handlers

    if not TYPE_CHECKING:  # its result was None before Python 3.12

        def handle(self, record):
            """Take a record if the filters let it pass; never waits, never raises."""
            passed = self.filter(record)
            if isinstance(passed, logging.LogRecord):
                record = passed
            if passed and not is_inner(record):
                self.emit(record)
            return passed


class SinkHandler(TakingHandler):
    """A handler with a queue and a thread of its own. Logging costs the caller microseconds.

    Attributes:
        title: What the sink is called in reports and in the status.
        batch: Most records that :meth:`deliver` is given at once.
        is_local: Whether it is a console or file, which can tell of the others until the end.
        longest_pause: Seconds between attempts, once several have failed.
        flush_timeout: Seconds for which :meth:`flush` and :meth:`close` wait at most.

    Args:
        title: See above.
        capacity: Most records that wait; then the oldest ones below ERROR make room.
    """

    batch = 1
    is_local = False
    longest_pause = 30.0
    flush_timeout = 2.0
    _first_pause = 0.5

    def __init__(self, title: str, capacity: int = 1000) -> None:
        logging.Handler.__init__(self)  # whatever else a kind of sink is: it is set up by itself
        self.title = title
        self._outbox = Outbox(capacity)
        self._health = Health(self)
        self._thread: threading.Thread | None = None
        self._failures = 0
        self._not_before = 0.0  # by our own back-off
        self._asked_to_wait_until = 0.0
        living.add(self)

    # --- for a kind of sink ----------------------------------------------------------------

    def deliver(self, records: list[logging.LogRecord]) -> int:
        """Deliver records, the oldest first; runs in the sink's thread only.

        Returns:
            How many of the first are delivered; the others are given again.

        Raises:
            TryLater: None is delivered, and nothing is wrong.
            Refused: The first will never be taken; the others are given again.
            Exception: None is delivered; they are given again, after a while.
        """
        raise NotImplementedError

    def pause(self) -> float:
        """Return the seconds until the next delivery may begin; nobody pauses at the end."""
        return 0.0

    def idle(self) -> float | None:
        """Return the seconds after which :meth:`chores` are due if no record comes; None: never."""
        return None

    def chores(self) -> None:
        """Do what has to be done without any record; runs in the sink's thread."""

    def interrupt(self) -> None:
        """Break off a delivery that takes too long; called by :meth:`close`, in its thread."""

    def finish(self) -> None:
        """Free what deliveries need: there are none any more. May be called more than once."""

    # --- those who log ---------------------------------------------------------------------

    def emit(self, record: logging.LogRecord) -> None:
        """Take a record, whatever the filters say."""
        self.accept(snapshot(record))

    def accept(self, own: logging.LogRecord) -> None:
        """Take a record that was made by :func:`.snapshot.snapshot`."""
        if (about := own.__dict__.get(ABOUT)) is not None and self._is_not_for_us(about):
            return
        if about is not None:
            own.__dict__.get(HEARD, []).append(True)
        if self._outbox.put(own):
            self._health.overflowed()
        if self._outbox.closed:
            self._health.used_after_the_end()
        if self._thread is None and self._outbox.claim_worker():
            self._start()

    def _is_not_for_us(self, about: int) -> bool:
        return about == id(self) or (about == FAREWELL and not self.is_local)

    def _start(self) -> None:
        thread = threading.Thread(target=self._work, name=f"log-{self.title}", daemon=True)
        self._thread = thread  # before it starts: it may have come to its end right afterwards
        try:
            thread.start()
        except RuntimeError:  # no thread is left, or the interpreter ends: the next record tries
            self._thread = None
            self._outbox.release_worker()

    # --- the sink's thread -----------------------------------------------------------------

    def _work(self) -> None:
        _sink_threads.add(threading.get_ident())
        try:
            while (news := self._outbox.await_records(self.batch, self.idle())) is not False:
                try:
                    self._turn() if news else self.chores()
                except Exception as error:  # noqa: BLE001  (a sink's thread outlives what it meets)
                    self._put_back()
                    self._failed(error)
        finally:
            _sink_threads.discard(threading.get_ident())
            if self._outbox.closed:
                self.finish()
            else:  # whatever ended it, the next record starts another one
                self._thread = None
                self._outbox.release_worker()

    def _turn(self) -> None:
        while (asked := self._asked_to_wait_until - time.monotonic()) > 0:
            self._outbox.give_up_hurry()  # nobody's hurry overrules the other end
            if self._outbox.closed:
                return
            self._outbox.pause(asked)
        wait = max(self._not_before - time.monotonic(), self.pause())
        if wait > 0:
            self._outbox.pause(wait)
        records = [finish(record) for record in self._outbox.take(self.batch)]
        if records:
            self._deliver(records)
            self._put_back()

    def _put_back(self) -> None:
        if self._outbox.put_back():
            self._health.overflowed()

    def _deliver(self, records: list[logging.LogRecord]) -> None:
        try:
            count = self.deliver(records)
        except TryLater as error:
            self._asked_to_wait_until = time.monotonic() + error.seconds
            self._health.asked_to_wait(error.seconds)
            self._outbox.give_up_hurry()
        except Refused as error:
            self._health.refused(error.reason)
            self._tick_off(error.count, sent=False)
        else:
            if not count:
                raise OSError("it takes nothing")
            self._succeeded(count)

    def _succeeded(self, count: int) -> None:
        self._failures = 0
        self._health.delivered()
        self._tick_off(count, sent=True)

    def _tick_off(self, count: int, *, sent: bool) -> None:
        if self._outbox.tick_off(count, sent=sent):
            self._health.caught_up()

    def _failed(self, error: Exception) -> None:
        pause = min(self.longest_pause, self._first_pause * 2 ** min(self._failures, 16))
        self._failures += 1
        # Several daemons do not knock in step.
        self._not_before = time.monotonic() + pause * random.uniform(0.8, 1.0)  # noqa: S311
        if not self._outbox.closed:  # the end tells what is lost
            self._health.failed(explain(error))
        self._outbox.give_up_hurry()

    # --- the end ---------------------------------------------------------------------------

    def flush(self) -> None:
        """Wait until all is delivered, or an attempt fails, for up to ``flush_timeout`` seconds."""
        self.hurry()
        self.await_settled(living.time_left(self.flush_timeout, self.is_local))

    def hurry(self) -> None:
        """Ask for everything to be delivered now."""
        if threading.get_ident() in _sink_threads:
            return
        self._outbox.hurry()
        if self._thread is None and self._outbox.counts.queued:
            if self._outbox.claim_worker():
                self._start()
            if self._thread is None:
                self._work_here()

    def _work_here(self) -> None:
        """Do without the thread that can no longer be started, if that takes no time."""
        if self.is_local:
            with contextlib.suppress(Exception):  # nobody is left to tell
                self._turn()
        self._outbox.give_up_hurry()

    def await_settled(self, timeout: float) -> bool:
        """Wait until all is delivered or an attempt fails; False if neither comes in time."""
        if threading.get_ident() in _sink_threads:
            return True
        return self._outbox.await_settled(timeout)

    def close(self) -> None:
        """Deliver what waits, within ``flush_timeout``; drop the rest, end the thread."""
        self.flush()
        self.stop()
        self.join(living.time_left(living.LAST_WORDS))
        super().close()

    def stop(self) -> None:
        """Take no more records, drop what waits, let the thread end; does not wait for it."""
        self._outbox.close()
        lost = self._outbox.drop_all()
        if lost:
            self._health.lost_at_the_end(lost)
        self.interrupt()

    def join(self, timeout: float) -> None:
        """Wait until the thread has ended, for some seconds at most."""
        thread = self._thread
        if thread is None:
            self.finish()
        elif thread is not threading.current_thread() and thread.ident is not None:
            thread.join(max(0.0, timeout))

    def forget_parent(self) -> None:
        """Start anew in a forked child: what waits is delivered by the parent."""
        _sink_threads.clear()  # threads of the child get the same numbers
        self._thread = None
        self._failures, self._not_before, self._asked_to_wait_until = 0, 0.0, 0.0
        self._outbox.forget_parent()
        self._health.forget_parent()

    # --- tell ------------------------------------------------------------------------------

    @property
    def counts(self) -> Counts:
        """What became of the records."""
        return self._outbox.counts

    @property
    def capacity(self) -> int:
        """Most records that wait."""
        return self._outbox.capacity

    @property
    def overflowing(self) -> bool:
        """Whether records were dropped since nothing was waiting the last time."""
        return self._outbox.overflowing

    @property
    def closed(self) -> bool:
        """Whether no record is taken any more."""
        return self._outbox.closed

    @property
    def asked_to_wait(self) -> float:
        """Seconds for which the other end asked for patience; 0 if it did not."""
        return max(0.0, self._asked_to_wait_until - time.monotonic())

    def status(self) -> str:
        """Return one line: counts and health."""
        return f"{self.title}: {self.counts}; {self._health}"

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.title} ({logging.getLevelName(self.level)})>"


def is_inner(record: logging.LogRecord) -> bool:
    """Tell whether a record was made by what delivers records, and is no report about it.

    Libraries log what they send, addresses and all: it would be sent again, and again.
    """
    if threading.get_ident() not in _sink_threads or ABOUT in record.__dict__:
        return False
    living.leave_out()
    return True
