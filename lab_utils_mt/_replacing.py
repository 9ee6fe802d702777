"""How is a file written of which nobody ever sees a half?"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from .exceptions import LabUtilsError

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
        _put(new, path)
    except OSError as error:
        raise LabUtilsError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        with contextlib.suppress(OSError):
            new.unlink()


def _put(new: Path, path: Path) -> None:
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            new.replace(path)
            return
        except PermissionError:  # WinError 5, 32
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
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=".tmp", dir=path.parent)
    except OSError as error:
        raise LabUtilsError(f"cannot write {path}: {error.strerror} in {path.parent}") from error
    os.close(handle)
    return Path(name)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
