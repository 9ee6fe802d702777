"""Whose fault is it that a daemon does not run, and in which words does its user hear of it?"""

from __future__ import annotations

import contextlib
import functools
import os
import sysconfig
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from ..exceptions import LabUtilsError

_PACKAGE = os.path.normcase(str(Path(__file__).parents[1]))


class CodeFault(LabUtilsError):
    """Code of the lab's own failed; ``__cause__`` is how, with the traceback."""


@contextlib.contextmanager
def blaming(what: str, folder: Path) -> Iterator[None]:
    """Let an error of this block say in one line what failed, where, and whose code it is.

    What this library says of the outer world (a setting, the PID file, the port, the database), or
    of a class, is such a line already.

    Args:
        what: What cannot be done, such as "cannot import thermometer".
        folder: The files in it are named without it.

    Raises:
        LabUtilsError: This library said so.
        OSError: The same.
        CodeFault: Any other error.
    """
    try:
        yield
    except LabUtilsError:
        raise
    except (Exception, SystemExit) as error:
        if isinstance(error, OSError) and _said_here(error):
            raise
        if isinstance(error, TypeError) and _said_here(error):
            raise LabUtilsError(f"{what}: {error}{where(error, folder)}") from error
        error.__traceback__ = _their_part(error.__traceback__)
        raise CodeFault(f"{what}: {described(error)}{where(error, folder)}") from error


def described(error: BaseException) -> str:
    """Return the last line of an error's traceback."""
    if isinstance(error, SystemExit):
        return f"it ends the program ({error.code!r})"
    return " ".join(traceback.format_exception_only(type(error), error)[-1].split())


def shown(path: str, folder: Path) -> str:
    """Return a file's path, without a folder that is known."""
    with contextlib.suppress(ValueError):
        return str(Path(path).relative_to(folder))
    return path


def where(error: BaseException, folder: Path) -> str:
    """Return, in brackets, the innermost line that is the lab's own, or else a library's."""
    frames = [one for one in traceback.extract_tb(error.__traceback__) if _is_file(one.filename)]
    theirs = [one for one in frames if not _is_ours(one.filename)]
    own = [one for one in theirs if not _is_installed(one.filename)]
    found = (own or theirs)[-1:]
    return f" ({shown(found[0].filename, folder)}, line {found[0].lineno})" if found else ""


def _said_here(error: BaseException) -> bool:
    """Tell whether a statement of this library raised it; other errors in here are its bugs."""
    innermost = traceback.extract_tb(error.__traceback__)[-1]
    return _is_ours(innermost.filename) and (innermost.line or "").startswith("raise ")


def _their_part(trace: TracebackType | None) -> TracebackType | None:
    """Return a traceback without our way to the lab's code."""
    rest = trace
    while rest is not None:
        name = rest.tb_frame.f_code.co_filename
        if _is_file(name) and not _is_ours(name) and not _is_installed(name):
            return rest
        rest = rest.tb_next
    return trace


def _is_file(name: str) -> bool:
    return not name.startswith("<")  # <frozen importlib._bootstrap>, <string>


def _is_ours(file: str) -> bool:
    return _is_below(file, _PACKAGE)


def _is_installed(file: str) -> bool:
    return any(_is_below(file, folder) for folder in _installed())


@functools.cache
def _installed() -> tuple[str, ...]:
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    return tuple(os.path.normcase(sysconfig.get_path(name)) for name in names)


def _is_below(file: str, folder: str) -> bool:
    return os.path.normcase(file).startswith(folder + os.sep)
