"""How does one run of the demo go, from an empty database to the verdict?"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from ..database import Database, EmbeddedPostgres
from ..exceptions import LabUtilsError
from .crew import Crew, share
from .cryostat_server import Cryostat
from .instruments import COLD_AFTER, Report
from .interrupts import Interrupts, spared
from .picture import draw
from .readings import Count, Readings
from .screen import Row, Screen

_START_TIMEOUT = 120.0  # seconds for all clients to start
_OVERDUE = 30.0  # seconds after which clients that do not come to an end are given up
_LOOK = 0.1  # seconds
_MOST_SESSIONS = 16
_STORY = 1800.0  # seconds in the cryostat that a run shows: it gets cold in half of them


class Trial:
    """One run. Each step leaves on a stack what undoes it.

    Args:
        options: Those of the demo.
        screen: Where the user looks.
        interrupts: Asked between the steps.
    """

    def __init__(self, options: argparse.Namespace, screen: Screen, interrupts: Interrupts) -> None:
        self.options, self._screen, self._interrupts = options, screen, interrupts
        self._kept = False  # set once there is something worth keeping
        self._folder: Path | None = None  # of the embedded PostgreSQL, if it is to be kept

    def run(self) -> int:
        """Do all; return the exit status.

        Raises:
            Interrupted: Before there was anything to tell.
            LabUtilsError: A step failed.
            OSError: Likewise.
        """
        with contextlib.ExitStack() as stack:
            dsn = self.options.dsn or self._start_postgres(stack)
            readings = self._make_table(stack, dsn)
            server, stop_server = self._start_server(stack, dsn, readings.table)
            crew = self._start_clients(stack, server.port)
            seconds = self._watch(crew, server)
            report = crew.finish(_OVERDUE)
            stop_server()
            good = self._conclude(readings, report, crew.failures, seconds)
        if self._kept:
            self._tell_where(readings.table)
        return 0 if good else 1

    def _phase(self, text: str) -> None:
        self._interrupts.check()
        self._screen.phase(text)

    # --- start -----------------------------------------------------------------------------

    def _start_postgres(self, stack: contextlib.ExitStack) -> str:
        self._phase("starting PostgreSQL")
        if self.options.keep:
            self._folder = _new_folder(self.options.output)
            stack.callback(self._remove_folder, self._folder)
        postgres = EmbeddedPostgres(self._folder)
        with spared():
            postgres.start()
        stack.callback(_stop_postgres, postgres)
        return postgres.dsn

    def _remove_folder(self, folder: Path) -> None:
        if not self._kept:
            shutil.rmtree(folder, ignore_errors=True)

    def _make_table(self, stack: contextlib.ExitStack, dsn: str) -> Readings:
        self._phase("creating the table")
        database = Database(dsn=dsn, maxconn=2)
        database.connect()
        stack.callback(database.close)
        readings = Readings(database, own_database=not self.options.dsn)
        readings.make()
        if self.options.dsn:
            stack.callback(self._drop, readings)
        return readings

    def _drop(self, readings: Readings) -> None:
        if not self._kept:
            readings.drop()

    def _start_server(
        self, stack: contextlib.ExitStack, dsn: str, table: str
    ) -> tuple[Cryostat, Callable[[], None]]:
        self._phase("starting the cryostat server")
        # A folder of its own: several demos may run at once.
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="lab_utils_mt-demo-"))
        server = Cryostat(
            Database(dsn=dsn, maxconn=min(self.options.clients, _MOST_SESSIONS)),
            table,
            speed=self._speed,
            pid_file_name=str(Path(folder, "cryostat.pid")),
            host="127.0.0.1",
            port=0,
        )
        stack.enter_context(server)
        thread = threading.Thread(target=server.serve_forever, name="cryostat")
        thread.start()

        def stop() -> None:
            server.close()
            thread.join()

        stack.callback(stop)
        return server, stop

    @property
    def _speed(self) -> float:
        return float(_STORY / self.options.seconds)

    def _start_clients(self, stack: contextlib.ExitStack, port: int) -> Crew:
        tasks = share(self.options.clients, port, self.options.seconds)
        processes = _many(len(tasks), "process", "processes")
        self._phase(f"starting {_many(self.options.clients, 'client')} in {processes}")
        crew = stack.enter_context(Crew(tasks, self._interrupts.check))
        crew.start(_START_TIMEOUT)
        return crew

    # --- work ------------------------------------------------------------------------------

    def _watch(self, crew: Crew, server: Cryostat) -> float:
        """Show the progress until all clients are through; return the seconds that it took."""
        self._phase(f"reading thermometers for {self.options.seconds:g} s")
        began = time.monotonic()
        server.cool_down()
        crew.begin()
        elapsed = 0.0
        while not crew.ended and elapsed < self.options.seconds + _OVERDUE:
            time.sleep(_LOOK)
            elapsed = time.monotonic() - began
            if self._interrupts.signum:
                self._screen.phase("interrupted, counting what was done")
                return elapsed
            done = min(elapsed, self.options.seconds)
            # What the processes say is a moment old; each stored reading was a request, too.
            stored = server.stored
            requests = max(crew.requests, stored)
            figures = f"{requests:,} requests, {requests / elapsed:,.0f}/s, {stored:,} stored"
            self._screen.progress(done, self.options.seconds, figures)
        return min(max(elapsed, _LOOK), float(self.options.seconds))

    # --- end -------------------------------------------------------------------------------

    def _conclude(
        self, readings: Readings, report: Report, failures: list[str], seconds: float
    ) -> bool:
        """Count, draw and tell; return whether all is well."""
        self._screen.phase("counting the readings in the database")
        count = readings.count(report)
        self._kept = self.options.keep and count.stored > 0
        if self._interrupts.signum and not report.requests:
            return False
        wrong = count.lost or count.duplicates or report.strays or failures
        good = count.stored > 0 and not wrong
        flawless = good and not report.errors
        self._screen.table(_rows(self.options.clients, seconds, report, count), flawless)
        self._judge(report, count, failures)
        if count.stored and not self._interrupts.signum:
            self._draw(readings, count)
        return good

    def _draw(self, readings: Readings, count: Count) -> None:
        self._screen.phase("drawing the temperatures")
        clients = _many(self.options.clients, "client")
        changes_from = COLD_AFTER * self.options.seconds
        draw(
            self.options.output,
            readings.read_back(count.stored),
            f"Simulated cryostat: {count.stored:,} readings by {clients} at once,"
            f" read back from PostgreSQL; from {changes_from:.0f} s on, they move set points, too",
            f"; the cryostat lives {self._speed:,.0f} times faster",
        )
        self._screen.say(f"picture: {self.options.output}")

    def _judge(self, report: Report, count: Count, failures: list[str]) -> None:
        say = self._screen.say
        for failure in failures[:3]:
            say(f"a client process failed: {failure}")
        if report.errors:
            say(f"{_many(report.errors, 'request')} failed and said so, the first of them:")
            say(f"  {report.first_error}")
        if report.strays:
            say("FAILED: a client got a reply that was not for it")
        elif not count.stored:
            say("FAILED: no reading was stored")
        elif count.lost or count.duplicates:
            say("FAILED: the database does not hold what the clients were told")
        elif failures:
            say("FAILED: what these clients were told is not known")
        elif self._interrupts.signum:
            say("every reading that a client got until then is in the database")
        else:
            say("every reading that a client got is in the database")

    def _tell_where(self, table: str) -> None:
        say = self._screen.say
        if self._folder is None:
            say(f"kept: the table {table} in the database of --dsn; remove it with")
            say(f"    DROP TABLE {table};")
            return
        say(f"kept: the folder {self._folder}; this shows the last readings:")
        for line in _SHOW.format(folder=str(self._folder), table=table).splitlines():
            say(f"    {line}")


_SHOW = """\
from lab_utils_mt.database import Database, EmbeddedPostgres
server = EmbeddedPostgres({folder!r}).start()
with Database(dsn=server.dsn) as database, database.transaction() as session:
    cursor = session.cursor()
    cursor.execute("SELECT * FROM {table} ORDER BY time DESC LIMIT 10")
    print(*cursor, sep="\\n")
