"""The example alarm manager: does it keep every alarm, and call for people when it must?"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import logging
import os
import re
import shlex
import signal
import socket
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
sys.path.insert(0, str(PATH.parent))  # as if it was run
_spec = importlib.util.spec_from_file_location("alarm_manager", PATH)
assert _spec is not None
assert _spec.loader is not None
alarm_manager = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(alarm_manager)
sys.path.remove(str(PATH.parent))


Alarm, State = alarm_manager.Alarm, alarm_manager.State


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
    assert re.fullmatch(
        r"acknowledged alarm 1; it is quiet until \d{4}-\d\d-\d\d \d\d:\d\d:\d\d", reply
    )
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
    manager.capacity = 3
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


def test_chatter_does_not_drive_out_what_has_to_call(manager, escalations, caplog):
    """Nor does an app with many alarms drive out another's only one; it is told once."""
    manager.capacity = 5
    raise_alarm(manager, "cooling water off", app="magnet")
    for number in range(20):
        raise_alarm(manager, f"T = {number} K", level="WARNING", app="chatty")
    for number in range(20):
        raise_alarm(manager, f"T = {number} K", app="faulty")
    raise_alarm(manager, "quench", app="magnet", level="CRITICAL")
    listed = ask(manager, "list").splitlines()
    assert [line.split()[2] for line in listed] == ["magnet", *["faulty"] * 3, "magnet"]
    assert [line.rpartition(" = ")[2] for line in listed[1:4]] == ["17 K", "18 K", "19 K"]
    assert caplog.text.count("forgot") == 1
    assert "there are over 5 alarms: forgot 2 WARNING chatty" in caplog.text
    with manager.guard:
        for alarm in manager.alarms.values():
            alarm.due = time.time()
    wait_until(lambda: any("cooling water off" in text for text in escalations.texts))


def test_an_acknowledged_alarm_calls_again_if_it_is_raised_much_later(manager, escalations):
    """A day later; until then it is quiet, however often it comes. Nobody need clear it."""
    manager.repeat = 0
    raise_alarm(manager, level="CRITICAL")
    wait_until(lambda: len(escalations.texts) == 1)
    ask(manager, "acknowledge", "1", "--by", "anna", "--note", "pump is off")
    for number in range(5):
        raise_alarm(manager, level="CRITICAL", date=f"d{number + 2}")
    raise_alarm(manager, "another", level="CRITICAL")
    wait_until(lambda: len(escalations.texts) == 2)
    assert "another" in escalations.texts[1]
    manager.quiet = 0.0
    raise_alarm(manager, level="CRITICAL", date="d7")
    wait_until(lambda: len(escalations.texts) == 3)
    assert "alarm 1 CRITICAL cryostat (main.read) 7x d1 to d7 (pump is off)" in escalations.texts[2]


def test_many_equal_alarms_of_one_second_all_count(manager):
    """Each record has its own date, to the microsecond."""
    handler = NonPickledSocketHandler("127.0.0.1", manager.port)
    record = logging.makeLogRecord({"name": "a", "levelname": "ERROR", "msg": "hot"})
    with logging_to(handler):
        for number in range(50):
            record.created = 1_800_000_000 + number / 100_000
            handler.emit(record)
        wait_until(lambda: handler.counts.sent == 50)
    date = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(1_800_000_000))
    assert re.search(rf"1 ERROR a \(.*\) 50x {date}: hot", ask(manager, "list"))


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


@pytest.mark.parametrize("is_central", [False, True])
def test_managers_may_send_alarms_to_themselves_and_each_other(manager, tmp_path, is_central):
    """What escalates at one calls at the next one, too; but no alarm goes round for ever."""
    other = Quick(pid_file_name=str(tmp_path / "2.pid"), port=0)
    names = ("alarm_manager", "lab_utils_mt")
    for one in (manager, other):
        one.escalate_after = one.repeat = 0
    with serving(other):
        called = other if is_central else manager
        with contextlib.closing(NonPickledSocketHandler("127.0.0.1", called.port)) as handler:
            before = [logging.getLogger(name).level for name in names]
            for name in names:
                logging.getLogger(name).addHandler(handler)
                logging.getLogger(name).setLevel(logging.INFO)
            try:
                raise_alarm(manager, level="WARNING")
                for text in ("too hot", "last"):  # at the end, a call about a call
                    raise_alarm(manager, text, level="CRITICAL")
                    found = re.compile(rf"\d CRITICAL {AGAIN}.*{text}")
                    wait_until(lambda found=found: found.search(ask(called, "list")))
                wait_until(lambda: handler.counts.queued == 0)
            finally:
                for name, level in zip(names, before, strict=True):
                    logging.getLogger(name).removeHandler(handler)
                    logging.getLogger(name).setLevel(level)
        assert manager.last_id + other.last_id < 15


AGAIN = r"alarm_manager\.escalation .*: nobody takes care of alarm .* nobody takes care of alarm "


