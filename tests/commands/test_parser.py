"""The manual of a server, and a parser that never ends the process."""

from __future__ import annotations

import argparse
import io
import sys

import pytest

from lab_utils_mt._commands.parser import ArgumentParser, HelpRequested
from lab_utils_mt.exceptions import MessageError


def stage_parser() -> ArgumentParser:
    """Return a parser with every kind of argument."""
    parser = ArgumentParser(prog="daemon", description="A stage.", epilog="The end.")
    commands = parser.add_subparsers(title="command")
    move = commands.add_parser("move", description="moves the stage")
    move.add_argument("axis", choices=["x", "y"], help="which axis")
    move.add_argument("position", type=float, nargs="?", default=0.0, help="where to, 100%% sure")
    move.add_argument(
        "-s", "--speed", type=int, default=5, help="in mm/s, %(default)s if not given"
    )
    move.add_argument("--note", default="", help="for others")
    move.add_argument("--mode", choices=["slow", "fast"], default="slow", help="how")
    move.add_argument("--window", nargs=2, metavar=("LOW", "HIGH"), required=True)
    move.add_argument("--dry", action="store_true", help="only pretend")
    move.add_argument("--secret", help=argparse.SUPPRESS)
    commands.add_parser("park", help="parks the stage")
    lamp = commands.add_parser("lamp").add_subparsers()
    lamp.add_parser("on", description="switches it on").add_argument("watt", nargs="+")
    return parser


def test_the_manual_tells_everything() -> None:
    """Every command, its arguments, their choices, defaults and help texts."""
    lines = [" ".join(line.split()) for line in stage_parser().full_help().splitlines()]

    assert lines[:2] == ["DAEMON HELP", "A stage."]
    assert lines[-1] == "The end."
    for expected in (
        "move moves the stage",
        "axis which axis (one of x, y)",
        "[position] where to, 100% sure (default 0.0)",
        "[-s, --speed SPEED] in mm/s, 5 if not given",
        "[--note NOTE] for others",
        "[--mode MODE] how (one of slow, fast; default slow)",
        "--window LOW HIGH",
        "[--dry] only pretend",
        "park parks the stage",
        "lamp",
        "on switches it on",
        "watt ...",
    ):
        assert expected in lines
    assert not any("secret" in line for line in lines[3:])


def test_the_manual_does_not_depend_on_the_servers_terminal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is read at the other end of a connection."""
    wide = stage_parser().full_help()
    monkeypatch.setenv("COLUMNS", "30")
    monkeypatch.setenv("FORCE_COLOR", "1")

    assert stage_parser().full_help() == wide
    assert "\x1b" not in wide


@pytest.mark.parametrize(
    "words", [["move"], ["move", "z"], ["fly"], ["move", "x", "1", "--speed", "fast"], ["--what"]]
)
def test_wrong_words_raise_and_print_nothing(
    words: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    """argparse itself would print to the server's terminal and end its thread."""
    with pytest.raises(MessageError):
        stage_parser().parse_args(words)
    assert capfd.readouterr() == ("", "")


def test_stock_argparse_ends_the_process() -> None:
    """The fault that the class exists for."""
    with pytest.raises(SystemExit):
        argparse.ArgumentParser().parse_args(["surplus"])


def test_a_commands_own_help_option_is_answered() -> None:
    """A 0.5.x daemon may add ``--help`` to a command."""
    parser = ArgumentParser(prog="daemon")
    parser.add_subparsers().add_parser("move", add_help=True, description="moves it")

    with pytest.raises(HelpRequested, match="moves it"):
        parser.parse_args(["move", "--help"])


def test_a_version_option_is_answered(capfd: pytest.CaptureFixture[str]) -> None:
    """argparse would print it on the server's terminal, and end the thread."""
    parser = ArgumentParser(prog="daemon")
    parser.add_argument("--version", action="version", version="7")

    with pytest.raises(HelpRequested, match="7"):
        parser.parse_args(["--version"])
    assert capfd.readouterr() == ("", "")


