"""How is another program asked, without waiting for ever?"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from typing import NamedTuple

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
        LabUtilsError: It is not there, or did not come to its end.
    """
    try:
        done = subprocess.run(  # noqa: S603  (its words are checked by the callers)
            words,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout,
            check=False,
            env={**os.environ, **_PLAIN},
            creationflags=_NO_WINDOW,
        )
    except FileNotFoundError:
        raise LabUtilsError(f"this computer has no {words[0]}") from None
    except OSError as error:
        raise LabUtilsError(f"cannot run {words[0]}: {error.strerror or error}") from error
    except subprocess.TimeoutExpired:
        said = " ".join(words)
        raise LabUtilsError(f"{said!r} did not end in {timeout:g} s; try it by hand") from None
    return Answer(done.returncode, _text(done.stdout), _text(done.stderr))


def _text(output: bytes) -> str:
    if sys.platform == "win32":  # the code page of consoles, as cmd shows it
        return output.decode("oem", "replace")
    return output.decode("utf-8", "replace")
