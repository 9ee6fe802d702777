"""A project that ``init`` writes: what is in it, and that it is all there or not at all."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest
from starters import FILES, PACKAGE, init, names_in, python, write_project

from lab_utils_mt._cli.init import write_all
from lab_utils_mt._config import IniFile
from lab_utils_mt.custom_logging import configure_logging, unconfigure_logging
from lab_utils_mt.database import Database
from lab_utils_mt.exceptions import LabUtilsError
from lab_utils_mt.socket_comm import Client


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return the folder of a project called oven."""
    return write_project(tmp_path, "oven")


def test_it_writes_a_project_and_says_what_comes_next(tmp_path: Path) -> None:
    """Into a folder that it makes, and those above it."""
    status, output, errors = init("labs/oven", tmp_path)
    assert (status, errors) == (0, "")
    assert names_in(tmp_path / "labs" / "oven") == FILES
    assert all(name in output for name in FILES)
    steps = re.findall(r"^    (.*)$", output, re.MULTILINE)
    serve = "lab-utils-mt serve oven:Oven --config server.ini --logging logging.ini"
    assert steps[0].startswith("cd ")
    assert steps[1:] == [
        serve.replace("oven:Oven", "oven:OvenDaemon") + " --check",
        serve.replace("oven:Oven", "oven:OvenDaemon"),
    ]


def test_the_files_are_text_of_this_system(project: Path) -> None:
    """UTF-8, with the ends of lines that editors have here."""
    for path in project.iterdir():
        data = path.read_bytes()
        data.decode("utf-8")
        assert data.endswith(os.linesep.encode())
        assert data.count(b"\n") == data.count(os.linesep.encode())
        assert data.count(b"\r") == (data.count(b"\n") if os.linesep == "\r\n" else 0)


def test_nothing_was_left_to_fill_in(project: Path) -> None:
    """No placeholder of a template stays."""
    for path in project.iterdir():
        assert not re.findall(r"\$\w+", path.read_text(encoding="utf-8")), path


def test_its_own_test_passes(project: Path) -> None:
    """With every warning an error."""
    done = python("-W", "error", "-m", "pytest", "-p", "no:cacheprovider", folder=project)
    assert done.returncode == 0, done.stdout
    assert "4 passed" in done.stdout


def test_its_files_are_those_that_the_readme_names(project: Path) -> None:
    """In the table of its README."""
    readme = (project / "README.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `(.*?)` \|", readme, re.MULTILINE)) == FILES - {"README.md"}
    assert max(map(len, readme.splitlines())) <= 120


@pytest.mark.parametrize("tool", ["ruff", "mypy"])
def test_the_tools_have_nothing_to_say(project: Path, tmp_path: Path, tool: str) -> None:
    """With their own settings, and with those of this package."""
    pytest.importorskip(tool)
    settings = str(PACKAGE.parent / "pyproject.toml")
    calls = {
        "ruff": [
            ["check", "--isolated"],
            ["format", "--isolated", "--check"],
            ["check", "--config", settings, "--ignore", "PLR2004"],
            ["format", "--config", settings, "--check"],
        ],
        "mypy": [["--strict", "--cache-dir", str(tmp_path / "cache")]],
    }
    for words in calls[tool]:
        done = python("-m", tool, *words, ".", folder=project)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("server.ini", {}),
        ("database.ini", {("Overall", "application_name"): "oven"}),
        (
            "logging.ini",
            {
                ("FileLogger", "active"): "yes",
                ("FileLogger", "log_path"): "logs",
                ("FileLogger", "log_basename"): "oven",
            },
        ),
    ],
)
def test_the_settings_are_the_defaults_but_for_a_few(
    project: Path, name: str, changed: dict[tuple[str, str], str]
) -> None:
    """With all of their comments."""
    ours, theirs = IniFile(str(project / name)), IniFile(str(PACKAGE / "conf" / name))
    assert ours.sections == theirs.sections
    before = {(where, *one) for where in theirs.sections for one in theirs.keys(where).items()}
    now = {(where, *one) for where in ours.sections for one in ours.keys(where).items()}
    assert now - before == {(*where, value) for where, value in changed.items()}
    assert len(now) == len(before)
    default = (PACKAGE / "conf" / name).read_text(encoding="utf-8")
    text = (project / name).read_text(encoding="utf-8")
    assert {line for line in default.splitlines() if line.startswith("#")} <= set(text.splitlines())