def test_an_escalation_of_another_manager_calls_here_once_more(manager, escalations):
    """It is an alarm like any other; what calls about such a call does not."""
    manager.repeat = 0
    text = "nobody takes care of alarm 7 CRITICAL magnet (m.f) 1x d: quench"
    assert raise_alarm(manager, text, "alarm_manager.escalation", "CRITICAL") == "alarm 1"
    wait_until(lambda: escalations.texts)
    again = escalations.texts[0]
    assert again.count("nobody takes care of alarm") == 2
    assert raise_alarm(manager, again, "alarm_manager.escalation", "CRITICAL") == "alarm 2"
    raise_alarm(manager, "last", level="CRITICAL")
    wait_until(lambda: len(escalations.texts) >= 2)
    assert [text.split()[5] for text in escalations.texts] == ["1", "3"]


# --- what people type, and what programs send -------------------------------------------------


@pytest.mark.parametrize(
    ("words", "reply"),
    [
        (("acknowledge", "7"), "Error! there is no alarm 7; list shows which there are"),
        (("clear", "7"), "Error! there is no alarm 7; list shows which there are"),
        (("clear", "x"), "Error! argument id: 'x' is not an integer"),
        (
            ("silence", "cryostat", "-1"),
            "Error! argument minutes: -1 is not a number from 0 to 10080 min",
        ),
        (
            ("silence", "cryostat", "nan"),
            "Error! argument minutes: nan is not a number from 0 to 10080 min",
        ),
        (
            ("silence", "cryostat", "soon"),
            "Error! argument minutes: 'soon' is not a number from 0 to 10080 min",
        ),
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
    with State(first, state), serving(first):
        raise_alarm(first, "a\x1b\ud800")
        raise_alarm(first, "b")
        raise_alarm(first, "c")
        ask(first, "acknowledge", "1", "--by", "anna")
        ask(first, "clear", "2")
        ask(first, "silence", "magnet", "60")
        before = ask(first, "list")
        wait_until(lambda: "magnet" in state.read_text())
    second = Quick(pid_file_name=str(tmp_path / "2.pid"), port=0)
    with State(second, state), serving(second):
        assert ask(second, "list") == before
        assert raise_alarm(second, "a\x1b\ud800", date="d2") == "alarm 1"
        assert raise_alarm(second, "b") == "alarm 4"
        assert escalations.texts == []
        with second.guard:
            second.alarms[("cryostat", "ERROR", "main", "read", "c")].due = time.time()
        wait_until(lambda: escalations.texts)
    assert not list(tmp_path.glob("*.new"))


def test_a_state_file_that_cannot_be_written_is_told(tmp_path, pid_file, caplog):
    """Once; the alarms are taken all the same, and written when they can be, with no news."""
    folder = tmp_path / "disk"
    folder.mkdir()
    server = Quick(pid_file_name=pid_file, port=0)
    with State(server, folder / "alarms.json"), serving(server):
        (folder / "alarms.json").rename(tmp_path / "away.json")
        folder.rmdir()
        assert raise_alarm(server) == "alarm 1"
        wait_until(lambda: "cannot write" in caplog.text)
        raise_alarm(server, "another")
        wait_until(server.changed.is_set)
        folder.mkdir()
        wait_until((folder / "alarms.json").exists)
        wait_until(lambda: "another" in (folder / "alarms.json").read_text())
    assert caplog.text.count("cannot write") == 1


def test_no_client_waits_for_the_disk(tmp_path, pid_file, monkeypatch):
    """And however many alarms come in, the file is not written for each of them."""
    gate, writes = threading.Event(), []

    def slow(number):
        writes.append(number)
        gate.wait(TIMEOUT)

    server = Quick(pid_file_name=pid_file, port=0)
    with State(server, tmp_path / "alarms.json"), serving(server):
        monkeypatch.setattr(os, "fsync", slow)
        try:
            for number in range(50):
                raise_alarm(server, f"m{number}")
            assert len(ask(server, "list").splitlines()) == 50
            assert len(writes) <= 1
        finally:
            gate.set()
    assert len(json.loads((tmp_path / "alarms.json").read_text())["alarms"]) == 50


ALARM = {**dict.fromkeys(("app", "level", "module", "function", "message", "first", "last"), "x")}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"alarms": [{}], "silences": {}, "last_id": 1}',
        "\0",
        "\udcff",
        "[" * 100_000,
        '{"alarms": [], "silences": {}, "last_id": 1e400}',
        '{"alarms": [], "silences": {"x": "y"}, "last_id": 1}',
        '{"alarms": [], "silences": [], "last_id": 1}',
        json.dumps({"alarms": [{**ALARM, "due": "soon"}], "silences": {}, "last_id": 1}),
        json.dumps({"alarms": [{**ALARM, "message": None}], "silences": {}, "last_id": 1}),
        json.dumps({"alarms": [{**ALARM, "count": "2"}], "silences": {}, "last_id": 1}),
    ],
)
def test_a_strange_state_file_is_refused(tmp_path, pid_file, text):
    """It is not overwritten."""
    state = tmp_path / "alarms.json"
    state.write_bytes(text.encode("utf-8", "surrogateescape"))
    server = Quick(pid_file_name=pid_file, port=0)
    keeper = State(server, state)
    with contextlib.closing(server), pytest.raises(ConfigError, match=r"alarms\.json is not from"):
        keeper.__enter__()
    assert state.read_bytes() == text.encode("utf-8", "surrogateescape")


