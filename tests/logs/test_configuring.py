"""Does a file decide where records go, and can that be changed and undone at any time?"""

import configparser
import io
import json
import logging
import os
import signal
import socket
import sys
import threading
from pathlib import Path

import pytest
from daemons import TIMEOUT, Line, Stage, serving
from systems import NO_PIPES, WINDOWS, needs_sigalrm

import lab_utils_mt.exceptions
from lab_utils_mt import custom_logging
from lab_utils_mt._logs import configuring, living
from lab_utils_mt._logs.settings import level_of
from lab_utils_mt.custom_logging import (
    SUCCESS,
    configure_logging,
    getLogger,
    unconfigure_logging,
)
from lab_utils_mt.exceptions import ConfigError

PACKAGE = Path(lab_utils_mt.exceptions.__file__).parent


@pytest.fixture(autouse=True)
def undone():
    """Whatever a test configures."""
    root = logging.getLogger()
    before = list(root.handlers), root.level
    yield
    unconfigure_logging()
    assert (root.handlers, root.level) == before


@pytest.fixture
def screen(capsys):
    """A function that returns what the program wrote to its standard output."""
    yield lambda: capsys.readouterr().out
    unconfigure_logging()  # while that is still open


@pytest.fixture
def configure(tmp_path):
    """A function that writes an ini file and configures with it."""

    def write_and_configure(text, **options):
        path = tmp_path / "logging.ini"
        path.write_text(text, encoding="utf-8")
        configure_logging(str(path), **options)

    return write_and_configure


def settle():
    """Wait until all sinks have delivered."""
    living.settle(living.all_sinks(), TIMEOUT)


def file_section(folder, more=""):
    """A section for log files."""
    return f"[FileLogger]\nactive = 1\nlog_path = {folder}\nlog_basename = lab\n{more}\n"


def lines_of(folder):
    """The records in the files, read back."""
    texts = [path.read_text(encoding="utf-8") for path in sorted(folder.glob("lab_*.log"))]
    return [json.loads(line) for text in texts for line in text.splitlines()]


NO_CONSOLE = "[ConsoleLogger]\nactive = 0\n"


def test_without_a_file_there_is_the_console(screen):
    """From level INFO, as in 0.5.x."""
    configure_logging()
    getLogger("cryostat").success("cold")
    getLogger("cryostat").debug("not shown")
    settle()
    (line,) = screen().splitlines()
    assert line.startswith("SUCCESS  ")
    assert line.endswith(" cryostat             cold")


def test_each_sink_gets_the_records_of_its_level(configure, screen, tmp_path):
    """Console and file."""
    configure("[ConsoleLogger]\nlog_level = ERROR\n" + file_section(tmp_path, "log_level = DEBUG"))
    logger = getLogger("cryostat")
    for level in (logging.DEBUG, SUCCESS, logging.ERROR):
        logger.log(level, "level %d", level)
    settle()
    assert [line.split()[0] for line in screen().splitlines()] == ["ERROR"]
    mine = [record for record in lines_of(tmp_path) if record["name"] == "cryostat"]
    assert [record["levelname"] for record in mine] == ["DEBUG", "SUCCESS", "ERROR"]
    assert mine[0]["message"] == "level 10"


