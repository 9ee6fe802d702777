"""The script for a real PC runs, as far as Wine lets it."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from console import console
from wine import World, windows_path

pytestmark = pytest.mark.timeout(300)  # it takes longer to start a process there
SCRIPT = Path(__file__).with_name("on_a_real_pc.py")
SHOWN = (  # what Wine does as Windows does
    "one owner of a PID file",
    "a port for one server",
    "time to connect",
    "replacing files",
    "Ctrl-Break and Ctrl-C",
    "clocks and names",
)
NOT_SHOWN = ("mandatory locks", "colours", "firewall", "service", "Task Scheduler")


def test_the_script_makes_every_check(world: World) -> None:
    """At a console, without somebody who answers: the report says what was not shown, and why."""
    with console(world, windows_path(SCRIPT), "--no-questions") as shown:
        status = shown.finish(200.0)
    report = shown.text.partition("please send what follows")[2]
    verdicts = dict(re.findall(r"^([A-Z]?[A-Za-z -]+): (ok|skipped|FAILED)", report, re.MULTILINE))

    assert verdicts == dict.fromkeys(SHOWN, "ok") | dict.fromkeys(NOT_SHOWN, "skipped"), report
    assert status == 0
    assert "11 checks, 0 FAILED" in report
    assert re.search(r"Ctrl-C: stopped in order after [\d.]+ s", report)


def test_what_fails_is_said(world: World, tmp_path: Path) -> None:
    """One check fails, the others are made, and the exit status tells."""
    shutil.copy(SCRIPT.with_name("real_pc.py"), tmp_path)
    changed = tmp_path / "changed.py"
    text = SCRIPT.read_text(encoding="utf-8")
    changed.write_text(
        text.replace(
            '"one owner of a PID file": one_owner',
            '"one owner of a PID file": lambda _: must(False, "two owners")',
        ),
        encoding="utf-8",
    )

    status, report = world.run([windows_path(changed), "--no-questions"])

    assert "one owner of a PID file: FAILED: AssertionError: two owners" in report
    assert "11 checks, 1 FAILED" in report
    assert status == 1
