"""What does the command ``service`` refuse, and in which words?"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from services import project, run


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ((), "required: VERB"),
        (("begin", "oven"), "invalid choice: 'begin'"),
        (("start",), "required: NAME"),
        (("start", "my oven"), "argument NAME: 'my oven' cannot be the name of a service: use 1"),
        (("start", "../oven"), "argument NAME: '../oven' cannot be the name"),
        (("start", "con"), "Windows has a device of it"),
        (("start", "oven", "--sys"), "unrecognized arguments: --sys"),
        (("install", "oven"), "required: MODULE:CLASS"),
        (("install", "oven", "oven.py"), "argument MODULE:CLASS: 'oven.py' is not MODULE:CLASS"),
        (("install", "oven", "oven:Oven", "--config", ""), "argument --config"),
    ],
)
def test_bad_words_get_the_usage_and_one_line(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...], complaint: str
) -> None:
    """And exit status 2."""
    status, output, errors = run(capsys, *words)
    assert (status, output) == (2, "")
    assert errors.startswith("usage: ")
    assert complaint in errors.splitlines()[-1]


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--folder", "nowhere"), "there is no folder {tmp}nowhere: check --folder"),
        (("--config", "ini"), "there is no file {tmp}ini: check --config, and --folder"),
        (("--database", "ini"), "there is no file {tmp}ini: check --database"),
        (("--logging", "ini"), "there is no file {tmp}ini: check --logging"),
    ],
)
def test_what_is_not_there_cannot_be_installed(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    words: tuple[str, ...],
    complaint: str,
) -> None:
    """Told before the system is asked."""
    monkeypatch.chdir(project(tmp_path))
    status, output, errors = run(capsys, "install", "oven", "oven:Oven", *words)
    assert (status, output) == (1, "")
    assert complaint.format(tmp=str(tmp_path / "x")[:-1]) in errors
    assert len(errors.splitlines()) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has other rules")
def test_what_only_windows_does_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """It is for Windows alone to say."""
    status, _, errors = run(capsys, "host", "oven")
    assert (status, len(errors.splitlines())) == (1, 1)
    assert "only Windows does this" in errors


def test_the_help_of_each_verb_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    """But not of the one that is Windows' own."""
    status, output, _ = run(capsys, "--help")
    assert status == 0
    verbs = output.partition("what to do:")[2]
    for verb in ("install", "start", "stop", "status", "remove", "logs"):
        assert f"  {verb} " in verbs
    assert "host" not in verbs


def test_a_service_needs_neither_numpy_nor_a_database_driver() -> None:
    """The command itself is quick to start."""
    code = (
        "import sys; from lab_utils_mt.__main__ import make_parser; make_parser(['service']);"
        " print([name for name in ('numpy', 'psycopg2', 'win32service') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "[]\n"
