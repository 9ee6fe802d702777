"""Does each record get into the file of its day, whatever clocks, disks and other processes do?"""

import contextlib
import datetime
import gc
import json
import logging
import logging.handlers
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from logs.crowds import start_together
from systems import (
    KEPT_FOLDER,
    NO_PIPES,
    NO_ZONES,
    ROOT,
    WINDOWS,
    needs_atomic_append,
    needs_file_limit,
    needs_fork,
    needs_linux,
    needs_pipes,
    needs_umask,
)

import lab_utils_mt.exceptions
from lab_utils_mt._logs import redaction
from lab_utils_mt._logs.days import day_of
from lab_utils_mt._logs.files import CustomTimedRotatingFileHandler
from lab_utils_mt._logs.json_lines import JsonLinesFormatter
from lab_utils_mt._logs.queued import QueuedHandler

PACKAGE_FOLDER = str(Path(lab_utils_mt.exceptions.__file__).parent.parent)
# Rules as they are written in TZ: that needs no tables of the system.
ZONES = {
    "Zurich": "CET-1CEST,M3.5.0,M10.5.0/3",
    "Havana, midnight twice and never": "CST5CDT,M3.2.0/0,M11.1.0/1",
    "St John's before 2011, one minute of tomorrow": "NST3:30NDT2:30,M3.2.0/0:01,M11.1.0/0:01",
    "Kathmandu": "NPT-5:45",
    "UTC": "UTC0",
}
HOSTILE = st.text(
    st.characters() | st.sampled_from("\x00\x07\x1b\x7f\x85\x9b\u2028\u202e\u2066\ud800\n\r"),
    max_size=40,
) | st.sampled_from(["\x1b]0;title\x07", "\x1b[2J", "\x9b31m", "a\nERROR    forged"])

WRITE = """
import logging, sys, time
sys.path.insert(0, sys.argv[1])
from lab_utils_mt._logs.files import CustomTimedRotatingFileHandler

folder, name = sys.argv[2:]
midnight = time.mktime((2026, 6, 2, 0, 0, 0, 0, 0, -1))
handler = CustomTimedRotatingFileHandler(folder, "beam")
sys.stdin.readline()
for number in range(5000):
    length = 70_000 if number % 200 == 0 else number % 300
    record = logging.makeLogRecord({"msg": f"{name} {number} {'x' * length}."})
    record.created = midnight + (number - 2500) / 10
    handler.handle(record)
handler.close()
"""

FORK = """
import logging, os, sys
sys.path.insert(0, sys.argv[1])
from lab_utils_mt._logs.files import CustomTimedRotatingFileHandler

handler = CustomTimedRotatingFileHandler(sys.argv[2], "beam")
def log(text, created=1780315200.0):
    record = logging.makeLogRecord({"msg": text})
    record.created = created
    handler.handle(record)

log("before")
handler.acquire()
child = os.fork()
if not child:
    log("child")
    log("child tomorrow", 1780315200.0 + 86400)
    os._exit(0)
handler.release()
assert os.waitpid(child, 0)[1] == 0
log("parent")
handler.close()
"""

FILL = """
import logging, resource, sys
sys.path.insert(0, sys.argv[1])
from lab_utils_mt._logs.files import CustomTimedRotatingFileHandler

_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))  # what is beyond fails, as on a full disk
handler = CustomTimedRotatingFileHandler(sys.argv[2], "beam")
root = logging.getLogger()
root.addHandler(handler)
root.addHandler(logging.StreamHandler(sys.stdout))
root.handlers[1].addFilter(lambda record: record.name == "lab_utils_mt.logging")
root.setLevel("INFO")
for number in range(20):
    root.info("%03d the secret is swordfish %s", number, "-" * 67)
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
for _ in range(3):
    root.info("back")
handler.close()
"""


@pytest.fixture
def zone(monkeypatch):
    """A function that sets the time zone."""
    if WINDOWS:
        pytest.skip(NO_ZONES)

    def set_zone(rules):
        monkeypatch.setenv("TZ", rules)
        time.tzset()

    yield set_zone
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def make(tmp_path):
    """A function that makes handlers, which are closed in the end."""
    with contextlib.ExitStack() as stack:

        def make_handler(basename="beam", path=tmp_path, **options):
            handler = CustomTimedRotatingFileHandler(path, basename, **options)
            stack.callback(handler.close)
            return handler

        yield make_handler


