"""Does a class become a daemon by one command, also where nobody looks?"""

from __future__ import annotations

import datetime
import json
import re
import signal
import socket
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from served import THERMOMETER, TIMEOUT, Project, ask, thermometer
from systems import WINDOWS, needs_sigterm

from lab_utils_mt._service import last_words

TARGET = "thermometer:Thermometer"
no_unix_sockets = pytest.mark.skipif(WINDOWS, reason="Windows has no unix sockets")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Return a folder with a thermometer."""
    return Project(tmp_path)


@pytest.fixture
def service(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """Return the name of a service that nobody else has."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
    name = f"test-{uuid.uuid4().hex}"
    yield name
    last_words.forget(name)


# --- it serves -----------------------------------------------------------------------------


def test_a_daemon_serves_until_quit(project: Project) -> None:
    """With the settings of its file, and a log on the console."""
    with project.start(TARGET, "--config", "server.ini") as running:
        assert ask(running.port(), "read") == "4.2"
        assert "it.pid" in project.files()
        done = running.stop()
    assert (done.status, done.errors) == (0, "")
    assert "Thermometer stopped in order" in done.output
    assert "it.pid" not in project.files()


@needs_sigterm
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_stops_it_in_order(project: Project, name: str) -> None:
    """As Ctrl-C and systemd do."""
    with project.start(TARGET, "--config", "server.ini") as running:
        running.port()
        running.process.send_signal(getattr(signal, name))
        done = running.finish()
    assert (done.status, done.errors) == (0, ""), done
    assert "it.pid" not in project.files()


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", *(["SIGBREAK"] if WINDOWS else [])])
def test_a_signal_to_itself_stops_it_in_order(project: Project, name: str) -> None:
    """The way that can be tried on each system."""
    project.write(
        "thermometer.py",
        thermometer(
            "def service_actions(self):", f"    import signal; signal.raise_signal(signal.{name})"
        ),
    )
    done = project.serve(TARGET, "--config", "server.ini")
    assert (done.status, done.errors) == (0, ""), done


@needs_sigterm
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_stops_it_while_it_waits_for_its_database(project: Project, name: str) -> None:
    """Which takes the connection, and says nothing; the daemon lets go of its instruments."""
    project.write(
        "thermometer.py",
        thermometer("def quit(self):", "    print('let go', flush=True)", "    super().quit()"),
    )
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        dsn = f"host=127.0.0.1 port={port} dbname=x user=me connect_timeout={TIMEOUT:.0f}"
        project.write("database.ini", f"[Overall]\ndsn = {dsn}\n")
        words = (TARGET, "--config", "server.ini", "--database", "database.ini")
        with project.start(*words) as running:
            silent.settimeout(TIMEOUT)
            with silent.accept()[0]:
                running.process.send_signal(getattr(signal, name))
                done = running.finish()
    assert (done.status, done.errors) == (0, ""), done
    assert "let go" in done.output
    assert "it.pid" not in project.files()


def test_a_decorator_may_keep_the_constructor(project: Project) -> None:
    """What must not run at import is still the constructor afterwards."""
    project.write(
        "thermometer.py",
        f"""
def counted(cls):
    make = cls.__init__
    def init(self, *args, **kwargs):
        print("counted", flush=True)
        make(self, *args, **kwargs)
    cls.__init__ = init
    return cls

{THERMOMETER.replace("class Thermometer", "@counted" + chr(10) + "class Thermometer")}""",
    )
    with project.start(TARGET, "--config", "server.ini") as running:
        assert ask(running.port(), "read") == "4.2"
        done = running.stop()
    assert (done.status, done.errors) == (0, "")
    assert "counted" in done.output


def test_a_server_may_keep_its_database_for_later(project: Project) -> None:
    """One that it does not give to ours need not be up, and close() runs once."""
    project.write(
        "thermometer.py",
        thermometer(
            "def __init__(self, config_file, database):",
            "    super().__init__(config_file)",
            "    self.store = database",
            "def close(self):",
            "    super().close()",
            "    print('closed', flush=True)",
        ),
    )
    project.write("database.ini", "[Overall]\ndsn = host=127.0.0.1 port=1 dbname=x user=me\n")
    words = (TARGET, "--config", "server.ini", "--database", "database.ini")
    with project.start(*words) as running:
        done = running.stop()
    assert (done.status, done.errors) == (0, ""), done
    assert done.output.count("closed") == 1


