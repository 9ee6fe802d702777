"""Does Windows install, start, watch and stop a daemon as one of its own services?

Under Wine, its service control manager does; README.md tells what it cannot show.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import sysconfig
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from services import project, run

import lab_utils_mt
from lab_utils_mt._service import last_words
from lab_utils_mt.socket_comm import Client

if sys.platform == "win32":
    import ctypes
    import winreg

    win32service = pytest.importorskip("win32service")
    import win32api
    import win32con
    import win32event

    if not ctypes.windll.shell32.IsUserAnAdmin():
        pytest.skip("only an administrator may install services", allow_module_level=True)
else:
    pytest.skip("only Windows has these services", allow_module_level=True)

pytestmark = pytest.mark.timeout(240)
TIMEOUT = 60.0  # seconds; only a hang lasts longer
PATHS = Path(sysconfig.get_path("purelib"), "lab_utils_mt_of_the_tests.pth")
SOURCES = r"SYSTEM\CurrentControlSet\Services\EventLog\Application"


@pytest.fixture(autouse=True)
def checkout() -> Iterator[None]:
    """Let services find this package: they hear nothing of the PYTHONPATH of the tests."""
    PATHS.write_text(f"{Path(lab_utils_mt.__file__).parents[1]}\n", encoding="utf-8")
    yield
    PATHS.unlink(missing_ok=True)


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
    tmp_path /= "100% Kälte & $x's (Ω)"
    install(capsys, name, tmp_path, port)
    assert run(capsys, "status", name) == (3, f"{name}: stopped\nserves oven:Oven\n", "")
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


def test_a_package_that_services_do_not_find_is_told_at_once(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str
) -> None:
    """Such as one that only this user has: a service could not even leave a word about it."""
    PATHS.unlink()
    code = "import lab_utils_mt"
    words = [sys.executable, "-I", "-c", code]
    if subprocess.call(words, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL) == 0:
        pytest.skip("lab_utils_mt is installed for all users here")
    words = [name, "oven:Oven", "--folder", str(project(tmp_path))]
    status, output, errors = run(capsys, "install", *words)
    assert (status, output, len(errors.splitlines())) == (1, "", 1)
    assert "services do not find lab_utils_mt, or pywin32, as this user does: install" in errors
    assert "(ModuleNotFoundError: No module named 'lab_utils_mt')" in errors
    assert f"there is no service {name}" in run(capsys, "status", name)[2]


def test_stop_and_remove_need_no_settings(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str, port: int
) -> None:
    """Who gives a daemon up may have deleted them already."""
    install(capsys, name, tmp_path, port)
    assert run(capsys, "start", name)[0] == 0
    (tmp_path / "server.ini").unlink()
    assert run(capsys, "stop", name) == (0, f"{name} is stopped\n", "")
    assert not (tmp_path / "oven.pid").exists()
    assert run(capsys, "remove", name) == (0, f"removed the service {name}\n", "")


def test_a_fault_at_the_stop_is_told_and_does_not_start_it_again(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str, port: int
) -> None:
    """For Windows, it has stopped as it was told to; for a person, it left its reason."""
    install(capsys, name, tmp_path, port)
    (tmp_path / "oven.py").write_text(
        "from lab_utils_mt.socket_comm import Server\n"
        "class Oven(Server):\n"
        "    def close(self) -> None:\n"
        "        super().close()\n"
        "        raise OSError('the door does not close')\n",
        encoding="utf-8",
    )
    assert run(capsys, "start", name)[0] == 0
    with opened(name) as handle:
        status, output, _ = run(capsys, "stop", name)
        found = win32service.QueryServiceStatusEx(handle)
    assert status == 0
    assert output.startswith(f"{name} is stopped, but did not stop in order: ")
    assert "the door does not close" in output
    assert found["Win32ExitCode"] == found["ServiceSpecificExitCode"] == 0
    status, output, _ = run(capsys, "status", name)
    assert status == 3
    assert "the door does not close" in output


def test_a_thread_that_goes_on_keeps_no_process(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str, port: int
) -> None:
    """Windows ends none that has told that it stopped; it would hold its instruments for ever."""
    install(capsys, name, tmp_path, port)
    (tmp_path / "oven.py").write_text(
        "import threading, time\n"
        "from lab_utils_mt.socket_comm import Server\n"
        "class Oven(Server):\n"
        "    def start_daemon(self) -> None:\n"
        "        threading.Thread(target=time.sleep, args=(600,)).start()\n"
        "        super().start_daemon()\n",
        encoding="utf-8",
    )
    _, output, _ = run(capsys, "start", name)
    with contextlib.closing(process_of(int(output.split()[-1]))) as process:
        assert run(capsys, "stop", name)[0] == 0
        # Wine itself, unlike Windows, ends it after a minute.
        assert win32event.WaitForSingleObject(process, 45_000) == win32event.WAIT_OBJECT_0


def test_what_runs_at_the_exit_is_not_cut(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str, port: int
) -> None:
    """Such as a magnet that is ramped down, or an embedded database that stops."""
    install(capsys, name, tmp_path, port)
    (tmp_path / "oven.py").write_text(
        "import atexit, time\n"
        "from pathlib import Path\n"
        "from lab_utils_mt.socket_comm import Server\n"
        "class Oven(Server):\n"
        "    pass\n"
        "def cool_down() -> None:\n"
        "    time.sleep(8)\n"
        "    Path('cold').touch()\n"
        "atexit.register(cool_down)\n",
        encoding="utf-8",
    )
    _, output, _ = run(capsys, "start", name)
    with contextlib.closing(process_of(int(output.split()[-1]))) as process:
        assert run(capsys, "stop", name)[0] == 0
        assert win32event.WaitForSingleObject(process, 45_000) == win32event.WAIT_OBJECT_0
    assert (tmp_path / "cold").exists()


def process_of(number: int) -> Any:
    """Open a process, to wait for its end."""
    return win32api.OpenProcess(win32con.SYNCHRONIZE, False, number)


def test_the_computer_waits_for_it_before_it_shuts_down(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str, port: int
) -> None:
    """For longer than it does by itself: 10 s, or three minutes of older ones."""
    install(capsys, name, tmp_path, port, "stop_timeout = 300\n")
    with opened(name) as handle:
        level = win32service.SERVICE_CONFIG_PRESHUTDOWN_INFO
        assert win32service.QueryServiceConfig2(handle, level) > 300_000


def test_a_python_that_is_gone_is_told(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str, port: int
) -> None:
    """It could not leave a word itself."""
    install(capsys, name, tmp_path, port)
    PATHS.unlink()
    status, _, errors = run(capsys, "start", name)
    assert (status, len(errors.splitlines())) == (1, 1)
    assert "its Python does not come up: if it was moved or changed, remove the service" in errors


def test_an_event_source_of_another_program_stays_as_it_is(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str, port: int
) -> None:
    """Should it be called like the service."""
    path = rf"{SOURCES}\{name}"
    winreg.SetValue(winreg.HKEY_LOCAL_MACHINE, path, winreg.REG_SZ, "another's")
    try:
        install(capsys, name, tmp_path, port)
        winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, rf"{SOURCES}\lab_utils_mt.{name}").Close()
        assert run(capsys, "remove", name)[0] == 0
        assert winreg.QueryValue(winreg.HKEY_LOCAL_MACHINE, path) == "another's"
    finally:
        winreg.DeleteKey(winreg.HKEY_LOCAL_MACHINE, path)
    with pytest.raises(FileNotFoundError):
        winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, rf"{SOURCES}\lab_utils_mt.{name}")


def test_a_user_who_logs_off_stops_no_service() -> None:
    """Windows tells it to services, as an event like Ctrl-Break."""
    from lab_utils_mt._service.windows_host import is_of_users

    assert [is_of_users(event) for event in range(7)] == [False] * 5 + [True] * 2