@pytest.fixture
def reports():
    """What is told of sinks: the records of their logger."""
    found = []
    handler = logging.Handler()
    handler.emit = found.append
    logger = logging.getLogger("lab_utils_mt.logging")
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield found
    logger.removeHandler(handler)
    logger.setLevel(before)


def make_record(message, moment=None, level=logging.INFO, **extra):
    """A record that was made then: a local time as text, or seconds since the epoch."""
    record = logging.LogRecord("lab", level, "p.py", 1, message, (), None)
    if isinstance(moment, str):
        moment = datetime.datetime.fromisoformat(moment).timestamp()
    if moment is not None:
        record.created = moment
    vars(record).update(extra)
    return record


def texts(folder, pattern="*"):
    """Return the lines of each file by the file's name."""
    return {
        path.name: path.read_text(encoding="utf-8").splitlines()
        for path in sorted(folder.glob(pattern))
    }


def all_lines(folder):
    """Return the lines of all files."""
    return [line for own in texts(folder).values() for line in own]


def run(program, *args):
    """Run a program in a process of its own; return what it prints."""
    command = [sys.executable, "-c", program, PACKAGE_FOLDER, *map(str, args)]
    return subprocess.run(
        command, check=True, capture_output=True, text=True, timeout=60
    ).stdout.splitlines()


# --- days ------------------------------------------------------------------------------------


@pytest.mark.parametrize("rules", ZONES.values(), ids=ZONES)
def test_a_day_is_what_the_system_says(zone, rules):
    """Each minute of a year's switches; the limits are the seconds where the date changes."""
    zone(rules)
    for begin in ((2026, 3, 7), (2026, 3, 28), (2026, 10, 24), (2026, 10, 31), (2026, 12, 31)):
        start = int(time.mktime((*begin, 0, 0, 0, 0, 0, -1)))
        day = day_of(start)
        for moment in range(start, start + 3 * 86400, 60):
            if not day.holds(moment):
                day = day_of(moment)
            assert day.name == time.strftime("%Y-%m-%d", time.localtime(moment))
            for edge in (day.begin, day.end):
                before, after = (time.localtime(edge + second)[:3] for second in (-1, 0))
                assert before != after


@pytest.mark.parametrize(("date", "hours"), [("2026-03-29", 23), ("2026-10-25", 25)])
def test_a_day_may_have_23_or_25_hours(zone, make, date, hours):
    """The stock handler reckons with 24, before Python 3.13."""
    zone(ZONES["Zurich"])
    begin = datetime.datetime.fromisoformat(date).timestamp()
    handler = make()
    handler.handle(make_record("x", begin + 60))
    assert handler.rolloverAt - begin == hours * 3600
    assert handler.computeRollover(begin) == handler.rolloverAt


@pytest.mark.parametrize("date", ["2026-03-29", "2026-10-25"])
def test_records_go_to_the_day_on_which_they_were_made(zone, make, tmp_path, date):
    """Around both midnights of a day with a switch, in one batch and one by one."""
    zone(ZONES["Zurich"])
    day = datetime.date.fromisoformat(date)
    before, after = (day + datetime.timedelta(days) for days in (-1, 1))
    expected = {
        f"beam_{before}.log": ["23:59:59.999"],
        f"beam_{day}.log": ["00:00", "01:59:59", "03:30", "23:30", "23:59:59.999"],
        f"beam_{after}.log": ["00:00"],
    }
    records = [
        make_record(text, f"{name[5:15]}T{text}") for name, own in expected.items() for text in own
    ]
    assert make().write_records(records) == 7
    assert texts(tmp_path) == expected
    single = make("single")
    for record in records:
        single.handle(record)
    found = texts(tmp_path, "single*")
    assert list(found.values()) == list(expected.values())


def test_the_clock_jumps_and_each_record_finds_its_file(make, tmp_path):
    """Back and forth, by days."""
    handler = make()
    for number, day in enumerate((5, 6, 3, 6, 29, 5)):
        handler.handle(make_record(f"{number}", f"2026-06-{day:02}T12:00"))
        assert handler.shouldRollover(make_record("x", f"2026-06-{day:02}T23:59")) == 0
        assert handler.shouldRollover(make_record("x", f"2026-06-{day + 1:02}T00:00")) == 1
    assert texts(tmp_path) == {
        "beam_2026-06-03.log": ["2"],
        "beam_2026-06-05.log": ["0", "5"],
        "beam_2026-06-06.log": ["1", "3"],
        "beam_2026-06-29.log": ["4"],
    }


