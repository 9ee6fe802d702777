"""What is systemctl told, and what does a person hear of its answers?

The programs are stand-ins; a real systemd is in test_real_systemd.py.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from daemons import wait_until
from services import a_service, project, run
from stand_in import StandIns

import lab_utils_mt
from lab_utils_mt._service import last_words
from lab_utils_mt._service.systemd import Systemd
from lab_utils_mt._service.unit import unit_text
from lab_utils_mt.exceptions import LabUtilsError

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="systemd: this is Linux's")
CHECKOUT = str(Path(lab_utils_mt.__file__).parents[1])
TIMEOUT = 60.0  # seconds; only a hang lasts longer
NOT_FOUND = "LoadState=not-found\nActiveState=inactive\n"
RUNS = (
    "LoadState=loaded\nActiveState=active\nSubState=running\nResult=success\nMainPID=4711\n"
    "NRestarts=2\nStatusText=Oven listens on localhost:1507\nUnitFileState=enabled\n"
    "StateChangeTimestamp=Mon 2026-11-23 05:00:00 UTC\n"
)
STOPS = RUNS.replace("=active", "=deactivating").replace("=running", "=stop-sigterm")
STOPPED = "LoadState=loaded\nActiveState=inactive\nSubState=dead\nResult=success\nMainPID=0\n"
BY = "scope bus via local transport"  # in the words of systemd 257
FAILED = (
    "LoadState=loaded\nActiveState=failed\nSubState=failed\nResult=exit-code\nMainPID=0\n"
    "NRestarts=5\nStatusText=\nUnitFileState=disabled\nStateChangeTimestamp=\n"
)


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StandIns:
    """Return stand-ins for the programs of systemd; there is no unit yet."""
    folder = tmp_path / "programs"
    folder.mkdir()
    programs = StandIns(folder, monkeypatch)
    for name in ("systemctl", "journalctl", "loginctl"):
        programs.add(name)
    programs.answer("show", NOT_FOUND)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return programs


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """Return the folder of the unit files."""
    return tmp_path / "config" / "systemd" / "user"


def systemctl(programs: StandIns, *, user: bool = True) -> list[list[str]]:
    """Return what systemctl was told, without what each call has."""
    head = ["systemctl", *(["--user"] if user else []), "--no-ask-password"]
    calls = [call for call in programs.calls() if call[0] == "systemctl"]
    assert all(call[: len(head)] == head for call in calls)
    return [call[len(head) :] for call in calls]


@pytest.fixture
def installed(programs: StandIns, units: Path, tmp_path: Path) -> Systemd:
    """Return a systemd that has the service ``oven``."""
    systemd = Systemd(system=False, folder=units)
    systemd.install(a_service(project(tmp_path / "lab")))
    programs.answer("show", RUNS)
    return systemd


def test_install_writes_the_unit_and_enables_it(
    programs: StandIns, units: Path, tmp_path: Path
) -> None:
    """And says how it outlasts the login, unless it does."""
    service = a_service(project(tmp_path / "lab"))
    lines = Systemd(system=False, folder=units).install(service)
    path = units / "oven.service"
    assert path.read_text(encoding="utf-8") == unit_text(service)
    assert systemctl(programs)[-2:] == [["daemon-reload"], ["enable", "oven.service"]]
    assert lines[0] == f"installed {path}; it starts with your login"
    assert "loginctl enable-linger" in lines[1]
    programs.answer("show-user", "yes\n")
    other = a_service(tmp_path / "lab", name="other")
    assert len(Systemd(system=False, folder=units).install(other)) == 1


def test_a_system_unit_is_told_to_the_systems_manager(
    programs: StandIns, units: Path, tmp_path: Path
) -> None:
    """Without --user, and without a word about logins."""
    service = a_service(project(tmp_path / "lab"), system=True)
    lines = Systemd(system=True, folder=units).install(service)
    assert systemctl(programs, user=False)[-1] == ["enable", "oven.service"]
    assert len(lines) == 1
    assert "User=" in (units / "oven.service").read_text(encoding="utf-8")


def test_units_lie_where_systemd_looks_for_them(
    programs: StandIns, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For a user, where XDG_CONFIG_HOME says."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    Systemd(system=False).install(a_service(project(tmp_path / "lab")))
    assert (tmp_path / "config" / "systemd" / "user" / "oven.service").exists()


def test_a_second_service_of_the_name_is_refused(installed: Systemd, tmp_path: Path) -> None:
    """And the first one stays as it is."""
    with pytest.raises(LabUtilsError, match=r"a service oven already, .*remove it first"):
        installed.install(a_service(tmp_path / "lab"))


def test_a_unit_of_somebody_else_is_left_alone(
    programs: StandIns, units: Path, tmp_path: Path
) -> None:
    """In our folder, or in one of the system."""
    units.mkdir(parents=True)
    (units / "oven.service").write_text("[Service]\nExecStart=/bin/true\n", encoding="utf-8")
    systemd, service = Systemd(system=False, folder=units), a_service(project(tmp_path / "lab"))
    with pytest.raises(LabUtilsError, match=r"oven\.service is there, and not ours: choose"):
        systemd.install(service)
    for verb in (systemd.start, systemd.stop, systemd.status, systemd.remove, systemd.logs):
        with pytest.raises(LabUtilsError, match="was not written by lab_utils_mt: use systemctl"):
            verb("oven")
    programs.answer("show", "LoadState=loaded\nFragmentPath=/lib/systemd/system/ssh.service\n")
    ssh = a_service(tmp_path / "lab", name="ssh")
    with pytest.raises(LabUtilsError, match=r"has a unit ssh already, /lib/systemd/system/ssh\.se"):
        systemd.install(ssh)
    with pytest.raises(LabUtilsError, match="ssh is another's unit: use systemctl for it"):
        systemd.stop("ssh")
    assert {call[0] for call in systemctl(programs)} == {"show"}


@pytest.mark.parametrize(
    ("name", "hint"),
    [("owen", r"did you mean oven\?"), ("fridge", "install it, or say --system")],
)
def test_an_unknown_name_is_one_line(
    installed: Systemd, programs: StandIns, name: str, hint: str
) -> None:
    """With the name that may be meant."""
    programs.answer("show", NOT_FOUND)
    for verb in (installed.start, installed.stop, installed.status, installed.logs):
        with pytest.raises(LabUtilsError, match=hint):
            verb(name)


def test_status_tells_what_a_person_wants_to_know(installed: Systemd, programs: StandIns) -> None:
    """Whether it runs, where it listens, whether it had faults."""
    state = installed.status("oven")
    assert state.runs
    assert state.lines[0] == (
        "oven: active (running) since Mon 2026-11-23 05:00:00 UTC, process 4711"
    )
    assert state.lines[1] == "Oven listens on localhost:1507"
    assert state.lines[2].startswith("starts by itself: yes; ")
    assert state.lines[3] == "started again after faults: 2 times"
    programs.answer("show", FAILED)
    state = installed.status("oven")
    assert not state.runs
    assert state.lines[0] == "oven: failed (failed), exit-code"
    assert state.lines[1].startswith("starts by itself: no (disabled); ")


def test_start_stop_and_remove_are_what_one_would_type(
    installed: Systemd, programs: StandIns, units: Path
) -> None:
    """A start after too many failed ones is a new beginning."""
    before = len(systemctl(programs))
    programs.after("stop", STOPPED)
    assert installed.start("oven")[0].startswith("oven: active (running)")
    assert installed.stop("oven") == ["oven is stopped"]
    assert installed.remove("oven") == [f"removed {units / 'oven.service'}"]
    told = [call for call in systemctl(programs)[before:] if call[0] != "show"]
    assert told == [
        ["reset-failed", "oven.service"],
        ["start", "oven.service"],
        ["stop", "--no-block", "oven.service"],
        ["stop", "--no-block", "oven.service"],
        ["disable", "oven.service"],
        ["daemon-reload"],
        ["reset-failed", "oven.service"],
    ]
    assert not list(units.iterdir())


@pytest.mark.parametrize("verb", ["stop", "remove"])
def test_a_stop_is_waited_for_as_long_as_systemd_waits(
    installed: Systemd, programs: StandIns, units: Path, verb: str
) -> None:
    """However long that is: a daemon may have asked it for more time than its unit says."""
    job = "Job=815\n"
    programs.after("stop", RUNS + job, STOPS + job, STOPS + job, STOPPED + "Job=\n")
    before = len(systemctl(programs))
    getattr(installed, verb)("oven")
    told = [call[0] for call in systemctl(programs)[before:]]
    assert told[told.index("stop") :][:5] == ["stop", "show", "show", "show", "show"]
    assert (units / "oven.service").exists() == (verb == "stop")


@pytest.mark.parametrize("verb", ["stop", "remove"])
def test_a_service_that_is_started_again_meanwhile_is_not_told_to_be_stopped(
    installed: Systemd, programs: StandIns, units: Path, verb: str
) -> None:
    """Nor is its unit taken away, or kept from starting with the computer."""
    programs.after("stop", STOPS + "Job=815\n", RUNS + "Job=\n")
    with pytest.raises(LabUtilsError, match=r"^oven has not stopped, .*: active \(running\) since"):
        getattr(installed, verb)("oven")
    assert (units / "oven.service").exists()
    assert not [call for call in systemctl(programs) if call[0] == "disable"]


def test_a_start_that_is_tried_again_is_told_with_how_to_end_that(
    installed: Systemd, programs: StandIns
) -> None:
    """systemd tries without end, unless the daemon ended with status 2."""
    programs.answer("start", errors="Job for oven.service failed\n", status=1)
    tried = "; it is tried again every 10 s until 'lab-utils-mt service stop oven'"
    waits = FAILED.replace("=failed", "=activating", 1).replace("=failed", "=auto-restart")
    for shown, end in ((waits, tried), (FAILED, "")):
        programs.answer("show", shown)
        with pytest.raises(LabUtilsError) as caught:
            installed.start("oven")
        assert str(caught.value).endswith(f"service logs oven' may tell why{end}")


def test_an_answer_without_a_word_is_no_answer(
    installed: Systemd, programs: StandIns, tmp_path: Path
) -> None:
    """The disk of the temporary folder is full, for example: nothing is known then."""
    programs.answer("show", "")
    said = "^systemctl show said nothing: if the disk of the temporary folder is full, make room"
    for verb in (installed.stop, installed.status, installed.remove):
        with pytest.raises(LabUtilsError, match=said):
            verb("oven")
    with pytest.raises(LabUtilsError, match=said):
        installed.install(a_service(tmp_path / "lab", name="other"))


def test_a_failed_start_tells_the_daemons_last_words(
    installed: Systemd, programs: StandIns
) -> None:
    """Those of this start; older ones would mislead."""
    failure = "Job for oven.service failed because the control process exited with error code.\n"
    programs.answer("start", errors=failure + "See ...\n", status=1)
    last_words.write("oven", "an old story")
    with pytest.raises(LabUtilsError, match=r"^systemctl start: Job for oven.* logs oven' may"):
        installed.start("oven")


def test_logs_come_from_the_journal(installed: Systemd, programs: StandIns) -> None:
    """Of this unit; what the journal keeps back is told."""
    programs.answer("--lines", "first\nsecond\n", "Hint: ... in the 'systemd-journal' group ...\n")
    lines = installed.logs("oven")
    assert lines[:2] == ["first", "second"]
    assert lines[2].endswith(": say 'sudo journalctl _SYSTEMD_USER_UNIT=oven.service'")
    (call,) = [call for call in programs.calls() if call[0] == "journalctl"]
    assert call[1:3] == ["--user-unit", "oven.service"]


def test_without_a_journal_the_last_words_are_told_all_the_same(
    installed: Systemd,
    programs: StandIns,
    units: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """There they are wanted most."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(units.parents[1]))
    last_words.write("oven", "no magnet")
    programs.answer("--lines", "", "No journal files were found.\n", 1)
    status, output, errors = run(capsys, "logs", "oven")
    assert (status, errors) == (0, "")
    assert output.startswith("journalctl: No journal files were found.\nit ended: ")
    assert output.endswith(": no magnet\n")
    (Path(units.parents[2], "programs") / "journalctl").unlink()
    monkeypatch.setenv("PATH", str(units.parents[2] / "programs"))
    assert installed.logs("oven") == ["this computer has no journalctl"]


