"""The demo from end to end, as a user runs it."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sys
from pathlib import Path

import pytest
from programs import KILLED, World
from systems import needs_embedded, needs_keys, needs_pty, needs_sigterm

from lab_utils_mt.database import Database

if sys.platform != "win32":
    import pty

PNG = b"\x89PNG\r\n\x1a\n"
# Runs the demo in a process in which something was changed before.
CHANGED = """
import sys
from lab_utils_mt._cli.cryostat_server import Cryostat
from lab_utils_mt.__main__ import main
store = Cryostat.store
{change}
sys.exit(main(["demo", *sys.argv[1:]]))
"""
FORGETS = """
def forget(self, moment, stage, client, number, kelvin):
    if number != 7:
        store(self, moment, stage, client, number, kelvin)
Cryostat.store = forget
"""
DOUBLES = """
def double(self, moment, stage, client, number, kelvin):
    for _ in range(1 + (number == 7)):
        store(self, moment, stage, client, number, kelvin)
Cryostat.store = double
"""
NEVER_STORES = """
Cryostat.store = lambda self, *reading: None
"""
FAILS = """
def fail(self, moment, stage, client, number, kelvin):
    if number % 10 == 0:
        raise RuntimeError("the thermometer is broken")
    store(self, moment, stage, client, number, kelvin)