@pytest.mark.parametrize("created", [float("nan"), float("-inf"), -1e12, 1e30, "then", None, 1e15])
def test_a_record_without_a_time_is_written_today(make, tmp_path, created):
    """It may come from elsewhere."""
    record = make_record("x")
    record.created = created
    handler = make()
    handler.handle(record)
    handler.handle(make_record("y"))
    assert all_lines(tmp_path) == ["x", "y"]


def test_the_stock_handler_loses_a_day_or_mixes_two(tmp_path):
    """This is what is avoided: two handlers, as in two processes, and midnight between."""
    path = tmp_path / "beam.log"
    handlers = [logging.handlers.TimedRotatingFileHandler(path, when="midnight") for _ in range(2)]
    yesterday = int(time.time()) - 86400
    for number, handler in enumerate(handlers):
        handler.handle(make_record(f"yesterday {number}", yesterday))
        handler.rolloverAt = handler.computeRollover(yesterday)
    for number, handler in enumerate(handlers):
        handler.handle(make_record(f"today {number}"))
        handler.close()
    found = texts(tmp_path)
    assert found.pop("beam.log", None) != ["today 0", "today 1"]
    if not WINDOWS:  # where it cannot rename what is open twice, and writes nothing any more
        assert list(found.values()) != [["yesterday 0", "yesterday 1"]]


@needs_atomic_append
def test_four_processes_lose_nothing_around_midnight(tmp_path):
    """5,000 records each, some of more than 64 KiB, half of them before it."""
    start_together(WRITE, PACKAGE_FOLDER, str(tmp_path))
    found = texts(tmp_path)
    assert list(found) == ["beam_2026-06-01.log", "beam_2026-06-02.log"]
    for half, lines in enumerate(found.values()):
        assert len(lines) == 10_000
        assert all(line.endswith(".") for line in lines)
        for name in "abcd":
            numbers = [int(line.split()[1]) for line in lines if line.startswith(name)]
            assert numbers == list(range(half * 2500, half * 2500 + 2500))


def test_two_handlers_and_many_threads_in_one_process(make, tmp_path):
    """With one basename."""
    handlers = [make(), make()]

    def work(name):
        for number in range(500):
            handlers[number % 2].handle(
                make_record(f"{name} {number}", f"2026-06-0{number % 2 + 1}")
            )

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    lines = all_lines(tmp_path)
    assert sorted(lines) == sorted(f"{name} {number}" for name in "abcd" for number in range(500))


@needs_fork
def test_a_forked_child_goes_on(tmp_path):
    """Even if its parent was just writing."""
    run(FORK, tmp_path)
    assert sorted(all_lines(tmp_path)) == [*("before", "child", "child tomorrow", "parent")]


# --- names and options -----------------------------------------------------------------------


def test_the_documented_attributes(make, tmp_path):
    """Of the names that 0.5.x has."""
    folder = tmp_path / "a" / "b"
    handler = make(path=str(folder))
    assert isinstance(handler, logging.handlers.TimedRotatingFileHandler)
    assert (handler.path, handler.basename) == (str(folder), str(folder / "beam"))
    assert handler.extension == ".log"
    assert handler.stream is None
    handler.handle(make_record("x"))
    assert handler.rolloverAt > time.time()
    assert handler.stream.name == handler.baseFilename
    assert handler.stream.fileno() > 2
    handler.close()
    assert handler.stream is None


def test_roll_over_by_hand(make, tmp_path):
    """It opens the file of today."""
    handler = make()
    handler.handle(make_record("then", "2026-06-01"))
    handler.doRollover()
    today = f"beam_{datetime.date.today()}.log"
    assert texts(tmp_path) == {"beam_2026-06-01.log": ["then"], today: []}
    assert handler.stream.name == str(tmp_path / today)


@pytest.mark.parametrize(
    ("extension", "end"), [("log", ".log"), (".log", ".log"), ("", ""), ("json.txt", ".json.txt")]
)
def test_the_extension_has_its_dot(make, tmp_path, extension, end):
    """The manual of 0.5.4 has it with and without."""
    handler = make(extension=extension)
    handler.handle(make_record("x", "2026-06-01"))
    assert handler.extension == end
    assert list(texts(tmp_path)) == [f"beam_2026-06-01{end}"]


