"""Does Windows install, start, watch and stop a daemon as one of its own services?

Under Wine, its service control manager does; README.md tells what it cannot show.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from services import project, run

from lab_utils_mt._service import last_words
from lab_utils_mt.socket_comm import Client

if sys.platform == "win32":
    win32service = pytest.importorskip("win32service")
else:
    pytest.skip("only Windows has these services", allow_module_level=True)

pytestmark = pytest.mark.timeout(240)
TIMEOUT = 60.0  # seconds; only a hang lasts longer


@pytest.fixture
def name(capsys: pytest.CaptureFixture[str]) -> Iterator[str]:
    """Return the name of a service that nobody else has, and remove it if it is there."""
    name = f"lab-test-{uuid.uuid4().hex[:8]}"
    yield name
    run(capsys, "remove", name)
    last_words.forget(name, system=True)


@pytest.fixture
def port() -> int:
    """Return a port that is free now."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


def install(
    capsys: pytest.CaptureFixture[str], name: str, folder: Path, port: int, more: str = ""
) -> None:
    """Install a daemon; it must work."""
    text = f"host = 127.0.0.1\nport = {port}\npid_file_name = {folder / 'oven.pid'}\n{more}"
    project(folder, text)
    words = (name, "oven:Oven", "--config", "server.ini", "--folder", str(folder))
    status, output, errors = run(capsys, "install", *words)
    assert (status, errors) == (0, "")
    assert output.startswith(f"installed the service {name}; it starts with the computer")


def ask(port: int, line: str) -> str:
    """Return the daemon's reply."""
    with Client(host="127.0.0.1", port=port, timeout=TIMEOUT) as client:
        return client.send_message(line)


@contextlib.contextmanager
def opened(name: str) -> Iterator[object]:
    """Open a service."""
    manager = win32service.OpenSCManager(None, None, win32service.SC_MANAGER_CONNECT)
    handle = win32service.OpenService(manager, name, win32service.SERVICE_ALL_ACCESS)
    try:
        yield handle
    finally:
        win32service.CloseServiceHandle(handle)
        win32service.CloseServiceHandle(manager)


def test_a_service_from_its_installation_to_its_removal(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str, port: int
) -> None:
    """It serves, and stops in order: its PID file goes, and it has no last words."""
    install(capsys, name, tmp_path, port)
    assert run(capsys, "status", name)[0] == 3
    status, output, errors = run(capsys, "start", name)
    assert (status, errors) == (0, "")
    assert output.startswith(f"{name} runs, process ")
    assert ask(port, "ping") == "pong"
    assert (tmp_path / "oven.pid").exists()
    status, output, _ = run(capsys, "status", name)
    assert (status, output.startswith(f"{name}: running, process ")) == (0, True)
    assert run(capsys, "start", name)[0] == 0  # as it runs already
    assert run(capsys, "stop", name) == (0, f"{name} is stopped\n", "")
    assert not (tmp_path / "oven.pid").exists()
    assert last_words.read(name, system=True) is None
    assert run(capsys, "stop", name)[0] == 0
    assert run(capsys, "remove", name) == (0, f"removed the service {name}\n", "")
    status, _, errors = run(capsys, "status", name)
    assert (status, len(errors.splitlines())) == (1, 1)
    assert f"there is no service {name}: " in errors


def test_quit_ends_a_service_in_order(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str, port: int
) -> None:
    """Windows hears that it is stopped, and need not start it again."""
    install(capsys, name, tmp_path, port)
    assert run(capsys, "start", name)[0] == 0
    assert ask(port, "quit") == "Goodbye!"
    with opened(name) as handle:
        assert run(capsys, "stop", name)[0] == 0
        found = win32service.QueryServiceStatusEx(handle)
    assert found["CurrentState"] == win32service.SERVICE_STOPPED
    assert found["Win32ExitCode"] == 0


def test_a_daemon_that_dies_at_its_start_leaves_its_reason(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str, port: int
) -> None:
    """Where start and status tell it; its exit code is not zero, so Windows tries again."""
    install(capsys, name, tmp_path, port)
    (tmp_path / "oven.py").write_text("import nobody_has_this\n", encoding="utf-8")
    status, output, errors = run(capsys, "start", name)
    assert (status, output, len(errors.splitlines())) == (1, "", 1)
    assert errors.startswith(f"service: {name} did not start: ")
    assert "nobody_has_this" in errors
    with opened(name) as handle:
        found = win32service.QueryServiceStatusEx(handle)
    assert found["CurrentState"] == win32service.SERVICE_STOPPED
    assert found["Win32ExitCode"] == 1066
    assert found["ServiceSpecificExitCode"] == 1
    status, output, _ = run(capsys, "status", name)
    assert status == 3
    assert f"{name}: stopped, with status 1" in output
    assert "it ended: " in output


def test_a_stop_waits_for_running_commands(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str, port: int
) -> None:
    """Up to stop_timeout; what still runs then is cut."""
    install(capsys, name, tmp_path, port, "stop_timeout = 1.0\n")
    (tmp_path / "oven.py").write_text(
        "import time\n"
        "from lab_utils_mt.commands import command\n"
        "from lab_utils_mt.socket_comm import Server\n"
        "class Oven(Server):\n"
        "    @command\n"
        "    def bake(self) -> str:\n"
        "        time.sleep(30)\n"
        "        return 'done'\n",
        encoding="utf-8",
    )
    assert run(capsys, "start", name)[0] == 0
    with socket.create_connection(("127.0.0.1", port), TIMEOUT) as sock:
        sock.sendall(b"bake\n")
        assert run(capsys, "stop", name)[0] == 0
        assert sock.recv(100) == b""
    assert not (tmp_path / "oven.pid").exists()


def test_a_second_service_of_the_name_is_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str, port: int
) -> None:
    """One line that says what to do."""
    install(capsys, name, tmp_path, port)
    words = (name, "oven:Oven", "--folder", str(tmp_path))
    status, output, errors = run(capsys, "install", *words)
    assert (status, output, len(errors.splitlines())) == (1, "", 1)
    assert "a service of that name already: remove it first" in errors


def test_a_service_of_somebody_else_is_left_alone(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Such as Windows' own."""
    for verb in ("start", "stop", "status", "remove", "logs"):
        status, _, errors = run(capsys, verb, "EventLog")
        assert status == 1
        assert "EventLog is a service that lab_utils_mt did not install: use services" in errors


def test_its_process_is_for_windows_alone(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str, port: int
) -> None:
    """Started by hand, it says so, and does not serve."""
    install(capsys, name, tmp_path, port)
    done = subprocess.run(
        [sys.executable, "-m", "lab_utils_mt", "service", "host", name],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=TIMEOUT,
        check=False,
    )
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert f"say 'lab-utils-mt service start {name}'" in done.stderr


def test_logs_are_told(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str, port: int
) -> None:
    """Of the event log, and of the file of logging.ini."""
    install(capsys, name, tmp_path, port)
    status, output, errors = run(capsys, "logs", name)
    assert (status, errors) == (0, "")
    assert "it logs to no file: let [FileLogger]" in output
