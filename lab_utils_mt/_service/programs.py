"""How is another program asked, without waiting for ever?"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, NamedTuple

from ..exceptions import LabUtilsError

# A console window would flash up where the caller has none.
if sys.platform == "win32":
    _NO_WINDOW = subprocess.CREATE_NO_WINDOW
else:
    _NO_WINDOW = 0
# systemd's programs write plain English, without colours, and page nothing.
_PLAIN = {"LC_ALL": "C.UTF-8", "SYSTEMD_COLORS": "0", "SYSTEMD_PAGER": "", "PAGER": ""}


class Answer(NamedTuple):
    """What a program said."""

    status: int
    output: str
    errors: str

    @property
    def complaint(self) -> str:
        """The first line that says something, of the error output if there is one."""
        lines = [*self.errors.splitlines(), *self.output.splitlines()]
        return next((line.strip() for line in lines if line.strip()), f"status {self.status}")


def ask(words: Sequence[str], *, timeout: float) -> Answer:
    """Run a program and return what it says; it gets no input.

    Args:
        words: The program and its arguments.
        timeout: Seconds after which it is ended.

    Raises:
        LabUtilsError: It is not there, or did not come to its end, or has no place for an answer.
    """
    # Files and no pipes: what the program has started may hold those open for ever.
    with _file() as output, _file() as errors:
        try:
            status = subprocess.call(  # noqa: S603  (its words are checked by the callers)
                [_place(words[0]), *words[1:]],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                timeout=timeout,
                env={**os.environ, **_PLAIN},
                creationflags=_NO_WINDOW,
            )
        except OSError as error:
            if shutil.which(words[0]) is None:  # error may be about a folder of the PATH
                raise LabUtilsError(f"this computer has no {words[0]}") from None
            raise LabUtilsError(f"cannot run {words[0]}: {error.strerror or error}") from error
        except subprocess.TimeoutExpired:
            said = " ".join(words)
            raise LabUtilsError(f"{said!r} did not end in {timeout:g} s; try it by hand") from None
        return Answer(status, _text(output), _text(errors))


def nothing_from(program: str) -> str:
    """Say why a program that ended well has said nothing, and what to do."""
    return f"{program} said nothing: if the disk of the temporary folder is full, make room there"


def _file() -> IO[bytes]:
    try:
        return tempfile.TemporaryFile()
    except OSError as error:
        raise LabUtilsError(
            f"no place for the answers of other programs: {error.strerror or error}; make room in"
            " the temporary folder"
        ) from error


def _place(program: str) -> str:
    """Return where a program of the system is: Windows would look in the current folder, too."""
    if sys.platform == "win32" and not os.path.dirname(program):  # noqa: PTH120
        windows = os.environ.get("SYSTEMROOT", r"C:\Windows")
        return str(Path(windows, "System32", f"{program}.exe"))
    return program


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    # On Windows the code page of consoles, as cmd shows it.
    return file.read().decode("oem" if sys.platform == "win32" else "utf-8", "replace")
