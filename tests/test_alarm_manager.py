"""The example alarm manager: does it keep every alarm, and call for people when it must?"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import logging
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from daemons import TIMEOUT, Line, serving, wait_until
from logs.sinks import logging_to
from original import Original

import lab_utils_mt
from lab_utils_mt.custom_logging import NonPickledSocketHandler
from lab_utils_mt.exceptions import ConfigError
from lab_utils_mt.socket_comm import Client, quote

PATH = Path(__file__).parents[1] / "examples" / "alarm_manager.py"
_spec = importlib.util.spec_from_file_location("alarm_manager", PATH)
assert _spec is not None
assert _spec.loader is not None
alarm_manager = importlib.util.module_from_spec(_spec)
sys.modules["alarm_manager"] = alarm_manager  # its dataclass looks for it there
_spec.loader.exec_module(alarm_manager)


class Escalations(logging.Handler):
    """Stands where mail or Slack would."""

    def __init__(self):
        super().__init__()
        self.records = []

    def emit(self, record):
        self.records.append(record)

    @property
    def texts(self):
        return [record.getMessage() for record in self.records]


@pytest.fixture
def escalations() -> Iterator[Escalations]:
    """Return what escalated."""
    handler = Escalations()
    alarm_manager.escalation.addHandler(handler)
    yield handler
    alarm_manager.escalation.removeHandler(handler)


class Quick(alarm_manager.AlarmManager):
    """Looks at what is due all the time."""

    socket_timeout = 0.02


@pytest.fixture
def manager(pid_file):
    """Return an alarm manager that is running."""
    with serving(Quick(pid_file_name=pid_file, port=0)) as server:
        yield server


def ask(manager, *words: str) -> str:
    """Ask as the command line would."""
    with Client(host="127.0.0.1", port=manager.port, timeout=TIMEOUT) as client:
        return client.send_message(" ".join(map(quote, words)))


def raise_alarm(manager, message="too warm", app="cryostat", level="ERROR", date="d1") -> str:
    """Send an alarm as a daemon would."""
    words = ["--date", date, "--level", level, "--app", app, "--module", "main"]
    return ask(manager, "alarm", app, *words, "--function", "read", "--message", message)


# --- collecting -------------------------------------------------------------------------------


def test_many_daemons_at_once(manager):
    """Each alarm of each is there, once."""

    def work(number):
        with logging_to(NonPickledSocketHandler("127.0.0.1", manager.port)) as logger:
            logger.name = f"daemon-{number}"
            for turn in range(20):
                logger.error("fault %d", turn)
            handler = logger.handlers[0]
            wait_until(lambda: handler.counts.sent == 20)

    threads = [threading.Thread(target=work, args=[number]) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT)
    lines = ask(manager, "list").splitlines()
    assert len(lines) == 160
    found = [
        re.fullmatch(r"\d+ ERROR (\S+) \(test_alarm_manager\.work\) .*: (.*)", x) for x in lines
    ]
    expected = {(f"daemon-{n}", f"fault {turn}") for n in range(8) for turn in range(20)}
    assert {one.groups() for one in found if one} == expected
    of_one = [text.rpartition(": ")[2] for text in lines if " daemon-3 " in text]
    assert of_one == [f"fault {turn}" for turn in range(20)]


def test_the_same_alarm_counts(manager):
    """But one that was sent again, for a lost reply, does not."""
    assert raise_alarm(manager, date="2026-11-22 18:00:00") == "alarm 1"
    assert raise_alarm(manager, date="2026-11-22 18:00:00") == "alarm 1"
    assert " 1x 2026-11-22 18:00:00: too warm" in ask(manager, "list")
    assert raise_alarm(manager, date="2026-11-22 18:05:00") == "alarm 1"
    assert raise_alarm(manager, "too cold") == "alarm 2"
    assert raise_alarm(manager, level="WARNING") == "alarm 3"
    assert raise_alarm(manager, app="magnet") == "alarm 4"
    first = ask(manager, "list").splitlines()[0]
    line = "1 ERROR cryostat (main.read) 2x 2026-11-22 18:00:00 to 2026-11-22 18:05:00: too warm"
    assert first == line


def test_an_app_and_its_parts_can_be_listed(manager):
    """A part's name begins with the app's and a dot."""
    for app in ("cryostat", "cryostat.pump", "cryostat2"):
        raise_alarm(manager, app=app)
    ask(manager, "silence", "cryostat2", "5")
    assert [line.split()[2] for line in ask(manager, "list", "--app", "cryostat").splitlines()] == [
        "cryostat",
        "cryostat.pump",
    ]
    assert ask(manager, "list", "--app", "nobody") == "no alarms"


def test_acknowledged_and_cleared(manager):
    """Who, why; and what is cleared comes back as a new one."""
    raise_alarm(manager)
    reply = ask(manager, "acknowledge", "1", "--by", "anna", "--note", "pump is off")
    assert reply == "acknowledged alarm 1"
    raise_alarm(manager, date="d2")
    state = "1 ERROR cryostat (main.read) 2x d1 to d2, acknowledged by anna (pump is off)"
    assert ask(manager, "list") == f"{state}: too warm"
    assert ask(manager, "clear", "1") == "cleared alarm 1"
    assert ask(manager, "list") == "no alarms"
    assert ask(manager, "list", "--all") == f"{state}, cleared: too warm"
    assert raise_alarm(manager, date="d3") == "alarm 2"
    assert ask(manager, "list", "--all") == "2 ERROR cryostat (main.read) 1x d3: too warm"


def test_memory_is_bounded(manager):
    """Cleared ones go first, then acknowledged ones, then the oldest."""
    manager.most = 3
    for number in range(3):
        raise_alarm(manager, f"m{number}")
    ask(manager, "acknowledge", "3")
    ask(manager, "acknowledge", "2")
    ask(manager, "clear", "3")
    for number in range(3, 6):
        raise_alarm(manager, f"m{number}")
        ids = [line.split()[0] for line in ask(manager, "list", "--all").splitlines()]
        assert ids == {3: ["1", "2", "4"], 4: ["1", "4", "5"], 5: ["4", "5", "6"]}[number]
    raise_alarm(manager, "x" * 50_000)
    assert max(len(alarm.message) for alarm in manager.alarms.values()) == 5000
    assert len(ask(manager, "list")) < 1000
    for number in range(10):
        ask(manager, "silence", f"app{number}", "5")
    assert list(manager.silences) == ["app7", "app8", "app9"]


def test_daemons_of_0_5_x_are_understood(manager):
    """Their line begins with their name, and has no newline; also if it is that of a command."""
    for number, name in enumerate(["cryostat", "alarm", "list"], 1):
        with Line(manager) as line:
            options = f"--level {{ERROR}} --app {{{name}}} --module {{m}} --function {{f}}"
            line.send(f"{{{name}}} --date {{d}} {options} --message {{too warm}}".encode())
            assert line.rest() == f"alarm {number}".encode()
    assert "3 ERROR list (m.f) 1x d: too warm" in ask(manager, "list")


STOCK = """
import logging, time
from lab_utils.custom_logging import configure_logging
configure_logging({ini!r}, logger_name="old")
logging.getLogger("old").error("too warm")
time.sleep(0.5)
"""


def test_the_original_package_is_understood(manager, original: Original, tmp_path: Path):
    """As its own configure_logging() sets it up."""
    ini = tmp_path / "logging.ini"
    ini.write_text(f"[AlarmLogger]\nactive = 1\nport = {manager.port}\nlog_level = ERROR\n")
    command = original._command(STOCK.format(ini=str(ini)))
    environment = original._environment
    subprocess.run(command, env=environment, timeout=60, check=True, capture_output=True)
    wait_until(lambda: manager.alarms)
    assert re.fullmatch(r"1 ERROR old \(.*\) 1x [-0-9: ]{19}: too warm", ask(manager, "list"))


# --- calling for people -----------------------------------------------------------------------


def test_what_nobody_acknowledges_escalates_again_and_again(manager, escalations):
    """Until somebody does; by a logger whose handlers the user chooses."""
    manager.escalate_after, manager.repeat = 0.1, 0.1
    raise_alarm(manager)
    wait_until(lambda: len(escalations.texts) >= 3)
    assert set(escalations.texts) == {
        "nobody takes care of alarm 1 ERROR cryostat (main.read) 1x d1: too warm"
    }
    assert escalations.records[0].levelno == logging.ERROR
    ask(manager, "acknowledge", "1")
    before = len(escalations.texts)
    raise_alarm(manager, "another")
    wait_until(lambda: any("another" in text for text in escalations.texts[before:]))
    assert all("another" in text for text in escalations.texts[before:])
    ask(manager, "clear", "2")


def test_critical_alarms_escalate_at_once_and_lesser_ones_never(manager, escalations):
    """Within half a second; a level that only the daemon knows counts as an ERROR."""
    manager.repeat = 0
    raise_alarm(manager, level="WARNING")
    raise_alarm(manager, level="CRITICAL")
    wait_until(lambda: escalations.texts)
    manager.escalate_after = 0
    for level in ("INFO", "MELTDOWN", "WARNING"):
        raise_alarm(manager, "m2", level=level)
    wait_until(lambda: len(escalations.texts) == 2)
    assert escalations.records[0].levelno == logging.CRITICAL
    assert [text.split()[6] for text in escalations.texts] == ["CRITICAL", "MELTDOWN"]
    manager.escalate_level = logging.WARNING
    raise_alarm(manager, "m3", level="WARNING")
    wait_until(lambda: len(escalations.texts) == 3)
    assert escalations.records[2].levelno == logging.ERROR  # what mail is told to send


def test_a_silent_app_does_not_escalate(manager, escalations):
    """Nor do its parts; once the silence ends, they do."""
    manager.escalate_after = 0
    reply = ask(manager, "silence", "cryostat", "60")
    assert reply == "cryostat is silent for 60 minutes"
    raise_alarm(manager)
    raise_alarm(manager, app="cryostat.pump", level="CRITICAL")
    raise_alarm(manager, app="magnet")
    wait_until(lambda: escalations.texts)
    silent = ask(manager, "list").splitlines()[-1]
    assert re.fullmatch(r"cryostat is silent until \d{4}-\d\d-\d\d \d\d:\d\d:\d\d", silent)
    assert [text.split()[7] for text in escalations.texts] == ["magnet"]
    ask(manager, "silence", "cryostat", "0")
    wait_until(lambda: len(escalations.texts) == 3)
    assert "silent" not in ask(manager, "list")


def test_its_own_escalations_do_not_come_back(manager):
    """If somebody lets the alarm manager send alarms to itself."""
    reply = raise_alarm(manager, app="alarm_manager.escalation")
    assert reply.startswith("Error! that is my own")
    assert ask(manager, "list") == "no alarms"


# --- what people type, and what programs send -------------------------------------------------


@pytest.mark.parametrize(
    ("words", "reply"),
    [
        (("acknowledge", "7"), "Error! there is no alarm 7; list shows which there are"),
        (("clear", "7"), "Error! there is no alarm 7; list shows which there are"),
        (("clear", "x"), "Error! argument id: invalid int value: 'x'"),
        (("silence", "cryostat", "-1"), "Error! argument minutes: from 0 to 10080 minutes, a week"),
        (("silence", "cryostat", "nan"), "Error! argument minutes: from 0 to 10080 minutes"),
        (("silence", "cryostat", "soon"), "Error! argument minutes: invalid minutes value: 'soon'"),
        (("acknowlege", "7"), "Error! there is no command 'acknowlege': did you mean acknowledge"),
        (("alarm",), "Error! the following arguments are required: name"),
    ],
)
def test_typing_errors_are_explained(manager, words, reply):
    """And nothing changes."""
    assert ask(manager, *words).startswith(reply)
    assert ask(manager, "list") == "no alarms"


def test_hostile_text_is_escaped_where_people_read_it(manager, escalations):
    """In replies, which netcat shows as they are, and in what escalates."""
    manager.escalate_after = 0
    hostile = "a\nERROR forged\x1b[2J\u202e\u2028\x9b1m\ud800"
    raise_alarm(manager, hostile, app=f"app{hostile}", level=f"L{hostile}", date=hostile)
    ask(manager, "acknowledge", "1", "--by", hostile, "--note", hostile)
    raise_alarm(manager, hostile)
    silence = ask(manager, "silence", hostile, "5")
    wait_until(lambda: escalations.texts)
    listed = ask(manager, "list", "--all").splitlines()
    assert len(listed) == 3
    assert all(line.isprintable() for line in [*listed, silence, *escalations.texts])
    assert all(r"a\nERROR forged\x1b[2J\u202e\u2028\x9b1m\ud800" in line for line in listed)


def test_many_people_at_once(manager):
    """Listing, acknowledging, clearing while alarms come in."""

    def work(number):
        with Client(host="127.0.0.1", port=manager.port, timeout=TIMEOUT) as client:
            for turn in range(30):
                options = f"--date d{turn} --level ERROR --app a{turn % 7}"
                replies.append(client.send_message(f"alarm a {options} --message m{number}"))
                replies.append(client.send_message("list --all"))
                replies.append(client.send_message(f"acknowledge {turn + 1}"))
                replies.append(client.send_message(f"clear {number * turn + 1}"))

    replies: list[str] = []
    threads = [threading.Thread(target=work, args=[number]) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT)
    assert len(replies) == 6 * 30 * 4
    faults = [reply for reply in replies if reply.startswith("Error!")]
    assert all(reply.startswith("Error! there is no alarm ") for reply in faults)


# --- from one run to the next -----------------------------------------------------------------


def test_alarms_outlast_a_restart(tmp_path, escalations):
    """With who takes care of them, who is silent, and when they escalate; also after a kill."""
    state = tmp_path / "alarms.json"
    first = Quick(pid_file_name=str(tmp_path / "1.pid"), port=0)
    first.load(state)
    with serving(first):
        raise_alarm(first, "a\x1b\ud800")
        raise_alarm(first, "b")
        raise_alarm(first, "c")
        ask(first, "acknowledge", "1", "--by", "anna")
        ask(first, "clear", "2")
        ask(first, "silence", "magnet", "60")
        before = ask(first, "list")
        wait_until(lambda: not first.changed)
        wait_until(lambda: "magnet" in state.read_text())
    second = Quick(pid_file_name=str(tmp_path / "2.pid"), port=0)
    second.load(state)
    with serving(second):
        assert ask(second, "list") == before
        assert raise_alarm(second, "a\x1b\ud800", date="d2") == "alarm 1"
        assert raise_alarm(second, "b") == "alarm 4"
        assert escalations.texts == []
        with second.guard:
            second.alarms[("cryostat", "ERROR", "main", "read", "c")].due = time.time()
        wait_until(lambda: escalations.texts)
    assert not list(tmp_path.glob("*.new"))


def test_a_state_file_that_cannot_be_written_is_told(tmp_path, pid_file, caplog):
    """The alarms are taken all the same; once it can, it is written again."""
    (tmp_path / "alarms.json.new").mkdir()
    server = Quick(pid_file_name=pid_file, port=0)
    server.load(tmp_path / "alarms.json")
    with serving(server):
        wait_until(lambda: "cannot write" in caplog.text)
        assert raise_alarm(server) == "alarm 1"
        (tmp_path / "alarms.json.new").rmdir()
        raise_alarm(server, "another")
        wait_until((tmp_path / "alarms.json").exists)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"alarms": [{}], "silences": {}, "last_id": 1}', "\0"]
)
def test_a_strange_state_file_is_refused(tmp_path, pid_file, text):
    """It is not overwritten."""
    state = tmp_path / "alarms.json"
    state.write_text(text)
    server = Quick(pid_file_name=pid_file, port=0)
    with contextlib.closing(server), pytest.raises(ConfigError, match=r"alarms\.json is not from"):
        server.load(state)
    assert state.read_text() == text


# --- as a program -----------------------------------------------------------------------------


@contextlib.contextmanager
def program(folder: Path, *words: str) -> Iterator[subprocess.Popen[str]]:
    """Run the example as a user does."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(Path(lab_utils_mt.__file__).parents[1]),
        "RUNTIME_DIRECTORY": str(folder),
        "PYTHONUNBUFFERED": "1",
    }
    with subprocess.Popen(
        [sys.executable, str(PATH), *words],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        watch = threading.Timer(60, process.kill)
        watch.start()
        try:
            yield process
        finally:
            process.kill()
            watch.cancel()
            watch.join()


def port_of(process: subprocess.Popen[str]) -> int:
    """Return where it listens."""
    assert process.stdout is not None
    for line in process.stdout:
        if found := re.search(r"listens on 127\.0\.0\.1:(\d+)", line):
            return int(found[1])
    raise AssertionError(f"it did not start: {process.communicate()}")


def test_the_program_keeps_alarms_from_run_to_run(tmp_path):
    """Started, asked, stopped with Ctrl-C, started again, and quit."""
    words = ("--host", "127.0.0.1", "--port", "0", "--state", "alarms.json")
    with program(tmp_path, *words) as process:
        with Client(host="127.0.0.1", port=port_of(process), timeout=TIMEOUT) as client:
            assert client.send_message("alarm x --date d --level ERROR --message hot") == "alarm 1"
            assert "Collects the alarms" in client.send_message("help")
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=TIMEOUT)
        assert (process.returncode, errors) == (0, "")
        assert "new: 1 ERROR x (.) 1x d: hot" in output
    assert json.loads((tmp_path / "alarms.json").read_text())["last_id"] == 1
    with program(tmp_path, *words) as process:
        with Client(host="127.0.0.1", port=port_of(process), timeout=TIMEOUT) as client:
            assert client.send_message("list") == "1 ERROR x (.) 1x d: hot"
            assert client.send_message("quit") == "Goodbye!"
        process.communicate(timeout=TIMEOUT)
        assert process.returncode == 0