@pytest.mark.parametrize(
    ("system", "complaint", "said"),
    [
        (True, "System has not been booted with systemd as init system", "systemd does not run on"),
        (True, "Failed to connect to bus: Host is down", "systemd does not run on this computer"),
        (True, "Failed: Interactive authentication required.", "the rights of root: .* with sudo"),
        (True, "Failed to reload daemon: Access denied", "the rights of root"),
        (True, "Failed to connect to bus: Permission denied", "the rights of root"),
        (False, "Failed to reload daemon: Permission denied", "this user has no right to it"),
        (False, "Failed to connect to bus: Permission denied", "systemd (does not run|knows no)"),
        (False, "Failed to connect to bus: No medium found", "systemd (does not run|knows no)"),
        (False, f"Failed to connect to user {BY}: $DBUS_", "systemd (does not run|knows no)"),
        (False, "something new\nand more", r"systemctl [a-z-]+: something new$"),
    ],
)
@pytest.mark.parametrize("verb", ["show", "daemon-reload", "enable"])
def test_what_systemd_refuses_is_one_line_and_leaves_nothing(
    programs: StandIns,
    units: Path,
    tmp_path: Path,
    system: bool,
    complaint: str,
    said: str,
    verb: str,
) -> None:
    """No unit file stays behind."""
    programs.answer(verb, errors=f"{complaint}\n", status=1)
    service = a_service(project(tmp_path / "lab"), system=system)
    with pytest.raises(LabUtilsError, match=said) as caught:
        Systemd(system=system, folder=units).install(service)
    assert len(str(caught.value).splitlines()) == 1
    assert not list(units.glob("*"))