def test_the_file_of_0_5_x_still_works(tmp_path, screen, monkeypatch):
    """Its keys, its values, its 1 and 0."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    path = tmp_path / "old.ini"
    path.write_text(
        "[ConsoleLogger]\nactive = 1\nuse_coloured_output = 1\nlog_level = DEBUG\n"
        "[FileLogger]\nactive = 1\nlog_level = INFO\nlog_path = ~/logs/x/\n"
        "log_basename = lab\nlog_extension = .log\n"
        "[AlarmLogger]\nactive = 0\nport = default\nlog_level = WARNING\n"
        "[SlackLogger]\nactive = 0\napi_file = ~/.slackapi\nlog_level = SUCCESS\nchannel = c\n"
        "user = u\n"
        "[MailHandler]\nactive = 0\ncredentials_file = ~/.smtp\nlog_level = SUCCESS\n"
        "mail_host = mail.lab\nport = 25\nsender = a@b.c\nsubject = s\nrecipients =\n    d@e.f\n",
        encoding="utf-8",
    )
    configure_logging(str(path), True, "cryostat")
    getLogger().success("up")
    settle()
    assert "cryostat" in screen()
    assert [record["message"] for record in lines_of(tmp_path / "logs" / "x")] == ["up"]


def test_the_file_that_comes_with_the_package_says_what_the_defaults_are(screen):
    """Only the keys of places and addresses have examples instead."""
    from dataclasses import asdict

    from lab_utils_mt._config import IniFile
    from lab_utils_mt._logs.plan import KINDS

    file = IniFile(str(PACKAGE / "conf" / "logging.ini"))
    kinds = {**{section: kind.settings for section, kind in KINDS.items()},
             "AlarmLogger": custom_logging.AlarmSettings}  # fmt: skip
    examples = {"log_path", "log_basename", "api_file", "mail_host", "sender", "recipients",
                "subject"}  # fmt: skip
    for section, settings in kinds.items():
        given = file.read(section, settings)
        assert set(given) == set(asdict(settings())), section
        for key in set(given) - examples:
            assert given[key] == getattr(settings(), key), f"[{section}] {key}"
    assert set(file.sections) == {*kinds, "Levels"}
    configure_logging(str(PACKAGE / "conf" / "logging.ini"))
    assert [sink.title for sink in living.all_sinks()] == ["console"]


def test_configuring_again_replaces(configure, screen, tmp_path):
    """Records come once, from the new sinks only."""
    configure_logging()
    configure_logging()
    configure("[ConsoleLogger]\nlog_level = WARNING\n")
    getLogger("x").warning("once")
    getLogger("x").info("no more")
    settle()
    assert [line.split()[-1] for line in screen().splitlines()] == ["once"]
    assert len(living.all_sinks()) == 1


def test_no_record_is_missed_or_doubled_while_it_is_replaced(configure, tmp_path):
    """By threads that go on logging; never is a level meanwhile the one of before."""
    text = NO_CONSOLE + file_section(tmp_path)
    configure(text)
    stop = threading.Event()
    logged = []
    switch_interval = sys.getswitchinterval()

    def log(name):
        number = 0
        while not stop.is_set():
            logging.getLogger("busy").info("%d %d", name, number)
            logged.append(f"{name} {number}")
            number += 1
            stop.wait(0.0005)

    threads = [threading.Thread(target=log, args=(name,)) for name in range(6)]
    sys.setswitchinterval(1e-4)
    try:
        for thread in threads:
            thread.start()
        for _ in range(60):
            configure(text)
    finally:
        stop.set()
        for thread in threads:
            thread.join(TIMEOUT)
        sys.setswitchinterval(switch_interval)
    settle()
    found = [record["message"] for record in lines_of(tmp_path) if record["name"] == "busy"]
    assert sorted(found) == sorted(logged)


def test_a_configuration_that_comes_while_another_is_undone_knows_the_levels_of_before(configure):
    """A sink that is slow to end gives it time to come."""
    noisy = logging.getLogger("noisy")
    before = logging.getLogger().level, noisy.level
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        alarms = f"[AlarmLogger]\nactive = 1\nport = {deaf.getsockname()[1]}\ntimeout = 1\n"
        configure(NO_CONSOLE + alarms + "log_level = DEBUG\n[Levels]\nnoisy = ERROR\n")
        logging.getLogger("x").error("keeps it busy")
        undoing = threading.Thread(target=unconfigure_logging)
        undoing.start()
        while configuring._setup.sinks:
            undoing.join(0.001)
        configure(NO_CONSOLE + "[Levels]\nnoisy = DEBUG\n")
        undoing.join(TIMEOUT)
        assert noisy.level == logging.DEBUG
        unconfigure_logging()
    assert (logging.getLogger().level, noisy.level) == before


@needs_sigalrm
def test_a_signal_handler_may_unconfigure_while_its_thread_configures(configure, tmp_path):
    """A lock that is not reentrant would wait for itself."""
    rounds = []

    def interrupt(*_):
        unconfigure_logging()
        rounds.append(1)

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.01, 0.013)
        while len(rounds) < 20:
            configure(NO_CONSOLE + file_section(tmp_path))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    configure(NO_CONSOLE + file_section(tmp_path))
    assert logging.getLogger().handlers.count(configuring._intake) == 1
    assert len(living.all_sinks()) == 1  # of all those that were interrupted, none is left
    unconfigure_logging()
    assert configuring._intake not in logging.getLogger().handlers


def test_threads_that_log_while_it_is_undone_meet_no_closed_sink(configure, capsys):
    """They were told to configure again, on the standard error output."""
    stop, has_logged = threading.Event(), threading.Event()

    def log():
        while not stop.is_set():
            logging.getLogger("busy").warning("on and on")
            has_logged.set()
            stop.wait(0.0005)

    with socket.create_server(("127.0.0.1", 0)) as deaf:
        configure(f"[AlarmLogger]\nactive = 1\nport = {deaf.getsockname()[1]}\ntimeout = 1\n")
        thread = threading.Thread(target=log)
        thread.start()
        try:
            assert has_logged.wait(TIMEOUT)
            unconfigure_logging()
        finally:
            stop.set()
            thread.join(TIMEOUT)
    output = capsys.readouterr()
    assert "is closed" in output.out  # what the alarms lost, told by the console
    assert output.err == ""


def test_undoing_restores_what_was_there(configure, screen, tmp_path):
    """Levels and handlers, threads and files; a second time does nothing."""
    quiet = logging.getLogger("Some.Library")
    quiet.setLevel(logging.ERROR)
    before = logging.getLogger().level
    configure(file_section(tmp_path) + "[Levels]\nSome.Library = DEBUG\n", log_level=7)
    assert quiet.level == logging.DEBUG
    assert logging.getLogger().level == 7
    unconfigure_logging()
    unconfigure_logging()
    assert quiet.level == logging.ERROR
    assert logging.getLogger().level == before
    assert living.all_sinks() == []
    quiet.setLevel(logging.NOTSET)


def test_other_handlers_and_loggers_are_left_alone(configure, screen):
    """Those of a library, those of the user."""
    theirs = logging.StreamHandler(io.StringIO())
    library = logging.getLogger("theirs")
    logging.getLogger().addHandler(theirs)
    library.addHandler(theirs)
    known = {name: (logger.level, list(logger.handlers), logger.disabled)
             for name, logger in logging.Logger.manager.loggerDict.items()
             if isinstance(logger, logging.Logger)}  # fmt: skip
    kind, raises = logging.getLoggerClass(), logging.raiseExceptions
    try:
        configure_logging()
        assert theirs in logging.getLogger().handlers
        for name, state in known.items():
            logger = logging.getLogger(name)
            assert (logger.level, list(logger.handlers), logger.disabled) == state
        assert (logging.getLoggerClass(), logging.raiseExceptions) == (kind, raises)
        unconfigure_logging()
        assert theirs in logging.getLogger().handlers
    finally:
        logging.getLogger().removeHandler(theirs)
        library.removeHandler(theirs)


def test_the_application_has_a_name_and_a_level(configure, screen):
    """Which 0.5.12 lets the program choose."""
    configure(NO_CONSOLE, logger_name="cryostat", log_level="ERROR")
    assert getLogger().name == "cryostat"
    assert getLogger().level == logging.ERROR
    unconfigure_logging()
    assert getLogger() is logging.getLogger()
    assert logging.getLogger("cryostat").level == logging.NOTSET


def test_the_root_logger_knows_success_whatever_was_configured():
    """0.5.4 fails on Python 3.9 and later."""
    getLogger().success("x")
    getLogger("root").success("x")
    configure_logging(logger_name="root")
    assert getLogger() is logging.getLogger()
    assert vars(logging)["SUCCESS"] == SUCCESS


def test_no_standard_output_is_no_error(monkeypatch, configure, tmp_path):
    """pythonw, services: the other sinks are there."""
    monkeypatch.setattr(sys, "stdout", None)
    configure(file_section(tmp_path))
    getLogger("x").info("hi")
    settle()
    assert [sink.title for sink in living.all_sinks()] == [f"file {tmp_path / 'lab'}"]
    assert lines_of(tmp_path)[-1]["message"] == "hi"
    configure_logging()
    getLogger("x").info("nobody sees it")


# --- bad input ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[ConsoleLogger]\nlog_level = LOUD\n", ["[ConsoleLogger]", "log_level = 'LOUD'"]),
        ("[ConsoleLogger]\nlog_levle = INFO\n", ["[ConsoleLogger]", "'log_levle'"]),
        ("[ConsoleLogger]\nactive = maybe\n", ["[ConsoleLogger]", "active = 'maybe'"]),
        ("[ConsoleLogger]\nactive = 1\nActive = 1\n", ["[ConsoleLogger]", "'Active'", "twice"]),
        ("[FileLogger]\nactive = 1\nlog_path = x\n", ["[FileLogger]", "'log_basename'", "missing"]),
        ("[FileLoger]\nactive = 1\n", ["[FileLoger]", "[FileLogger]"]),
        ("[Overall]\nport = 1\n", ["sections are missing", "[ConsoleLogger]"]),
        ("", ["sections are missing"]),
        ("[AlarmLogger]\nactive = 1\nport = ninety\n", ["[AlarmLogger]", "port = 'ninety'"]),
        ("[AlarmLogger]\nactive = 1\nport = 70000\n", ["[AlarmLogger]", "port = 70000"]),
        ("[Levels]\nx = LOUD\n[ConsoleLogger]\n", ["[Levels]", "x = 'LOUD'"]),
        ("[SlackLogger]\nactive = 1\n", ["[SlackLogger]", "'api_file'"]),
        ("[MailHandler]\nactive = 1\n", ["[MailHandler]", "'mail_host'"]),
    ],
)
def test_a_bad_file_is_named_with_section_and_key(configure, tmp_path, screen, text, words):
    """What is wrong, and where."""
    with pytest.raises(ConfigError) as caught:
        configure(text)
    assert isinstance(caught.value, configparser.Error)
    for word in ["logging.ini", *words]:
        assert word in str(caught.value)


def test_a_missing_file_is_an_error_and_changes_nothing(screen, tmp_path):
    """0.5.x passed over it."""
    configure_logging()
    before = living.all_sinks()
    with pytest.raises(ConfigError, match=r"cannot read .*nowhere.ini"):
        configure_logging(str(tmp_path / "nowhere.ini"))
    with pytest.raises(ConfigError, match="log_level = 'LOUD'"):
        configure_logging(log_level="LOUD")
    assert living.all_sinks() == before


def mail_section(more):
    """A section for mail that lacks nothing."""
    place = "mail_host = mail.invalid\nsender = a@b.c\nrecipients = d@e.f\n"
    return f"[MailHandler]\nactive = 1\n{place}{more}\n"


def test_one_sink_that_cannot_be_had_does_not_take_the_others(configure, screen, tmp_path):
    """They are in force when the error is raised, which names all that are not."""
    blocked = tmp_path / "a file"
    blocked.write_text("")
    with pytest.raises(ConfigError) as caught:
        configure(file_section(blocked) + mail_section("credentials_file = /nowhere/credentials"))
    assert "[FileLogger]" in str(caught.value)
    assert str(blocked) in str(caught.value)
    assert "[MailHandler]" in str(caught.value)
    assert "credentials_file: cannot read" in str(caught.value)
    getLogger("x").info("goes on")
    settle()
    assert "goes on" in screen()


def test_with_fallback_one_warning_tells_what_cannot_be_had(configure, screen, tmp_path, capsys):
    """And the others are in force."""
    blocked = tmp_path / "a file"
    blocked.write_text("")
    configure(file_section(blocked), fallback=True)
    getLogger("x").info("goes on")
    settle()
    first, second = screen().splitlines()
    assert first.startswith("WARNING  ")
    assert "[FileLogger]" in first
    assert second.endswith("goes on")


def test_with_fallback_and_nothing_to_be_had_the_standard_logger_is_there(tmp_path, capsys):
    """With one clear warning, on the standard error output."""
    handlers, logging.getLogger().handlers = logging.getLogger().handlers, []
    try:
        configure_logging(str(tmp_path / "nowhere.ini"), fallback=True)
        logging.getLogger("x").warning("goes on")
        first, second = capsys.readouterr().err.splitlines()
        assert first.startswith("WARNING:lab_utils_mt.logging:logging could not be configured")
        assert "nowhere.ini" in first
        assert second == "WARNING:x:goes on"
        unconfigure_logging()
        assert logging.getLogger().handlers == []
    finally:
        logging.getLogger().handlers = handlers


def test_a_secret_in_the_place_of_its_file_is_not_told(configure, screen):
    """A likely mistake."""
    with pytest.raises(ConfigError) as caught:
        configure("[SlackLogger]\nactive = 1\napi_file = xoxb-12345-canary\nchannel = c\n")
    assert "canary" not in str(caught.value)
    assert "api_file is to name a file" in str(caught.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "is empty"),
        ("only-a-user\n", "two lines"),
        ("a\nb\nc\n", "two lines"),
        (None, "cannot read"),
        (b"\xff\xfe", "UTF-8"),
    ],
)
def test_a_bad_credentials_file_is_named_but_not_quoted(
    configure, screen, tmp_path, content, words
):
    """Its text could be the password."""
    path = tmp_path / "credentials"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ConfigError) as caught:
        configure(mail_section(f"credentials_file = {path}"))
    assert words in str(caught.value)
    assert str(path) in str(caught.value)
    assert "only-a-user" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "level"), [("INFO", 20), ("success", 25), (" warning ", 30), ("7", 7), ("WARN", 30)]
)
def test_levels_have_names_and_numbers(text, level):
    """In capitals or not."""
    assert level_of(text) == level


def test_yes_has_many_forms():
    """As documented; all else means no."""
    for text in ("true", "1", "t", "y", "yes", "on", "TRUE", "Yes"):
        assert custom_logging.string_to_bool(text) is True
    for text in ("false", "0", "", "off", "2", "ja", " yes"):
        assert custom_logging.string_to_bool(text) is False


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (file_section(""), ["[FileLogger]", "'log_path' is empty"]),
        ("[SlackLogger]\nactive = 1\nchannel = c\napi_file =\n", ["'api_file' is empty"]),
        ("[AlarmLogger]\nactive = 1\nhost =\n", ["[AlarmLogger]", "host = ''"]),
        ("[AlarmLogger]\nactive = 1\nhost = a b\n", ["[AlarmLogger]", "host = 'a b'"]),
        ("[AlarmLogger]\nactive = 1\nport = 0\n", ["[AlarmLogger]", "port = '0'"]),
        ("[Console]\nlog_level = ERROR\n[FileLogger]\n", ["[Console]", "[ConsoleLogger]"]),
        ("[CONSOLELOGGER]\n[FileLogger]\n", ["[CONSOLELOGGER]", "[ConsoleLogger]"]),
        ("[MailLogger]\nactive = 1\n[FileLogger]\n", ["[MailLogger]", "[MailHandler]"]),
        ("[levels]\nx = INFO\n[FileLogger]\n", ["[levels]", "[Levels]"]),
        ("[DEFAULT]\nlog_level = DEBUG\n", ["sections are missing"]),
    ],
)
def test_what_would_be_accepted_silently_is_named(configure, screen, text, words):
    """It would do nothing, or fail for ever."""
    with pytest.raises(ConfigError) as caught:
        configure(text)
    for word in ["logging.ini", *words]:
        assert word in str(caught.value)


def test_other_sections_are_the_users_own(configure, screen):
    """Whatever they are called, DEFAULT included."""
    configure(
        "[DEFAULT]\nfoo = 1\nlog_level = DEBUG\n[Mail]\nhost = x\n[ConsoleLogger]\n"
        "[FileLogger]\n[Levels]\nx = INFO\n"
    )
    assert [sink.level for sink in living.all_sinks()] == [logging.INFO]
    assert logging.getLogger("log_level").level == logging.NOTSET


@pytest.mark.parametrize("level", [-5, 10**30, 1 << 50_000, True, 1.5, ""], ids=list("abcdef"))
def test_a_level_that_cannot_be_is_an_error(level):
    """Negative ones and those beyond all others switch a logger off."""
    with pytest.raises(ConfigError, match="argument: log_level"):
        configure_logging(log_level=level)


@pytest.mark.parametrize("name", ["root", "x"])
def test_the_argument_overrides_the_levels_of_the_file(configure, screen, name):
    """The root logger has a name there, too."""
    configure(f"[ConsoleLogger]\n[Levels]\n{name} = ERROR\n", logger_name=name, log_level="DEBUG")
    assert getLogger(name).level == logging.DEBUG


@pytest.mark.parametrize("path", ["~nobody-of-that-name/x", "a\0b", "\ud800"])
def test_a_path_that_cannot_be_is_no_other_error(screen, path):
    """Fallback helps."""
    with pytest.raises(ConfigError, match="cannot read"):
        configure_logging(path)
    configure_logging(path, fallback=True)


@pytest.mark.parametrize("key", ["api_file", "credentials_file"])
@pytest.mark.parametrize("kind", ["pipe", "device", "long", "nobody"])
def test_a_secret_file_is_small_and_regular(configure, screen, tmp_path, key, kind):
    """A pipe would hold up the daemon's start for ever, a device fill its memory."""
    path = tmp_path / "secret"
    if kind == "long":
        path.write_text("x" * 65_536)
    elif kind == "nobody":
        path = Path("~nobody-of-that-name/x")
    elif WINDOWS:
        pytest.skip(NO_PIPES)
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path = Path("/dev/full")
    slack = f"[SlackLogger]\nactive = 1\nchannel = c\napi_file = {path}\n"
    text = slack if key == "api_file" else mail_section(f"credentials_file = {path}")
    with pytest.raises(ConfigError, match=key) as caught:
        configure(text)
    words = {"long": "too long", "nobody": "cannot read"}.get(kind, "not a regular file")
    assert words in str(caught.value)
    shown = path.expanduser() if WINDOWS else path  # there, everybody's home is guessed
    assert str(shown) in str(caught.value)


