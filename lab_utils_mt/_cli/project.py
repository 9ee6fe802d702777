"""Which files make a project that a lab can begin with, and what is in them?"""

from __future__ import annotations

import dataclasses
import importlib.resources
import re
import shlex
import string
import sys
from collections.abc import Iterator
from pathlib import Path

from .._service.description import Service
from .._service.unit import unit_text
from .naming import class_of, module_of

_PACKAGE = __package__.partition(".")[0]
_ALWAYS = ("README.md", "server.ini", "logging.ini", "database.ini")

_ON_LINUX = {
    "service_words": "the systemd unit that `service install` writes, to look at",
    "begins": "It then starts when you log in; or with the computer, if you are root and add"
    " `--system` to each line.",
    "by_hand": "copy `$module.service` to `~/.config/systemd/user/`, then"
    " `systemctl --user enable --now $module`.",
}
_ON_WINDOWS = {
    "service_words": "runs the daemon in a window of its own: double-click it",
    "begins": "It is then a task that starts when you log in. After `python -m pip install pywin32`"
    " it is a service of\nWindows that starts with the computer; that needs an administrator's"
    " terminal.",
    "by_hand": "press Windows-R, open `shell:startup`, and put a link to `$module.cmd` there.",
}


@dataclasses.dataclass(frozen=True)
class Project:
    """A daemon with all that belongs to it.

    Attributes:
        folder: Where it is to lie; an absolute path.
    """

    folder: Path

    @property
    def module(self) -> str:
        """The daemon's module; the service is called so, too."""
        return module_of(self.folder.name)

    @property
    def target(self) -> str:
        """What ``serve`` is told to run."""
        return f"{self.module}:{class_of(self.module)}"

    @property
    def names(self) -> list[str]:
        """The files' names."""
        return [*_ALWAYS, f"{self.module}.py", f"test_{self.module}.py", self._service_name]

    @property
    def _service_name(self) -> str:
        return f"{self.module}.cmd" if sys.platform == "win32" else f"{self.module}.service"

    def files(self) -> Iterator[tuple[str, str]]:
        """Yield name and text of each file; for the last one, those before must be in the folder.

        Raises:
            ConfigError: The folder's path cannot be written in a service file.
        """
        module = self.module
        yield "README.md", self._filled("readme.md.in")
        yield "server.ini", _packaged("conf", "server.ini")
        yield "logging.ini", _logging_ini(module)
        yield "database.ini", _database_ini(module)
        yield f"{module}.py", self._filled("daemon.py.in")
        yield f"test_{module}.py", self._filled("test_daemon.py.in")
        yield self._service_name, self._service_text()

    def steps(self) -> list[str]:
        """Return the command lines that come next."""
        if sys.platform == "win32":
            folder = f'"{self.folder}"'
        else:
            folder = shlex.quote(str(self.folder))
        serve = f"lab-utils-mt serve {self.target} --config server.ini --logging logging.ini"
        return [f"cd {folder}", f"{serve} --check", serve]

    def _filled(self, template: str) -> str:
        module, class_name = self.target.split(":")
        words = _ON_WINDOWS if sys.platform == "win32" else _ON_LINUX
        return string.Template(_packaged("templates", template)).substitute(
            {key: string.Template(text).substitute(module=module) for key, text in words.items()},
            module=module,
            class_name=class_name,
            title=self.folder.name,
            service_file=self._service_name,
            python=sys.executable.replace("%", "%%"),
        )

    def _service_text(self) -> str:
        if sys.platform == "win32":
            return self._filled("service.cmd.in")
        return unit_text(
            Service(
                name=self.module,
                target=self.target,
                folder=self.folder,
                config=self.folder / "server.ini",
                database=None,
                logging=self.folder / "logging.ini",
                python=Path(sys.executable),
                system=False,
            )
        )


def _packaged(folder: str, name: str) -> str:
    place = importlib.resources.files(_PACKAGE) / folder / name
    return place.read_text(encoding="utf-8")


def _logging_ini(module: str) -> str:
    text = _packaged("conf", "logging.ini")
    for key, value in {"active": "yes", "log_path": "logs", "log_basename": module}.items():
        text = _changed(text, "FileLogger", key, value)
    head = f"The log of {module}. Its file is switched on: in the folder logs, beside this one."
    return f"# {head}\n#\n{text}"


def _database_ini(module: str) -> str:
    text = _changed(_packaged("conf", "database.ini"), "Overall", "application_name", module)
    head = "Where PostgreSQL is. Nobody looks here until serve gets --database database.ini."
    return f"# {head}\n#\n{text}"


def _changed(text: str, section: str, key: str, value: str) -> str:
    """Return an ini file with another value; its comments stay."""
    head, title, rest = text.partition(f"[{section}]\n")
    body, *further = re.split(r"(?m)^(?=\[)", rest, maxsplit=1)
    changed, count = re.subn(rf"(?m)^{key} =.*$", lambda _: f"{key} = {value}", body)
    if not (title and count == 1):
        raise LookupError(f"[{section}] has {count} keys {key!r}, not 1")
    return head + title + changed + "".join(further)
