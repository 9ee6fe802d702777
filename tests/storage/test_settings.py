"""Connection strings and parameters."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest

from lab_utils_mt._config import read_section
from lab_utils_mt._storage import settings
from lab_utils_mt._storage.settings import DatabaseSettings
from lab_utils_mt.database import Database
from lab_utils_mt.exceptions import ConfigError

CONF = Path(settings.__file__).parents[1] / "conf" / "database.ini"


def test_the_example_lists_every_key_with_its_default() -> None:
    """And each key, or group of keys, has a comment above it."""
    values = read_section(str(CONF), "Overall", DatabaseSettings)
    assert DatabaseSettings(**values) == DatabaseSettings()
    text = CONF.read_text(encoding="utf-8")
    keys = re.findall(r"^(\w+) =", text, re.MULTILINE)
    assert sorted(keys) == sorted(DatabaseSettings.__dataclass_fields__)
    blocks = text.split("[Overall]")[1].strip().split("\n\n")
    assert all(block.startswith("# ") for block in blocks)


def test_a_malformed_dsn_is_not_repeated() -> None:
    """It may hold a password."""
    with pytest.raises(ConfigError, match="not a valid connection string") as caught:
        settings.parse_dsn("host=a hunter2")
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None
    with pytest.raises(ConfigError, match="connect_timeout"):
        settings.connect_parameters(DatabaseSettings(dsn="connect_timeout=soon"))


def test_settings_become_connection_parameters(tmp_path: Path) -> None:
    """The passfile may be missing, but its path is complete."""
    passfile = str(tmp_path / "pass")
    given = settings.connect_parameters(DatabaseSettings(host="h", passfile=passfile, maxconn=3))
    assert given["host"] == "h"
    assert given["dbname"] == "beam"
    assert given["passfile"] == passfile
    assert given["maxconn"] == 3
    assert "database" not in given


def test_the_default_passfile_is_the_systems_own() -> None:
    """On Windows it is not in the home folder."""
    given = settings.connect_parameters(DatabaseSettings())
    if sys.platform == "win32":
        assert "passfile" not in given
    else:
        assert given["passfile"] == str(Path.home() / ".pgpass")


def test_a_dsn_replaces_the_single_keys_and_wins() -> None:
    """Whatever it does not say is left to libpq."""
    dsn = "postgresql://me:secret@a:1,b:2/lab?target_session_attrs=read-write&connect_timeout=3"
    given = settings.connect_parameters(DatabaseSettings(dsn=dsn))
    assert given["host"] == "a,b"
    assert given["port"] == "1,2"
    assert given["connect_timeout"] == 3
    assert given["target_session_attrs"] == "read-write"
    assert "passfile" not in given
    shown = settings.attributes_of_dsn(dsn)
    assert shown == {"host": "a,b", "port": 1, "database": "lab", "user": "me"}


def test_arguments_replace_parts_of_a_dsn() -> None:
    """Only those that were given."""
    dsn = settings.override_dsn("host=a port=1 dbname=lab", {"database": "it's", "maxconn": 2})
    assert settings.parse_dsn(dsn) == {"host": "a", "port": "1", "dbname": "it's"}


@pytest.mark.parametrize(
    ("dsn", "text"),
    [
        ("port=abc password=hunter2", "port is not a number"),
        ("postgresql://u:hunter2@h:abc/db", "port is not a number"),
        ("host=a,b port=1,hunter2", "port is not a number"),
        ("port=70000 password=hunter2", "port is not a number"),
        ("host=a password=hunter2\ud800", "not a valid connection string"),
        ("host=a password=hunter2\0", "not a valid connection string"),
        ("hots=a password=hunter2", "unknown key 'hots': is it 'host'"),
        ("password=my hunter2=x", "connection string: write"),
        (["hunter2"], "must be str, not list"),
    ],
)
def test_a_bad_dsn_is_an_error_that_keeps_its_secret(dsn: Any, text: str) -> None:
    """As an argument and as an attribute."""

    class Mine(Database):
        """Has a dsn of its own."""

    Mine.dsn = dsn
    for make in (lambda: settings.parse_dsn(dsn), lambda: Database(dsn=dsn), Mine):
        with pytest.raises(ConfigError, match=f"{text}|must be") as caught:
            make()
        assert "hunter2" not in str(caught.value)
        assert caught.value.__cause__ is None


@pytest.mark.parametrize("host", ["a\0b", "a\ud800"])
def test_a_host_is_text(host: str) -> None:
    """Else the driver would raise whatever it likes."""
    with pytest.raises(ConfigError, match=r"argument: host = .* must be text"):
        Database(host=host)


def test_an_invalid_dsn_does_not_spoil_the_repr() -> None:
    """Nor is it shown."""
    database = Database()
    database.dsn = "hunter2"
    assert "dsn is not valid" in repr(database)
    assert "hunter2" not in f"{database!r}{database.status()}"


@pytest.mark.parametrize(
    "dsn",
    [
        "postgresql://me:top@hunter2@localhost:1/db",
        "postgresql://me:12/hunter2@localhost:1/db",
        "dbname='postgresql://me:hunter2@h/db'",
    ],
)
def test_a_password_that_went_astray_is_not_shown(dsn: str) -> None:
    """An @ or a / in it makes a piece of it look like a host or a database."""
    with pytest.raises(ConfigError, match="is written %40") as caught:
        Database(dsn=dsn)
    assert "hunter2" not in str(caught.value)
