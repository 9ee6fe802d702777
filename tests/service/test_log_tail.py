"""Is the end of a service's log found, and shown, whatever the log is?"""

from __future__ import annotations

from pathlib import Path

import pytest
from services import a_service

from lab_utils_mt._service.log_tail import log_tail

DAY = "2026-11-23"


def tail(folder: Path, **keys: str) -> list[str]:
    """Return what is shown of a service that logs with these settings."""
    ini = folder / "logging.ini"
    values = {"log_path": "logs", "log_basename": "oven", **keys}
    lines = [f"{key} = {value}" for key, value in values.items()]
    ini.write_text("\n".join(["[FileLogger]", "active = yes", *lines]), encoding="utf-8")
    return log_tail(a_service(folder, logging=ini))


def log(folder: Path, name: str, content: bytes = b"first\nlast\n") -> Path:
    """Write a log file."""
    path = folder / "logs" / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("keys", "name"),
    [
        ({}, f"oven_{DAY}.log"),
        ({"log_extension": "txt"}, f"oven_{DAY}.txt"),
        ({"log_extension": ""}, f"oven_{DAY}"),
        ({"log_basename": "oven[1]"}, f"oven[1]_{DAY}.log"),
    ],
)
def test_the_file_is_found_as_the_logger_names_it(
    tmp_path: Path, keys: dict[str, str], name: str
) -> None:
    """With a dot before the extension, and nothing in the name is a pattern."""
    path = log(tmp_path, name)
    assert tail(tmp_path, **keys) == [f"{path}:", "first", "last"]


def test_of_a_huge_file_only_the_end_is_read(tmp_path: Path) -> None:
    """Whole lines, and no text is needed."""
    path = log(tmp_path, f"oven_{DAY}.log", b"x" * 3_000_000 + b"\n" + b"\xff\n" * 300)
    assert tail(tmp_path) == [f"{path}:", *["\ufffd"] * 100]


def test_of_a_huge_line_the_end_is_shown(tmp_path: Path) -> None:
    """And that it is not all of it."""
    log(tmp_path, f"oven_{DAY}.log", b"x" * 3_000_000 + b"the end")
    (_, line) = tail(tmp_path)
    assert line.startswith("... x")
    assert line.endswith("the end")
    assert len(line) < 70_000


def test_a_home_that_is_none_is_told(tmp_path: Path) -> None:
    """The daemon cannot log there either."""
    (line,) = tail(tmp_path, log_path="~nobody-has-this-name/logs")
    assert line
