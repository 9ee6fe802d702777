"""How do readings reach their tables, whatever the database does?

By one thread. Whoever has a reading leaves it here and goes on; while the database is away,
readings wait.
"""

from __future__ import annotations

import collections
import logging
import threading
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from .._commands.telling import age
from .._commands.trouble import Trouble, explained
from .table_writing import RecorderCounts, Row, Store, TableWriter, data_type

logger = logging.getLogger("lab_utils_mt.recorder")

CAPACITY = 100_000
"""Most readings that wait."""

_BATCH = 1000  # rows in a transaction
_PAUSE = 1.0  # s between two attempts while the database is away; its pool has its own patience
_SLICE = 0.25  # s; how soon a second signal can hurry the stop
_GRACE = 0.2  # s for the thread to end that has nothing to wait for


class ReadingRecorder:
    """Stores readings in batches, in their order for each table.

    A table or column that is missing is made. While the database is away, up to
    :data:`CAPACITY` readings wait; of more, the oldest are dropped. A batch whose COMMIT is in
    doubt is counted and not written again: nothing is stored twice.

    Args:
        database: Connected by its owner, who closes it after this recorder.
        capacity: Most readings that wait.
    """

    def __init__(self, database: Store, capacity: int = CAPACITY) -> None:
        self._database = database
        self._capacity = capacity
        # Guards the tables' queues and what is below, up to the empty line.
        self._lock = threading.Lock()
        self._news = threading.Condition(self._lock)  # there is something to do
        self._tables: dict[str, TableWriter] = {}
        self._queues: dict[str, collections.deque[Row]] = {}
        self._waiting = 0  # also those that are being written
        self._dropped = 0
        self._closing = False
        self._give_up_at = float("inf")
        self._thread: threading.Thread | None = None

        # The thread's alone; others only look.
        self._counts = RecorderCounts()
        self._trouble = Trouble()
        self._dropped_before = 0

    # --- from any thread -------------------------------------------------------------------

    def declare(self, table: str, columns: Mapping[str, type]) -> None:
        """Let a table have these columns beside its ``time``.

        Args:
            table: Its name, or ``schema.table``.
            columns: Each column's type: bool, int, float, str or datetime.

        Raises:
            TypeError: A type is another one, or a column was declared with another type.
        """
        for kind in columns.values():
            data_type(kind)
        with self._lock:
            known = self._writer(table).columns
            for column, kind in columns.items():
                if known.setdefault(column, kind) is not kind:
                    raise TypeError(
                        f"table {table}: the column {column} is declared as"
                        f" {known[column].__name__} and as {kind.__name__}"
                    )

    def start(self) -> None:
        """Make the tables and begin to write; does nothing if it was called before."""
        with self._lock:
            if self._thread is not None or self._closing:
                return
            self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self._thread.start()

    def put(self, table: str, time: datetime, values: Mapping[str, Any]) -> None:
        """Leave a reading; never waits.

        Args:
            table: Where it goes.
            time: When it was taken, with a time zone.
            values: A value for each column.
        """
        with self._lock:
            if self._closing:
                self._dropped += 1
                return
            self._writer(table)
            self._queues[table].append((time, values))
            self._waiting += 1
            self._drop_surplus()
            self._news.notify()

    def close(self, timeout: float, hurried: Callable[[], bool] = lambda: False) -> None:
        """Write what waits; say what is lost then.

        Args:
            timeout: Seconds that this may take.
            hurried: Tells whether to wait no longer.
        """
        began = time.monotonic()
        with self._lock:
            self._closing = True
            self._give_up_at = began + timeout
            self._news.notify()
        self._wait_for_end(hurried)
        with self._lock:
            lost = self._waiting
        if lost:
            text = "%d readings are lost, or not confirmed: the database did not take them in %s"
            logger.error(text, lost, age(time.monotonic() - began))

    def _wait_for_end(self, hurried: Callable[[], bool]) -> None:
        thread = self._thread
        if thread is None or thread.ident is None or thread is threading.current_thread():
            return
        while thread.is_alive() and not hurried():
            left = self._give_up_at - time.monotonic()
            if left <= 0:
                break
            thread.join(min(left, _SLICE))
        with self._lock:
            self._give_up_at = min(self._give_up_at, time.monotonic())
            self._news.notify()
        thread.join(_GRACE)

    def status(self) -> list[str]:
        """Return a line that tells how it is."""
        with self._lock:
            waiting, dropped = self._waiting, self._dropped
        reason, counts = self._trouble.reason, self._counts
        state = "ok" if reason is None else f"down for {age(self._trouble.lasts)}: {reason}"
        lost = f"{dropped} dropped, {counts.refused} refused, {counts.unknown} unknown"
        return [
            f"recorder: {counts.written} readings written, {waiting} waiting, {lost}, {state}",
        ]

    def _writer(self, table: str) -> TableWriter:
        known = self._tables.get(table)
        if known is None:
            known = self._tables[table] = TableWriter(self._database, table, self._counts)
            self._queues[table] = collections.deque()
        return known

    def _drop_surplus(self) -> None:
        while self._waiting > self._capacity:
            longest = max(self._queues.values(), key=len)
            if not longest:
                return  # all of them are being written
            longest.popleft()
            self._waiting -= 1
            self._dropped += 1

    # --- its thread ------------------------------------------------------------------------

    def _run(self) -> None:
        worked = True
        while self._has_work(0.0 if worked else _PAUSE):
            worked = self._visit_all()

    def _has_work(self, pause: float) -> bool:
        """Wait for something to do, and at least for a pause; False at the end."""
        not_before = time.monotonic() + pause
        with self._lock:
            while True:
                now = time.monotonic()
                if self._closing and (not self._waiting or now >= self._give_up_at):
                    return False
                is_idle = not self._waiting and not self._is_table_missing()
                if not is_idle and now >= not_before:
                    return True
                self._news.wait(None if is_idle else max(0.01, not_before - now))

    def _is_table_missing(self) -> bool:
        return any(table.is_to_be_made for table in self._tables.values())

    def _visit_all(self) -> bool:
        """Write a batch for each table; return whether the database took part."""
        with self._lock:
            tables = list(self._tables.values())
        outcomes = [self._visit(table) for table in tables]
        if not all(outcomes):
            return False
        lasted = self._trouble.lasts
        if self._trouble.mended():
            with self._lock:
                dropped, waiting = self._dropped - self._dropped_before, self._waiting
            text = "readings are stored again after %s; %d wait still, %d were dropped"
            logger.info(text, age(lasted), waiting, dropped)
        return True

    def _visit(self, table: TableWriter) -> bool:
        """Make what is missing and write a batch; False if the database cannot just now."""
        with self._lock:
            queue = self._queues[table.name]
            rows = [queue.popleft() for _ in range(min(_BATCH, len(queue)))]
        before, worked = len(rows), True
        try:
            table.store(rows)
        except Exception as error:  # noqa: BLE001  (nothing may end this thread)
            worked = self._note_trouble(error)
        with self._lock:
            self._waiting -= before - len(rows)
            queue.extendleft(reversed(rows))
        return worked

    def _note_trouble(self, error: Exception) -> bool:
        begins = self._trouble.reason is None
        if begins:
            with self._lock:
                self._dropped_before = self._dropped
        if self._trouble.failed(explained(error)):
            logger.error(
                "readings cannot be stored, and up to %d wait: %s", self._capacity, explained(error)
            )
        return False
