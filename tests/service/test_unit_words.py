"""What does the daemon tell systemd that the unit's own ExecStart line starts?

Played with the socket of systemd's notifications; no systemd is needed.
"""

from __future__ import annotations

import os
import shlex
import signal
import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from services import a_service, project
from test_unit import settings

import lab_utils_mt
from lab_utils_mt._service.unit import unit_text

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="systemd: this is Linux's")
TIMEOUT = 60.0  # seconds; only a hang lasts longer


@pytest.fixture
def ear() -> Iterator[socket.socket]:
    """Return the socket that systemd has for what its services tell."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.settimeout(TIMEOUT)
        sock.bind(f"\0lab-utils-mt-{uuid.uuid4().hex}")
        yield sock


def heard_until(ear: socket.socket, word: str) -> list[str]:
    """Return all that is told, up to a word."""
    told: list[str] = []
    while word not in told:
        told += ear.recv(4096).decode("utf-8").splitlines()
    return told


def start(unit: str, ear: socket.socket, state: Path) -> subprocess.Popen[bytes]:
    """Start what a unit starts, as systemd does."""
    return subprocess.Popen(
        shlex.split(settings(unit)["ExecStart"][0]),
        cwd=settings(unit)["WorkingDirectory"][0],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={
            **os.environ,
            "PYTHONPATH": str(Path(lab_utils_mt.__file__).parents[1]),
            "NOTIFY_SOCKET": ear.getsockname().decode().replace("\0", "@"),
            "WATCHDOG_USEC": "200000",
            "XDG_STATE_HOME": str(state),
        },
    )


def test_ready_alive_and_stopping_are_told(ear: socket.socket, tmp_path: Path) -> None:
    """In this order; SIGTERM ends it with status 0."""
    folder = project(tmp_path / "lab")
    unit = unit_text(a_service(folder, config=folder / "server.ini"))
    with start(unit, ear, tmp_path / "state") as process:
        try:
            before = heard_until(ear, "READY=1")
            assert "STOPPING=1" not in before
            heard_until(ear, "WATCHDOG=1")
            process.send_signal(signal.SIGTERM)
            heard_until(ear, "STOPPING=1")
            assert process.wait(TIMEOUT) == 0
        finally:
            process.kill()


def test_a_daemon_that_cannot_start_never_says_ready(ear: socket.socket, tmp_path: Path) -> None:
    """It ends with status 1: systemd tries again."""
    folder = project(tmp_path / "lab", "port = 0\nstop_timeout = -1\n")
    unit = unit_text(a_service(folder)).replace(
        " --service", f" --config {folder / 'server.ini'} --service"
    )
    with start(unit, ear, tmp_path / "state") as process:
        assert process.wait(TIMEOUT) == 1
    ear.setblocking(False)
    with pytest.raises(BlockingIOError):
        ear.recv(4096)
