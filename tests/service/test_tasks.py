"""Does the Task Scheduler get what it needs, and does its daemon stop in order?

On Linux with a stand-in for ``schtasks`` that starts what the task says; the daemons are real.
"""

from __future__ import annotations

import getpass
import socket
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from daemons import TIMEOUT, wait_until
from services import BAKERY, a_service, project

import lab_utils_mt
from lab_utils_mt._cli.telephone import answers, ask_to_quit
from lab_utils_mt._service import last_words
from lab_utils_mt._service.supervision import Telephone
from lab_utils_mt._service.task_file import service_of, task_text
from lab_utils_mt._service.tasks import Tasks
from lab_utils_mt._settings import AFTER_STOP_TIMEOUT
from lab_utils_mt.exceptions import ConfigError, LabUtilsError

SPACE = "{http://schemas.microsoft.com/windows/2004/02/mit/task}"
not_there = pytest.mark.skipif(
    sys.platform == "win32", reason="Windows has other rules: no script can be called schtasks"
)


def parsed(text: str) -> dict[str, str]:
    """Return the texts of all elements by their names."""
    root = ElementTree.fromstring(text.partition("?>")[2])
    assert root.tag == f"{SPACE}Task"
    return {one.tag.removeprefix(SPACE): one.text or "" for one in root.iter()}


def test_a_users_task_starts_at_the_login_and_is_never_ended(tmp_path: Path) -> None:
    """With the rights of the user, also on battery, once at a time."""
    text = task_text(a_service(tmp_path), "LAB\\me")
    found = parsed(text)
    assert text.startswith('<?xml version="1.0" encoding="UTF-16"?>\n')
    assert "BootTrigger" not in found
    assert found["UserId"] == "LAB\\me"
    assert found["LogonType"] == "InteractiveToken"
    assert found["RunLevel"] == "LeastPrivilege"
    assert found["ExecutionTimeLimit"] == "PT0S"
    assert found["MultipleInstancesPolicy"] == "IgnoreNew"
    assert found["StopIfGoingOnBatteries"] == found["DisallowStartIfOnBatteries"] == "false"
    assert (found["Interval"], found["Count"]) == ("PT1M", "255")
    assert found["WorkingDirectory"] == str(tmp_path)


def test_a_tasks_of_the_system_starts_with_the_computer(tmp_path: Path) -> None:
    """As the system's own account."""
    found = parsed(task_text(a_service(tmp_path, system=True), "LAB\\me"))
    assert "LogonTrigger" not in found
    assert found["BootTrigger"] == ""
    assert found["UserId"] == "S-1-5-18"
    assert found["Arguments"].endswith("--service oven --system")


@pytest.mark.parametrize(
    "name", ["plain", "two words", "a & b <c>", 'O\'Brien "x"', "Kälte-Ω", "100%", "$x"]
)
def test_a_task_gives_back_what_it_was_told(tmp_path: Path, name: str) -> None:
    """Also as schtasks writes it, with another line about its encoding."""
    folder = tmp_path / name
    changes: dict[str, Any] = {"folder": folder, "config": folder / "server.ini"}
    service = a_service(tmp_path, **changes)
    text = task_text(service, "LAB\\Jörg & Co")
    assert service_of(text) == service
    assert service_of("\r\n" + text.replace("\n", "\r\n")) == service
    assert parsed(text)["Command"] == sys.executable


@pytest.mark.parametrize(
    "text", ["", "nonsense", "<Task/>", "<Task><Documentation>{}</Documentation></Task>"]
)
def test_a_task_of_somebody_else_is_no_service(text: str) -> None:
    """One line that says what to use."""
    with pytest.raises(LabUtilsError, match="not written by lab_utils_mt, or was changed: use"):
        service_of(text)


def test_what_no_task_can_hold_is_refused(tmp_path: Path) -> None:
    """XML has no control characters."""
    with pytest.raises(ConfigError, match="cannot be written in a task: rename it"):
        task_text(a_service(tmp_path, folder=tmp_path / "a\x01b"), "me")


@pytest.mark.parametrize("name", ["a%TEMP%b", "$(Arg0)"])
@pytest.mark.parametrize("part", ["folder", "config", "python"])
def test_what_the_task_scheduler_would_replace_is_refused(
    tmp_path: Path, name: str, part: str
) -> None:
    """It has no way to write such a name."""
    with pytest.raises(ConfigError, match=r"where %\.\.\.% and \$\(\) mean something else"):
        task_text(a_service(tmp_path, **{part: tmp_path / name / "x"}), "me")


