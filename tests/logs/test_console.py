"""Does the console get colour where a person looks, and every record?"""

import io
import logging
import os
import subprocess
import sys
from pathlib import Path

import colorama
import pytest
from systems import NO_PTY, needs_file_limit

import lab_utils_mt.exceptions
from lab_utils_mt._logs.console import ColoredFormatter, console_handler

PACKAGE_FOLDER = str(Path(lab_utils_mt.exceptions.__file__).parent.parent)
PROGRAM = """
import sys
sys.path.insert(0, sys.argv[1])
from lab_utils_mt import custom_logging
logger = custom_logging.getLogger("c")
logger.setLevel("INFO")
logger.addHandler(custom_logging.console_handler())
logger.success("\\u03a9 \\u2192 \\u2713")
logger.info("last")
"""


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch):
    """What the runner of the tests prefers does not count."""
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")


@pytest.fixture
def terminal():
    """Both ends of a pseudo-terminal: a function that reads, a stream that writes."""
    openpty = getattr(os, "openpty", None)
    if openpty is None:
        pytest.skip(NO_PTY)
    reading, writing = openpty()
    with open(writing, "w", encoding="utf-8") as stream:  # noqa: PTH123
        yield lambda: os.read(reading, 4096).decode(), stream
    os.close(reading)


def make_record(message, level=logging.INFO):
    """A record as a logger makes it."""
    return logging.LogRecord("n", level, "p.py", 1, message, (), None)


def show(stream, message="hi"):
    """Send one record through a new handler."""
    console_handler(stream).handle(make_record(message))


@pytest.mark.parametrize(
    ("level", "code"),
    [
        (logging.DEBUG, colorama.Back.LIGHTBLACK_EX),
        (logging.INFO, colorama.Fore.CYAN),
        (25, colorama.Fore.GREEN),
        (logging.WARNING, colorama.Fore.YELLOW),
        (logging.ERROR, colorama.Fore.RED),
        (logging.CRITICAL, colorama.Back.RED),
        (7, colorama.Fore.WHITE),
    ],
)
def test_the_level_is_coloured_and_padded_to_nine_columns(level, code):
    """Codes as colorama has them."""
    name = logging.getLevelName(level)
    out = ColoredFormatter("%(message)s").format(make_record("hi", level))
    assert out == f"{code}{name}{colorama.Style.RESET_ALL}{' ' * (9 - len(name))}hi"


def test_the_documented_attributes_can_be_changed():
    """On the class or on one formatter."""
    formatter = ColoredFormatter(fmt="%(message)s", datefmt=None, style="%")
    assert (formatter.prefix, formatter.suffix) == ("\x1b[", "\x1b[0m")
    formatter.colour_map = {"INFO": "magenta", "ERROR": "no such colour"}
    formatter.prefix, formatter.suffix = "<", ">"
    assert formatter.format(make_record("x")) == "<35mINFO>     x"
    assert formatter.format(make_record("x", logging.ERROR)) == "<37mERROR>    x"
    assert set(ColoredFormatter.colour_map.values()) <= set(ColoredFormatter.colours)


def test_only_the_level_is_coloured_and_a_text_cannot_colour():
    """The escape character of a client is written out."""
    out = ColoredFormatter("%(message)s").format(make_record("\x1b[31mred\nERROR"))
    assert out.startswith("\x1b[36mINFO\x1b[0m     \\")
    assert "\x1b" not in out.removeprefix("\x1b[36mINFO\x1b[0m")
    assert out.endswith("\\x1b[31mred\\nERROR")


def test_a_terminal_gets_colour_and_a_file_does_not(terminal):
    """A real pseudo-terminal."""
    read, stream = terminal
    show(stream)
    assert "\x1b[36mINFO\x1b[0m     " in read()
    file = io.StringIO()
    show(file)
    assert file.getvalue().startswith("INFO     ")
    assert file.getvalue().endswith(" n                    hi\n")


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_no_colour_on_request(terminal, monkeypatch, name, value):
    """On a terminal."""
    read, stream = terminal
    monkeypatch.setenv(name, value)
    show(stream)
    assert read().startswith("INFO ")