def test_a_computer_without_systemd_is_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, units: Path
) -> None:
    """There is no systemctl at all."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LabUtilsError, match="systemd does not run on this computer: let what"):
        Systemd(system=False, folder=units).install(a_service(project(tmp_path / "lab")))


def test_a_folder_that_cannot_be_written_is_one_line(
    programs: StandIns, units: Path, tmp_path: Path
) -> None:
    """A file is where the folder should be."""
    units.parent.mkdir(parents=True)
    units.write_text("", encoding="utf-8")
    with pytest.raises(LabUtilsError, match=r"cannot write .*oven\.service: "):
        Systemd(system=False, folder=units).install(a_service(project(tmp_path / "lab")))


def test_an_installation_that_fails_late_is_taken_back_from_systemd_too(
    programs: StandIns, units: Path, tmp_path: Path
) -> None:
    """It would go on knowing a unit without a file, and a link to it."""
    programs.answer("enable", errors="something new\n", status=1)
    with pytest.raises(LabUtilsError, match="systemctl enable: something new"):
        Systemd(system=False, folder=units).install(a_service(project(tmp_path / "lab")))
    told = [call for call in systemctl(programs) if call[0] != "show"]
    assert told == [
        ["daemon-reload"],
        ["enable", "oven.service"],
        ["disable", "oven.service"],
        ["daemon-reload"],
    ]


def test_ctrl_c_during_the_installation_leaves_no_unit(
    programs: StandIns, units: Path, tmp_path: Path
) -> None:
    """While systemd does not answer, for example."""
    folder = project(tmp_path / "lab")
    programs.answer("enable", hang=True)
    code = "from lab_utils_mt.__main__ import main; raise SystemExit(main())"
    words = ["service", "install", "oven", "oven:Oven", "--folder", str(folder)]
    with subprocess.Popen(
        [sys.executable, "-c", code, *words],
        env={**os.environ, "XDG_CONFIG_HOME": str(units.parents[1]), "PYTHONPATH": CHECKOUT},
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            wait_until(lambda: ["enable", "oven.service"] in systemctl(programs), "the call")
            assert (units / "oven.service").exists()
            process.send_signal(signal.SIGINT)
            assert process.wait(TIMEOUT) == 130
        finally:
            process.kill()
    assert not list(units.iterdir())


def test_half_a_unit_is_not_left(programs: StandIns, units: Path, tmp_path: Path) -> None:
    """When the disk is full; here, when no file may be as long."""
    if sys.platform == "win32":  # for mypy
        return
    import resource

    service = a_service(project(tmp_path / "lab"))
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1500, old[1]))
    try:
        with pytest.raises(LabUtilsError, match=r"cannot write .*oven\.service: File too large"):
            Systemd(system=False, folder=units).install(service)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
    assert not list(units.iterdir())


def test_a_daemon_that_came_up_and_did_not_stay_is_no_success(
    installed: Systemd, programs: StandIns
) -> None:
    """systemctl says nothing about it."""
    programs.answer("show", FAILED)
    with pytest.raises(LabUtilsError, match=r"it came up, and did not stay: oven: failed \("):
        installed.start("oven")


def test_a_user_without_a_name_can_install(
    programs: StandIns, units: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A number is all that some containers have; loginctl is told that."""
    if sys.platform == "win32":  # for mypy
        return
    if os.geteuid() != 0:
        pytest.skip("only root may do that")
    for variable in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(variable, raising=False)
    (units.parent).mkdir(parents=True)
    systemd, service = Systemd(system=False, folder=units), a_service(project(tmp_path / "lab"))
    nobody = 54321
    before = os.getresuid()
    os.setresuid(nobody, -1, -1)
    try:
        lines = systemd.install(service)
    finally:
        os.setresuid(*before)
    assert lines[1].endswith(f"sudo loginctl enable-linger {nobody}")
