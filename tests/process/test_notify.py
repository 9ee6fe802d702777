"""Does systemd hear what it must: ready, alive, stopping?"""

from __future__ import annotations

import itertools
import os
import socket
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from daemons import TIMEOUT, Line, Stage, wait_until

from lab_utils_mt._process.notify import Notifier
from lab_utils_mt.commands import poll
from lab_utils_mt.socket_comm import Server

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no unix sockets")


class Systemd:
    """The other end of the socket, as systemd has it."""

    def __init__(self, address: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(address.replace("@", "\0", 1) if address.startswith("@") else address)
        self._socket.settimeout(TIMEOUT)

    def hear(self) -> list[str]:
        """Return the lines of the next datagram."""
        return self._socket.recv(4096).decode().split("\n")

    def hear_until(self, line: str) -> list[list[str]]:
        """Return datagrams up to the one with this line."""
        heard = [self.hear()]
        while line not in heard[-1]:
            heard.append(self.hear())
        return heard

    def hears_within(self, seconds: float) -> bool:
        """Tell whether a datagram comes so soon."""
        self._socket.settimeout(seconds)
        try:
            self.hear()
        except TimeoutError:
            return False
        finally:
            self._socket.settimeout(TIMEOUT)
        return True

    def close(self) -> None:
        """Be gone."""
        self._socket.close()


@pytest.fixture(params=["path", "abstract"])
def systemd(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Systemd]:
    """Return who listens at $NOTIFY_SOCKET."""
    if request.param == "abstract" and sys.platform != "linux":
        pytest.skip("only Linux has abstract sockets")
    address = f"@lab-{uuid.uuid4().hex}" if request.param == "abstract" else f"{tmp_path}/notify"
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    monkeypatch.delenv("WATCHDOG_USEC", raising=False)
    monkeypatch.delenv("WATCHDOG_PID", raising=False)
    other_end = Systemd(address)
    yield other_end
    other_end.close()


@pytest.fixture
def watched(systemd: Systemd, monkeypatch: pytest.MonkeyPatch) -> Systemd:
    """Let systemd want to hear from this process every 0.4 s."""
    monkeypatch.setenv("WATCHDOG_USEC", "400000")
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    return systemd


class Daemon:
    """A server whose start_daemon() runs in a thread."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self._thread = threading.Thread(target=server.start_daemon)
        self._thread.start()

    def __enter__(self) -> Daemon:
        return self

    def __exit__(self, *_: object) -> None:
        self.server.close()
        self._thread.join(TIMEOUT)
        assert not self._thread.is_alive()


def test_ready_is_told_once_clients_are_answered(systemd: Systemd, pid_file: str) -> None:
    """And where; the stop is told, too."""
    with Daemon(Stage(pid_file_name=pid_file, port=0)) as daemon:
        assert systemd.hear() == ["READY=1", f"STATUS=Stage listens on {daemon.server.address}"]
        with Line(daemon.server) as line:
            assert line.ask("echo hello") == "hello"
            assert line.ask("quit") == "Goodbye!"
    # stop_timeout is 5 s, and the stop has some more steps.
    told = ["STOPPING=1", "EXTEND_TIMEOUT_USEC=30000000", "STATUS=stopping"]
    assert systemd.hear() == told


def test_the_stop_is_told_before_it_waits_for_a_command(systemd: Systemd, pid_file: str) -> None:
    """Systemd need not wonder why the daemon is still there."""
    stage = Stage(pid_file_name=pid_file, port=0)
    stage.stop_timeout = TIMEOUT
    with Daemon(stage), contextless(stage) as line:
        systemd.hear()
        line.send(b"hold\n")
        assert stage.waiting.acquire(timeout=TIMEOUT)
        stage.quit_flag = True
        assert systemd.hear()[0] == "STOPPING=1"
        stage.gate.set()
        assert line.line() == b"held\n"


def contextless(stage: Stage) -> Line:
    """Return a line to a server that listens soon."""
    wait_until(lambda: stage.address, "listening")
    return Line(stage)


def test_ready_waits_for_the_pollers(systemd: Systemd, pid_file: str) -> None:
    """What reads by itself reads when the daemon says that it is ready."""
    begun = threading.Event()

    class Bridge(Server):
        @poll(every=0.01)
        def temperature(self) -> float:
            """A temperature."""
            begun.set()
            return 4.2

    with Daemon(Bridge(pid_file_name=pid_file, port=0)):
        assert systemd.hear()[0] == "READY=1"
        assert begun.wait(TIMEOUT)


def test_a_failed_start_tells_nothing(systemd: Systemd, pid_file: str) -> None:
    """Its exit status does."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        server = Stage(pid_file_name=pid_file, host="127.0.0.1", port=taken.getsockname()[1])
        with pytest.raises(OSError, match="cannot listen"):
            server.start_daemon()
    assert not systemd.hears_within(0.05)


def test_serve_forever_tells_nothing(systemd: Systemd, stage: Stage) -> None:
    """A program that serves beside other things is not its server alone."""
    with Line(stage) as line:
        assert line.ask("echo hello") == "hello"
    assert not systemd.hears_within(0.05)


def test_the_watchdog_hears_a_quiet_server(watched: Systemd, pid_file: str) -> None:
    """However seldom the server looks after the rest, and no more often than that."""
    actions = []

    class Quiet(Stage):
        socket_timeout = 60.0

        def service_actions(self) -> None:
            super().service_actions()
            actions.append(time.monotonic())

    with Daemon(Quiet(pid_file_name=pid_file, port=0)) as daemon:
        assert watched.hear()[0] == "READY=1"
        assert [watched.hear() for _ in range(4)] == [["WATCHDOG=1"]] * 4
        assert actions == []
        daemon.server.close()
    assert watched.hear_until("STOPPING=1")[-1][-1] == "STATUS=stopping"
    assert not watched.hears_within(0.5)  # systemd would wait for the next one


def test_service_actions_keep_their_interval_between_the_beats(
    watched: Systemd, pid_file: str
) -> None:
    """They are the lab's own, and may count on it."""
    actions = []

    class Regular(Stage):
        socket_timeout = 0.7

        def service_actions(self) -> None:
            actions.append(time.monotonic())

    with Daemon(Regular(pid_file_name=pid_file, port=0)):
        wait_until(lambda: len(actions) >= 3)
        steps = [after - before for before, after in itertools.pairwise(actions)]
        assert min(steps[:2]) >= 0.69


def test_the_watchdog_hears_nothing_from_service_actions_that_hang(
    watched: Systemd, pid_file: str
) -> None:
    """Then systemd starts the daemon anew."""
    hangs, go_on = threading.Event(), threading.Event()

    class Hanging(Stage):
        socket_timeout = 0.01

        def service_actions(self) -> None:
            if hangs.is_set():
                go_on.wait(TIMEOUT)

    with Daemon(Hanging(pid_file_name=pid_file, port=0)):
        watched.hear_until("WATCHDOG=1")
        hangs.set()
        wait_until(lambda: not watched.hears_within(0.8), "silence")
        go_on.set()
        assert watched.hear() == ["WATCHDOG=1"]


@pytest.mark.parametrize(
    ("microseconds", "process"),
    [("400000", "1"), ("0", None), ("", None), ("soon", None), ("-4", None), (None, None)],
)
def test_nobody_watches(
    systemd: Systemd, monkeypatch: pytest.MonkeyPatch, microseconds: str | None, process: str | None
) -> None:
    """Or somebody watches the process that started this one."""
    for name, value in (("WATCHDOG_USEC", microseconds), ("WATCHDOG_PID", process)):
        if value is not None:
            monkeypatch.setenv(name, value)
    notifier = Notifier()
    notifier.beat()
    notifier.ready("here")
    assert systemd.hear() == ["READY=1", "STATUS=here"]


def test_a_watchdog_without_a_process_is_ours(
    systemd: Systemd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So says sd_watchdog_enabled(3)."""
    monkeypatch.setenv("WATCHDOG_USEC", "30000000")
    assert Notifier().period == 15.0


def test_a_status_is_one_line(systemd: Systemd) -> None:
    """A further line would be an order to systemd."""
    Notifier().ready("here\nMAINPID=1")
    assert systemd.hear() == ["READY=1", "STATUS=here MAINPID=1"]


@pytest.mark.parametrize(
    "address", ["", "relative", "vsock:2:1234", "/no/such/socket", "@", "/" * 200]
)
def test_whoever_cannot_be_told_hurts_nobody(
    monkeypatch: pytest.MonkeyPatch, pid_file: str, address: str
) -> None:
    """A daemon serves all the same."""
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    monkeypatch.setenv("WATCHDOG_USEC", "20000")
    stage = Stage(pid_file_name=pid_file, port=0)
    with Daemon(stage), contextless(stage) as line:
        assert line.ask("echo hello") == "hello"


def test_a_full_queue_holds_nobody_up(
    systemd: Systemd, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is said once."""
    monkeypatch.setenv("WATCHDOG_USEC", "400000")
    notifier = Notifier()
    for _ in range(2000):
        notifier.beat()
    assert caplog.text.count("systemd cannot be told WATCHDOG=1") == 1


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_says_nothing(systemd: Systemd) -> None:
    """It is not the daemon."""
    notifier = Notifier()
    child = os.fork()
    if not child:
        notifier.ready("a child")
        os._exit(0)
    os.waitpid(child, 0)
    assert not systemd.hears_within(0.05)
