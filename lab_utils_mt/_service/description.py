"""What does the system have to know to run a lab daemon as a service?"""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

from ..exceptions import ConfigError

# It becomes the name of a unit, of a task, of a folder and of an option's value.
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}", re.ASCII)
# Devices of Windows, even with a dot and more behind them.
_DEVICE = re.compile(r"(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\..*)?", re.ASCII | re.IGNORECASE)
_RULE = (
    "use 1 to 80 letters, digits, '_', '-' and '.', beginning with a letter or digit and not"
    " ending with a dot"
)


def check_name(name: str) -> str:
    """Return the name of a service, if it can be one on every system.

    Raises:
        ConfigError: It cannot.
    """
    if not _NAME.fullmatch(name) or name.endswith("."):
        raise ConfigError(f"{name!r} cannot be the name of a service: {_RULE}")
    if _DEVICE.fullmatch(name):
        raise ConfigError(f"{name!r} cannot be the name of a service: Windows has a device of it")
    return name


@dataclasses.dataclass(frozen=True)
class Service:
    """One service; all of its paths are absolute.

    Attributes:
        name: Its name.
        target: ``MODULE:CLASS``, what it serves.
        folder: Its working folder, where the module is looked for first.
        config: The ini file of the server.
        database: The ini file of the database.
        logging: The ini file of the logging.
        python: The interpreter that runs it.
        system: Whether it is the whole computer's, and not one user's.

    Raises:
        ConfigError: The name cannot be one, or a path is relative.
    """

    name: str
    target: str
    folder: Path
    config: Path | None
    database: Path | None
    logging: Path | None
    python: Path
    system: bool

    def __post_init__(self) -> None:
        """Refuse what would mean something else wherever the system starts the service."""
        check_name(self.name)
        for path in (self.folder, self.config, self.database, self.logging, self.python):
            if path is not None and not path.is_absolute():
                raise ConfigError(f"service {self.name}: {str(path)!r} is not an absolute path")

    def serve_words(self) -> list[str]:
        """Return the words after the interpreter: ``-m lab_utils_mt serve ...``."""
        words = ["-m", "lab_utils_mt", "serve", self.target, "--folder", str(self.folder)]
        for option in ("config", "database", "logging"):
            path = getattr(self, option)
            if path is not None:
                words += [f"--{option}", str(path)]
        words += ["--service", self.name]
        return [*words, "--system"] if self.system else words
