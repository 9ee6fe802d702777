"""What is in the small files that hold a password or a token?"""

from __future__ import annotations

import stat
import sys
from pathlib import Path

from .._config import full_path
from ..exceptions import ConfigError
from .health import logger
from .redaction import hide, redact

_LONGEST = 65_535  # bytes; a secret is one line


def read_secret(path: str, key: str) -> list[str]:
    """Return the lines of a secret file that are not empty; the caller hides what is secret.

    Args:
        path: The file, of less than 64 KiB; ``~`` is expanded.
        key: The setting that names it, for errors.

    Raises:
        ConfigError: It cannot be read, is no regular file, or is empty; names key and file, and
            quotes nothing of it.
    """
    if redact(path) != path or path.startswith("http"):
        raise ConfigError(
            f"{key} is to name a file that holds the secret; what stands there looks like the"
            " secret itself: put it into a file that only you can read"
        )
    try:
        full = full_path(path)
        text, mode = _content(full)
    except ConfigError as error:
        raise ConfigError(f"{key}: {error}") from error
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        raise ConfigError(f"{key}: {full} is empty")
    if mode & (stat.S_IRGRP | stat.S_IROTH) and sys.platform != "win32":
        logger.warning("others can read the secret in %s: chmod 600 it", full)
    return lines


def _content(path: Path) -> tuple[str, int]:
    """Return a file's text and mode."""
    try:
        mode = path.stat().st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):  # a pipe may never end, or never begin
            raise ConfigError(f"{path} is not a regular file")
        with path.open("rb") as file:
            data = file.read(_LONGEST + 1)
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror or error}") from error
    if len(data) > _LONGEST:
        raise ConfigError(f"{path} is too long for a secret: it has more than {_LONGEST} bytes")
    try:
        return data.decode("utf-8-sig"), mode
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not UTF-8 text") from None


def read_credentials(path: str, key: str) -> tuple[str, str]:
    """Return user and password: the two lines of a file."""
    lines = read_secret(path, key)
    if len(lines) != 2:  # noqa: PLR2004
        raise ConfigError(f"{key}: {path} is to have two lines: the user's name and the password")
    hide(lines[1])
    return lines[0], lines[1]


def read_token(path: str, key: str) -> str:
    """Return the one line of a file."""
    lines = read_secret(path, key)
    if len(lines) != 1:
        raise ConfigError(f"{key}: {path} is to have one line: a token or a webhook's address")
    hide(lines[0])
    return lines[0]
