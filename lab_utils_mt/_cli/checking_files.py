"""Which files and folders does a daemon need, and could it use them?"""

from __future__ import annotations

import dataclasses
import shutil
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._config import full_path
from .._logs import settings as of
from .._logs.dated import DatedFiles
from .._logs.days import day_of
from .._logs.plan import KINDS, Kind, read_plan
from .._replacing import require_place
from ..exceptions import ConfigError, LabUtilsError

if TYPE_CHECKING:
    from ..database import Database

LITTLE = 1_000_000
"""Bytes that must be free where a PID file goes."""

_PLENTY = 100_000_000  # bytes that must be free where a log goes
_MEGABYTE, _GIGABYTE = 1e6, 1e9
_DSN_KEYS = ("sslrootcert", "sslcert", "sslkey", "sslcrl")
_NAMES_NO_FILE = {"", "system"}
_PEM = b"-----BEGIN "


@dataclasses.dataclass
class Needs:
    """What the settings name."""

    room: dict[Path, int] = dataclasses.field(default_factory=dict)  #: Folders, and free bytes.
    tls_files: list[Path] = dataclasses.field(default_factory=list)


def read_logging(path: str, needs: Needs) -> None:
    """Make sure that the log could go where a file says, without opening anything.

    Args:
        path: The file.
        needs: Gets the folders and TLS files that it names.

    Raises:
        ConfigError: It could not; names file, section and key.
    """
    kinds = {name: _watched(kind, needs) for name, kind in KINDS.items()}
    kinds["ConsoleLogger"] = dataclasses.replace(KINDS["ConsoleLogger"], make=_nothing)
    kinds["FileLogger"] = dataclasses.replace(KINDS["FileLogger"], make=_log_files(needs))
    kinds["AlarmLogger"] = Kind(of.AlarmSettings, (), _nothing)
    faults = read_plan(path, kinds).faults
    if faults:
        raise ConfigError("; ".join(faults))


def _nothing(_: Any) -> None:
    """Be content with the settings."""


def _watched(kind: Kind, needs: Needs) -> Kind:
    """Let a sink be made, which opens nothing before its first record, and be closed again."""

    def make(settings: Any) -> None:
        if settings.ca_file:
            needs.tls_files.append(full_path(settings.ca_file))
        sink = kind.make(settings)
        if sink is not None:
            sink.close()

    return dataclasses.replace(kind, make=make)


def _log_files(needs: Needs) -> Callable[[of.FileSettings], None]:
    def make(settings: of.FileSettings) -> None:
        folder = full_path(settings.log_path)
        files = DatedFiles(folder, settings.log_basename, settings.log_extension)
        needs.room[folder] = _PLENTY
        if folder.is_dir():
            files.require_writable(day_of(time.time()).name)
        else:
            require_makeable(folder)

    return make


def require_makeable(folder: Path) -> None:
    """Make sure that a missing folder can be made, and those above it that are missing, too.

    Raises:
        ConfigError: It cannot.
    """
    nearest = _nearest(folder)
    try:
        require_place(nearest / folder.name)
    except LabUtilsError as error:
        fault = getattr(error.__cause__, "strerror", None) or error
        raise ConfigError(f"the folder {folder} cannot be made: {fault} in {nearest}") from error


def _nearest(folder: Path) -> Path:
    """Return the folder, or the nearest one above it that is there."""
    return next((one for one in (folder, *folder.parents) if one.exists()), folder)


def tls_files_of(database: Database) -> list[Path]:
    """Return the TLS files that a database's connection string names."""
    if not database.dsn:
        return []
    from .._storage.settings import parse_dsn  # noqa: PLC0415  (its driver)

    parts = parse_dsn(database.dsn)
    named = [parts.get(key, "") for key in _DSN_KEYS]
    return [full_path(name) for name in named if name not in _NAMES_NO_FILE]


def check_tls_file(path: Path) -> str:
    """Return the path of a certificate or key, if it can be used.

    Raises:
        LabUtilsError: It cannot.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        fault = error.strerror or error
        raise LabUtilsError(f"cannot read {path}: {fault}; check where it is") from error
    if _PEM not in content:
        raise LabUtilsError(f"{path} is not in PEM form: it has no line -----BEGIN ...")
    if b"BEGIN CERTIFICATE" in content:
        _require_certificates(path)
    return str(path)


def _require_certificates(path: Path) -> None:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
    except (OSError, ValueError) as error:
        raise LabUtilsError(f"{path}: its certificates are damaged: copy it again") from error


def check_room(folder: Path, least: int) -> str:
    """Return how much is free in a folder, or where it would be made.

    Raises:
        LabUtilsError: It is less than ``least`` bytes.
    """
    free = shutil.disk_usage(_nearest(folder)).free
    if free < least:
        raise LabUtilsError(
            f"only {_size(free)} are left for {folder}, and {_size(least)} are needed:"
            " remove what is not needed there"
        )
    return f"{_size(free)} for {folder}"


def _size(count: float) -> str:
    return f"{count / _GIGABYTE:.1f} GB" if count >= _GIGABYTE else f"{count / _MEGABYTE:.1f} MB"
