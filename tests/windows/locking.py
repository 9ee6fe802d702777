"""Which versions of which packages do the tests get on Windows?

``requirements.txt`` says so, and ``tools.txt`` which ones fetch them, all with hashes. Both are
made anew, when setup.cfg has changed, by ``python tests/windows/world.py lock``, which needs
``uv``.
"""

from __future__ import annotations

import configparser
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
SETUP = HERE.parents[1] / "setup.cfg"
_TOOLS = "unearth"  # fetches a source package without running what is in it
_SELF = re.compile(r"lab_utils_mt\[(.*)\]")
_COMPILE = (
    *("uv", "pip", "compile", "-q", "--generate-hashes", "--no-annotate"),
    *("--custom-compile-command", "python tests/windows/world.py lock"),
)
_FOR_WINDOWS = (
    *("--python-platform", "windows", "--python-version", "3.11", "--only-binary", ":all:"),
    *("-c", str(HERE / "held_back.txt")),
)
_FOR_HERE = ("--universal", "--python-version", "3.10")


def wanted(extras: list[str]) -> Iterator[str]:
    """Yield the requirements of setup.cfg, with those of some extras."""
    settings = configparser.ConfigParser()
    settings.read(SETUP, encoding="utf-8")
    yield from settings["options"]["install_requires"].split("\n")
    of_extras = settings["options.extras_require"]
    for extra in extras:
        for line in of_extras[extra].split("\n"):
            inner = _SELF.fullmatch(line.strip())
            if inner is None:
                yield line
            else:
                yield from wanted([name.strip() for name in inner[1].split(",")])


def lock(folder: Path = HERE) -> int:
    """Write both lock files; return an exit status."""
    lines = sorted({line.strip() for line in wanted(["test", "windows"]) if line.strip()})
    return _compile(lines, _FOR_WINDOWS, folder / "requirements.txt") or _compile(
        [_TOOLS], _FOR_HERE, folder / "tools.txt"
    )


def _compile(lines: list[str], options: tuple[str, ...], target: Path) -> int:
    command = [*_COMPILE, *options, "-", "-o", str(target)]
    return subprocess.run(command, input="\n".join(lines), text=True, check=False).returncode
