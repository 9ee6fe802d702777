"""The examples, run as a user would: in processes of their own, stopped with Ctrl-C."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from systems import needs_embedded, own_words
from watched import WatchedProgram

import lab_utils_mt
from lab_utils_mt.database import Database, EmbeddedPostgres
from lab_utils_mt.socket_comm import Client

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
TIMEOUT = 60.0  # seconds; only a hang lasts longer


class Place:
    """A folder where examples are started, with a runtime folder of its own for PID files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {
            **os.environ,
            "PYTHONPATH": str(Path(lab_utils_mt.__file__).parents[1]),
            "RUNTIME_DIRECTORY": str(folder),
        }
        # A free port, and the real one is in the log.
        (folder / "server.ini").write_text("[Overall]\nhost = 127.0.0.1\nport = 0\n")

    def run(self, name: str, *words: str) -> tuple[int, str, str]:
        """Run an example to its end; return exit status, output and error output."""
        return self.run_python(str(EXAMPLES / name), *words)

    def run_python(self, *words: str) -> tuple[int, str, str]:
        """Run a program to its end; return exit status, output and error output."""
        done = subprocess.run(
            [sys.executable, *words],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
        return done.returncode, done.stdout, own_words(done.stderr)


class Daemon(WatchedProgram):
    """An example server, running."""

    def __init__(self, place: Place, *words: str, name: str = "cryostat_server.py") -> None:
        self._place = place
        line = [sys.executable, str(EXAMPLES / name), *words, "--config", "server.ini"]
        super().__init__(line, place.folder, place.environment, TIMEOUT)
        self.port = self.read_until(r"listens on 127\.0\.0\.1:(\d+)")[1]

    def ask(self, *words: str) -> tuple[int, str]:
        """Run the example client; return exit status and output."""
        where = ("--host", "127.0.0.1", "--port", self.port)
        status, output, errors = self._place.run("cryostat_client.py", *where, *words)
        assert errors == ""
        return status, output

    def stop(self) -> tuple[int, str]:
        """Press Ctrl-C, or say quit on Windows; return exit status and error output."""
        return self.interrupt(self._quit)

    def _quit(self) -> None:
        assert self.ask("quit") == (0, "Goodbye!\n")


@pytest.fixture
def place() -> Iterator[Place]:
    """Return a folder that the embedded PostgreSQL's own user may enter, too."""
    folder = Path(tempfile.mkdtemp(prefix="lab-"))
    folder.chmod(0o755)
    yield Place(folder)
    shutil.rmtree(folder)


@pytest.fixture
def start(place: Place) -> Iterator[Callable[..., Daemon]]:
    """Return a function that starts an example server with options."""
    started: list[Daemon] = []

    def start(*words: str, name: str = "cryostat_server.py") -> Daemon:
        started.append(Daemon(place, *words, name=name))
        return started[-1]

    yield start
    for daemon in started:
        daemon.kill()


@pytest.mark.parametrize("name", ["cryostat_server.py", "cryostat_client.py", "stage_server.py"])
def test_an_example_is_short_and_explains_itself(place: Place, name: str) -> None:
    """Fewer than 60 lines, and --help works."""
    text = (EXAMPLES / name).read_text(encoding="utf-8")
    assert len(text.splitlines()) < 60
    assert f"python {name}" in text
    status, output, errors = place.run(name, "--help")
    assert (status, errors) == (0, "")
    assert f"python {name}" in output


@pytest.mark.parametrize(
    "target", ["cryostat_server:Cryostat", "stage_server:Stage", "alarm_manager:AlarmManager"]
)
def test_an_example_can_be_served(place: Place, target: str) -> None:
    """To import it starts nothing, and asks nobody for words."""
    config = str(place.folder / "server.ini")
    where = ("--folder", str(EXAMPLES), "--config", config, "--check")
    status, output, errors = place.run_python("-m", "lab_utils_mt", "serve", target, *where)
    assert (status, errors) == (0, ""), output


def test_server_and_client_without_a_database(start: Callable[..., Daemon]) -> None:
    """Read, heat, an error; Ctrl-C ends it with status 0."""
    daemon = start()
    status, output = daemon.ask("read")
    assert status == 0
    assert re.fullmatch(r"4\.\d{3} K\n", output)
    assert daemon.ask("heat", "10") == (0, "going to 10 K\n")
    for nonsense in ("nan", "1e400", "301"):
        status, reply = daemon.ask("heat", nonsense)
        assert status == 1
        assert reply.startswith("Error! argument kelvin: ")
        assert reply.splitlines()[0].endswith(" is not a number from 0 to 300 K")
    status, output = daemon.ask("haet", "10")
    assert status == 1
    assert output.startswith("Error! there is no command 'haet': did you mean heat?")
    assert daemon.stop() == (0, "")
    assert "\x1b" not in daemon.output


def test_the_sensor_can_be_watched(start: Callable[..., Daemon]) -> None:
    """Its readings come by themselves."""
    daemon = start()
    client = Client(host="127.0.0.1", port=int(daemon.port), timeout=TIMEOUT)
    with client, client.watch("sensor") as watch:
        readings = [next(watch) for _ in range(2)]
    assert all(4.0 < reading["sensor"] < 4.4 for reading in readings)
    assert daemon.stop() == (0, "")


def test_the_server_in_the_old_style(start: Callable[..., Daemon]) -> None:
    """Move, where, errors; the stage is a device of the server."""
    daemon = start(name="stage_server.py")
    assert daemon.ask("where") == (0, "0.000 mm\n")
    assert daemon.ask("move", "1.5", "--speed", "100") == (0, "at 1.500 mm\n")
    assert daemon.ask("where") == (0, "1.500 mm\n")
    for words in (["nan"], ["51"], ["1", "--speed", "0"], ["1", "--speed", "nan"]):
        status, reply = daemon.ask("move", *words)
        assert (status, reply.partition(":")[0]) == (1, "Error! ValueError")
    assert "devices:" in daemon.ask("status")[1]
    assert daemon.stop() == (0, "")


def test_quit_stops_the_server(start: Callable[..., Daemon]) -> None:
    """As it did in 0.5.x."""
    daemon = start()
    assert daemon.ask("quit") == (0, "Goodbye!\n")
    assert daemon.finish() == (0, "")


def test_a_second_server_is_refused(place: Place, start: Callable[..., Daemon]) -> None:
    """One line that names the owner, exit status 1; the first one lives on."""
    daemon = start()
    status, output, errors = place.run("cryostat_server.py", "--config", "server.ini")
    assert (status, output) == (1, "")
    assert len(errors.splitlines()) == 1
    assert f"is held by {daemon.pid};" in errors
    assert daemon.ask("ping") == (0, "pong\n")


def test_readings_go_to_a_given_database(
    start: Callable[..., Daemon], database: Database, database_dsn: str
) -> None:
    """With --dsn."""
    daemon = start("--dsn", database_dsn)
    _, output = daemon.ask("read")
    assert stored(database) == [output]
    assert daemon.stop() == (0, "")


def stored(database: Database) -> list[str]:
    """Return the readings as the server replies with them."""
    with database.transaction() as session:
        cursor = session.cursor()
        cursor.execute("SELECT kelvin FROM cryostat ORDER BY time")
        return [f"{kelvin:.3f} K\n" for (kelvin,) in cursor]


@needs_embedded
def test_readings_survive_in_an_embedded_database(
    place: Place, start: Callable[..., Daemon]
) -> None:
    """With --embedded, from one start to the next."""
    answers = []
    for _ in range(2):
        daemon = start("--embedded")
        answers.append(daemon.ask("read")[1])
        assert daemon.stop() == (0, "")
    with EmbeddedPostgres(place.folder / "cryostat-data") as server:
        assert not (place.folder / "cryostat.pid").exists()
        with Database(dsn=server.dsn) as database:
            assert stored(database) == answers


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--config", "missing.ini"), "missing.ini"),
        (("--dsn", "host=127.0.0.1 port=1 user=x dbname=x"), "127.0.0.1"),
        (("--dsn", "hots=x"), "not a valid connection string"),
    ],
)
def test_what_cannot_work_is_one_line(place: Place, words: tuple[str, ...], complaint: str) -> None:
    """Exit status 1, and no PID file stays."""
    status, output, errors = place.run("cryostat_server.py", *words)
    assert (status, output) == (1, "")
    assert len(errors.splitlines()) == 1
    assert complaint in errors
    assert not list(place.folder.rglob("*.pid"))


def test_a_client_without_a_server_is_one_line(place: Place) -> None:
    """Exit status 1."""
    status, output, errors = place.run("cryostat_client.py", "--port", "1", "read")
    assert (status, output) == (1, "")
    assert len(errors.splitlines()) == 1
    assert "cannot reach a server at localhost:1" in errors


def test_the_example_settings_are_valid(place: Place) -> None:
    """The client takes host and port from them."""
    config = str(EXAMPLES / "server.ini")
    _, _, errors = place.run("cryostat_client.py", "--config", config, "--port", "1", "ping")
    assert "cannot reach a server at localhost:1" in errors


def test_a_database_that_may_not_be_changed_is_one_line(place: Place, postgres_dsn: str) -> None:
    """Whatever the server refuses."""
    dsn = f"{postgres_dsn} options='-c default_transaction_read_only=on'"
    status, output, errors = place.run("cryostat_server.py", "--dsn", dsn)
    assert (status, output) == (1, "")
    assert "Traceback" not in errors
    assert errors.splitlines()[-1].startswith("cryostat_server: cannot execute CREATE TABLE")
