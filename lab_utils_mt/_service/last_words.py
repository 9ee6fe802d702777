"""Why did a service end, if nobody saw it?

A daemon that the system starts has no terminal. What it dies of, it leaves in a small file, which
``lab-utils-mt service status`` and ``service logs`` show. Each service has a folder of its own: the
one that systemd calls ``StateDirectory=lab_utils_mt/NAME``.
"""

from __future__ import annotations

import contextlib
import datetime
import logging
import os
import sys
from pathlib import Path

import platformdirs

from .._replacing import replacing
from ..exceptions import LabUtilsError
from .description import check_name

logger = logging.getLogger("lab_utils_mt.service")

_FOLDER = "lab_utils_mt"
_FILE = "last_words.txt"
_SHORT_TIME = datetime.timedelta(minutes=10)  # a start that has to wait for a database takes two
_LONGEST = 16_000  # characters; of a longer text the end is left out


def place(name: str, *, system: bool = False) -> Path:
    """Return the path of a service's last words; neither it nor its folder need exist.

    Args:
        name: The service's name.
        system: Whether it is the whole computer's, and not one user's.

    Raises:
        ConfigError: No service can be called that.
    """
    if not system:
        state = platformdirs.user_state_path(_FOLDER, appauthor=False)
    elif sys.platform == "win32":
        state = platformdirs.site_data_path(_FOLDER, appauthor=False)
    else:
        state = Path("/var/lib", _FOLDER)
    return state / check_name(name) / _FILE


def write(name: str, text: str, *, system: bool = False) -> None:
    """Leave why a service ends, with the time; what was there is replaced.

    A service that dies must not die of this: if it cannot be written, that is logged.

    Args:
        name: The service's name.
        text: Its first line is the reason; a traceback may follow.
        system: Whether it is the whole computer's.
    """
    path = place(name, system=system)
    now = datetime.datetime.now().astimezone().isoformat(" ", "seconds")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as new:
            words = f"{now}: {text[:_LONGEST].rstrip()}\n"
            new.write_text(words, encoding="utf-8", errors="backslashreplace")
    except (LabUtilsError, OSError) as error:
        logger.warning("the reason of the end cannot be left in %s: %s", path, error)


def read(name: str, *, system: bool = False) -> str | None:
    """Return why a service ended the last time that it did not stop in order.

    Returns:
        ``2026-11-22 17:03:12+01:00: reason``, perhaps with lines of a traceback below; None if
        there is nothing, or it may not be read. Nothing in it drives a terminal.
    """
    try:
        path = place(name, system=system)
        with open(path, encoding="utf-8", errors="replace", opener=_open_file) as file:
            text = file.read(_LONGEST + 100).rstrip()
    except OSError:
        return None
    return "\n".join(_printable(line) for line in text.split("\n")) or None


def are_repeated(name: str, text: str, *, system: bool = False) -> bool:
    """Tell whether a service has left the same reason a short time ago, at its last attempt.

    Whoever starts it again does so every minute at the latest.
    """
    time, _, reason = (read(name, system=system) or "").partition(": ")
    if reason.split("\n", 1)[0] != _printable(text.split("\n", 1)[0]):
        return False
    with contextlib.suppress(ValueError, TypeError):
        age = datetime.datetime.now().astimezone() - datetime.datetime.fromisoformat(time)
        return age < _SHORT_TIME
    return False


def forget(name: str, *, system: bool = False) -> None:
    """Remove a service's last words, if there are any, and its folder, if that is empty then."""
    path = place(name, system=system)
    with contextlib.suppress(OSError):
        path.unlink()
    with contextlib.suppress(OSError):
        path.parent.rmdir()


def _open_file(path: str, flags: int) -> int:
    """Open no link, and wait for nobody: the service's user may write there, and root read it."""
    if sys.platform != "win32":
        flags |= os.O_NOFOLLOW | os.O_NONBLOCK
    return os.open(path, flags)


def _printable(line: str) -> str:
    if line.isprintable():
        return line
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode() for one in line
    )
