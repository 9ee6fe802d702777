"""Does a real systemd start, watch, restart and stop a real daemon by our unit?"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from daemons import wait_until
from services import BAKERY, project, run
from test_unit import ODD_NAMES
from user_manager import TIMEOUT, user_manager, why_not

import lab_utils_mt
from lab_utils_mt._service import last_words

pytestmark = [
    pytest.mark.skipif(bool(why_not()), reason=why_not() or "-"),
    pytest.mark.timeout(300),
]
INSTALL = ("install", "oven", "oven:Oven", "--config", "server.ini")


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Return once a systemd runs; its daemons find this package."""
    monkeypatch.setenv("PYTHONPATH", str(Path(lab_utils_mt.__file__).parents[1]))
    with user_manager(tmp_path, monkeypatch):
        yield


def show(*names: str) -> list[str]:
    """Return properties of the unit."""
    words = ["systemctl", "--user", "show", "oven.service", f"--property={','.join(names)}"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=TIMEOUT, check=True)
    found = dict(line.split("=", 1) for line in done.stdout.splitlines())
    return [found[name] for name in names]


def beside(place: Path, settings: str) -> None:
    """Write other settings into a file beside the unit, and let systemd read it."""
    (unit,) = (place / "config" / "systemd" / "user").glob("*.service")
    folder = unit.with_name("oven.service.d")
    folder.mkdir()
    (folder / "other.conf").write_text(f"[Service]\n{settings}", encoding="utf-8")
    words = ["systemctl", "--user", "daemon-reload"]
    subprocess.run(words, timeout=TIMEOUT, check=True, capture_output=True)


