"""Which daemon is meant: what class, in which folder, with which settings?

Shared by the commands that run a daemon and those that let the system run it.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
from pathlib import Path
from typing import NamedTuple

from ..exceptions import LabUtilsError

_EXAMPLE = "as in thermometer:Thermometer"


class Target(NamedTuple):
    """Where the class of a daemon is."""

    module: str  #: As one would import it.
    name: str  #: The class, perhaps inside another one: ``Outer.Inner``.

    def __str__(self) -> str:
        return f"{self.module}:{self.name}"


@dataclasses.dataclass(frozen=True)
class Serving:
    """What is to be served; all paths are absolute."""

    target: Target
    folder: Path  #: The working folder, where the module is looked for first.
    config: Path | None = None  #: The ini file of the server,
    database: Path | None = None  #: ... of its database,
    logging: Path | None = None  #: ... and of its log.


def add_serving_options(parser: argparse.ArgumentParser) -> None:
    """Add MODULE:CLASS and the options that say how it is served; :func:`serving` reads them."""
    parser.add_argument(
        "target",
        type=target,
        metavar="MODULE:CLASS",
        help=f"the module and the subclass of Server in it, {_EXAMPLE}",
    )
    _add_ini(parser, "config", "settings of the server, as in conf/server.ini")
    _add_ini(parser, "database", "its database, as in conf/database.ini")
    _add_ini(parser, "logging", "where it logs, as in conf/logging.ini; default: the console")
    parser.add_argument(
        "--folder",
        type=_path,
        default=Path(),
        metavar="DIR",
        help="where it works, and where its module and the files above are looked for;"
        " default: the current folder",
    )


def _add_ini(parser: argparse.ArgumentParser, name: str, meaning: str) -> None:
    parser.add_argument(f"--{name}", type=_path, metavar="INI", help=meaning)


def target(text: str) -> Target:
    """Return the class that ``MODULE:CLASS`` means.

    Raises:
        argparse.ArgumentTypeError: It is written in another way.
    """
    module, colon, name = text.rpartition(":")
    if not colon or not module or not name:
        raise argparse.ArgumentTypeError(f"{text!r} is not MODULE:CLASS, {_EXAMPLE}")
    if module.endswith(".py") or "/" in module or "\\" in module:
        plain = Path(module.replace("\\", "/")).name.removesuffix(".py")
        raise argparse.ArgumentTypeError(
            f"{text!r} names a file: write the module, {plain}:{name}, and --folder where it is"
        )
    for words in (module, name):
        if not all(word.isidentifier() for word in words.split(".")):
            raise argparse.ArgumentTypeError(f"{words!r} cannot be a name in Python")
    return Target(module, name)


def _path(text: str) -> Path:
    if not text or not text.isprintable():
        raise argparse.ArgumentTypeError(f"{text!a} is no path")
    try:
        return Path(text).expanduser()
    except RuntimeError as error:  # ~nobody
        raise argparse.ArgumentTypeError(f"{text!r}: {error}") from None


def serving(options: argparse.Namespace) -> Serving:
    """Return what the options mean; paths are relative to the folder, and it to the current one.

    Raises:
        LabUtilsError: There is no current folder any more.
    """
    try:
        folder = Path(os.path.abspath(options.folder))  # noqa: PTH100  (resolves no links)
    except OSError as error:
        raise LabUtilsError("the current folder is gone: go to another one") from error

    def absolute(path: Path | None) -> Path | None:
        return None if path is None else Path(os.path.abspath(folder / path))  # noqa: PTH100

    return Serving(
        options.target,
        folder,
        absolute(options.config),
        absolute(options.database),
        absolute(options.logging),
    )


def enter(folder: Path) -> None:
    """Make a folder the working one, and the first where modules are looked for.

    Raises:
        LabUtilsError: It cannot be.
    """
    try:
        os.scandir(folder).close()  # who may enter may perhaps not look for a module
        os.chdir(folder)
    except OSError as error:
        fault = error.strerror or error
        raise LabUtilsError(f"cannot work in {folder}: {fault}; check --folder") from error
    sys.path.insert(0, str(folder))
