"""How is a file written of which nobody ever sees a half?"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TypeVar

from .exceptions import LabUtilsError

if TYPE_CHECKING:
    from pathlib import Path

Result = TypeVar("Result")

# s; on Windows whoever reads the file, or a virus scanner, keeps it from being replaced meanwhile
_PATIENCE = 2.0 if sys.platform == "win32" else 0.0


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield an empty file that takes the place of ``path`` when all went well.

    Raises:
        LabUtilsError: It cannot be written.
    """
    new = _new_file(path)
    try:
        yield new
        if sys.platform != "win32":
            new.chmod(0o666 & ~_umask())  # mkstemp() lets nobody else read it
        patiently(lambda: new.replace(path))
    except OSError as error:
        raise LabUtilsError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        with contextlib.suppress(OSError):
            new.unlink()


def patiently(action: Callable[[], Result]) -> Result:
    """Do something with a file; on Windows again and again while somebody else has it open.

    Raises:
        PermissionError: It is not allowed, or still not after two seconds.
    """
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            return action()
        except PermissionError:  # WinError 5, 32, 33
            if time.monotonic() >= deadline:
                raise
        time.sleep(0.02)


def require_place(path: Path) -> None:
    """Make sure that a file can be made there, before hours of work.

    Raises:
        LabUtilsError: It cannot.
    """
    _new_file(path).unlink()


def _new_file(path: Path) -> Path:
    import tempfile  # noqa: PLC0415  (a server that only replaces its PID file needs none)

    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=".tmp", dir=path.parent)
    except OSError as error:
        raise LabUtilsError(f"cannot write {path}: {error.strerror} in {path.parent}") from error
    os.close(handle)
    return path.with_name(os.path.basename(name))  # noqa: PTH119


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
