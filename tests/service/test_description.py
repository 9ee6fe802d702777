"""Is what the system runs said completely, and is a name refused that some system cannot take?"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from lab_utils_mt.__main__ import make_parser
from lab_utils_mt._service.description import Service, check_name
from lab_utils_mt.exceptions import ConfigError


def service(folder: Path, **changes: object) -> Service:
    """Return a service with few words."""
    plain = Service(
        "cryostat", "lab.cryo:Cryostat", folder, None, None, None, folder / "python", False
    )
    return dataclasses.replace(plain, **changes)


def test_few_words(tmp_path: Path) -> None:
    """What was not given is not said."""
    assert service(tmp_path).serve_words() == [
        *("-m", "lab_utils_mt", "serve", "lab.cryo:Cryostat"),
        *("--folder", str(tmp_path), "--service", "cryostat"),
    ]


def test_serve_understands_all_words(tmp_path: Path) -> None:
    """It is the program that reads them."""
    files = {name: tmp_path / f"{name} it.ini" for name in ("config", "database", "logging")}
    words = service(tmp_path, system=True, **files).serve_words()
    options = make_parser(words[2:]).parse_args(words[2:])
    assert {name: getattr(options, name) for name in files} == files
    assert str(options.target) == "lab.cryo:Cryostat"
    assert (options.folder, options.service, options.system) == (tmp_path, "cryostat", True)


@pytest.mark.parametrize("name", ["a", "cryo-stat_2.lab", "4K", "_x", "a" * 80])
def test_a_name(name: str) -> None:
    """Letters, digits, _ - and . will do."""
    assert check_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        *("", "a b", "a/b", "a\\b", "..", ".a", "-a", "a.", "a@b", "ä", "a\n", "a" * 81, "a:b"),
        *("con", "NUL", "com1", "lpt9.x", "Aux.service"),
    ],
)
def test_a_name_that_some_system_cannot_take(tmp_path: Path, name: str) -> None:
    """It is refused on every system, and shown."""
    with pytest.raises(ConfigError, match="cannot be the name of a service: "):
        service(tmp_path, name=name)


def test_a_relative_path(tmp_path: Path) -> None:
    """It would mean something else where the system starts the service."""
    with pytest.raises(ConfigError, match=r"service cryostat: 'server.ini' is not an absolute"):
        service(tmp_path, config=Path("server.ini"))