def test_help_can_still_be_written_to_a_file() -> None:
    """As in the standard library."""
    file = io.StringIO()
    ArgumentParser(prog="daemon", description="A daemon.").print_help(file)
    assert "A daemon." in file.getvalue()


def test_a_command_that_exits_is_refused() -> None:
    """Whatever an action of the user's does."""
    with pytest.raises(MessageError, match="asked to exit with status 3"):
        ArgumentParser(prog="daemon").exit(3)


@pytest.mark.parametrize("text", ["duty cycle in %", "100% of %(what)s", "%d"])
def test_a_lone_percent_sign_does_not_break_the_manual(text: str) -> None:
    """argparse itself fails on it."""
    parser = ArgumentParser(prog="daemon")
    parser.add_subparsers().add_parser("duty").add_argument("cycle", help=text)

    assert text in " ".join(parser.full_help().split())


def test_a_parser_without_commands_has_none() -> None:
    """Nor has one whose messages begin with something else."""
    parser = ArgumentParser(prog="daemon")
    assert dict(parser.commands) == {}
    parser.add_argument("axis")
    parser.add_subparsers().add_parser("move")
    assert dict(parser.commands) == {}


def test_the_manual_copes_with_odd_arguments() -> None:
    """Aliases, hidden commands, choices without end, formatters that fail."""
    parser = ArgumentParser(
        prog="daemon",
        description="%(prog)s, 100%% odd",
        formatter_class=argparse.MetavarTypeHelpFormatter,
    )
    parser.add_argument("--untyped")
    commands = parser.add_subparsers()
    move = commands.add_parser("move", aliases=["mv"], help="50%% of %(prog)s")
    move.add_argument("steps", type=float, choices=range(100_000), help="a %(type)s")
    move.add_argument("axis", choices=OnlyIn(), metavar="AXIS")
    move.add_argument("--array", choices=LikeAnArray([1, 2]))
    commands.add_parser("secret", help=argparse.SUPPRESS)
    raw = commands.add_parser(
        "raw",
        description="""
            first

              second""",
    )
    raw.formatter_class = argparse.RawDescriptionHelpFormatter

    text = parser.full_help()

    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert "daemon, 100% odd" in lines
    assert "usage: daemon ..." in lines
    assert "move, mv 50% of daemon move" in lines
    assert any(line.startswith("steps a float (one of 0, 1, 2,") for line in lines)
    assert "AXIS" in lines
    assert "[--array ARRAY] (one of 1, 2)" in lines
    assert "secret" not in text
    assert "        first\n\n          second\n" in text
    assert len(text) < 2000


class LikeAnArray(list):  # type: ignore[type-arg]
    """Choices that are neither true nor false, as numpy's arrays are."""

    def __bool__(self) -> bool:
        raise ValueError("the truth value is ambiguous")


class OnlyIn:
    """Choices that can be asked, and not listed."""

    def __contains__(self, value: object) -> bool:
        return True


@pytest.mark.skipif(sys.version_info < (3, 13), reason="argparse has no 'deprecated' before 3.13")
def test_a_deprecated_command_runs(caplog: pytest.LogCaptureFixture) -> None:
    """Its warning is for the log."""
    parser = ArgumentParser(prog="daemon")
    parser.add_subparsers().add_parser("old", deprecated=True).set_defaults(ran=True)

    assert parser.parse_args(["old"]).ran
    assert "old" in caplog.records[0].getMessage()


@pytest.mark.parametrize("output", [None, io.StringIO()])
def test_help_reaches_the_client_whatever_the_outputs_are(
    monkeypatch: pytest.MonkeyPatch, output: io.StringIO | None
) -> None:
    """A daemon may have none, or one for both."""
    monkeypatch.setattr(sys, "stdout", output)
    monkeypatch.setattr(sys, "stderr", output)
    parser = ArgumentParser(prog="daemon")
    parser.add_subparsers().add_parser("move", add_help=True, description="moves it")

    with pytest.raises(HelpRequested, match="moves it"):
        parser.parse_args(["move", "--help"])
