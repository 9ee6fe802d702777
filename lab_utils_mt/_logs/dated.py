"""What are the files of each day called, and which of them are too old?"""

from __future__ import annotations

import contextlib
import datetime
import errno
import os
import re
from collections.abc import Iterator
from pathlib import Path

from .appending import AppendingFile

_FORBIDDEN = frozenset('/\\:?*|<>"')
_RESERVED = re.compile(r"(?:CON|PRN|AUX|NUL|CONIN\$|CONOUT\$|(?:COM|LPT)[0-9¹²³])", re.IGNORECASE)
_LONGEST = 255  # bytes of a file's name


class DatedFiles:
    """The files ``basename_YYYY-MM-DD.extension`` of a folder.

    Args:
        folder: Where they are.
        basename: What their names begin with.
        extension: What their names end with; a dot is put before it if it has none.

    Raises:
        ValueError: This would be no file's name, on Windows or elsewhere.
    """

    def __init__(self, folder: Path, basename: str, extension: str) -> None:
        if extension and not extension.startswith("."):
            extension = f".{extension}"
        _check(basename, extension)
        self.folder, self.extension = folder, extension
        self.start = str(folder / basename)  #: Their paths, up to the underscore.
        self._pattern = re.compile(
            rf"{re.escape(basename)}_([0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}){re.escape(extension)}"
        )

    def path(self, day: str) -> str:
        """Return the path of a day's file."""
        return f"{self.start}_{day}{self.extension}"

    def make_folder(self) -> None:
        """Make the folder if it is not there.

        Raises:
            OSError: It cannot be made.
        """
        self.folder.mkdir(parents=True, exist_ok=True)

    def require_writable(self, day: str) -> None:
        """Make sure that a day's file can be written; it is not made.

        Raises:
            OSError: It cannot, or is no regular file.
        """
        if os.path.lexists(self.path(day)):
            AppendingFile(self.path(day)).close()
            return
        trial = self.folder / f".{os.urandom(8).hex()}.tmp"
        try:
            trial.open("xb").close()
        except OSError as error:
            # Some file systems say that the new file is not there.
            number = errno.EACCES if error.errno == errno.ENOENT else error.errno
            fault = "no log can be written to this folder"
            raise OSError(number, fault, str(self.folder)) from error
        with contextlib.suppress(OSError):
            trial.unlink()

    def tidy(self, keep_days: int, used: str) -> None:
        """Delete what is older than ``keep_days`` before the newest.

        The newest ``keep_days`` + 1 files stay in any case: otherwise one day with a clock that is
        years ahead would delete them all. What cannot be deleted now stays for the next time.

        Args:
            keep_days: See above.
            used: The path of one that stays in any case.
        """
        found = sorted(self._all(), reverse=True)
        for day, path in found[keep_days + 1 :]:
            if (found[0][0] - day).days > keep_days and path != used:
                with contextlib.suppress(OSError):
                    Path(path).unlink()

    def _all(self) -> Iterator[tuple[datetime.date, str]]:
        try:
            names = os.listdir(self.folder)  # noqa: PTH208  (a Path for each is not needed)
        except OSError:
            return
        for name in names:
            match = self._pattern.fullmatch(name)
            if match:
                with contextlib.suppress(ValueError):  # 2026-02-30 is somebody else's
                    yield datetime.date.fromisoformat(match[1]), self.path(match[1])


def _check(basename: str, extension: str) -> None:
    fault = _fault(basename) if basename else "is empty"
    if fault:
        raise ValueError(f"basename {basename!r} cannot begin a file's name: it {fault}")
    fault = _fault(extension)
    if fault:
        raise ValueError(f"extension {extension!r} cannot end a file's name: it {fault}")
    length = len(os.fsencode(f"{basename}_2026-01-01{extension}"))
    if length > _LONGEST:
        raise ValueError(
            f"basename {basename!r} is too long: with date and extension it has {length} bytes,"
            f" of {_LONGEST}"
        )


def _fault(name: str) -> str | None:
    """Say why a name cannot be used on all systems, or None."""
    odd = sorted(char for char in set(name) if char in _FORBIDDEN or not char.isprintable())
    if odd:
        return f"holds {', '.join(map(ascii, odd))}"
    if name.endswith((".", " ")):
        return "ends with a dot or a blank"
    if _RESERVED.fullmatch(name.split(".", maxsplit=1)[0].rstrip()):
        return "is a device on Windows"
    return None