@pytest.mark.parametrize(
    "name",
    [
        *("", "a/b", "../a", "a\\b", "C:a", "a?", "a*", "a|b", "a<", "a>", 'a"', "a\0", "a\n"),
        *("\x1b[2J", "a\u202eb", "CON", "nul", "Com1.x", "LPT9", "a.", "a ", "..", "x" * 250),
    ],
)
def test_a_name_that_cannot_be_is_refused(tmp_path, name):
    """Saying why, and before anything is made."""
    folder = tmp_path / "new"
    with pytest.raises(ValueError, match="basename") as caught:
        CustomTimedRotatingFileHandler(folder, name)
    assert str(caught.value).isprintable()
    assert not folder.exists()


@pytest.mark.parametrize("extension", [".", "l/g", "..\\x", ".a:b", ".log ", ".\x1b", "x" * 250])
def test_an_extension_that_cannot_be_is_refused(tmp_path, extension):
    """The same."""
    with pytest.raises(ValueError, match=r"extension|too long"):
        CustomTimedRotatingFileHandler(tmp_path / "new", "beam", extension)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("name", ["beam", "µ-scope", "a.b", "beam line", "CONtrol", "温度"])
def test_other_names_are_fine(make, tmp_path, name):
    """Of all languages."""
    make(name).handle(make_record("x", "2026-06-01"))
    assert list(texts(tmp_path)) == [f"{name}_2026-06-01.log"]


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path):
    """A file is in its place."""
    (tmp_path / "file").write_text("")
    for path in ("file", "file/below"):
        with pytest.raises(OSError, match="file"):
            CustomTimedRotatingFileHandler(tmp_path / path, "beam")
    if not WINDOWS:  # where everybody's home is guessed
        with pytest.raises(OSError, match="home"):
            CustomTimedRotatingFileHandler("~nobody-of-that-name/logs", "beam")


@needs_umask
def test_a_folder_that_cannot_be_written_is_an_error(tmp_path):
    """For all but root."""
    if os.geteuid() == 0:
        pytest.skip(ROOT)
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(PermissionError, match="no log can be written"):
            CustomTimedRotatingFileHandler(tmp_path, "beam")
    finally:
        tmp_path.chmod(0o700)


@pytest.mark.parametrize("kind", ["folder", "pipe", "read-only"])
def test_a_file_of_today_that_cannot_be_written_is_an_error(tmp_path, kind):
    """At once, not when the first record comes."""
    path = tmp_path / f"beam_{datetime.date.today()}.log"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        if WINDOWS:
            pytest.skip(NO_PIPES)
        os.mkfifo(path)
    else:
        path.write_text("")
        path.chmod(0o400)
        with contextlib.suppress(OSError), path.open("ab"):
            pytest.skip(ROOT)
    with pytest.raises(OSError, match=path.name):
        CustomTimedRotatingFileHandler(tmp_path, "beam")


@needs_linux
def test_a_folder_in_which_nobody_can_make_a_file_is_an_error():
    """Not even root."""
    with pytest.raises(OSError, match="no log can be written to this folder: '/proc'"):
        CustomTimedRotatingFileHandler("/proc", "beam")


def test_nothing_is_left_by_a_handler_that_is_not_used(make, tmp_path):
    """No trial, no empty file."""
    make()
    assert list(tmp_path.iterdir()) == []


def test_after_close_a_record_is_written_and_no_file_stays_open(make, tmp_path):
    """Nobody would ever close it again."""
    handler = make()
    handler.handle(make_record("before", "2026-06-01"))
    handler.close()
    handler.handle(make_record("after", "2026-06-01"))
    assert handler.stream is None
    handler.doRollover()
    assert handler.stream is None
    assert texts(tmp_path)["beam_2026-06-01.log"] == ["before", "after"]
    gc.collect()


