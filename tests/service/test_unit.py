"""Is the unit file what systemd understands, whatever the paths are called?"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from services import a_service, project

from lab_utils_mt._service.unit import MARK, unit_text
from lab_utils_mt.exceptions import ConfigError

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="systemd: this is Linux's")
TIMEOUT = 60.0  # seconds; only a hang lasts longer
ODD_NAMES = [
    "plain",
    "two words",
    "100%h",
    "$HOME ${x} $$",
    "O'Brien",
    'the "cold" one',
    "back\\slash",
    "Kältelabor-Ω",
    "semi;colon #4",
    "-dash =equals",
    "%%",
]


def settings(text: str) -> dict[str, list[str]]:
    """Return the values of each key of a unit file."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        key, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found.setdefault(key, []).append(value)
    return found


def test_a_user_unit_waits_watches_and_starts_again(tmp_path: Path) -> None:
    """All that the daemon and systemd agree on."""
    text = unit_text(a_service(project(tmp_path)))
    found = settings(text)
    assert text.startswith("# oven.service: the lab daemon oven:Oven.\n" + MARK)
    assert found["Type"] == ["notify"]
    assert found["NotifyAccess"] == ["main"]
    assert found["WatchdogSec"] == ["30"]
    assert found["Restart"] == ["on-failure"]
    assert found["RestartSec"] == ["10"]
    assert found["StartLimitIntervalSec"] == ["0"]  # never: "enough is enough"
    assert found["KillMode"] == ["mixed"]
    assert found["WantedBy"] == ["default.target"]
    words = ["-m", "lab_utils_mt", "serve", "oven:Oven", "--folder", str(tmp_path)]
    assert found["ExecStart"] == [" ".join([sys.executable, *words, "--service", "oven"])]


@pytest.mark.parametrize(("stop_timeout", "limit"), [(None, "30"), ("0", "25"), ("90.5", "116")])
def test_the_stop_gets_longer_than_the_server_allows_itself(
    tmp_path: Path, stop_timeout: str | None, limit: str
) -> None:
    """Whatever its settings say."""
    line = "" if stop_timeout is None else f"stop_timeout = {stop_timeout}\n"
    folder = project(tmp_path, line)
    text = unit_text(a_service(folder, config=folder / "server.ini"))
    assert settings(text)["TimeoutStopSec"] == [limit]


def test_settings_that_cannot_be_read_are_told_before_anything_is_written(tmp_path: Path) -> None:
    """Not at the first start."""
    folder = project(tmp_path, "stop_timeout = soon\n")
    with pytest.raises(ConfigError, match="stop_timeout = 'soon' is not a number"):
        unit_text(a_service(folder, config=folder / "server.ini"))


def test_a_system_unit_runs_as_the_owner_of_its_folder(tmp_path: Path) -> None:
    """And has folders for its PID file and for its last words, which its user may write to."""
    found = settings(unit_text(a_service(tmp_path, system=True)))
    assert found["User"] == [tmp_path.owner()]
    assert found["RuntimeDirectory"] == found["StateDirectory"] == ["lab_utils_mt/oven"]
    assert found["WantedBy"] == ["multi-user.target"]
    assert found["ProtectSystem"] == ["full"]
    assert found["ReadWritePaths"] == [str(tmp_path)]
    assert found["ExecStart"][0].endswith(" --service oven --system")


@pytest.mark.parametrize(("owner", "user"), [("LAB\\jo%h", "LAB\\jo%%h"), (None, "{uid}")])
def test_an_owner_of_another_kind_is_written_as_systemd_reads_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: str | None, user: str
) -> None:
    """Of a domain, with any letters; or only a number, of a network drive."""
    if sys.platform == "win32":  # for mypy
        return
    import pwd

    def entry(uid: int) -> SimpleNamespace:
        if owner is None:
            raise KeyError(uid)
        return SimpleNamespace(pw_name=owner)

    monkeypatch.setattr(pwd, "getpwuid", entry)
    found = settings(unit_text(a_service(tmp_path, system=True)))
    assert found["User"] == [user.format(uid=tmp_path.stat().st_uid)]


def test_a_user_unit_has_nothing_that_a_user_manager_cannot_do(tmp_path: Path) -> None:
    """Other users, folders outside of its own, namespaces of mounts."""
    found = settings(unit_text(a_service(tmp_path)))
    for key in ("User", "ProtectSystem", "ReadWritePaths", "PrivateTmp", "ProtectKernelModules"):
        assert key not in found
    assert found["NoNewPrivileges"] == ["yes"]


@pytest.mark.parametrize("system", [False, True])
def test_each_setting_has_its_reason(tmp_path: Path, system: bool) -> None:
    """A comment above it, or above its group."""
    text = unit_text(a_service(tmp_path, system=system))
    reasoned = False
    for line in text.partition("[Service]\n")[2].partition("[Install]")[0].splitlines():
        reasoned = reasoned and bool(line) if not line.startswith("#") else True
        assert reasoned or not line or line.startswith("WorkingDirectory="), line


def test_instruments_stay_within_reach(tmp_path: Path) -> None:
    """What would keep a daemon from serial ports, GPIB and the like is left out."""
    found = settings(unit_text(a_service(tmp_path, system=True)))
    forbidden = {"PrivateDevices", "DevicePolicy", "RestrictAddressFamilies", "ProtectHome"}
    forbidden |= {"ProtectKernelTunables", "MemoryDenyWriteExecute", "PrivateNetwork"}
    assert not forbidden & set(found)


@pytest.mark.parametrize("name", ["line\nbreak", "bell\a", "end\\", "\udcff", "ends "])
def test_what_no_unit_file_can_hold_is_refused(tmp_path: Path, name: str) -> None:
    """With what to do."""
    with pytest.raises(ConfigError, match=r"cannot be written in a unit file: rename it"):
        unit_text(a_service(tmp_path, config=None, folder=Path(f"/{name}")))


@pytest.mark.parametrize("name", ODD_NAMES)
@pytest.mark.parametrize("system", [False, True])
def test_systemd_finds_no_fault(tmp_path: Path, name: str, system: bool) -> None:
    """Asked by ``systemd-analyze verify``."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("there is no systemd-analyze here")
    folder = project(tmp_path / name)
    python = folder / "python"
    python.symlink_to(sys.executable)
    service = a_service(folder, config=folder / "server.ini", python=python, system=system)
    unit = tmp_path / "oven.service"
    unit.write_text(unit_text(service), encoding="utf-8")
    manager = "--system" if system else "--user"
    done = subprocess.run(
        ["systemd-analyze", manager, "verify", "--man=no", str(unit)],
        capture_output=True,
        encoding="utf-8",
        timeout=TIMEOUT,
        check=False,
        env={"PATH": "/usr/bin:/bin", "XDG_RUNTIME_DIR": str(tmp_path), "HOME": str(tmp_path)},
    )
    said = done.stderr.splitlines()
    # The tests themselves may run as nobody, who owns the folder then.
    about_ours = [line for line in said if "oven.service" in line and "Special user" not in line]
    assert about_ours == []
    assert done.returncode == 0, done.stderr
