"""The shell: what it suggests, what it shows, and how it bears Ctrl-C and a server that is gone."""

from __future__ import annotations

import socketserver
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from daemons import Stage, serving, wait_until
from prompt_toolkit.application import create_app_session
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput
from talkative import TIMEOUT, Cryostat, environment, terminal

from lab_utils_mt._cli.prompt import Prompt, VocabularyCompleter
from lab_utils_mt._cli.reaching import Place
from lab_utils_mt._cli.shell import converse
from lab_utils_mt._cli.talk import Talk


@pytest.fixture
def cryostat(pid_file: str) -> Iterator[Cryostat]:
    """Return a running server."""
    with serving(Cryostat(pid_file_name=pid_file, port=0)) as server:
        yield server
        server.gate.set()


@pytest.fixture
def talk(cryostat: Cryostat) -> Iterator[Talk]:
    """Return a talk with it."""
    made = Talk(Place("127.0.0.1", cryostat.port), TIMEOUT)
    made.learn()
    yield made
    made.close()


def completed(talk: Talk, text: str) -> list[str]:
    """Return what the line may become."""
    found = VocabularyCompleter(talk).get_completions(Document(text), CompleteEvent())
    return [text[: len(text) + one.start_position] + one.text for one in found]


# --- completion -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("set", ["set_temperature"]),
        ("pi", ["ping"]),
        ("ex", ["exit"]),
        ("help cho", ["help choose"]),
        ("choose ", ['choose "50K plate"', "choose still"]),
        ("choose s", ["choose still"]),
        ("choose still ", ["choose still true", "choose still false"]),
        ("choose still true f", ["choose still true fast"]),
        ("choose still true fast s", ["choose still true fast slow"]),
        ("set_temperature ", []),
        (
            "set_temperature -4 --mode ",
            [f"set_temperature -4 --mode {m}" for m in ("fast", "slow")],
        ),
        ("set_temperature --mode s", ["set_temperature --mode slow"]),
        ("set_temperature 4 --r", ["set_temperature 4 --ramp"]),
        ("set_temperature 4 --ramp 2 --r", []),
        ("set_temperature 4 --no", ["set_temperature 4 --no-quick"]),
        ("watch ", ["watch sensor"]),
        ("watch sensor --", ["watch sensor --every", "watch sensor --on-change"]),
        ("nonsense ", []),
        ('choose "50', []),
    ],
)
def test_completion(talk: Talk, text: str, expected: list[str]) -> None:
    """Commands, choices, options that were not given, pollers; nothing where nothing is known."""
    assert completed(talk, text) == expected


def test_all_commands_are_offered_in_an_empty_line(talk: Talk) -> None:
    """Typed ones, the built-in ones and the shell's own."""
    found = set(completed(talk, ""))
    assert {"set_temperature", "choose", "help", "status", "watch", "exit"} <= found
    assert {"set_temperature 4 --ramp", "set_temperature 4 --quick"} <= {
        *completed(talk, "set_temperature 4 ")
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("set_temp", ""),
        ("set_temperature", "set_temperature: Set the target temperature."),
        ("set_temperature ", "kelvin: number, 0 to 300 K: Target."),
        ("set_temperature 4", "kelvin: number, 0 to 300 K: Target."),
        (
            "set_temperature 4 --ramp ",
            "--ramp: number, at least 0 K/min, default 0.0: How fast; 0 jumps.",
        ),
        ("set_temperature 4 --mode ", "--mode: one of fast, slow, default fast"),
        ("set_temperature 4 ", "set_temperature: Set the target temperature."),
        ("choose still ", "on: true or false"),
    ],
)
def test_the_hint_tells_type_range_and_unit(talk: Talk, text: str, expected: str) -> None:
    """Of the parameter that is being typed."""
    assert talk.vocabulary.hint(text) == expected


# --- sessions ---------------------------------------------------------------------------------


def session(talk: Talk, tmp_path: Path, keys: str) -> Prompt:
    """Type keys into the shell until it ends."""
    with create_pipe_input() as pipe, create_app_session(input=pipe, output=DummyOutput()):
        pipe.send_text(keys)
        prompt = Prompt(talk, tmp_path / "state" / "history")
        converse(talk, prompt.read)
    return prompt