def test_times_that_cannot_be_do_no_harm(tmp_path, pid_file, escalations):
    """Such as after the clock was set back, or by hand: people are called all the same."""
    year = time.time() + 365 * 86_400
    alarms = [{**ALARM, "app": "a", "due": year}, {**ALARM, "app": "b", "due": float("inf")}]
    silences = {"a": year, "c": float("nan"), "d": float("inf")}
    content = {"alarms": alarms, "silences": silences, "last_id": 2}
    (tmp_path / "alarms.json").write_text(json.dumps(content))
    server = Quick(pid_file_name=pid_file, port=0)
    server.escalate_after = server.repeat = 0.1
    with State(server, tmp_path / "alarms.json"), serving(server):
        wait_until(lambda: any(" b (x.x)" in text for text in escalations.texts))
        week = time.time() + 7 * 86_400 + 60
        wait_until(lambda: all(until < week for until in server.silences.values()))
        assert "a is silent until" in ask(server, "list")
        ask(server, "silence", "a", "0")
        wait_until(lambda: any(" a (x.x)" in text for text in escalations.texts))


def test_what_is_due_cannot_stop_the_manager(manager, caplog):
    """Whatever goes wrong there is logged, and clients are served."""
    manager.silences = None
    wait_until(lambda: "cannot look at what is due" in caplog.text)
    manager.silences = {}
    assert raise_alarm(manager) == "alarm 1"


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


def stop(process: subprocess.Popen[str], port: int) -> None:
    """Press Ctrl-C, or say quit on Windows, where only a console can send Ctrl-C."""
    if sys.platform != "win32":
        process.send_signal(signal.SIGINT)
        return
    with Client(host="127.0.0.1", port=port, timeout=TIMEOUT) as client:
        assert client.send_message("quit") == "Goodbye!"


def test_the_program_keeps_alarms_from_run_to_run(tmp_path):
    """Started, asked, stopped with Ctrl-C, started again, and quit."""
    words = ("--host", "127.0.0.1", "--port", "0", "--state", "alarms.json")
    with program(tmp_path, *words) as process:
        port = port_of(process)
        with Client(host="127.0.0.1", port=port, timeout=TIMEOUT) as client:
            assert client.send_message("alarm x --date d --level ERROR --message hot") == "alarm 1"
            assert "Collects the alarms" in client.send_message("help")
        stop(process, port)
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


def test_the_commands_that_its_help_shows_can_be_typed(tmp_path):
    """Each of them, options and all."""
    pattern = r"^    python cryostat_client.py --port 9020 (.*)"
    shown = re.findall(pattern, PATH.read_text(), re.MULTILINE)
    assert len(shown) == 3
    with program(tmp_path, "--host", "127.0.0.1", "--port", "0") as process:
        port = port_of(process)
        with Client(host="127.0.0.1", port=port, timeout=TIMEOUT) as client:
            for number in range(7):
                client.send_message(f"alarm cryostat --level ERROR --message {number}")
        for words in shown:
            result = subprocess.run(
                [sys.executable, "cryostat_client.py", "--port", str(port), *shlex.split(words)],
                cwd=PATH.parent,
                env={**os.environ, "PYTHONPATH": str(Path(lab_utils_mt.__file__).parents[1])},
                capture_output=True,
                text=True,
                check=True,
                timeout=TIMEOUT,
            )
            assert result.stdout
            assert result.stderr == ""


def test_escalations_go_where_the_logging_file_says(tmp_path):
    """Here, to the console; the file's level keeps everything else away."""
    ini = tmp_path / "logging.ini"
    ini.write_text("[ConsoleLogger]\nlog_level = ERROR\n")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    words = (
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--state",
        "alarms.json",
        "--escalate-after",
        "0",
    )
    state = {"last_id": 1, "silences": {}, "alarms": [vars(Alarm(*"almfxde", due=0.0))]}
    (tmp_path / "alarms.json").write_text(json.dumps(state))
    with program(tmp_path, *words, "--logging", "logging.ini") as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert "alarm_manager.escalation" in line
        assert line.endswith("nobody takes care of alarm 0 l a (m.f) 1x d to e: x\n")
        stop(process, port)
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
    lines = re.sub(r"\\+", "/", errors).splitlines()  # Windows' paths, or their repr()
    assert [complaint in line for line in lines] == [True]
    assert "Traceback" not in output
    assert not list(tmp_path.rglob("*.pid"))


def test_options_are_checked(tmp_path):
    """And explained."""
    with program(tmp_path, "--repeat", "-1") as process:
        assert "argument --repeat: " in process.communicate(timeout=TIMEOUT)[1]
    with program(tmp_path, "--help") as process:
        assert "acknowledge 7 --by anna" in process.communicate(timeout=TIMEOUT)[0]
