"""Services that the tests describe."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from lab_utils_mt.__main__ import main
from lab_utils_mt._service.description import Service

DAEMON = '''
from lab_utils_mt.socket_comm import Server


class Oven(Server):
    """An oven."""
'''


BAKERY = '''
import ctypes
import time
from pathlib import Path
from lab_utils_mt.commands import command
from lab_utils_mt.socket_comm import Server


class Oven(Server):
    """An oven."""

    @command
    def bake(self, seconds: float) -> str:
        """Bake."""
        Path("begun").touch()
        time.sleep(seconds)
        Path("baked").touch()
        return "done"

    @command
    def burn(self, seconds: int) -> None:
        """Keep all of Python from running, as a bad driver does."""
        Path("begun").touch()
        ctypes.PyDLL(None).sleep(seconds)
'''


def a_service(place: Path, **changes: Any) -> Service:
    """Return a service in a folder."""
    parts: dict[str, Any] = {
        "name": "oven",
        "target": "oven:Oven",
        "folder": place,
        "config": None,
        "database": None,
        "logging": None,
        "python": Path(sys.executable),
        "system": False,
    }
    return Service(**{**parts, **changes})


def project(folder: Path, settings: str = "host = 127.0.0.1\nport = 0\n") -> Path:
    """Write a daemon and its settings; return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "oven.py").write_text(DAEMON, encoding="utf-8")
    (folder / "server.ini").write_text(f"[Overall]\n{settings}", encoding="utf-8")
    return folder


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """Run ``lab-utils-mt service``; return exit status, output and error output."""
    try:
        status: object = main(["service", *words])
    except SystemExit as error:
        status = error.code
    assert isinstance(status, int)
    return (status, *capsys.readouterr())
