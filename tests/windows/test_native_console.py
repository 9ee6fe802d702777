"""Ctrl-Break, and text that the code page of Windows does not have."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
IN_TIME = 2.0  # seconds from the keys to the end
TRIES = 3  # the machine may have had something else to do
TIMEOUT = 60.0  # seconds; only a hang lasts longer
# What a German or American Windows does with a redirected output; a console is in UTF-8.
LOGS = """
import sys
from lab_utils_mt.custom_logging import configure_logging, getLogger, unconfigure_logging
assert not sys.stdout.encoding.lower().startswith("utf"), sys.stdout.encoding
configure_logging(sys.argv[1] if len(sys.argv) > 1 else None)
getLogger("bench").warning("\\u03a9 \\u2192 \\u2713, 20 \\u00b5m")
print("done")
unconfigure_logging()
"""
WITHOUT_STREAMS = """
import pathlib, sys
from lab_utils_mt.custom_logging import configure_logging, getLogger, unconfigure_logging
configure_logging()
getLogger("bench").warning("nobody sees this")
unconfigure_logging()
pathlib.Path(sys.argv[1]).write_text(repr((sys.stdout, sys.stderr)))
"""


@pytest.mark.parametrize("moment", ["no client", "a silent client", "in a command"])
def test_ctrl_break_stops_a_daemon_in_time(tmp_path: Path, moment: str) -> None:
    """Wherever it waits; a running command gets no time: ``stop_timeout`` is 0."""
    needed: list[float] = []
    for number in itertools.count(1):
        pid_file = tmp_path / f"{number}.pid"
        words = [sys.executable, str(HERE / "break_itself.py"), str(pid_file), moment]
        done = subprocess.run(
            words, capture_output=True, text=True, timeout=TIMEOUT, check=False, cwd=HERE
        )
        assert done.returncode == 0, done.stderr
        assert not pid_file.exists()
        needed.append(float(done.stdout.splitlines()[-1]))
        if needed[-1] <= IN_TIME:
            break
        assert number < TRIES, f"from Ctrl-Break to the end: {needed} s"


def ansi() -> dict[str, str]:
    """Return an environment in which redirected output is in the ANSI code page."""
    unwanted = ("PYTHONIOENCODING", "PYTHONUTF8", "FORCE_COLOR")
    return {name: value for name, value in os.environ.items() if name not in unwanted}


def redirected(folder: Path, *words: str) -> tuple[bytes, bytes]:
    """Run the program that logs, with output and errors in files; return what is in these."""
    out, err = folder / "out.txt", folder / "err.txt"
    with out.open("wb") as output, err.open("wb") as errors:
        subprocess.run(
            [sys.executable, "-c", LOGS, *words],
            env=ansi(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
            timeout=TIMEOUT,
            check=True,
        )
    return out.read_bytes(), err.read_bytes()


def test_a_redirected_log_bears_any_text(tmp_path: Path) -> None:
    """What the code page has stays as it is, the rest is written out; no record is lost."""
    output, errors = redirected(tmp_path)

    assert errors == b""
    assert b"WARNING" in output
    assert rb"\u03a9 \u2192 \u2713, 20 " in output
    assert "20 µm".encode("cp1252") in output or rb"20 \xb5m" in output
    assert b"done" in output


def test_a_log_file_is_in_utf_8(tmp_path: Path) -> None:
    """Whatever the code page is."""
    settings = tmp_path / "logging.ini"
    settings.write_text(
        "[ConsoleLogger]\nactive = yes\n[FileLogger]\nactive = yes\n"
        f"log_path = {tmp_path}\nlog_basename = bench\n",
        encoding="utf-8",
    )

    redirected(tmp_path, str(settings))

    [log] = tmp_path.glob("bench_*.log")
    assert ":" not in log.name
    text = log.read_text(encoding="utf-8")
    assert "Ω → ✓, 20 µm" in text or r"\u03a9 \u2192 \u2713, 20 \u00b5m" in text


def test_a_program_without_streams_can_log(tmp_path: Path) -> None:
    """As ``pythonw`` and services are."""
    without_console = Path(sys.executable).with_name("pythonw.exe")
    seen = tmp_path / "seen.txt"

    subprocess.run(
        [str(without_console), "-c", WITHOUT_STREAMS, str(seen)],
        creationflags=subprocess.DETACHED_PROCESS,  # type: ignore[attr-defined,unused-ignore]
        stdin=None,
        timeout=TIMEOUT,
        check=True,
    )

    assert seen.read_text() == "(None, None)"
