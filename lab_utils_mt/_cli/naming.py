"""What are a project's folder, module and class called, so that both systems take it?"""

from __future__ import annotations

import builtins
import importlib.machinery
import keyword
import os
import re
import sys
import unicodedata
from pathlib import Path

from ..exceptions import LabUtilsError

_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$) *(\..*)?")
_ILLEGAL = '<>:"/\\|?*'
_LONGEST = 40  # letters: a table's name has at most 63
_LETTERS = str.maketrans(
    {"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss", "æ": "ae", "ø": "oe", "å": "aa", "ł": "l"}
)
# What the starter imports or defines itself.
_TAKEN_CLASSES = frozenset(dir(builtins)) | {
    "Annotated", "Any", "Celsius", "Client", "Iterator", "MessageError", "Meta", "Oven", "Path",
    "Server", "Unit",
}  # fmt: skip


class UnfitName(LabUtilsError):
    """No folder should be called that."""


def folder_of(text: str) -> Path:
    """Return the absolute path of a project's folder.

    Raises:
        UnfitName: It has no name, or one that Windows or Linux does not take.
    """
    if not text.isprintable() or not text:
        raise UnfitName(f"{text!a} names no folder: write a name that can be read")
    try:
        written = Path(text).expanduser()
        path = Path(os.path.abspath(written))  # noqa: PTH100  (resolves no links)
    except (OSError, RuntimeError) as error:
        raise UnfitName(f"{text}: {error}") from error
    # The name as it stands there: Windows would pass over the dot at its end.
    fault = _fault(path.name if written.name in {"", ".."} else written.name)
    if fault:
        raise UnfitName(f"{text}: {fault}; choose another name")
    return path


def _fault(name: str) -> str:
    if not name:
        return "this folder has no name"
    if name[-1] in ". ":
        return "Windows takes no name that ends in a dot or a blank"
    if _RESERVED.fullmatch(name.lower()):
        return "on Windows this is the name of a device"
    illegal = sorted(set(name) & set(_ILLEGAL))
    return f"Windows takes no {' '.join(illegal)} in a name" if illegal else ""


def module_of(name: str) -> str:
    """Return the name of the module in a folder: of ``[a-z0-9_]``, and nobody else's."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", unicodedata.normalize("NFC", name))
    latin = unicodedata.normalize("NFKD", spaced.lower().translate(_LETTERS))
    without_marks = "".join(one for one in latin if not unicodedata.combining(one))
    module = re.sub(r"[^a-z0-9]+", "_", without_marks)[:_LONGEST].strip("_") or "lab_daemon"
    if module[0].isdigit() or _is_taken(module):
        module = f"lab_{module}"
    # pytest looks for tests in test_x.py, and in x_test.py as well.
    return f"{module}_daemon" if module.endswith("_test") else module


def class_of(module: str) -> str:
    """Return the name of the class in a module."""
    name = "".join(part.capitalize() for part in module.split("_"))
    return f"{name}Daemon" if name in _TAKEN_CLASSES else name


def _is_taken(module: str) -> bool:
    return (
        keyword.iskeyword(module)
        or keyword.issoftkeyword(module)
        or module in sys.stdlib_module_names
        or module.startswith("test")
        or module in {"conftest", "lab_utils_mt"}
        or _is_installed(module)
    )


def _is_installed(module: str) -> bool:
    """Tell whether the project's module would hide another one: its folder comes first."""
    here = os.path.realpath(".")
    places = [place for place in sys.path if os.path.realpath(place) != here]
    spec = importlib.machinery.PathFinder.find_spec(module, places)
    return spec is not None and spec.origin is not None  # none: a folder without __init__.py
