"""Does the whole suite pass on Windows, and is what it skips there explained?

The test files are dealt out in small groups to some processes of the Windows Python, the large
files first. A group that crashes or hangs is a failure of that group only, the others go on. What
counts is the report that each pytest writes, not what it prints.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import queue
import re
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from xml.etree import ElementTree

from streaming import stream
from wine import CHECKOUT, World, windows_path

HERE = Path(__file__).resolve().parent
TESTS = CHECKOUT / "tests"
SKIPS = HERE / "skips.txt"
# The cache would be written by two systems; random order is for the run on Linux.
PYTEST = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:randomly", "--tb=short")
_TEST_LIMIT = 180  # seconds for one test: it takes longer to start a process there
_GROUP_BYTES = 60_000  # of source, which is a rough measure of how long a group takes
_SECOND_CHANCES = 2  # groups; more failures are no accident
_OURS = "test_from_linux_"  # they run on Linux, with a Windows of their own


@dataclasses.dataclass
class Result:
    """What came out of some test files.

    Attributes:
        passed: How many tests passed.
        failed: What went wrong, one line each.
        skipped: How many tests were skipped for each reason.
    """

    passed: int = 0
    failed: list[str] = dataclasses.field(default_factory=list)
    skipped: Counter[str] = dataclasses.field(default_factory=Counter)

    def add(self, other: Result) -> None:
        """Add the result of others."""
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped


def groups(folder: Path = TESTS) -> list[list[Path]]:
    """Return the test files in groups, the ones that may take longest first."""
    found: list[list[Path]] = []
    files = sorted(folder.rglob("test_*.py"), key=lambda path: -path.stat().st_size)
    sizes: dict[Path, int] = {}
    open_groups: dict[Path, list[Path]] = {}
    for path in files:
        if path.name.startswith(_OURS):
            continue
        place, size = path.parent, path.stat().st_size
        if place not in open_groups or sizes[place] + size > _GROUP_BYTES:
            open_groups[place], sizes[place] = [], 0
            found.append(open_groups[place])
        open_groups[place].append(path)
        sizes[place] += size
    return sorted(found, key=lambda group: -sum(path.stat().st_size for path in group))


def read_report(path: Path, group: str, status: int) -> Result:
    """Read the report of one pytest; one without a report, or that fails without saying so, failed.

    Args:
        path: Where it should be.
        group: Which files it is about, for the messages.
        status: The exit status of pytest.
    """
    try:
        cases = list(ElementTree.parse(path).iter("testcase"))
    except (OSError, ElementTree.ParseError):
        return Result(failed=[f"{group}: ended with status {status}, and without a report"])
    result = Result()
    for case in cases:
        _count(case, result)
    if status not in (0, 5) and not result.failed:  # 5: no test in these files
        result.failed.append(f"{group}: ended with status {status}, although no test failed")
    return result


def _count(case: ElementTree.Element, result: Result) -> None:
    name = f"{case.get('classname', '')}::{case.get('name', '')}"
    faults = [part for kind in ("failure", "error") for part in case.findall(kind)]
    skips = case.findall("skipped")
    for part in faults:
        result.failed.append(f"{name}: {part.get('message', '').splitlines()[:1] or ['?']}")
    for part in skips:
        result.skipped[part.get("message", "")] += 1
    result.passed += not faults and not skips


def unexplained(skipped: Counter[str], path: Path = SKIPS) -> list[str]:
    """Return the reasons to skip a test that the written list does not have."""
    lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    known = [re.compile(line) for line in lines if line and not line.startswith("#")]
    return [reason for reason in skipped if not any(one.search(reason) for one in known)]


@contextlib.contextmanager
def database() -> Iterator[dict[str, str]]:
    """Run a PostgreSQL on Linux for the tests on Windows; yield the variables that tell them."""
    given = os.environ.get("LAB_UTILS_MT_TEST_DSN")
    if given:
        yield {"LAB_UTILS_MT_TEST_DSN": given}
        return
    sys.path[:0] = [str(CHECKOUT), str(TESTS)]
    from postgres import postgres_on_tcp

    with postgres_on_tcp() as dsn:
        yield {"LAB_UTILS_MT_TEST_DSN": dsn}


class Suite:
    """One run of the suite.

    Args:
        world: Where it runs.
        limit: Seconds for all of it.
        say: Gets each line of output.
        extra: Variables for the environment of the tests.
        root: Where pytest runs.
    """

    def __init__(
        self,
        world: World,
        limit: float,
        say: Callable[[str], None],
        extra: dict[str, str],
        root: Path = CHECKOUT,
    ) -> None:
        self._world = world
        self._deadline = time.monotonic() + limit
        self._say = say
        self._extra = extra
        self._root = root
        self._todo: queue.SimpleQueue[list[Path]] = queue.SimpleQueue()
        self._results: list[tuple[list[Path], Result]] = []
        self._lock = threading.Lock()  # guards _results

    def run(self, chosen: list[list[Path]], workers: int) -> Result:
        """Run groups of test files, so many at once; return what came out of it.

        A group that fails has a second chance, alone: all share one server of Wine and one
        PostgreSQL, and a machine that is busy can make any of them late. That is told.
        """
        for group in chosen:
            self._todo.put(group)
        threads = [
            threading.Thread(target=self._work, args=(f"[{number}] ",), name=f"worker-{number}")
            for number in range(min(workers, len(chosen)))
        ]
        for thread in threads:
            thread.start()
        try:
            for thread in threads:
                thread.join()
        except BaseException:  # Ctrl-C, which the programs get, too
            self._deadline = 0.0
            raise
        return self._summed_up()

    def _summed_up(self) -> Result:
        total = Result()
        chances = _SECOND_CHANCES
        for group, result in self._results:
            if result.failed and chances:
                chances -= 1
                total.add(self._again(group, result))
            else:
                total.add(result)
        return total

    def _again(self, group: list[Path], first: Result) -> Result:
        with tempfile.TemporaryDirectory(prefix="windows-suite-") as folder:
            second = self._test(group, Path(folder) / "report.xml", "[alone] ")
        if second.failed:
            return first
        for fault in first.failed:
            self._say(f"passed when it ran alone: {fault}")
        return second

    def _work(self, prefix: str) -> None:
        with tempfile.TemporaryDirectory(prefix="windows-suite-") as folder:
            while True:
                try:
                    group = self._todo.get_nowait()
                except queue.Empty:
                    return
                result = self._test(group, Path(folder) / "report.xml", prefix)
                with self._lock:
                    self._results.append((group, result))

    def _test(self, group: list[Path], report: Path, prefix: str) -> Result:
        name, started = name_of(group, self._root), time.monotonic()
        if started >= self._deadline:
            return Result(failed=[f"{name}: the time was up before it began"])
        report.unlink(missing_ok=True)
        files = [windows_path(path) for path in group]
        words = [*PYTEST, f"--timeout={_TEST_LIMIT}", f"--junitxml={windows_path(report)}", *files]
        ended = stream(
            self._world,
            words,
            lambda line: self._say(prefix + line) if line else None,
            self._deadline - started,
            self._extra,
            self._root,
        )
        result = read_report(report, name, ended.status)
        if ended.is_late:
            result.failed.append(f"{name}: the time was up before its end")
        result.failed += [f"{name}: left behind: {process}" for process in ended.left]
        self._say(
            f"{prefix}{name}: {result.passed} passed, {len(result.failed)} failed,"
            f" {result.skipped.total()} skipped in {time.monotonic() - started:.0f} s"
        )
        return result


def name_of(group: list[Path], root: Path = CHECKOUT) -> str:
    """Return how messages name a group of files."""
    names = " ".join(path.stem.removeprefix("test_") for path in group)
    return f"{group[0].parent.relative_to(root)}: {names}"


def tell(result: Result, say: Callable[[str], None]) -> int:
    """Say what came out; return the exit status."""
    for reason, number in sorted(result.skipped.items()):
        say(f"skipped {number:4}: {reason}")
    strange = unexplained(result.skipped)
    for reason in strange:
        say(f"FAILED: not in {SKIPS.name}: {reason!r}")
    for fault in result.failed:
        say(f"FAILED: {fault}")
    say(
        f"on Windows: {result.passed} passed, {len(result.failed)} failed,"
        f" {result.skipped.total()} skipped ({len(strange)} reasons not explained)"
    )
    return int(bool(result.failed or strange or not result.passed))