def test_a_session(talk: Talk, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Ctrl-C clears the line, bytes are told of, Ctrl-D leaves."""
    session(talk, tmp_path, "nonsense\x03set_temperature 4.2 --ramp 2\rblob\r\rescape\r\x04")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "4.2"
    assert lines[1].startswith("256 bytes: 00 01 02")
    assert lines[2:] == ["\\x1b[31mred"]


def test_help_tells_of_the_shell_too(
    talk: Talk, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And of one command."""
    session(talk, tmp_path, "help\rexit\r")
    output = capsys.readouterr().out
    assert "Target. (a number from 0 to 300 K)" in output
    assert "watch NAME [--every S | --on-change D]" in output
    session(talk, tmp_path, "help choose\rexit\r")
    assert "watch" not in capsys.readouterr().out


def test_a_refusal_does_not_bring_the_whole_help(
    talk: Talk, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line."""
    session(
        talk, tmp_path, "set_temperature 400\rwatch senso\rwatch\rwatch sensor --every x\rexit\r"
    )
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5
    assert lines[0] == "Error! argument kelvin: 400 is not a number from 0 to 300 K"
    assert lines[1] == "watching senso until Ctrl-C"
    assert lines[2].startswith("Error! there is no poller 'senso'")
    assert lines[3] == "Error! the following arguments are required: name"
    assert lines[4].startswith("Error! argument --every: 'x' is not a number of seconds")


def test_quit_is_asked_for_twice(
    cryostat: Cryostat, talk: Talk, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It would stop the server for everybody."""
    session(talk, tmp_path, "quit\rno\rping\r\x04")
    assert capsys.readouterr().out.splitlines()[-1] == "pong"
    session(talk, tmp_path, "quit\rquit\r\x04")
    assert capsys.readouterr().out.splitlines()[-1] == "Goodbye!"
    wait_until(lambda: cryostat.quit_flag)


def test_the_history_is_the_users_own(talk: Talk, tmp_path: Path) -> None:
    """It is there in the next session, and nobody else reads it."""
    session(talk, tmp_path, "ping\rexit\r")
    path = tmp_path / "state" / "history"
    assert "+ping" in path.read_text()
    if sys.platform != "win32":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    # Not by the arrow keys: it is read in the background, and a person is slower than a test.
    again = session(talk, tmp_path, "exit\r")
    assert "ping" in again._session.history.load_history_strings()


def test_a_history_that_cannot_be_written_is_no_error(talk: Talk, tmp_path: Path) -> None:
    """There is none, then."""
    (tmp_path / "state").write_text("a file in the way")
    session(talk, tmp_path, "ping\rexit\r")
    assert (tmp_path / "state").read_text() == "a file in the way"


def test_a_server_that_is_gone_comes_back_with_other_commands(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The shell says that it is gone, and reaches it with the next line."""
    with serving(Cryostat(pid_file_name=str(tmp_path / "1.pid"), port=0)) as server:
        talk = Talk(Place("127.0.0.1", server.port), TIMEOUT)
        talk.learn()
        assert talk.vocabulary.title == "Cryostat"
        talk.client.close()
    talk.client._caller._was_connected = False  # or it would be waited for
    session(talk, tmp_path, "ping\rexit\r")
    assert "cannot reach a server at 127.0.0.1" in capsys.readouterr().out
    with serving(Stage(pid_file_name=str(tmp_path / "2.pid"), port=server.port)):
        session(talk, tmp_path, "ping\rexit\r")
        assert capsys.readouterr().out == "pong\n"
        assert completed(talk, "ec") == ["echo"]
        talk.close()


class Old(socketserver.BaseRequestHandler):
    """Answers as servers of 0.5.x do: text without a newline, and closes."""

    def handle(self) -> None:
        message = self.request.recv(1024).decode().strip()
        is_echo = message.startswith("echo ")
        reply = message.removeprefix("echo ") if is_echo else "Error! invalid choice"
        self.request.sendall(reply.encode())


def test_a_server_without_discovery(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As in 0.5.x: no completion, but all else."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Old) as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.05])
        thread.start()
        try:
            talk = Talk(Place("127.0.0.1", server.server_address[1]), TIMEOUT)
            talk.learn()
            assert [completed(talk, text) for text in ("", "ec", "echo ")] == [[], [], []]
            assert talk.vocabulary.hint("echo ") == ""
            session(talk, tmp_path, "echo hi\rwatch x\rexit\r")
            talk.close()
        finally:
            server.shutdown()
            thread.join(TIMEOUT)
    assert capsys.readouterr().out == "hi\nError! invalid choice\n"


# --- the whole program ------------------------------------------------------------------------


def test_at_a_terminal(cryostat: Cryostat, tmp_path: Path) -> None:
    """Ctrl-C clears a line, cuts a command, ends a watch; Ctrl-D leaves with status 0."""
    with terminal(tmp_path, "shell", f"127.0.0.1:{cryostat.port}") as shell:
        shell.wait_for("cryostat>")
        shell.type("set_te\t")
        shell.wait_for("rature")
        shell.type("\x03")
        shell.wait_for("cryostat>")
        shell.type("wait\r")
        assert cryostat.waiting.acquire(timeout=TIMEOUT)
        shell.type("\x03")
        shell.wait_for("the command may still run on the server")
        shell.wait_for("cryostat>")
        shell.type("watch sensor --every 0.1\r")
        for _ in range(3):
            shell.wait_for("sensor=4.25 K")
        shell.type("\x03")
        shell.wait_for("cryostat>")
        shell.type("ping\r")
        shell.wait_for("pong")
        shell.wait_for("cryostat>")
        shell.type("\x04")
        assert shell.finish() == 0
    assert "Traceback" not in shell.text
    assert "+watch sensor" in (tmp_path / "lab_utils_mt" / "shell_history").read_text()


def piped(tmp_path: Path, where: str, lines: str) -> tuple[int, str, str]:
    """Run the program without a terminal; return exit status, output and error output."""
    done = subprocess.run(
        [sys.executable, "-m", "lab_utils_mt", "shell", where],
        input=lines,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=2 * TIMEOUT,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def test_lines_of_a_pipe(cryostat: Cryostat, tmp_path: Path) -> None:
    """Each reply goes to the output, each error to the error output."""
    where = f"127.0.0.1:{cryostat.port}"
    assert piped(tmp_path, where, "ping\n\nset_temperature 4\nexit\nnever\n") == (
        0,
        "pong\n4.0\n",
        "",
    )
    status, output, errors = piped(tmp_path, where, "set_temperature 400\nping")
    assert (status, output) == (1, "pong\n")
    assert errors.startswith("Error! argument kelvin")


def test_without_a_server(tmp_path: Path) -> None:
    """One line, exit status 1."""
    status, output, errors = piped(tmp_path, "1", "ping\n")
    assert (status, output) == (1, "")
    (line,) = errors.splitlines()
    assert line.startswith("shell: cannot reach a server at localhost:1: ")
    assert line.endswith("; is it running?")


def test_without_prompt_toolkit(
    cryostat: Cryostat, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line that names the extra."""
    from lab_utils_mt import __main__

    monkeypatch.setattr("lab_utils_mt._cli.shell.importlib.util.find_spec", lambda _: None)
    for name in ("stdin", "stdout"):
        monkeypatch.setattr(getattr(sys, name), "isatty", lambda: True, raising=False)
    assert __main__.main(["shell", f"127.0.0.1:{cryostat.port}"]) == 1
    errors = capsys.readouterr().err.splitlines()
    assert errors == [
        'shell: the shell needs prompt-toolkit: run python -m pip install "lab_utils_mt[shell]"'
    ]


def test_the_command_line_does_not_import_the_package_of_the_shell() -> None:
    """Only a shell at a terminal does."""
    code = "import sys, lab_utils_mt.__main__ as m; m.make_parser(['shell']); "
    code += "sys.exit('prompt_toolkit' in sys.modules or 'psycopg2' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], env=environment(Path()), check=False)
    assert done.returncode == 0