def test_paths_are_relative_to_the_folder(
    project: Project, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Wherever the command is given; the log file gets the records, under the module's name."""
    project.write(
        "logging.ini", "[FileLogger]\nactive = yes\nlog_path = logs\nlog_basename = thermo\n"
    )
    options = (
        "--folder",
        str(project.folder),
        "--config",
        "server.ini",
        "--logging",
        "logging.ini",
    )
    done = project.start(TARGET, *options, cwd=tmp_path_factory.mktemp("elsewhere")).stop()
    assert (done.status, done.errors) == (0, ""), done
    (log,) = (project.folder / "logs").glob("thermo_*.log")
    messages = [
        json.loads(line)["message"] for line in log.read_text(encoding="utf-8").splitlines()
    ]
    assert "Thermometer stopped in order" in messages


def test_a_class_gets_only_what_was_given(project: Project) -> None:
    """One without any argument will do, if no option is given."""
    project.write(
        "thermometer.py",
        thermometer(
            "def __init__(self):",
            "    super().__init__(pid_file_name='own.pid', host='127.0.0.1', port=0)",
        ),
    )
    with project.start(TARGET) as running:
        assert "own.pid" in ask(running.port(), "status")
        assert running.stop().status == 0


def test_a_class_inside_another_one(project: Project) -> None:
    """In a module of a package."""
    (project.folder / "lab").mkdir()
    project.write("lab/bridge.py", f"{THERMOMETER}\n\nclass Cold:\n    Inner = Thermometer\n")
    done = project.start("lab.bridge:Cold.Inner", "--config", "server.ini").stop()
    assert done.status == 0, done


def test_a_daemon_has_its_database(project: Project, database_dsn: str) -> None:
    """Connected before it listens."""
    project.write("database.ini", f"[Overall]\ndsn = {database_dsn}\n")
    words = (TARGET, "--config", "server.ini", "--database", "database.ini")
    with project.start(*words) as running:
        assert "database server: PostgreSQL" in ask(running.port(), "status")
        assert running.stop().status == 0


@no_unix_sockets
def test_systemd_is_told(project: Project, tmp_path: Path) -> None:
    """By the program that it started: ready, alive, stopping."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(TIMEOUT)
        told = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "200000"}
        with project.start(TARGET, "--config", "server.ini", **told) as running:
            assert systemd.recv(4096).startswith(b"READY=1\nSTATUS=Thermometer listens on ")
            assert systemd.recv(4096) == b"WATCHDOG=1"
            running.process.terminate()
            while not (heard := systemd.recv(4096)).startswith(b"STOPPING=1"):
                assert heard == b"WATCHDOG=1"
            assert running.finish().status == 0


# --- services ------------------------------------------------------------------------------


def test_a_service_leaves_why_it_did_not_start(project: Project, service: str) -> None:
    """With the time; what it left is forgotten once it stopped in order."""
    project.serve("thermometer:Oven", "--service", service)
    words = last_words.read(service)
    assert words is not None
    assert re.match(
        r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d[+-]\d\d:\d\d: thermometer.py has no class", words
    )

    project.start(TARGET, "--config", "server.ini", "--service", service).stop()
    assert last_words.read(service) is None


def test_a_service_that_fails_as_before_raises_no_new_alarm(project: Project, service: str) -> None:
    """Systemd and Windows try again without end: a mail for each attempt would be a flood."""
    words = ("thermometer:Oven", "--service", service)
    assert "ERROR" in project.serve(*words).output
    again = project.serve(*words).output
    assert "WARNING" in again
    assert "ERROR" not in again
    path = last_words.place(service)
    old = datetime.datetime.now().astimezone() - datetime.timedelta(minutes=11)
    _, _, reason = path.read_text(encoding="utf-8").partition(": ")
    path.write_text(f"{old.isoformat(' ', 'seconds')}: {reason}", encoding="utf-8")
    assert "ERROR" in project.serve(*words).output
    assert "ERROR" in project.serve("thermometer:Stove", *words[1:]).output


def test_a_service_leaves_the_traceback_of_a_bug(project: Project, service: str) -> None:
    """Nobody may have seen the log."""
    project.write("thermometer.py", "raise RuntimeError('password=geheim')\n")
    project.serve(TARGET, "--service", service)
    first, *rest = str(last_words.read(service)).split("\n")
    assert "cannot import thermometer: RuntimeError" in first
    assert rest[0] == "Traceback (most recent call last):"
    assert "geheim" not in "".join(rest)


def test_a_service_of_no_name(project: Project) -> None:
    """It does not run under a name that nobody can ask for."""
    done = project.serve(TARGET, "--service", "a/b")
    assert done.status == 1
    assert "'a/b' cannot be the name of a service: use" in done.errors