def test_a_service_from_its_installation_to_its_removal(
    systemd: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a user does it; nothing is left."""
    folder = project(tmp_path / "lab")
    status, output, errors = run(capsys, *INSTALL, "--folder", str(folder))
    assert (status, errors) == (0, "")
    assert output.splitlines()[-1] == "start it now: lab-utils-mt service start oven"
    assert run(capsys, "status", "oven")[0] == 3
    status, output, errors = run(capsys, "start", "oven")
    assert (status, errors) == (0, "")
    assert output.startswith("oven: active (running) since ")
    assert show("ActiveState", "WatchdogUSec", "Type") == ["active", "30s", "notify"]
    status, output, _ = run(capsys, "status", "oven")
    assert status == 0
    assert output.splitlines()[1].startswith("Oven listens on 127.0.0.1:")
    assert run(capsys, "stop", "oven") == (0, "oven is stopped\n", "")
    assert show("ActiveState", "Result", "ExecMainStatus") == ["inactive", "success", "0"]
    status, output, errors = run(capsys, "remove", "oven")
    assert (status, errors) == (0, "")
    assert not list((tmp_path / "config").rglob("oven*"))
    status, _, errors = run(capsys, "status", "oven")
    assert (status, len(errors.splitlines())) == (1, 1)


def test_a_killed_daemon_is_started_again(
    systemd: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """After ten seconds."""
    folder = project(tmp_path / "lab")
    run(capsys, *INSTALL, "--folder", str(folder))
    assert run(capsys, "start", "oven")[0] == 0
    first = int(show("MainPID")[0])
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: show("NRestarts", "ActiveState") == ["1", "active"], "the restart")
    assert int(show("MainPID")[0]) not in {0, first}
    _, output, _ = run(capsys, "status", "oven")
    assert "started again after faults: 1 times" in output
    assert run(capsys, "remove", "oven")[0] == 0


def test_a_daemon_that_dies_at_its_start_leaves_its_reason(
    systemd: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where start and status tell it."""
    folder = project(tmp_path / "lab")
    run(capsys, *INSTALL, "--folder", str(folder))
    (folder / "oven.py").write_text("import nobody_has_this\n", encoding="utf-8")
    status, output, errors = run(capsys, "start", "oven")
    assert (status, output, len(errors.splitlines())) == (1, "", 1)
    assert errors.startswith("service: oven did not start: ")
    assert "it imports 'nobody_has_this', which is not there" in errors
    tried = "; it is tried again every 10 s until 'lab-utils-mt service stop oven'\n"
    assert errors.endswith(tried)
    status, output, _ = run(capsys, "status", "oven")
    assert status == 3
    assert "it ended: " in output
    assert "'nobody_has_this'" in output
    assert run(capsys, "stop", "oven")[0] == 0
    assert run(capsys, "remove", "oven")[0] == 0
    assert last_words.read("oven") is None


def test_words_that_make_no_sense_are_not_tried_again(
    systemd: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A start says no such thing then."""
    run(capsys, *INSTALL, "--folder", str(project(tmp_path / "lab")))
    beside(tmp_path, "ExecStart=\nExecStart=/bin/sh -c 'exit 2'\n")
    status, _, errors = run(capsys, "start", "oven")
    assert (status, errors.endswith("service logs oven' may tell why\n")) == (1, True)
    assert "tried again" not in errors
    assert run(capsys, "remove", "oven")[0] == 0


@contextlib.contextmanager
def busy(
    place: Path, folder: Path, capsys: pytest.CaptureFixture[str], command: str
) -> Iterator[None]:
    """Run a service that is in the middle of a command, with a second for its stop."""
    (folder / "oven.py").write_text(BAKERY, encoding="utf-8")
    run(capsys, *INSTALL, "--folder", str(folder))
    beside(place, "TimeoutStopSec=1\n")
    assert run(capsys, "start", "oven")[0] == 0
    port = int(run(capsys, "status", "oven")[1].splitlines()[1].rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), TIMEOUT) as sock:
        sock.sendall(f"{command}\n".encode())
        wait_until((folder / "begun").exists, "the command")
        yield


def test_a_stop_by_force_is_told(
    systemd: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Here after a second, by a file beside the unit: the daemon cannot ask for more."""
    folder = project(tmp_path / "lab")
    with busy(tmp_path, folder, capsys, "burn 60"):
        said = "oven is stopped, but did not stop in order: timeout\n"
        assert run(capsys, "stop", "oven") == (0, said, "")
    assert run(capsys, "stop", "oven") == (0, "oven is stopped\n", "")
    assert run(capsys, "remove", "oven")[0] == 0


def test_a_daemon_gets_the_time_that_it_asks_for(
    systemd: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its stop_timeout may be longer than when the unit was written."""
    folder = project(tmp_path / "lab", "host = 127.0.0.1\nport = 0\nstop_timeout = 60\n")
    with busy(tmp_path, folder, capsys, "bake 4"):
        assert run(capsys, "stop", "oven") == (0, "oven is stopped\n", "")
    assert (folder / "baked").exists()
    assert run(capsys, "remove", "oven")[0] == 0


@pytest.mark.parametrize("name", ODD_NAMES)
def test_paths_arrive_as_they_are(
    systemd: None, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """Whatever the folder is called."""
    folder = project(tmp_path / name)
    words = ("--folder", str(folder), "--config", "server.ini")
    assert run(capsys, "install", "oven", "oven:Oven", *words)[0] == 0
    status, _, errors = run(capsys, "start", "oven")
    assert (status, errors) == (0, "")
    pid = show("MainPID")[0]
    told = Path("/proc", pid, "cmdline").read_text(encoding="utf-8").split("\0")
    assert told[told.index("--folder") + 1] == str(folder)
    assert told[told.index("--config") + 1] == str(folder / "server.ini")
    assert Path("/proc", pid, "cwd").readlink() == folder
    assert run(capsys, "remove", "oven")[0] == 0


def test_a_daemon_without_a_sign_of_life_is_replaced(
    systemd: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Here after a second, by a file beside the unit, as one changes it for good."""
    folder = project(tmp_path / "lab")
    run(capsys, *INSTALL, "--folder", str(folder))
    beside(tmp_path, "WatchdogSec=1\nRestartSec=0\n")
    assert run(capsys, "start", "oven")[0] == 0
    first = int(show("MainPID")[0])
    os.kill(first, signal.SIGSTOP)
    wait_until(lambda: show("NRestarts", "ActiveState") == ["1", "active"], "the restart")
    assert int(show("MainPID")[0]) not in {0, first}
    assert run(capsys, "remove", "oven")[0] == 0
