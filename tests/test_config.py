"""What an ini file may say, and how it is told what is wrong."""

from __future__ import annotations

import configparser
import dataclasses
from pathlib import Path

import pytest
from systems import WINDOWS

import lab_utils_mt
from lab_utils_mt._config import IniFile, check, read_section, setting
from lab_utils_mt._settings import ServerSettings
from lab_utils_mt.exceptions import ConfigError


@dataclasses.dataclass(frozen=True)
class Settings:
    """One of each kind."""

    name: str = setting("x", choices="x y")
    count: int = setting(3, least=1, most=9)
    pause: float = setting(0.5, least=0)
    serial: bool = setting(False)
    limit: float | None = setting(None)


def ini(folder: Path, text: str, encoding: str = "utf-8") -> str:
    """Write an ini file."""
    path = folder / "some.ini"
    path.write_text(text, encoding=encoding)
    return str(path)


def test_only_what_the_file_sets_is_returned(tmp_path: Path) -> None:
    """Cast to its kind; other sections are somebody else's."""
    text = "[Mine]\ncount = 7\npause = 1e-1\nserial = YES\nlimit = 3\n[Other]\nanything = 1\n"

    values = read_section(ini(tmp_path, text), "Mine", Settings)

    assert values == {"count": 7, "pause": 0.1, "serial": True, "limit": 3.0}


@pytest.mark.parametrize(("text", "value"), [("off", None), ("Off", None), ("2", 2.0)])
def test_some_numbers_can_be_switched_off(tmp_path: Path, text: str, value: float | None) -> None:
    """With the word off."""
    assert read_section(ini(tmp_path, f"[Mine]\nlimit = {text}\n"), "Mine", Settings) == {
        "limit": value
    }


def test_a_percent_sign_and_a_byte_order_mark_are_harmless(tmp_path: Path) -> None:
    """Windows editors write the mark."""
    path = ini(tmp_path, "[Overall]\npid_file_name = C:\\100%\\a.pid\n", "utf-8-sig")

    assert read_section(path, "Overall", ServerSettings) == {"pid_file_name": "C:\\100%\\a.pid"}


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[Mine]\ncuont = 1\n", r"section \[Mine\]: unknown key 'cuont' \(is it 'count'\?\)"),
        ("[Mine]\nother = 1\n", r"unknown key 'other'; known are count, limit, .* of their own\)"),
        ("[Mine]\ncount = 0\n", r"count = 0 must be between 1 and 9"),
        ("[Mine]\ncount = 1_0\n", "count = '1_0' is not a whole number"),
        ("[Mine]\ncount = ７\n", "is not a whole number"),
        ("[Mine]\ncount = 1.0\n", "is not a whole number"),
        ("[Mine]\npause = nan\n", "is not a finite number"),
        ("[Mine]\npause = -1\n", "pause = -1.0 must be at least 0"),
        ("[Mine]\npause = soon\n", "is not a number"),
        ("[Mine]\nserial = perhaps\n", "is neither yes nor no"),
        ("[Mine]\nname = z\n", "name = 'z' must be one of x, y"),
        ("[Other]\nx = 1\n", r"section \[Mine\] is missing$"),
        ("[mine]\nx = 1\n", r"section \[Mine\] is missing \(is it \[mine\]\?\)"),
        ("count = 1\n", "not a valid ini file"),
        ("[Mine]\ncount = 1\ncount = 2\n", "not a valid ini file"),
    ],
)
def test_an_error_names_file_section_and_key(tmp_path: Path, text: str, fault: str) -> None:
    """And it is also what 0.5.x raised."""
    path = ini(tmp_path, text)

    with pytest.raises(ConfigError, match=fault) as caught:
        read_section(path, "Mine", Settings)
    assert path in str(caught.value)
    assert isinstance(caught.value, configparser.Error)


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    """0.5.4 went on with its defaults."""
    with pytest.raises(ConfigError, match=r"cannot read .*no\.ini: No such file"):
        read_section(str(tmp_path / "no.ini"), "Mine", Settings)


