"""Is the reason found that a service left?"""

from __future__ import annotations

import os
import re
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab_utils_mt._service import last_words
from lab_utils_mt.exceptions import ConfigError

TIME = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d[+-]\d\d:\d\d: "


@pytest.fixture
def name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    """Return the name of a service that nobody else has."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    unique = f"test-{uuid.uuid4().hex}"
    yield unique
    last_words.forget(unique)


def test_nothing_was_left(name: str) -> None:
    """And to forget nothing is fine."""
    assert last_words.read(name) is None
    last_words.forget(name)


def test_the_reason_is_found_with_its_time(name: str) -> None:
    """With the lines below, in any script."""
    last_words.write(name, "no magnet: Ω → ✓\nTraceback\n")
    assert re.fullmatch(rf"{TIME}no magnet: Ω → ✓\nTraceback", str(last_words.read(name)))


def test_the_last_reason_counts(name: str) -> None:
    """Nothing else stays behind, and nothing at all once it is forgotten."""
    for reason in ("first", "second"):
        last_words.write(name, reason)
    path = last_words.place(name)
    assert str(last_words.read(name)).endswith(": second")
    assert list(path.parent.iterdir()) == [path]
    last_words.forget(name)
    assert last_words.read(name) is None
    assert not path.parent.exists()


def test_nothing_drives_a_terminal(name: str) -> None:
    """What failed may have had it from an instrument."""
    last_words.write(name, "\x1b[2J\x07 ü \udcff")
    assert str(last_words.read(name)).endswith(r": \x1b[2J\x07 ü \udcff")


def test_a_long_reason_is_cut(name: str) -> None:
    """Its beginning is what counts."""
    last_words.write(name, "no magnet\n" + "x" * 100_000)
    words = str(last_words.read(name))
    assert "no magnet\n" in words
    assert len(words) < 17_000


def test_what_is_no_text_is_read_all_the_same(name: str) -> None:
    """Somebody may have put it there."""
    path = last_words.place(name)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"\xff\xfe")
    assert last_words.read(name) == "\ufffd\ufffd"


def test_a_place_that_cannot_be_written(name: str, caplog: pytest.LogCaptureFixture) -> None:
    """A daemon that dies must not die of that."""
    folder = last_words.place(name).parent
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.write_text("")
    last_words.write(name, "no magnet")
    assert "cannot be left in" in caplog.text
    assert last_words.read(name) is None
    folder.unlink()


def test_services_of_the_computer_have_another_place() -> None:
    """Where systemd makes a StateDirectory=, and where all users of Windows can read."""
    mine, everybodys = last_words.place("cryo"), last_words.place("cryo", system=True)
    assert mine != everybodys
    assert everybodys.parts[-3:] == ("lab_utils_mt", "cryo", "last_words.txt")
    if sys.platform == "linux":
        assert everybodys == Path("/var/lib/lab_utils_mt/cryo/last_words.txt")


def test_a_name_that_leads_elsewhere() -> None:
    """It is refused."""
    with pytest.raises(ConfigError):
        last_words.place("../../x")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no FIFOs in folders")
def test_what_is_no_file_of_ours_is_not_read(name: str, tmp_path: Path) -> None:
    """Root reads what a service's user left: no link to a secret, no pipe without a writer."""
    secret = tmp_path / "secret"
    secret.write_text("secret")
    path = last_words.place(name)
    path.parent.mkdir(parents=True)
    path.symlink_to(secret)
    assert last_words.read(name) is None
    path.unlink()
    os.mkfifo(path)
    assert last_words.read(name) is None
    last_words.write(name, "no magnet")
    assert str(last_words.read(name)).endswith(": no magnet")
    assert secret.read_text() == "secret"