def test_old_files_are_deleted_at_the_start_and_at_switches(make, tmp_path):
    """Of this basename and extension only, and by the dates in their names."""
    others = [
        *("beam_line_2020-01-01.log", "beam_2020-01-01.txt", "beam_2020-02-30.log"),
        *("beam_2020-01-01.log.gz", "xbeam_2020-01-01.log", "beam_20200101.log", "beam_x.log"),
    ]
    for name in (*others, *(f"beam_2026-06-{day:02}.log" for day in range(1, 8))):
        (tmp_path / name).write_text("")
    (tmp_path / "beam_2000-01-01.log").mkdir()

    def days():
        return [int(name[13:15]) for name in texts(tmp_path, "beam_2026-*")]

    handler = make(keep_days=3)
    assert days() == [4, 5, 6, 7]
    handler.handle(make_record("x", "2026-06-07"))
    handler.handle(make_record("x", "2026-06-08"))
    assert days() == [5, 6, 7, 8]
    handler.handle(make_record("x", "2026-06-09"))
    assert days() == [6, 7, 8, 9]
    assert all((tmp_path / name).exists() for name in others)
    assert (tmp_path / "beam_2000-01-01.log").is_dir()


def test_a_clock_that_runs_wild_does_not_delete_everything(make, tmp_path):
    """A day in 2099, then all is well again."""
    for day in range(1, 8):
        (tmp_path / f"beam_2026-06-{day:02}.log").write_text("")
    handler = make(keep_days=3)
    handler.handle(make_record("wild", "2099-01-01"))
    handler.handle(make_record("well", "2026-06-07"))
    assert list(texts(tmp_path)) == [
        *(f"beam_2026-06-{day:02}.log" for day in (5, 6, 7)),
        "beam_2099-01-01.log",
    ]


def test_a_clock_far_behind_does_not_delete_its_own_file(make, tmp_path):
    """It would be the oldest."""
    for day in range(1, 8):
        (tmp_path / f"beam_2026-06-{day:02}.log").write_text("")
    make(keep_days=2).handle(make_record("behind", "2000-01-01"))
    assert texts(tmp_path)["beam_2000-01-01.log"] == ["behind"]


def test_by_default_nothing_is_deleted(make, tmp_path):
    """However old."""
    (tmp_path / "beam_1999-01-01.log").write_text("old\n")
    make().handle(make_record("x"))
    assert len(texts(tmp_path)) == 2
    with pytest.raises(ValueError, match="keep_days"):
        make(keep_days=0)


# --- texts -----------------------------------------------------------------------------------


@given(text=HOSTILE)
def test_a_hostile_text_is_one_line_that_is_read_back(tmp_path_factory, text):
    """The file holds no control byte but newline."""
    folder = tmp_path_factory.mktemp("hostile")
    with contextlib.closing(CustomTimedRotatingFileHandler(folder, "beam")) as handler:
        handler.setFormatter(JsonLinesFormatter())
        handler.write_records([make_record(text, note=text), make_record("last")])
    [path] = folder.iterdir()
    first, last = path.read_bytes().decode("utf-8").removesuffix("\n").split("\n")
    assert first.isprintable()
    found = json.loads(first)
    # Two lone halves of a character, side by side, are that character in JSON.
    assert found["message"] == found["note"] == json.loads(json.dumps(text))
    assert json.loads(last)["message"] == "last"


class Foreign(logging.Formatter):
    """A user's own, with an idea about levels."""

    def format(self, record):
        return f"{record.levelname}\t{super().format(record)}"


@pytest.mark.parametrize("kind", [None, logging.Formatter, Foreign])
def test_a_text_cannot_drive_a_terminal(make, tmp_path, kind):
    """Nor forge a line, if the formatter is none or the standard one."""
    redaction.hide("files-canary-1")
    handler = make()
    if kind:
        handler.setFormatter(kind("%(name)s\t%(message)s"))
    handler.handle(make_record("files-canary-1 \x1b[2J\x9b\u202e\ud800\nforged"))
    [path] = tmp_path.iterdir()
    text = path.read_bytes().decode()
    assert all(char.isprintable() or char in "\n\t" for char in text)
    assert text.startswith(
        "*** " if kind is None else "lab" if kind is not Foreign else "INFO\tlab"
    )
    assert "canary" not in text
    assert "\ud800" not in text
    if kind is not Foreign:
        assert text.count("\n") == 1


def test_without_a_formatter_the_message_is_written_alone(make, tmp_path):
    """As 0.5.x does; and logging.basicConfig() may still give one."""
    handler = make()
    assert handler.formatter is None
    try:
        raise ValueError("stuck")  # noqa: TRY301
    except ValueError:
        handler.handle(make_record("µ Ω", exc_info=sys.exc_info()))
    [lines] = texts(tmp_path).values()
    assert lines[0] == "µ Ω"
    assert lines[-1] == "  | ValueError: stuck"


