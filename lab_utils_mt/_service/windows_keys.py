"""What does the registry of Windows keep of a service?

What it is to run lies in its own key, below ``Parameters``, one value for each option of ``service
install``: nothing of it is on the service's command line, and it goes when the service is removed.
"""

from __future__ import annotations

import sys
import winreg
from pathlib import Path

from ..exceptions import LabUtilsError
from .description import Service, check_name

assert sys.platform == "win32", "only Windows has a registry"

_KEY = r"SYSTEM\CurrentControlSet\Services"


def stored(name: str) -> Service:
    """Return what a service is to run, as its key in the registry says.

    Raises:
        LabUtilsError: There is none of that name, or it is not ours.
    """
    check_name(name)
    try:
        with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, rf"{_KEY}\{name}\Parameters") as key:
            texts = {
                part: str(winreg.QueryValueEx(key, part)[0])
                for part in ("Target", "Folder", "Config", "Database", "Logging", "Python")
            }
    except FileNotFoundError:
        raise LabUtilsError(unknown(name)) from None
    except OSError as error:
        raise LabUtilsError(f"cannot read what {name} is to run: {error.strerror}") from error
    return Service(
        name,
        texts["Target"],
        Path(texts["Folder"]),
        _path(texts["Config"]),
        _path(texts["Database"]),
        _path(texts["Logging"]),
        Path(texts["Python"]),
        system=True,
    )


def _path(text: str) -> Path | None:
    return Path(text) if text else None


def store(service: Service) -> None:
    """Keep what the service is to run in its own key of the registry."""
    values = {
        "Target": service.target,
        "Folder": service.folder,
        "Config": service.config,
        "Database": service.database,
        "Logging": service.logging,
        "Python": service.python,
    }
    path = rf"{_KEY}\{service.name}"
    with winreg.CreateKey(winreg.HKEY_LOCAL_MACHINE, rf"{path}\Parameters") as key:
        for part, value in values.items():
            winreg.SetValueEx(key, part, 0, winreg.REG_SZ, "" if value is None else str(value))
    if program() != sys.executable:
        # What the python.exe of an environment tells the one that it starts.
        launched = [f"__PYVENV_LAUNCHER__={sys.executable}"]
        with winreg.CreateKey(winreg.HKEY_LOCAL_MACHINE, path) as key:
            winreg.SetValueEx(key, "Environment", 0, winreg.REG_MULTI_SZ, launched)


def program() -> str:
    """Return the interpreter; of a virtual environment, the one that it is made of.

    The ``python.exe`` of an environment starts that one as a second process, and Windows would
    watch the wrong one of the two.
    """
    return str(getattr(sys, "_base_executable", sys.executable))


def event_source(name: str) -> str:
    """Return under which name the event log has a service; no other program's is like it."""
    return f"lab_utils_mt.{name}"


def unknown(name: str) -> str:
    """Say why there is nothing of ours under a name."""
    try:
        winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, rf"{_KEY}\{name}").Close()
    except OSError:
        return f"there is no service {name}: 'lab-utils-mt service install' makes one"
    return f"{name} is a service that lab_utils_mt did not install: use services.msc for it"
