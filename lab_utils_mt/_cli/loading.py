"""Where is the class of a daemon, and can it be made as ``serve`` makes it?"""

from __future__ import annotations

import contextlib
import difflib
import functools
import importlib
import inspect
import sys
import traceback
from collections.abc import Collection, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from ..exceptions import LabUtilsError
from ..socket_comm import Server
from .faults import CodeFault, blaming, described, shown, where
from .serving_options import Target

_KEYWORDS = {inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY}
_WITHOUT_DEFAULT = {inspect.Parameter.POSITIONAL_ONLY, *_KEYWORDS}
_OPTIONS = {"config_file": "--config", "database": "--database"}
_NOT_AT_IMPORT = "put what runs it below if __name__ == '__main__'"


class _MakesAServer(Exception):
    """A module does that while it is imported."""


def load(target: Target, folder: Path) -> type[Server]:
    """Import a module and return the class in it.

    Args:
        target: Which one.
        folder: Where it is expected; must have been entered.

    Raises:
        LabUtilsError: It cannot be had: says where, and what to do.
        CodeFault: The module failed.
    """
    return find_class(import_module(target, folder), target, folder)


def import_module(target: Target, folder: Path) -> ModuleType:
    """Import the module; see :func:`load`."""
    importlib.invalidate_caches()
    what = f"cannot import {target.module}"
    try:
        with blaming(what, folder), _making_none():
            return importlib.import_module(target.module)
    except CodeFault as fault:
        text = _known(fault.__cause__, target, folder)
        if text:
            raise LabUtilsError(f"{what}: {text}") from fault.__cause__
        raise


@contextlib.contextmanager
def _making_none() -> Iterator[None]:
    """Let no server be made in this block: it would hold the PID file, and perhaps never end."""

    make, is_importing = Server.__init__, True

    @functools.wraps(make)
    def refuse(self: Server, *args: Any, **kwargs: Any) -> None:
        if is_importing:
            raise _MakesAServer
        make(self, *args, **kwargs)  # a decorator of the class may have kept this function

    Server.__init__ = refuse  # type: ignore[method-assign]
    try:
        yield
    finally:
        is_importing = False
        Server.__init__ = make  # type: ignore[method-assign]


def _known(error: BaseException | None, target: Target, folder: Path) -> str:
    """Say what is wrong and what to do, if it is a mistake that needs no traceback."""
    if isinstance(error, (SystemExit, _MakesAServer)):
        deed = described(error) if isinstance(error, SystemExit) else "it makes a server itself"
        return f"{deed}{where(error, folder)}; {_NOT_AT_IMPORT}"
    if isinstance(error, SyntaxError) and error.filename:
        line = f", line {error.lineno}" if error.lineno else ""
        return f"{error.msg} ({shown(error.filename, folder)}{line})"
    if isinstance(error, PermissionError) and _stands_in_python(error):
        return f"{error.strerror}: {error.filename}; let this user read it"
    if not isinstance(error, ModuleNotFoundError) or not error.name:
        return ""
    if f"{target.module}.".startswith(f"{error.name}."):
        return f"no module {error.name!r} in {folder}, and none is installed{_near(target, folder)}"
    return (
        f"it imports {error.name!r}, which is not there: install that for {sys.executable}"
        " (python -m pip install ...), or correct the import"
    )


def _stands_in_python(error: BaseException) -> bool:
    """Tell whether Python's own import raised it, and not a module that it has begun to run."""
    frames = traceback.extract_tb(error.__traceback__)
    return frames[-1].filename.startswith("<frozen importlib")


def _near(target: Target, folder: Path) -> str:
    found = [path.stem for path in folder.glob("*.py")]
    near = difflib.get_close_matches(target.module, found, 1)
    return f"; did you mean {near[0]}?" if near else "; check its name, and --folder"


def find_class(module: ModuleType, target: Target, folder: Path) -> type[Server]:
    """Return a module's class; see :func:`load`."""
    file = shown(_file_of(module), folder)
    advice = _hidden(module, target, folder) or _other(module, target)
    try:
        found: Any = functools.reduce(getattr, target.name.split("."), module)
    except AttributeError:
        raise LabUtilsError(f"{file} has no class {target.name}{advice}") from None
    if found is Server or not (isinstance(found, type) and issubclass(found, Server)):
        raise LabUtilsError(
            f"{target.name} of {file} cannot be served: it is no subclass of"
            f" lab_utils_mt.socket_comm.Server{advice}"
        )
    return found


def _file_of(module: ModuleType) -> str:
    return getattr(module, "__file__", None) or module.__name__


def _hidden(module: ModuleType, target: Target, folder: Path) -> str:
    """Say what to do if another module of this name, such as Python's own, came first."""
    meant = folder.joinpath(*target.module.split(".")).with_suffix(".py")
    if not meant.exists() or meant == Path(_file_of(module)):
        return ""
    return f"; it hides {meant}: give that another name"


def _other(module: ModuleType, target: Target) -> str:
    servers = [
        name
        for name, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, Server) and value is not Server
    ]
    near = difflib.get_close_matches(target.name, servers, 1) or servers[:1]
    return f"; did you mean {target.module}:{near[0]}?" if near else "; check MODULE:CLASS"


def require_arguments(served: type[Server], given: Collection[str]) -> None:
    """Make sure that a class can be made with these arguments, and with no others.

    Args:
        served: The class.
        given: Their names: ``config_file``, ``database``, or none.

    Raises:
        LabUtilsError: It takes one of them not, or needs another one.
    """
    parameters = list(inspect.signature(served.__init__).parameters.values())[1:]
    taken = {one.name for one in parameters if one.kind in _KEYWORDS}
    takes_any = any(one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters)
    for name in given:
        if name not in taken and not takes_any:
            raise LabUtilsError(
                f"{served.__name__}.__init__() takes no {name!r}: let it take {name}=None and hand"
                f" it to super().__init__({name}={name}), or leave {_OPTIONS[name]} away"
            )
    for one in parameters:
        is_free = one.default is not one.empty or one.kind not in _WITHOUT_DEFAULT
        if not is_free and one.name not in given:
            raise LabUtilsError(
                f"{served.__name__}.__init__() needs {one.name!r}: {_remedy(one.name)}"
            )


def require_made(daemon: Server) -> None:
    """Make sure that a server can be started, as far as its class is to blame.

    Raises:
        LabUtilsError: Its constructor has left ours out.
    """
    if not hasattr(daemon, "_repertoire"):
        raise LabUtilsError(
            f"{type(daemon).__name__}.__init__() made no server: let it call"
            " super().__init__(config_file=config_file)"
        )


def _remedy(name: str) -> str:
    option = _OPTIONS.get(name)
    return f"say {option}" if option else "give it a default, for serve does not know its value"
