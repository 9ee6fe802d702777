"""Does a file always have the old content or the new one, whoever looks at it meanwhile?"""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path

import pytest
from daemons import TIMEOUT

from lab_utils_mt._replacing import replacing
from lab_utils_mt.exceptions import LabUtilsError


def replace(path: Path) -> None:
    """Give a file a new content."""
    with replacing(path) as new:
        new.write_text("new", encoding="utf-8")


def test_a_failed_attempt_leaves_the_old_file_alone(tmp_path: Path) -> None:
    """Nothing else is left beside it."""
    path = tmp_path / "file"
    path.write_text("old", encoding="utf-8")
    with pytest.raises(RuntimeError), replacing(path) as new:
        new.write_text("half", encoding="utf-8")
        raise RuntimeError
    assert path.read_text(encoding="utf-8") == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_reader_holds_nobody_up_for_good(tmp_path: Path) -> None:
    """On Windows an open file cannot be replaced; so it is tried until it is closed."""
    path = tmp_path / "file"
    path.write_text("old", encoding="utf-8")
    with path.open(encoding="utf-8") as file:
        closing = threading.Timer(0.3, file.close)
        closing.start()
        replace(path)
        closing.join(TIMEOUT)
    assert path.read_text(encoding="utf-8") == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_reader_that_does_not_go_away_is_told_of(tmp_path: Path) -> None:
    """On Windows, and in bounded time; elsewhere it goes on reading the old file."""
    path = tmp_path / "file"
    path.write_text("old", encoding="utf-8")
    began = time.monotonic()
    with path.open(encoding="utf-8") as file:
        if sys.platform == "win32":
            with pytest.raises(LabUtilsError, match="cannot write"):
                replace(path)
        else:
            replace(path)
        assert file.read() == "old"
    assert time.monotonic() - began < TIMEOUT
    assert list(tmp_path.iterdir()) == [path]