@pytest.mark.parametrize(("no_color", "coloured"), [("", True), ("1", False)])
def test_forced_colour(monkeypatch, no_color, coloured):
    """For a pager, say; NO_COLOR is stronger, but not if it is empty."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("NO_COLOR", no_color)
    file = io.StringIO()
    show(file)
    assert ("\x1b" in file.getvalue()) is coloured


def test_a_poor_encoding_loses_no_record_and_is_not_changed():
    """The stock handler loses it."""
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="cp1252", newline="\n")
    with pytest.raises(UnicodeEncodeError):
        stream.write("Ω → ✓")
    show(stream, "Ω → ✓ µ é")
    stream.flush()
    assert raw.getvalue().endswith(b"\\u03a9 \\u2192 \\u2713 \xb5 \xe9\n")
    assert (stream.encoding, stream.errors) == ("cp1252", "strict")


def test_a_redirected_program_with_a_poor_encoding_writes_everything():
    """A real process, as on a Windows PC."""
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM, PACKAGE_FOLDER],
        env={**os.environ, "PYTHONIOENCODING": "cp1252"},
        capture_output=True,
        check=True,
        timeout=30,
    )
    first, last = result.stdout.splitlines()
    assert first.startswith(b"SUCCESS  ")
    assert first.endswith(b" c                    \\u03a9 \\u2192 \\u2713")
    assert last.startswith(b"INFO     ")
    assert result.stderr == b""


def test_without_standard_output_nothing_happens(monkeypatch):
    """pythonw and services."""
    monkeypatch.setattr(sys, "stdout", None)
    handler = console_handler()
    assert isinstance(handler, logging.NullHandler)
    handler.handle(make_record("x"))


def test_a_stand_in_for_the_standard_output_is_enough(monkeypatch):
    """Some have no more than write and flush."""

    class Window:
        def __init__(self):
            self.text = ""

        def write(self, text):
            self.text += text

    window = Window()
    monkeypatch.setattr(sys, "stdout", window)
    console_handler().handle(make_record("hi"))
    assert window.text.startswith("INFO ")


@pytest.mark.parametrize("level", [logging.WARNING, "WARNING"])
def test_the_least_level_is_kept(level):
    """As number or name; INFO by default."""
    assert console_handler(io.StringIO(), level=level).level == logging.WARNING
    assert console_handler(io.StringIO()).level == logging.INFO


@pytest.mark.parametrize("colour", [True, False])
def test_colour_may_be_decided_by_the_caller(monkeypatch, colour):
    """Against what the environment says."""
    monkeypatch.setenv("NO_COLOR" if colour else "FORCE_COLOR", "1")
    file = io.StringIO()
    console_handler(file, colour=colour).handle(make_record("hi"))
    assert ("\x1b" in file.getvalue()) is colour


def test_several_records_are_written_at_once():
    """And flushed once."""

    class Counting(io.StringIO):
        writes = flushes = 0

        def write(self, text):
            self.writes += 1
            return super().write(text)

        def flush(self):
            self.flushes += 1

    file = Counting()
    assert console_handler(file).write_records([make_record("a"), make_record("b")]) == 2
    assert [line[-1] for line in file.getvalue().splitlines()] == ["a", "b"]
    assert (file.writes, file.flushes) == (1, 1)


class Broken(io.StringIO):
    """A stream whose reader is gone, for a while."""

    broken = True

    def write(self, text):
        if self.broken:
            raise BrokenPipeError(32, "Broken pipe")
        return super().write(text)


def test_a_stream_that_fails_is_told_once_and_shows_no_record(capsys, caplog):
    """The stock handler prints the record on the standard error output."""
    stock = logging.StreamHandler(Broken())
    stock.handle(make_record("swordfish"))
    assert "swordfish" in capsys.readouterr().err
    handler = console_handler(Broken())
    logger = logging.getLogger("lab_utils_mt.logging")
    logger.addHandler(handler)
    try:
        with caplog.at_level("INFO", logger.name):
            for _ in range(3):
                handler.handle(make_record("swordfish"))
            handler.stream.broken = False
            for _ in range(2):
                handler.handle(make_record("back"))
    finally:
        logger.removeHandler(handler)
    failed, back = caplog.messages
    assert failed.startswith("console does not work: BrokenPipeError: [Errno 32] Broken pipe;")
    assert back.endswith("3 records are lost")
    assert [line[-4:] for line in handler.stream.getvalue().splitlines()] == ["back", "back"]
    assert capsys.readouterr() == ("", "")


def test_a_batch_for_a_stream_that_fails_raises():
    """The queue before it keeps the records."""
    file = io.StringIO()
    handler = console_handler(file)
    file.close()
    with pytest.raises(ValueError, match="closed"):
        handler.write_records([make_record("x")])
    with pytest.raises(OSError, match="Broken pipe"):
        console_handler(Broken()).write_records([make_record("x")])
    handler.handle(make_record("x"))


def test_a_formatter_that_fails_loses_no_record_on_a_poor_screen():
    """It is shown without it."""
    raw = io.BytesIO()
    handler = console_handler(io.TextIOWrapper(raw, encoding="cp1252", newline="\n"))
    handler.setFormatter(logging.Formatter("%(missing)s"))
    handler.handle(make_record("Ω"))
    assert b"\\u03a9" in raw.getvalue()


def test_the_standard_streams_stay_as_they_are():
    """colorama.init() would replace them."""
    before = sys.stdout, sys.stderr
    console_handler()
    assert (sys.stdout, sys.stderr) == before


FULL = """
import logging, resource, sys
sys.path.insert(0, sys.argv[1])
from lab_utils_mt import custom_logging
from lab_utils_mt._logs.console import console_handler
handler = console_handler()
def record(text):
    return logging.LogRecord("c", 40, "p", 1, text, (), None)
print("printed")
handler.write_records([record("before")])
size = sys.stdout.tell() if sys.stdout.seekable() else 0
resource.setrlimit(resource.RLIMIT_FSIZE, (size + 20, resource.RLIM_INFINITY))
for _ in range(3):
    try:
        handler.write_records([record("only once")])
    except OSError as error:
        print(type(error).__name__, file=sys.stderr)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
handler.write_records([record("only once"), record("after")])
"""


@needs_file_limit
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_disk_doubles_no_line(tmp_path, unbuffered):
    """What was written in part begins anew on a line of its own."""
    out = tmp_path / "out"
    with out.open("w") as file:
        result = subprocess.run(
            [sys.executable, "-c", FULL, PACKAGE_FOLDER],
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
            stdout=file,
            stderr=subprocess.PIPE,
            text=True,
            check=True,
            timeout=30,
        )
    assert result.stderr.split() == ["OSError", "OSError", "OSError"]
    lines = out.read_text().splitlines()
    assert lines[0] == "printed"
    assert lines[1].endswith("before")
    assert len(lines[2]) == 20  # torn
    assert [line.rpartition("  ")[2].strip() for line in lines[3:]] == ["only once", "after"]