@pytest.mark.parametrize(
    ("path", "fault"),
    [
        # Windows takes each folder beside the user's own for a home.
        ("~nobody-of-that-name/x.ini", "cannot read" if WINDOWS else "home"),
        ("a\0b", "NUL"),
        ("a\ud800b", "surrogate"),
    ],
)
def test_a_path_that_cannot_be_is_an_error(path: str, fault: str) -> None:
    """Of the kind that every other fault of a file is."""
    with pytest.raises(ConfigError, match=fault) as caught:
        read_section(path, "Mine", Settings)
    assert str(caught.value).isprintable()


def test_a_section_called_default_is_like_any_other(tmp_path: Path) -> None:
    """The standard library's parser puts its keys into all sections."""
    path = ini(tmp_path, "[DEFAULT]\ncount = 7\nmine = 1\n[Mine]\npause = 1\n")

    assert read_section(path, "Mine", Settings) == {"pause": 1.0}
    assert IniFile(path).sections == ["DEFAULT", "Mine"]


def test_a_key_can_be_required(tmp_path: Path) -> None:
    """A client must know where its server is."""
    with pytest.raises(ConfigError, match="key 'name' is missing"):
        read_section(ini(tmp_path, "[Mine]\ncount = 1\n"), "Mine", Settings, ("name",))


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    """The misspelt key first, for it is the one that seems to be missing."""
    path = ini(tmp_path, "[Mine]\ncount = 1_0\npause = -1\nlimit = x\nnmae = y\n")
    with pytest.raises(ConfigError) as caught:
        read_section(path, "Mine", Settings, ("name",))
    assert str(caught.value) == (
        f"{path}, section [Mine]: unknown key 'nmae' (is it 'name'?); key 'name' is missing;"
        " count = '1_0' is not a whole number; limit = 'x' is not a number;"
        " pause = -1.0 must be at least 0"
    )


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        ({"count": "3"}, "must be int, not str"),
        ({"count": True}, "must be int, not bool"),
        ({"serial": 1}, "must be bool, not int"),
        ({"name": 5}, "must be str, not int"),
        ({"pause": float("inf")}, "must be a finite number"),
        ({"limit": "off"}, "not str"),
        ({"count": None}, "must be int, not NoneType"),
    ],
)
def test_an_argument_is_checked_too(values: dict[str, object], fault: str) -> None:
    """The message tells which."""
    with pytest.raises(ConfigError, match=f"argument: .*{fault}"):
        check(Settings, values)


def test_an_int_will_do_for_a_float() -> None:
    """And None for what may be off."""
    check(Settings, {"pause": 1, "limit": None})


def test_server_ini_tells_every_key_and_its_default() -> None:
    """With a comment above each."""
    path = Path(lab_utils_mt.__file__).parent / "conf" / "server.ini"

    assert read_section(str(path), "Overall", ServerSettings) == dataclasses.asdict(
        ServerSettings()
    )
    blocks = path.read_text().split("[Overall]")[1].strip().split("\n\n")
    assert all(block.startswith("# ") for block in blocks)


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("password hunter2\n", "line 1"),
        ("[Mine]\ncount = 1\nhunter2\nhunter2 too\n", "line 3, 4"),
        ("[Mine]\nhunter2 = 1\nhunter2 = 2\n", "line 3 repeats"),
        ("[Mine]\n[Mine]\n", "line 2 repeats"),
    ],
)
def test_a_malformed_line_is_not_quoted(tmp_path: Path, text: str, where: str) -> None:
    """It may hold a password; its number will do."""
    with pytest.raises(ConfigError, match=f"some.ini is not a valid ini file: .*{where}") as caught:
        read_section(ini(tmp_path, text), "Mine", Settings)
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_a_file_that_is_not_utf_8_is_an_error(tmp_path: Path) -> None:
    """An old Windows editor wrote it."""
    with pytest.raises(ConfigError, match="not UTF-8"):
        read_section(ini(tmp_path, "[Mine]\nname = \xe9\n", "latin-1"), "Mine", Settings)


def test_a_secret_is_not_shown() -> None:
    """Not even if it is wrong."""
    secret = dataclasses.make_dataclass("Secret", [("dsn", str, setting("", secret=True))])
    for value in (b"hunter2", "hunter2\0", "hunter2\udc80"):
        with pytest.raises(ConfigError, match="argument: dsn must be") as caught:
            check(secret, {"dsn": value})
        assert "hunter2" not in str(caught.value)