def test_the_fallback_shows_neither_secrets_nor_what_drives_a_terminal(tmp_path, capsys):
    """It is the standard library's handler; its text is as harmless as that of all others."""
    handlers, logging.getLogger().handlers = logging.getLogger().handlers, []
    try:
        configure_logging(str(tmp_path / "nowhere.ini"), fallback=True)
        logging.getLogger("x").warning("%s", "a\nCRITICAL:root:forged \x1b[2J password=hunter2")
        _, line = capsys.readouterr().err.splitlines()
        assert line == "WARNING:x:a\\nCRITICAL:root:forged \\x1b[2J password=***"
        unconfigure_logging()
    finally:
        logging.getLogger().handlers = handlers


def test_the_fallback_leaves_handlers_of_others_as_they_are(tmp_path):
    """Those that were there before."""
    theirs = logging.StreamHandler(io.StringIO())
    logging.getLogger().addHandler(theirs)
    try:
        configure_logging(str(tmp_path / "nowhere.ini"), fallback=True)
        assert theirs.formatter is None
    finally:
        logging.getLogger().removeHandler(theirs)


# --- told by the server ------------------------------------------------------------------------


def test_the_status_command_shows_what_became_of_the_records(screen, pid_file):
    """raised = sent + queued + dropped."""
    configure_logging()
    server = Stage(pid_file_name=pid_file, port=0)
    with serving(server), Line(server) as line:
        getLogger("x").info("one")
        settle()
        line.send(b"status\n")
        header = line.file.read(2)
        length = int(line.file.read(int(header[1:2])))
        status = line.file.read(length).decode()
    (shown,) = [text for text in status.splitlines() if "raised =" in text]
    assert shown.startswith("  console: ")
    assert "0 dropped; ok" in shown
    assert "\nlogging:\n" in status


def test_two_threads_may_configure_at_once(screen):
    """One of them is in force in the end."""
    threads = [threading.Thread(target=configure_logging) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT)
    assert len(living.all_sinks()) == 1
    assert logging.getLogger().handlers.count(configuring._intake) == 1