Cryostat.store = fail
"""


def rows(output: str) -> dict[str, float]:
    """Return the table."""
    found = re.findall(r"^([a-z][a-z0-9/ ()]+?)  +([\d.]+)$", output, re.MULTILINE)
    return {name: float(value) for name, value in found}


def test_a_short_run_loses_nothing(world: World, tmp_path: Path) -> None:
    """Exit status 0, a table that a program can read, a picture, and nothing left."""
    picture = tmp_path / "cold.png"
    status, output, errors = world.demo(
        "--seconds", "3", "--clients", "4", "--output", str(picture)
    ).finish()

    assert (status, errors) == (0, "")
    assert "\x1b" not in output
    assert output.isascii()
    table = rows(output)
    assert table["clients"] == 4
    assert table["requests"] >= table["readings answered"] > 0
    assert table["readings stored"] == table["readings answered"]
    assert table["readings lost"] == table["readings stored twice"] == table["requests failed"] == 0
    assert 0 < table["latency p50 (ms)"] <= table["latency p99 (ms)"] <= table["latency max (ms)"]
    assert picture.read_bytes().startswith(PNG)
    assert list(tmp_path.iterdir()) == [picture]
    for phase in ("creating the table", "starting 4 clients"):
        assert phase in output
    assert ("starting PostgreSQL" in output) is not bool(world.database)
    assert re.search(r"1 of 3 s: [\d,]+ requests, [\d,]+/s, [\d,]+ stored", output)


def test_more_clients_than_processes_share_them(world: World, tmp_path: Path) -> None:
    """20 clients in 16 processes, each with readings of its own."""
    status, output, errors = world.demo(
        "--seconds", "1", "--clients", "20", "--output", str(tmp_path / "a.png")
    ).finish()
    assert (status, errors) == (0, "")
    assert "starting 20 clients in 16 processes" in output
    assert rows(output)["readings lost"] == 0


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (FORGETS, {"readings lost": 2, "readings stored twice": 0}),
        (DOUBLES, {"readings lost": 0, "readings stored twice": 2}),
        (NEVER_STORES, {"readings stored": 0}),
    ],
    ids=["forgets", "doubles", "never stores"],
)
def test_a_server_that_does_not_store_what_it_answers_is_found_out(
    world: World, tmp_path: Path, change: str, expected: dict[str, float]
) -> None:
    """The check itself can fail: exit status 1."""
    script = CHANGED.format(change=change)
    words = ("--seconds", "1", "--clients", "2", "--output", str(tmp_path / "a.png"))
    status, output, _ = world.start("-c", script, *world.database, *words).finish()
    assert status == 1
    assert expected.items() <= rows(output).items()
    assert "FAILED" in output


def test_a_failed_reading_is_an_error_and_not_a_loss(world: World, tmp_path: Path) -> None:
    """Its client was told so; the first one is shown."""
    script = CHANGED.format(change=FAILS)
    words = ("--seconds", "1", "--clients", "2", "--output", str(tmp_path / "a.png"))
    status, output, errors = world.start("-c", script, *world.database, *words).finish()
    assert (status, errors) == (0, "")
    assert "Traceback" not in output
    assert output.count("log: ") == 5
    table = rows(output)
    assert table["requests failed"] > 0
    assert table["readings lost"] == 0
    assert "failed: RuntimeError: the thermometer is broken" in output
    assert "failed and said so, the first of them:" in output


@needs_keys
@pytest.mark.parametrize(
    "moment", ["starting PostgreSQL", "creating the table", "starting 4 clients", " stored"]
)
def test_ctrl_c_ends_it_cleanly(world: World, tmp_path: Path, moment: str) -> None:
    """Whenever it comes: exit status 130, one line, no traceback, nothing left."""
    demo = world.demo("--seconds", "60", "--clients", "4", "--output", str(tmp_path / "a.png"))
    demo.wait_for(moment)
    demo.interrupt()
    status, output, errors = demo.finish()

    assert (status, errors) == (130, "interrupted: everything was stopped\n")
    assert not list(tmp_path.iterdir())
    if moment == " stored":
        assert rows(output)["readings lost"] == 0
        assert rows(output)["readings stored"] > 0


@needs_pty
def test_ctrl_c_at_a_terminal(world: World, tmp_path: Path) -> None:
    """Typed, twice, while the bar moves."""
    ours, theirs = pty.openpty()
    take_terminal = (
        "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0);"
        " os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
    )
    words = ["-m", "lab_utils_mt", "demo", "--clients", "2", "--output", str(tmp_path / "a.png")]
    demo = world.start("-c", take_terminal, *words, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    screen = b""
    with contextlib.suppress(OSError):  # the end of a terminal
        while data := os.read(ours, 4096):
            screen += data
            if b"stored" in data and b"^C" not in screen:
                os.write(ours, b"\x03")
                os.write(ours, b"\x03")
    os.close(ours)

    assert demo.wait() == 130
    text = screen.decode()
    assert "readings lost" in text
    assert "interrupted: everything was stopped" in text
    assert "Traceback" not in text
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h"), "the cursor stays hidden"
    assert not list(tmp_path.iterdir())


@needs_sigterm
def test_sigterm_ends_it_cleanly_too(world: World, tmp_path: Path) -> None:
    """A service manager sends it."""
    demo = world.demo("--clients", "2", "--output", str(tmp_path / "a.png"))
    demo.wait_for("reading thermometers")
    os.kill(demo.pid, signal.SIGTERM)
    status, _, errors = demo.finish()
    assert (status, errors) == (143, "interrupted: everything was stopped\n")


def test_a_killed_demo_leaves_no_process(world: World, tmp_path: Path) -> None:
    """Clients and database end by themselves; only the folder of the PID file stays."""
    demo = world.demo("--seconds", "60", "--clients", "4", "--output", str(tmp_path / "a.png"))
    demo.wait_for("stored")
    assert len(world.processes()) >= 5
    demo.kill()
    assert demo.finish()[0] == KILLED
    world.wait_until_no_process()
    world.remove_pid_folder()


def test_nobody_reads_the_output(world: World, tmp_path: Path) -> None:
    """``demo | head -1`` ends it without a traceback."""
    demo = world.demo("--seconds", "60", "--clients", "2", "--output", str(tmp_path / "a.png"))
    demo.wait_for("creating the table")
    demo.close_output()
    status, _, errors = demo.finish()
    assert (status, errors) == (1, "")


def test_a_table_in_a_given_database_is_removed_again(
    world: World, tmp_path: Path, database: Database, database_dsn: str
) -> None:
    """Unless it is to be kept, and then its name is told."""
    database.create_timescale_db("cryostat")  # somebody else's
    words = ["--seconds", "1", "--clients", "2", "--output", str(tmp_path / "a.png")]
    status, output, errors = world.demo("--dsn", database_dsn, *words).finish()
    assert (status, errors) == (0, "")
    assert tables(database) == ["cryostat"]

    status, output, errors = world.demo("--dsn", database_dsn, "--keep", *words).finish()
    assert (status, errors) == (0, "")
    [name] = re.findall(r"kept: the table (\w+)", output)
    assert tables(database) == ["cryostat", name]
    with database.transaction() as session:
        cursor = session.cursor()
        cursor.execute(f"SELECT count(*) FROM {name}")
        assert cursor.fetchone() == (rows(output)["readings stored"],)


@needs_keys
def test_ctrl_c_removes_the_table_in_a_given_database(
    world: World, tmp_path: Path, database: Database, database_dsn: str
) -> None:
    """Even if it is to be kept, before there is a reading."""
    output = str(tmp_path / "a.png")
    demo = world.demo("--dsn", database_dsn, "--keep", "--clients", "2", "--output", output)
    demo.wait_for("starting 2 clients")
    demo.interrupt()
    assert demo.finish()[0] == 130
    assert tables(database) == []


def tables(database: Database) -> list[str]:
    """Return the names of all tables."""
    with database.transaction() as session:
        cursor = session.cursor()
        cursor.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")
        return [name for (name,) in cursor]


@needs_embedded
def test_kept_data_can_be_looked_at_again(world: World) -> None:
    """With the very lines that are printed."""
    words = ["--seconds", "1", "--clients", "2", "--output", str(world.folder / "a.png")]
    status, output, errors = world.demo("--keep", *words).finish()
    assert (status, errors) == (0, "")
    [folder] = re.findall(r"kept: the folder ([^;]+);", output)
    lines = re.findall(r"^    (.*)$", output, re.MULTILINE)
    try:
        status, shown, errors = world.start("-c", "\n".join(lines)).finish()
        assert (status, errors) == (0, "")
        assert len(shown.splitlines()) == 10
    finally:
        world.remove(folder)
        world.remove(str(world.folder / "a.png"))