@pytest.mark.parametrize("layout", ["%(missing)s", "%(message)d"])
def test_a_formatter_that_fails_loses_no_record(make, tmp_path, layout, reports):
    """The stock handler prints it on the standard error output instead."""
    handler = make()
    handler.setFormatter(logging.Formatter(layout))
    handler.handle(make_record("kept"))
    [[line]] = texts(tmp_path).values()
    assert "kept" in line
    assert "its formatter raises" in line
    assert not reports


# --- faults ----------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["folder deleted", "file deleted", "file moved", "stream closed"])
def test_what_is_taken_away_is_made_again(make, tmp_path, way):
    """The stock handler goes on writing into a file that nobody can find."""
    if way == "folder deleted" and WINDOWS:
        pytest.skip(KEPT_FOLDER)
    folder = tmp_path / "logs"
    handler = make(path=folder)
    handler.handle(make_record("first", "2026-06-01"))
    path = folder / "beam_2026-06-01.log"
    if way == "stream closed":
        handler.stream.close()
    elif way == "file moved":
        path.rename(tmp_path / "moved")
    else:
        path.unlink()
        if way == "folder deleted":
            folder.rmdir()
    handler.handle(make_record("second", "2026-06-01"))
    assert path.read_text().splitlines()[-1] == "second"


@needs_pipes
def test_a_pipe_in_the_place_of_a_file_holds_nobody_up(make, tmp_path, reports, capsys):
    """It is told once, and once when it is gone."""
    pipe = tmp_path / "beam_2026-06-01.log"
    os.mkfifo(pipe)
    handler = make()
    for _ in range(3):
        handler.handle(make_record("swordfish", "2026-06-01"))
    pipe.unlink()
    for _ in range(3):
        handler.handle(make_record("back", "2026-06-01"))
    assert texts(tmp_path) == {pipe.name: ["back"] * 3}
    failed, back = [record.getMessage() for record in reports]
    assert failed.startswith(f"log file {tmp_path / 'beam'} does not work: OSError: ")
    assert "works again after" in back
    assert back.endswith("; 3 records are lost")
    assert capsys.readouterr() == ("", "")


@needs_file_limit
def test_a_full_disk_is_told_once_and_costs_no_line_afterwards(tmp_path):
    """In a process whose files may not grow beyond 1000 bytes, for a while."""
    failed, back = run(FILL, tmp_path)
    assert "does not work: OSError: [Errno" in failed
    assert "swordfish" not in failed
    assert back.endswith("10 records are lost")
    [lines] = texts(tmp_path).values()
    assert [line[:3] for line in lines[:10]] == [f"{number:03}" for number in range(10)]
    # When it works again, that is reported to all others before the next record comes.
    assert lines[-3:] == ["back"] * 3


def test_two_failing_handlers_do_not_report_each_other_for_ever(make, tmp_path):
    """Both on the logger that tells of failures."""
    logger = logging.getLogger("lab_utils_mt.logging")
    handlers = [make("a", tmp_path / "a"), make("b", tmp_path / "b")]
    for name in "ab":
        (tmp_path / name).rmdir()
        (tmp_path / name).write_text("no folder any more")
    for handler in handlers:
        logger.addHandler(handler)
    try:
        done = threading.Thread(target=logger.warning, args=("x",), daemon=True)
        other = threading.Thread(target=logger.warning, args=("y",), daemon=True)
        for thread in (done, other):
            thread.start()
        for thread in (done, other):
            thread.join(20)
            assert not thread.is_alive()
    finally:
        for handler in handlers:
            logger.removeHandler(handler)


def test_behind_a_queue_nothing_is_lost_while_the_folder_is_away(make, tmp_path):
    """It waits, and is written to the files of its days."""
    folder = tmp_path / "logs"
    writer = make(path=folder)
    sink = QueuedHandler("files", writer, 1000)
    try:
        folder.rmdir()
        folder.write_text("no folder any more")
        for number in range(10):
            sink.handle(make_record(f"{number}", f"2026-06-0{number // 5 + 1}"))
        sink.flush()
        assert sink.counts.queued == 10
        folder.unlink()
        sink.flush()
        assert sink.counts.sent == 10
    finally:
        sink.close()
    assert list(texts(folder).values()) == [list("01234"), list("56789")]
    gc.collect()