def test_escalations_go_where_the_logging_file_says(tmp_path):
    """Here, to the console; the file's level keeps everything else away."""
    ini = tmp_path / "logging.ini"
    ini.write_text("[ConsoleLogger]\nlog_level = ERROR\n")
    words = (
        "--host",
        "127.0.0.1",
        "--port",
        "0",
        "--state",
        "alarms.json",
        "--escalate-after",
        "0",
    )
    state = {
        "last_id": 1,
        "silences": {},
        "alarms": [vars(alarm_manager.Alarm(*"almfxde", due=0.0))],
    }
    (tmp_path / "alarms.json").write_text(json.dumps(state))
    with program(tmp_path, *words, "--logging", "logging.ini") as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert "alarm_manager.escalation" in line
        assert line.endswith("nobody takes care of alarm 0 l a (m.f) 1x d to e: x\n")
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=TIMEOUT)
        assert (process.returncode, output, errors) == (0, "", "")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--config", "missing.ini"), "missing.ini"),
        (("--logging", "missing.ini"), "missing.ini"),
        (("--port", "70000"), "port = 70000"),
        (("--state", "no/such/folder.json"), "no/such/folder.json"),
        (("--host", "192.0.2.1"), "cannot listen on 192.0.2.1"),
    ],
)
def test_what_cannot_work_is_one_line(tmp_path, words, complaint):
    """Exit status 1, and no PID file stays."""
    with program(tmp_path, *words) as process:
        output, errors = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 1
    assert [complaint in line for line in errors.splitlines()] == [True]
    assert "Traceback" not in output
    assert not list(tmp_path.rglob("*.pid"))


def test_options_are_checked(tmp_path):
    """And explained."""
    with program(tmp_path, "--repeat", "-1") as process:
        assert "argument --repeat: " in process.communicate(timeout=TIMEOUT)[1]
    with program(tmp_path, "--help") as process:
        assert "acknowledge 7 --by anna" in process.communicate(timeout=TIMEOUT)[0]
