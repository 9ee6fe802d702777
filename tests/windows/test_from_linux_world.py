"""Windows worlds are made whole or not at all, once, and of pinned parts; and a suite's result."""

from __future__ import annotations

import configparser
import os
import re
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import installing
import locking
import pytest
import suite
import world as command_line
from wine import World

WORLD = Path(__file__).with_name("world.py")
STEPS = ("_make_tools", "_unpack_python", "_unpack_runtime", "_install_packages", "_make_prefix")


class Steps:
    """Takes the place of the steps that fetch something."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
        self.made = 0
        self.fault: BaseException | None = None
        self.gate = threading.Event()
        self.gate.set()
        monkeypatch.setenv("LAB_UTILS_MT_WINDOWS_WORLD", str(cache))
        monkeypatch.setattr(installing, "find_wine", lambda: "wine")
        for name in STEPS:
            monkeypatch.setattr(installing, name, self._pass)
        monkeypatch.setattr(installing, "_make_tools", self._make_tools)
        monkeypatch.setattr(installing, "_make_prefix", self._make_prefix)

    def _pass(self, *_: object) -> None:
        pass

    def _make_tools(self, folder: Path) -> Path:
        self.made += 1
        folder.mkdir()
        (folder.parent / "fetched").mkdir()
        return folder

    def _make_prefix(self, prefix: Path) -> None:
        prefix.mkdir()
        self.gate.wait(20)
        if self.fault:
            raise self.fault


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """Return the folder of worlds."""
    return tmp_path / "cache"


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch, cache: Path) -> Steps:
    """Return quick steps of an installation."""
    return Steps(monkeypatch, cache)


def quiet(_: str) -> None:
    """Say nothing."""


def content(cache: Path) -> list[str]:
    """Return what lies in the cache but for the lock."""
    return sorted(path.name for path in cache.iterdir() if path.name != "lock")


def test_a_world_is_made_once(steps: Steps, cache: Path) -> None:
    """Then it is used again."""
    assert installing.installed() is None
    world = installing.install(quiet)
    assert isinstance(world, World)
    assert installing.install(quiet).folder == world.folder == cache / installing.fingerprint()
    assert installing.installed() is not None
    assert content(cache) == [world.folder.name]
    assert sorted(path.name for path in world.folder.iterdir()) == ["complete", "prefix", "python"]
    assert steps.made == 1


def test_other_versions_make_another_world(
    steps: Steps, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The old one stays for who still uses it."""
    first = installing.install(quiet)
    changed = tmp_path / "requirements.txt"
    changed.write_text(installing.PACKAGES.read_text(encoding="utf-8") + "# new\n")
    monkeypatch.setattr(installing, "PACKAGES", changed)

    assert installing.installed() is None
    assert installing.install(quiet).folder != first.folder
    assert first.folder.exists()
    assert steps.made == 2


@pytest.mark.parametrize("fault", [RuntimeError("no network"), KeyboardInterrupt()])
def test_a_failed_installation_leaves_nothing(
    steps: Steps, cache: Path, fault: BaseException
) -> None:
    """The next one begins anew."""
    steps.fault = fault
    with pytest.raises(type(fault)):
        installing.install(quiet)
    assert content(cache) == []
    assert installing.installed() is None

    steps.fault = None
    installing.install(quiet)
    assert installing.installed() is not None


def test_what_a_killed_installation_left_is_removed(steps: Steps, cache: Path) -> None:
    """And nothing else: somebody may have named a folder with other things in it."""
    (cache / "building-killed" / "prefix").mkdir(parents=True)
    (cache / installing.fingerprint()).mkdir()  # not complete
    unused = cache / "0123456789ab"
    unused.mkdir()
    (unused / "complete").touch()
    os.utime(unused / "complete", (time.time() - 30 * 86400,) * 2)
    (cache / "letters").mkdir()

    world = installing.install(quiet)

    assert content(cache) == sorted([world.folder.name, "letters"])


