"""What did a service log last, where no journal keeps it?"""

from __future__ import annotations

import glob
from pathlib import Path

from .._config import IniFile
from ..exceptions import ConfigError
from .description import Service

_SECTION = "FileLogger"
_LINES = 100
_BYTES = 64_000  # from the end of the file
_NO_FILE = "it logs to no file: let [FileLogger] of its --logging file be active"


def log_tail(service: Service) -> list[str]:
    """Return the newest lines of a service's log file, under its name; else why there are none."""
    try:
        pattern = _pattern(service)
    except (ConfigError, RuntimeError) as error:  # RuntimeError: the home folder of ~nobody
        return [str(error)]
    if pattern is None:
        return [_NO_FILE]
    files = sorted(pattern.parent.glob(pattern.name))  # the date in their names sorts them
    if not files:
        return [f"there is no file {pattern} yet"]
    try:
        return [f"{files[-1]}:", *_end(files[-1])]
    except OSError as error:
        return [f"cannot read {files[-1]}: {error.strerror or error}"]


def _pattern(service: Service) -> Path | None:
    if service.logging is None:
        return None
    ini = IniFile(str(service.logging))
    if not ini.truth(_SECTION, "active", default=False):
        return None
    keys = {key.lower(): text for key, text in ini.keys(_SECTION).items()}
    folder = service.folder / Path(keys.get("log_path", "")).expanduser()
    extension = keys.get("log_extension", ".log")
    if extension and not extension.startswith("."):
        extension = f".{extension}"
    name = glob.escape(keys.get("log_basename", ""))
    return folder / f"{name}_????-??-??{glob.escape(extension)}"


def _end(path: Path) -> list[str]:
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - _BYTES))
        lines = file.read(_BYTES).decode("utf-8", "replace").splitlines()
    if size > _BYTES:
        lines[0] = f"... {lines[0]}"  # its beginning is further up
    return lines[-_LINES:]