@pytest.mark.skipif(sys.platform != "win32", reason="only Windows has these tasks")
@pytest.mark.parametrize("system", [False, True])
def test_windows_takes_the_file(tmp_path: Path, system: bool) -> None:
    """Its own schtasks does; Wine's understands less, but refuses what is no task."""
    title = f"\\lab_utils_mt\\test-{uuid.uuid4().hex}"
    good, bad = tmp_path / "good.xml", tmp_path / "bad.xml"
    service = a_service(tmp_path / "Kälte & Co", system=system)
    good.write_text(task_text(service, getpass.getuser()), encoding="utf-16")
    bad.write_text("<Task/>", encoding="utf-16")
    words = ["schtasks", "/Create", "/TN", title, "/XML"]
    assert status_of([*words, str(good)]) == 0
    assert status_of(["schtasks", "/Delete", "/TN", title, "/F"]) == 0
    assert status_of([*words, str(bad)]) != 0


def status_of(words: list[str]) -> int:
    """Return a program's exit status; under Wine its services would keep a pipe open."""
    return subprocess.call(
        words,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        timeout=30.0,
    )


@pytest.fixture
def tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tasks:
    """Return the tasks of a stand-in for schtasks."""
    programs = tmp_path / "programs"
    programs.mkdir()
    script = Path(__file__).with_name("scheduler.py")
    (programs / "schtasks").write_text(f'#!/bin/sh\nexec "{sys.executable}" "{script}" "$@"\n')
    (programs / "schtasks").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    monkeypatch.setenv("LAB_TASKS", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("PYTHONPATH", str(Path(lab_utils_mt.__file__).parents[1]))
    return Tasks(system=False, telephone=Telephone(answers, ask_to_quit))


def settings() -> str:
    """Return settings with a port that is free now."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return f"host = 127.0.0.1\nport = {sock.getsockname()[1]}\n"


@not_there
def test_a_task_from_its_installation_to_its_removal(tasks: Tasks, tmp_path: Path) -> None:
    """Its daemon ends with its own ``quit``, so it stops in order."""
    folder = project(tmp_path / "lab", f"{settings()}pid_file_name = {tmp_path / 'oven.pid'}\n")
    service = a_service(folder, config=folder / "server.ini")
    (line,) = tasks.install(service)
    assert line == "installed the task \\lab_utils_mt\\oven; it starts with your login"
    with pytest.raises(LabUtilsError, match=r"a task .*oven already: remove it first"):
        tasks.install(service)
    assert not tasks.status("oven").runs
    assert tasks.start("oven") == ["oven runs"]
    state = tasks.status("oven")
    assert (state.runs, state.lines[0]) == (True, "oven: its daemon answers")
    assert "Status:   Ready" in state.lines
    assert tasks.stop("oven") == ["oven is stopped"]
    assert not (tmp_path / "oven.pid").exists()
    assert last_words.read("oven") is None
    assert tasks.start("oven") == ["oven runs"]
    assert tasks.remove("oven") == ["removed the task \\lab_utils_mt\\oven"]
    with pytest.raises(LabUtilsError, match=r"no task .*oven that you may see; .* makes one"):
        tasks.status("oven")


@not_there
def test_a_failed_start_tells_why(tasks: Tasks, tmp_path: Path) -> None:
    """By the daemon's last words."""
    folder = project(tmp_path / "lab", settings())
    (folder / "oven.py").write_text("import nobody_has_this\n", encoding="utf-8")
    tasks.install(a_service(folder, config=folder / "server.ini"))
    with pytest.raises(LabUtilsError, match=r"oven did not start: .*nobody_has_this"):
        tasks.start("oven")
    tasks.remove("oven")
    assert last_words.read("oven") is None


@not_there
def test_another_daemon_at_the_address_is_not_stopped(tasks: Tasks, tmp_path: Path) -> None:
    """One of another class."""
    folder = project(tmp_path / "lab", settings())
    tasks.install(a_service(folder, config=folder / "server.ini"))
    other = a_service(folder, name="fridge", target="oven:Fridge", config=folder / "server.ini")
    tasks.install(other)
    tasks.start("oven")
    with pytest.raises(LabUtilsError, match="There is no running instance"):
        tasks.stop("fridge")
    assert tasks.status("oven").runs
    assert not tasks.status("fridge").runs
    assert tasks.stop("oven") == ["oven is stopped"]


@not_there
def test_missing_rights_are_one_line(
    tasks: Tasks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what to do."""
    monkeypatch.setenv("LAB_TASKS_DENIED", "1")
    with pytest.raises(LabUtilsError, match=r"Access is denied\. .*'Run as administrator'"):
        tasks.install(a_service(project(tmp_path / "lab")))


@not_there
def test_logs_are_the_end_of_the_newest_file(tasks: Tasks, tmp_path: Path) -> None:
    """Of the day, as logging.ini says."""
    folder = project(tmp_path / "lab", settings())
    ini = folder / "logging.ini"
    ini.write_text("[FileLogger]\nactive = yes\nlog_path = logs\nlog_basename = oven\n")
    service = a_service(folder, config=folder / "server.ini", logging=ini)
    tasks.install(service)
    assert tasks.logs("oven")[0].startswith("there is no file ")
    tasks.start("oven")
    tasks.stop("oven")
    (folder / "logs" / "oven_2001-01-01.log").write_text("old\n")
    lines = tasks.logs("oven")
    assert any("listens on 127.0.0.1" in line for line in lines)
    assert "old" not in lines
    tasks.remove("oven")
    tasks.install(a_service(folder, config=folder / "server.ini"))
    assert tasks.logs("oven") == [
        "it logs to no file: let [FileLogger] of its --logging file be active"
    ]


@not_there
@pytest.mark.parametrize("verb", ["stop", "remove"])
def test_a_stop_waits_for_running_commands(tasks: Tasks, tmp_path: Path, verb: str) -> None:
    """The daemon answers no more meanwhile, but it has not ended: no force is used."""
    folder = project(tmp_path / "lab", settings())
    (folder / "oven.py").write_text(BAKERY, encoding="utf-8")
    service = a_service(folder, config=folder / "server.ini")
    tasks.install(service)
    tasks.start("oven")
    port = int((folder / "server.ini").read_text(encoding="utf-8").split()[-1])
    with socket.create_connection(("127.0.0.1", port), TIMEOUT) as sock:
        sock.sendall(b"bake 2\n")
        wait_until((folder / "begun").exists, "the command")
        getattr(tasks, verb)("oven")
        assert (folder / "baked").exists()
    if verb == "stop":
        tasks.remove("oven")


@not_there
def test_a_daemon_that_does_not_stop_is_ended(tasks: Tasks, tmp_path: Path) -> None:
    """It is asked, and when it does not answer any more, its task is ended; both is told."""
    folder = project(tmp_path / "lab", settings())
    tasks.install(a_service(folder, config=folder / "server.ini"))
    tasks.start("oven")
    (folder / "server.ini").unlink()  # so nobody knows any more where it answers
    (line,) = tasks.stop("oven")
    assert line == "oven was ended by force, for its daemon did not stop by itself"
    assert tasks.remove("oven") == ["removed the task \\lab_utils_mt\\oven"]


class Clock:
    """A time that passes only while somebody sleeps."""

    now = 0.0

    def monotonic(self) -> float:
        """Return it."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Let it pass."""
        self.now += seconds


@not_there
def test_a_stop_gets_the_time_that_a_daemon_may_take(
    tasks: Tasks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond stop_timeout: for threads that are cut, a database, the last log records."""
    clock = Clock()
    monkeypatch.setattr("lab_utils_mt._service.tasks.time", clock)
    limit = 3 + AFTER_STOP_TIMEOUT
    slow = Telephone(answers=lambda service: clock.now < limit - 1, quit=lambda service: True)
    folder = project(tmp_path / "lab", f"{settings()}stop_timeout = 3\n")
    tasks.install(a_service(folder, config=folder / "server.ini"))
    assert Tasks(system=False, telephone=slow).stop("oven") == ["oven is stopped"]
    assert clock.now == pytest.approx(limit - 1, abs=0.5)


@not_there
def test_an_answer_without_a_word_does_not_end_a_wait(
    tasks: Tasks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk of the temporary folder is full, for example: the daemon may still run."""
    pid_file = tmp_path / "daemon.pid"
    folder = project(tmp_path / "lab", f"{settings()}pid_file_name = {pid_file}\n")
    tasks.install(a_service(folder, config=folder / "server.ini"))
    tasks.start("oven")
    monkeypatch.setenv("LAB_TASKS_MUTE", "1")
    with pytest.raises(LabUtilsError, match=r"^schtasks said nothing: if the disk of the temp"):
        tasks.stop("oven")
    wait_until(lambda: not pid_file.exists(), "the end of the daemon")


@not_there
def test_a_task_of_the_system_is_known_as_such(tasks: Tasks, tmp_path: Path) -> None:
    """Also if --system is not said again: its last words lie elsewhere."""
    tasks.install(a_service(project(tmp_path / "lab", settings()), system=True))
    assert not tasks.system
    tasks.status("oven")
    assert tasks.system


@not_there
def test_a_copied_task_is_refused(tasks: Tasks, tmp_path: Path) -> None:
    """What is asked of it would be done to the other one."""
    tasks.install(a_service(project(tmp_path / "lab", settings())))
    (original,) = tmp_path.glob("*oven.xml")
    original.with_name(original.name.replace("oven", "copy")).write_bytes(original.read_bytes())
    with pytest.raises(LabUtilsError, match=r"copy is a copy of oven: delete it in Windows' Task"):
        tasks.stop("copy")


@not_there
def test_a_task_needs_a_port_that_is_known(tasks: Tasks, tmp_path: Path) -> None:
    """It would never be found to run."""
    folder = project(tmp_path / "lab")
    with pytest.raises(ConfigError, match=r"server\.ini: port = 0 means another one each time"):
        tasks.install(a_service(folder, config=folder / "server.ini"))
