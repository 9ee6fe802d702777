"""A real ``systemd --user`` of the test's own, also where the system was not booted with systemd.

It insists on three things: a folder /run/systemd/system, which it gets in a mount namespace; a
runtime folder; and a control group of its own, for it rearranges the one that it finds itself in.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

TIMEOUT = 20.0  # seconds; only a hang lasts longer
_SYSTEMD = Path("/lib/systemd/systemd")
_GROUPS = Path("/sys/fs/cgroup/systemd")  # where a container without systemd has them
# Words: the control group, then the program.
_IN_A_NAMESPACE = """
set -e
mkdir -p /run/systemd
mount -t tmpfs none /run/systemd
mkdir /run/systemd/system
echo 0 > "$1/cgroup.procs"
exec "$2" --user
"""


def why_not() -> str:
    """Say why no systemd can be had here; empty if it can."""
    if sys.platform == "win32":
        return "systemd: this is Linux's"
    if not _SYSTEMD.exists() or shutil.which("unshare") is None:
        return "no real systemd: it is not installed"
    if Path("/run/systemd/system").exists():
        return "no real systemd of the test's own: the one of this computer would be disturbed"
    if os.geteuid() != 0 or not os.access(_GROUPS, os.W_OK):
        return "no real systemd: only root can give it a control group here"
    return ""


@contextlib.contextmanager
def user_manager(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let this process have a systemd for users; everything of it lies in a folder."""
    runtime = folder / "runtime"
    runtime.mkdir(mode=0o700)
    for name, place in (("RUNTIME_DIR", runtime), ("CONFIG_HOME", "config"), ("STATE_HOME", "st")):
        monkeypatch.setenv(f"XDG_{name}", str(folder / place))
    monkeypatch.delenv("DBUS_SESSION_BUS_ADDRESS", raising=False)
    group = _GROUPS / f"lab-utils-mt-test-{os.getpid()}"
    group.mkdir()
    process = subprocess.Popen(
        ["unshare", "--mount", "sh", "-c", _IN_A_NAMESPACE, "sh", str(group), str(_SYSTEMD)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    )
    try:
        _wait_until_it_runs(process)
        yield
    finally:
        process.terminate()
        process.wait(TIMEOUT)
        assert process.stderr is not None
        process.stderr.close()
        _remove(group)


def _wait_until_it_runs(process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + TIMEOUT
    while time.monotonic() < deadline:
        if process.poll() is not None:
            assert process.stderr is not None
            pytest.skip(f"no real systemd: it ended with {process.stderr.read().strip()!r}")
        # Not is-system-running: outside of the namespace, it does not even ask.
        asked = ["systemctl", "--user", "show", "--property=Version"]
        answer = subprocess.run(asked, capture_output=True, timeout=TIMEOUT, check=False)
        if answer.returncode == 0:
            return
        time.sleep(0.05)
    pytest.skip("no real systemd: it does not come up")


def _remove(group: Path) -> None:
    """Remove a control group and those in it, once its processes are gone."""
    for inner in sorted(group.rglob("*"), reverse=True):
        if inner.is_dir():
            inner.rmdir()
    deadline = time.monotonic() + TIMEOUT
    while group.exists():
        with contextlib.suppress(OSError):
            group.rmdir()
        assert time.monotonic() < deadline, f"{group} stays behind"
        time.sleep(0.05)
