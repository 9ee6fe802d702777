"""One command from the shell of the system: the reply, the errors, the exit status."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from daemons import Stage, serving
from talkative import TIMEOUT, Cryostat, environment
from test_command_line import run

from lab_utils_mt._cli.reaching import Place, place


@pytest.fixture
def cryostat(pid_file: str) -> Iterator[Cryostat]:
    """Return a running server."""
    with serving(Cryostat(pid_file_name=pid_file, port=0)) as server:
        yield server
        server.gate.set()


def test_the_reply_goes_to_the_output(
    cryostat: Cryostat, capsys: pytest.CaptureFixture[str]
) -> None:
    """One word is the line as it stands; options belong to the command."""
    where = f"127.0.0.1:{cryostat.port}"
    assert run(capsys, "send", where, "ping") == (0, "pong\n", "")
    assert run(capsys, "send", where, "set_temperature 4.2 --ramp 2") == (0, "4.2\n", "")
    words = ("set_temperature", "4.2", "--ramp", "2")
    assert run(capsys, "send", "--timeout", "20", where, *words) == (0, "4.2\n", "")
    status, output, _ = run(capsys, "send", where, "help")
    assert (status, output.count("set_temperature") > 1) == (0, True)


@pytest.mark.parametrize(
    "words",
    [["a  b"], ["{a}", '"'], ["--times", "2", "x"], ["ü", "", "\t\\"], ["-h"], ["--", "-x"]],
)
def test_each_word_arrives_as_it_is(
    stage: Stage, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    """Whatever is in it."""
    status, output, errors = run(capsys, "send", f"127.0.0.1:{stage.port}", "echo", *words)
    sent = {"--times": ["x", "x"], "-h": None, "--": ["-x"]}.get(words[0], words)
    if sent is None:
        assert (status, output) == (1, "")
        assert errors.startswith("Error! ")
    else:
        assert (status, output, errors) == (0, " ".join(sent) + "\n", "")


def test_bytes_come_out_as_they_are(cryostat: Cryostat, tmp_path: Path) -> None:
    """Without a newline, so that ``> file`` has them."""
    command = [sys.executable, "-m", "lab_utils_mt", "send", f"127.0.0.1:{cryostat.port}", "blob"]
    done = subprocess.run(
        command, env=environment(tmp_path), capture_output=True, timeout=TIMEOUT, check=True
    )
    assert done.stdout == bytes(range(256))


def test_an_error_goes_to_the_error_output(
    cryostat: Cryostat, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit status 1."""
    where = f"127.0.0.1:{cryostat.port}"
    status, output, errors = run(capsys, "send", where, "set_temperature", "400")
    assert (status, output) == (1, "")
    assert errors.startswith("Error! argument kelvin: 400 is not a number from 0 to 300 K\n")
    status, output, errors = run(capsys, "send", where, "two\nlines")
    assert (status, output, len(errors.splitlines())) == (1, "", 1)
    assert "U+000A" in errors


def test_failures_are_one_line(cryostat: Cryostat, capsys: pytest.CaptureFixture[str]) -> None:
    """No server, or no reply in time."""
    status, output, errors = run(capsys, "send", ":1", "ping")
    assert (status, output, len(errors.splitlines())) == (1, "", 1)
    assert errors.startswith("send: cannot reach a server at localhost:1: ")
    where = f"127.0.0.1:{cryostat.port}"
    status, output, errors = run(capsys, "send", "--timeout", "0.2", where, "wait")
    assert (status, output, len(errors.splitlines())) == (1, "", 1)
    assert "no reply in time" in errors
    cryostat.gate.set()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1507", ("localhost", 1507)),
        (":9020", ("localhost", 9020)),
        ("lab-pc", ("lab-pc", 1507)),
        ("lab-pc:9020", ("lab-pc", 9020)),
        ("127.0.0.1", ("127.0.0.1", 1507)),
        ("[::1]:9020", ("::1", 9020)),
        ("[::1]", ("::1", 1507)),
    ],
)
def test_ways_to_name_a_server(text: str, expected: tuple[str, int]) -> None:
    """The same defaults as those of a client."""
    assert place(text) == Place(*expected)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ((), "required: HOST:PORT"),
        ((":1507",), "which command?"),
        (("", "ping"), "'' names no server: write 1507, host,"),
        ((":", "ping"), "names no server"),
        (("host:", "ping"), "'host:' has no port from 1 to 65535: write"),
        (("70000", "ping"), "'70000' has no port from 1 to 65535: write"),
        ((":0", "ping"), "no port"),
        ((":1_0", "ping"), "no port"),
        ((":１０", "ping"), "no port"),
        (("１０", "ping"), "no port"),
        (("9" * 5000, "ping"), "no port"),
        (("::1", "ping"), "an IPv6 address stands in brackets, as in [::1]:1507"),
        (("[::1", "ping"), "brackets"),
        (("[]:1", "ping"), "names no server"),
        (("a b", "ping"), "names no server"),
        (("http://lab", "ping"), "no port"),
        (("--timeout", "0", ":1", "ping"), "argument --timeout: '0' is not a number of seconds"),
        (("--timeout", "nan", ":1", "ping"), "argument --timeout"),
        (("--time", "3", ":1", "ping"), "argument"),
    ],
)
def test_bad_words_get_the_usage_and_one_line(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...], complaint: str
) -> None:
    """And exit status 2; nothing is sent."""
    status, output, errors = run(capsys, "send", *words)
    assert (status, output) == (2, "")
    assert errors.startswith("usage: ")
    assert complaint in errors.splitlines()[-1]