def test_the_settings_are_accepted(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By those for whom they are."""
    monkeypatch.chdir(project)
    assert Client("server.ini").port == 1507
    assert Database("database.ini").application_name == "oven"
    configure_logging("logging.ini")
    unconfigure_logging()
    assert [path.name[:5] for path in (project / "logs").iterdir()] in ([], ["oven_"])


# --- what is there already, and what goes wrong ------------------------------------------------


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    """All that is in the way is named, and nothing is written."""
    folder = tmp_path / "oven"
    (folder / "server.ini").mkdir(parents=True)
    (folder / "oven.py").write_text("mine")
    status, output, errors = init("oven", tmp_path)
    assert (status, output) == (1, "")
    assert f"{folder} has server.ini, oven.py already, so nothing was written" in errors
    assert len(errors.splitlines()) == 1
    assert names_in(folder) == {"oven.py", "server.ini"}
    assert (folder / "oven.py").read_text() == "mine"


def test_a_package_of_the_modules_name_is_in_the_way(tmp_path: Path) -> None:
    """Python would import that instead."""
    (tmp_path / "oven" / "oven").mkdir(parents=True)
    status, _, errors = init("oven", tmp_path)
    assert (status, names_in(tmp_path / "oven")) == (1, {"oven"})
    assert "has oven already" in errors


def test_a_second_time_is_refused(project: Path) -> None:
    """Not one file is another one then."""
    before = {path: path.read_bytes() for path in project.iterdir()}
    status, _, errors = init("oven", project.parent)
    assert status == 1
    assert all(name in errors for name in FILES)
    assert {path: path.read_bytes() for path in project.iterdir()} == before


def test_other_files_stay(tmp_path: Path) -> None:
    """A folder with a laboratory's notes, and the current one."""
    folder = tmp_path / "oven"
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    status, _, errors = init(".", folder)
    assert (status, errors) == (0, "")
    assert names_in(folder) == {"notes.txt", *FILES}
    assert (folder / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("name", ["file", "file/oven"])
def test_a_file_is_no_folder(tmp_path: Path, name: str) -> None:
    """One line, exit status 1."""
    (tmp_path / "file").write_text("mine")
    status, output, errors = init(name, tmp_path)
    assert (status, output, len(errors.splitlines())) == (1, "", 1)
    assert errors.startswith("init: ")
    assert names_in(tmp_path) == {"file"}
    assert (tmp_path / "file").read_text() == "mine"


def test_a_failure_in_the_middle_leaves_nothing(tmp_path: Path) -> None:
    """Neither the files before it nor the folders; what somebody else wrote meanwhile stays."""
    with pytest.raises(LabUtilsError, match=r"cannot write .*c: .*; nothing was written"):
        write_all(tmp_path / "new" / "oven", [("a", "text"), ("b", "text"), ("missing/c", "text")])
    assert names_in(tmp_path) == set()
    (tmp_path / "b").write_text("theirs")
    with pytest.raises(LabUtilsError, match="nothing was written"):
        write_all(tmp_path, [("a", "text"), ("b", "text"), ("c", "text")])
    assert names_in(tmp_path) == {"b"}
    assert (tmp_path / "b").read_text() == "theirs"


@pytest.mark.skipif(sys.platform == "win32", reason="there is no limit of a file's size")
def test_a_full_disk_leaves_nothing(tmp_path: Path) -> None:
    """As a limit of this process: no file may be longer than 2500 bytes."""
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (2500, 2500));"
    code = limit + "from lab_utils_mt.__main__ import main; main(['init', 'new/oven'])"
    done = python("-c", code, folder=tmp_path)
    assert re.fullmatch(
        r"init: cannot write \S+: File too large; nothing was written\n", done.stderr
    )
    assert names_in(tmp_path) == set()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has other rules")
def test_a_folder_without_rights_is_one_line(tmp_path: Path) -> None:
    """Exit status 1."""
    if os.geteuid() == 0:
        pytest.skip("nothing is forbidden to root")
    tmp_path.chmod(0o500)
    try:
        status, _, errors = init("oven", tmp_path)
    finally:
        tmp_path.chmod(0o700)
    assert status == 1
    assert re.fullmatch(r"init: cannot write \S+: Permission denied; nothing was written\n", errors)
    assert names_in(tmp_path) == set()