def test_two_installations_at_once_make_one_world(steps: Steps, cache: Path) -> None:
    """The second one says that it waits, and uses the first one's."""
    steps.gate.clear()
    said: list[str] = []
    found: list[Path] = []
    threads = [
        threading.Thread(target=lambda: found.append(installing.install(said.append).folder))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 20
    while not any("another run" in text for text in said):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    steps.gate.set()
    for thread in threads:
        thread.join(20)
    assert found == [cache / installing.fingerprint()] * 2
    assert steps.made == 1


def test_what_is_not_pinned_is_not_used(tmp_path: Path) -> None:
    """A file with another hash stops the installation."""
    (tmp_path / "python.tar.gz").write_bytes(b"something else")
    with pytest.raises(RuntimeError, match="its hash differs"):
        installing._pinned(tmp_path, "*.tar.gz", "0" * 64)


@pytest.mark.parametrize(("option", "status"), [("install", 0), ("--require", 1)])
def test_without_wine_it_says_so(tmp_path: Path, option: str, status: int) -> None:
    """That is no failure, unless one asks for it."""
    words = ["install"] if option == "install" else [option, "install"]
    done = subprocess.run(
        [sys.executable, str(WORLD), *words],
        env={**os.environ, "PATH": "", "LAB_UTILS_MT_WINDOWS_WORLD": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.startswith("skipped: no Wine (it is not installed"), done.stderr
    assert done.returncode == status


@pytest.mark.parametrize("path", [installing.PACKAGES, installing.TOOLS])
def test_every_package_is_pinned(path: Path) -> None:
    """By version and hash, and without the name of a place that it comes from."""
    text = path.read_text(encoding="utf-8")
    entries = re.findall(
        r"^[a-z0-9.-]+==\S+.*(?:\n    --hash=sha256:[0-9a-f]{64}.*)+", text, re.MULTILINE
    )
    lines = [line for line in text.splitlines() if not line.startswith(("#", " "))]
    assert len(entries) == len(lines) > 5
    assert "://" not in text


def test_the_lock_file_is_that_of_setup_cfg() -> None:
    """Whoever adds a requirement runs ``world.py lock``."""
    text = installing.PACKAGES.read_text(encoding="utf-8")
    locked = set(re.findall(r"^([a-z0-9.-]+)==", text, re.MULTILINE))
    needed = set()
    for line in locking.wanted(["test", "windows"]):
        name, _, marker = line.partition(";")
        if line.strip() and '!= "win32"' not in marker.replace("'", '"'):
            found = re.match(r"[A-Za-z0-9._-]+", name.strip())
            assert found
            needed.add(re.sub(r"[._-]+", "-", found[0]).lower())
    assert needed <= locked


def test_extras_that_name_others_are_followed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As ``lab_utils_mt[demo, shell]`` does."""
    settings = configparser.ConfigParser()
    settings["options"] = {"install_requires": "\nfirst>=1"}
    settings["options.extras_require"] = {"test": "\nlab_utils_mt[demo]\nsecond", "demo": "\nthird"}
    path = tmp_path / "setup.cfg"
    with path.open("w") as file:
        settings.write(file)
    monkeypatch.setattr(locking, "SETUP", path)
    assert set(locking.wanted(["test"])) == {"", "first>=1", "second", "third"}


# --- the suite --------------------------------------------------------------------------------

TESTS = """
import pytest
def test_good(): pass
def test_bad(): assert 1 == 2
@pytest.mark.skip(reason="it rains")
def test_skipped(): pass
@pytest.fixture
def broken(): raise RuntimeError("no database")
def test_error(broken): pass
"""


def report_of(folder: Path, source: str) -> suite.Result:
    """Run some tests with pytest, and read its report."""
    file, report = folder / "test_it.py", folder / "report.xml"
    file.write_text(source, encoding="utf-8")
    words = ["-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}", str(file)]
    done = subprocess.run(
        [sys.executable, *words], cwd=folder, capture_output=True, timeout=60, check=False
    )
    return suite.read_report(report, "it", done.returncode)


def test_failures_errors_and_skips_are_counted(tmp_path: Path) -> None:
    """From the report of a real pytest."""
    result = report_of(tmp_path, TESTS)
    assert result.passed == 1
    names = sorted(line.split(":")[2] for line in result.failed)
    assert names == ["test_bad", "test_error"]
    assert result.skipped == Counter({"it rains": 1})
    assert report_of(tmp_path, "raise RuntimeError").failed


def test_a_run_without_a_report_failed(tmp_path: Path) -> None:
    """It crashed, or was ended, or its report is cut off."""
    report = tmp_path / "report.xml"
    assert suite.read_report(report, "it", 3).failed
    report.write_text("<testsuites><testsuite>", encoding="utf-8")
    assert suite.read_report(report, "it", 0).failed
    report.write_text("<testsuites><testcase/></testsuites>", encoding="utf-8")
    assert suite.read_report(report, "it", 3).failed
    assert not suite.read_report(report, "it", 0).failed


def test_an_unexplained_skip_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The list of reasons is a file that a person writes."""
    path = tmp_path / "skips.txt"
    path.write_text("# weather\n^it rains$\n", encoding="utf-8")
    skipped = Counter({"it rains": 3, "it rains frogs": 1})
    assert suite.unexplained(skipped, path) == ["it rains frogs"]
    assert suite.tell(suite.Result(passed=1, skipped=Counter({"frogs": 1})), quiet) == 1
    assert suite.tell(suite.Result(passed=1), quiet) == 0
    assert suite.tell(suite.Result(), quiet) == 1
    assert suite.tell(suite.Result(passed=1, failed=["it"]), quiet) == 1


def test_every_file_is_dealt_out_once() -> None:
    """But for those of the two worlds."""
    dealt = [path for group in suite.groups() for path in group]
    files = set(suite.TESTS.rglob("test_*.py"))
    assert len(dealt) == len(set(dealt))
    assert {path.name for path in files - set(dealt)} == {
        path.name for path in Path(__file__).parent.glob("test_from_linux_*.py")
    }


@pytest.mark.parametrize(
    ("status", "output", "expected"),
    [
        (0, "..\n2 passed in 0.01s", 0),
        (0, "== 2 passed, 1 skipped in 12.30s ==", 0),
        (0, "== 1 failed, 2 passed in 0.01s ==", 1),
        (0, "..", 1),
        (7, "2 passed in 0.01s", 7),
    ],
)
def test_a_pytest_must_say_that_all_passed(status: int, output: str, expected: int) -> None:
    """An exit status of 0 alone is not believed."""
    assert command_line.checked(["-m", "pytest", "-q"], status, output) == expected
    assert command_line.checked(["-c", "pass"], status, output) == status


def test_what_is_typed_can_be_written_down() -> None:
    """As ``^C``."""
    assert command_line._keys("quit^M^C") == "quit\r\x03"