server.stop()
"""


def _stop_postgres(postgres: EmbeddedPostgres) -> None:
    with spared():
        postgres.stop()


def _new_folder(output: Path) -> Path:
    """Choose where the data are kept: beside the picture."""
    if sys.platform != "win32" and os.geteuid() == 0:
        # PostgreSQL then runs as another user, for whom all parents would be opened.
        return Path(tempfile.mkdtemp(prefix=f"{output.stem}-data-", dir="/var/tmp"))
    try:
        name = tempfile.mkdtemp(prefix=f"{output.stem}-data-", dir=output.parent)
    except OSError as error:
        fault = error.strerror or error
        raise LabUtilsError(f"cannot keep the data in {output.parent}: {fault}") from error
    return Path(name).absolute()


def _many(number: int, one: str, more: str = "") -> str:
    return f"{number} {one if number == 1 else more or one + 's'}"


def _rows(clients: int, seconds: float, report: Report, count: Count) -> list[Row]:
    latencies = sorted(report.latencies)
    return [
        ("clients", clients),
        ("seconds", round(seconds, 1)),
        ("requests", report.requests),
        ("readings answered", report.acknowledged),
        (
            "other requests answered",
            report.requests - report.acknowledged - report.errors - report.strays,
        ),
        ("requests failed", report.errors),
        ("replies to others", report.strays),
        ("requests/s", round(report.requests / seconds)),
        ("latency p50 (ms)", _milliseconds(latencies, 0.5)),
        ("latency p99 (ms)", _milliseconds(latencies, 0.99)),
        ("latency max (ms)", _milliseconds(latencies, 1.0)),
        ("readings stored", count.stored),
        ("readings stored twice", count.duplicates),
        ("readings lost", count.lost),
    ]


def _milliseconds(latencies: Sequence[int], share_below: float) -> float | str:
    """Return a percentile of sorted microseconds."""
    if not latencies:
        return "-"
    return round(latencies[int(share_below * (len(latencies) - 1))] / 1000, 2)
