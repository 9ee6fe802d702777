"""What the README shows is what happens."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from daemons import TIMEOUT, wait_until
from systems import needs_embedded

from lab_utils_mt.database import Database, DataType, EmbeddedPostgres

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def program(name: str) -> str:
    """Return the program whose docstring begins with ``name``."""
    blocks = re.findall(r"^```python\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
    (found,) = [block for block in blocks if block.startswith(f'"""{name}:')]
    return str(found)


def run(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a program in a folder of its own."""
    return subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r})\n" + code],
        capture_output=True,
        text=True,
        cwd=folder,
        timeout=TIMEOUT,
        check=False,
    )


def port_is_free() -> bool:
    """Tell whether nobody listens on the default port."""
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", 1507)) != 0


def test_the_server_and_its_client_work(tmp_path: Path) -> None:
    """As they stand there, on the default port."""
    if not port_is_free():
        pytest.skip("somebody listens on the default port")
    server = program("thermometer.py")
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{server}"
    with subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE) as process:
        try:
            wait_until(lambda: not port_is_free(), "the start of the server")
            answer = run(program("ask.py"), tmp_path)
            assert re.fullmatch(r"(4\.\d{1,4}\n){2}", answer.stdout), answer.stderr
            second = run(server, tmp_path)
            assert second.returncode == 1
            assert f"is held by {process.pid};" in second.stderr
            with socket.create_connection(("127.0.0.1", 1507)) as sock:
                sock.sendall(b"read C\nquit\n")
                assert sock.makefile("rb").read().endswith(b"\nGoodbye!\n")
            assert process.wait(TIMEOUT) == 0
        finally:
            process.kill()


@needs_embedded
def test_the_server_with_a_database_works(tmp_path: Path) -> None:
    """Two readings, both stored."""
    if not port_is_free():
        pytest.skip("somebody listens on the default port")
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{program('recorder.py')}"
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=tmp_path, stderr=subprocess.PIPE
    ) as process:
        try:
            wait_until(lambda: not port_is_free() or process.poll(), "the start of the server")
            with socket.create_connection(("127.0.0.1", 1507)) as sock:
                sock.sendall(b"read\nread\nquit\n")
                replies = sock.makefile("rb").read().decode()
            assert re.fullmatch(r"4\.\d+\n4\.\d+\nGoodbye!\n", replies)
            assert process.wait(TIMEOUT) == 0
        finally:
            process.terminate()
    with (
        EmbeddedPostgres(tmp_path / "readings-data") as postgres,
        Database(dsn=postgres.dsn) as database,
        database.transaction() as session,
        session.cursor() as cursor,
    ):
        cursor.execute("SELECT count(*) FROM readings WHERE kelvin BETWEEN 4 AND 5")
        assert cursor.fetchone() == (2,)


def test_the_log_goes_where_its_settings_say(tmp_path: Path) -> None:
    """Both as they stand there."""
    (settings,) = re.findall(r"^```ini\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
    (tmp_path / "logging.ini").write_text(settings, encoding="utf-8")
    result = run(program("oven.py"), tmp_path)
    assert result.stderr == ""
    assert [line.split()[0] for line in result.stdout.splitlines()] == ["INFO", "SUCCESS", "ERROR"]
    (file,) = (tmp_path / "logs").glob("oven_????-??-??.log")
    last = json.loads(file.read_text(encoding="utf-8").splitlines()[-1])
    assert (last["message"], last["channel"]) == ("thermocouple B2 is open", 7)


def test_nothing_was_left_to_fill_in() -> None:
    """A word in capitals alone on its line, for example."""
    assert re.findall(r"^[A-Z]+$", README, re.MULTILINE) == []


def test_the_server_is_as_short_as_promised() -> None:
    """A complete server in 20 lines of code."""
    lines = [line for line in program("thermometer.py").splitlines() if line.strip()]
    assert len(lines) <= 20


def test_every_dependency_has_its_reason() -> None:
    """In the table."""
    table = README.split("What it is built on, and why:")[1].split("## ")[0]
    declared = (ROOT / "setup.cfg").read_text(encoding="utf-8")
    needed = declared.split("install_requires =")[1].split("[options.")[0]
    for name in re.findall(r"^ +([\w-]+)", needed, re.MULTILINE):
        assert f"`{name}`" in table


def test_files_that_the_readme_names_are_there() -> None:
    """Each path in it."""
    for path in re.findall(r"`((?:lab_utils_mt|benchmarks|examples)/[\w/.]*)`", README):
        assert (ROOT / path).exists(), path


def test_the_plot_is_drawn(database: Database, database_dsn: str, tmp_path: Path) -> None:
    """From the settings file that it names."""
    database.create_timescale_db("readings")
    database.new_column("readings", "kelvin", DataType.double)
    now = datetime.now(timezone.utc)
    times = [now - timedelta(minutes=10 * number) for number in range(100)]
    database.new_entries("readings", ["time", "kelvin"], [[time, 4.2] for time in times])
    (tmp_path / "database.ini").write_text(f"[Overall]\ndsn = {database_dsn}\n", encoding="utf-8")
    drawn = run(program("plot.py"), tmp_path)
    assert drawn.returncode == 0, drawn.stderr
    assert (tmp_path / "readings.png").read_bytes().startswith(b"\x89PNG")
