"""The first ten minutes with a new project: what ``init`` and its README say works as it says."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest
from starters import TIMEOUT, environment, init, names_in, python
from watched import WatchedProgram

from lab_utils_mt.socket_comm import Client

NAME = "Mein Ofen"  # with a blank, as Windows users like them


class Place:
    """A new project, on a free port, with a runtime folder of its own for PID files."""

    def __init__(self, folder: Path) -> None:
        status, output, _ = init(NAME, folder)
        assert status == 0
        self.folder = folder / NAME
        self.check, self.serve = re.findall(r"^    lab-utils-mt (.*)$", output, re.MULTILINE)
        self.runtime = {"RUNTIME_DIRECTORY": str(folder)}
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]
        self.change("server.ini", "port = 1507", f"port = {self.port}")

    def change(self, name: str, before: str, after: str) -> None:
        """Edit a file of the project."""
        path = self.folder / name
        text = path.read_text(encoding="utf-8")
        assert text.count(before) == 1
        path.write_text(text.replace(before, after), encoding="utf-8")

    def run(self, line: str) -> tuple[int, str, str]:
        """Type a command line after ``lab-utils-mt``; return exit status, output, error output."""
        words = ("-m", "lab_utils_mt", *shlex.split(line))
        done = python(*words, folder=self.folder, **self.runtime)
        return done.returncode, done.stdout, done.stderr

    def send(self, line: str) -> str:
        """Send a command to the daemon; return the reply."""
        status, output, errors = self.run(f"send :{self.port} {line}")
        assert (status, errors) == (0, "")
        return output


class Daemon(WatchedProgram):
    """A daemon that somebody started by typing its line."""

    def __init__(self, place: Place, words: list[str]) -> None:
        self._place = place
        super().__init__(words, place.folder, environment(**place.runtime), TIMEOUT)

    def wait_until_it_listens(self) -> None:
        """Read the log on the console up to that line."""
        self.read_until(rf"listens on 127\.0\.0\.1:{self._place.port}\b")

    def stop(self) -> tuple[int, str]:
        """Press Ctrl-C, or say quit on Windows; return exit status and error output."""
        return self.interrupt(self._quit)

    def _quit(self) -> None:
        assert self._place.send("quit") == "Goodbye!\n"


@contextlib.contextmanager
def running(place: Place, line: str) -> Iterator[Daemon]:
    """Run a daemon in this block, by what is typed after ``lab-utils-mt``."""
    daemon = Daemon(place, [sys.executable, "-m", "lab_utils_mt", *shlex.split(line)])
    try:
        daemon.wait_until_it_listens()
        yield daemon
    finally:
        daemon.kill()


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Return a new project."""
    return Place(tmp_path)


def test_a_new_project_is_in_order(place: Place) -> None:
    """Every line of the check says so, and nothing is left of it."""
    before = names_in(place.folder)
    status, output, errors = place.run(place.check)
    assert (status, errors) == (0, ""), output
    assert "FAILED" not in output
    assert output.count("ok") >= 4
    assert names_in(place.folder) == before


def test_the_check_tells_what_is_wrong_with_it(place: Place) -> None:
    """A misspelt key, and a module that cannot be imported: both, with what to do."""
    place.change("server.ini", "max_clients = 256", "max_client = 256")
    place.change("mein_ofen.py", "import math\n", "import maths\n")
    status, output, errors = place.run(place.check)
    assert status == 1
    assert "Traceback" not in output + errors
    assert re.search(r"FAILED .*max_client\b", output + errors)
    assert re.search(r"FAILED .*maths", output + errors)


def test_it_serves_until_ctrl_c(place: Place) -> None:
    """As its README tells: help, heat, read, status; then the log is in its folder."""
    with running(place, place.serve) as daemon:
        assert "heat" in place.send("help")
        assert place.send("heat 150") == "going to 150 degC\n"
        assert 20 <= float(place.send("read")) < 150
        assert "server: MeinOfen" in place.send("status")
        status, _, errors = place.run(f"send :{place.port} heat 1000")
        assert (status, errors.startswith("Error! argument celsius: ")) == (1, True)
        status, output, errors = place.run(place.serve)  # a second one
        assert (status, "Traceback" in output + errors) == (1, False)
        assert "is held by" in errors
        status, errors = daemon.stop()
    assert (status, errors) == (0, "")
    (file,) = (place.folder / "logs").iterdir()
    assert file.name.startswith("mein_ofen_")
    assert "listens on" in file.read_text(encoding="utf-8")
    assert not list(place.folder.parent.rglob("*.pid"))


def test_its_readings_get_into_the_database(place: Place, database_dsn: str) -> None:
    """By the two edits that the README tells."""
    place.change("database.ini", "dsn =\n", f"dsn = {database_dsn}\n")
    place.change("mein_ofen.py", '1.0, device="oven")', '1.0, device="oven", table="mein_ofen")')
    with_database = f"{place.serve} --database database.ini"
    status, output, errors = place.run(f"{with_database} --check")
    assert (status, "Traceback" in errors) == (0, False), output
    with running(place, with_database) as daemon:
        with Client(port=place.port) as client, client.watch("temperature") as readings:
            next(iter(readings))
        status, errors = daemon.stop()
    assert (status, "Traceback" in errors) == (0, False)
    with contextlib.closing(psycopg2.connect(database_dsn)) as session, session.cursor() as cursor:
        cursor.execute("SELECT min(celsius), max(celsius), count(*) > 0 FROM mein_ofen")
        assert cursor.fetchone() == (20.0, 20.0, True)


@pytest.mark.skipif(sys.platform != "win32", reason="a .cmd file is for Windows")
def test_the_cmd_file_runs_it_from_anywhere(place: Place) -> None:
    """Also where the path has a blank in it, as here."""
    daemon = Daemon(place, ["cmd", "/d", "/c", str(place.folder / "mein_ofen.cmd")])
    try:
        daemon.wait_until_it_listens()
        assert place.send("read") == "20.0\n"
        assert daemon.stop()[0] == 0
    finally:
        daemon.kill()


@pytest.mark.skipif(sys.platform == "win32", reason="this is Linux's")
def test_its_unit_is_the_one_that_service_install_writes(place: Place, tmp_path: Path) -> None:
    """Word for word; systemctl agrees to everything here, and knows no such unit yet."""
    for name in ("systemctl", "loginctl"):
        (tmp_path / name).write_text("#!/bin/sh\necho LoadState=not-found\n", encoding="utf-8")
        (tmp_path / name).chmod(0o755)
    words = ["-m", "lab_utils_mt", "service", "install", "mein_ofen", *shlex.split(place.serve)[1:]]
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    done = python(*words, folder=place.folder, PATH=path, XDG_CONFIG_HOME=str(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")
    installed = (tmp_path / "systemd" / "user" / "mein_ofen.service").read_text(encoding="utf-8")
    assert (place.folder / "mein_ofen.service").read_text(encoding="utf-8") == installed
