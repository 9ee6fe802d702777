"""How does a lab begin? With a folder that holds a daemon which runs.

    lab-utils-mt init cryostat

writes a daemon with a simulated instrument, its test, its settings (server.ini, logging.ini and
database.ini, each key explained), a service file, and a README.md with the next steps. The module
is named like the folder, reduced to letters, digits and _.

The folder may be there already. Nothing is overwritten: if one of the files is there, none is
written.

The exit status is 0; 1 if the files cannot be written; 2 if the words here make no sense.
"""

from __future__ import annotations

import argparse
import contextlib
import os
from collections.abc import Callable, Iterable
from pathlib import Path

from ..exceptions import LabUtilsError
from .naming import UnfitName, folder_of
from .project import Project
from .reaching import complain, harmless

_FAILED, _USAGE = 1, 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what says where the project is to lie."""
    parser.add_argument("folder", metavar="FOLDER", help="the project's folder; made if need be")


def run(options: argparse.Namespace) -> int:
    """Write a project; return the exit status."""
    try:
        project = Project(folder_of(options.folder))
        refuse_taken(project.folder, [*project.names, project.module])
        write_all(project.folder, project.files())
    except LabUtilsError as error:
        complain("init", error)
        return _USAGE if isinstance(error, UnfitName) else _FAILED
    print(harmless(f"{project.folder} has {', '.join(project.names)}. Next:\n"))
    print(harmless("\n".join(f"    {step}" for step in project.steps())))
    print("\nREADME.md tells more.")
    return 0


def refuse_taken(folder: Path, names: list[str]) -> None:
    """Make sure that none of these is in a folder.

    Raises:
        LabUtilsError: Some are; the text names all of them.
    """
    if os.path.lexists(folder) and not folder.is_dir():
        raise LabUtilsError(f"{folder} is not a folder; choose another name")
    taken = [name for name in names if os.path.lexists(folder / name)]
    if taken:
        raise LabUtilsError(
            f"{folder} has {', '.join(taken)} already, so nothing was written: move"
            f" {'it' if len(taken) == 1 else 'them'} away, or choose another folder"
        )


def write_all(folder: Path, files: Iterable[tuple[str, str]]) -> None:
    """Write files that are not there yet, all or none, and the folders that they need.

    Args:
        folder: Where.
        files: Name and text of each; a text may be made from the files before it.

    Raises:
        LabUtilsError: One cannot be written.
    """
    path = folder
    with contextlib.ExitStack() as undo:
        try:
            for path in _missing(folder):
                path.mkdir()
                undo.callback(_take_back, path.rmdir)
            for name, text in files:
                path = folder / name
                with path.open("x", encoding="utf-8") as file:
                    undo.callback(_take_back, path.unlink)
                    file.write(text)
        except OSError as error:
            fault = error.strerror or error
            raise LabUtilsError(f"cannot write {path}: {fault}; nothing was written") from error
        undo.pop_all()


def _missing(folder: Path) -> list[Path]:
    return [path for path in reversed([folder, *folder.parents]) if not path.exists()]


def _take_back(step: Callable[[], object]) -> None:
    with contextlib.suppress(OSError):  # the reason to take back is what is told
        step()
