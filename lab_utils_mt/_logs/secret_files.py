"""What is in the small files that hold a password or a token?"""

from __future__ import annotations

import logging
import stat
import sys
from pathlib import Path

from ..exceptions import ConfigError
from .redaction import hide, redact

logger = logging.getLogger("lab_utils_mt.logging")


def read_secret(path: str, key: str) -> list[str]:
    """Return the lines of a secret file that are not empty; their text is hidden from now on.

    Args:
        path: The file; ``~`` is expanded.
        key: The setting that names it, for errors.

    Raises:
        ConfigError: It cannot be read, or is empty; names key and file.
    """
    if redact(path) != path or path.startswith("http"):
        raise ConfigError(
            f"{key} is to name a file that holds the secret; what stands there looks like the"
            " secret itself: put it into a file that only you can read"
        )
    full = Path(path).expanduser().absolute()
    try:
        lines = full.read_text(encoding="utf-8-sig").splitlines()
        readable_by_others = full.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH)
    except OSError as error:
        raise ConfigError(f"{key}: cannot read {full}: {error.strerror or error}") from error
    except UnicodeDecodeError:
        raise ConfigError(f"{key}: {full} is not UTF-8 text") from None
    lines = [line.strip() for line in lines if line.strip()]
    if not lines:
        raise ConfigError(f"{key}: {full} is empty")
    if readable_by_others and sys.platform != "win32":
        logger.warning("others can read the secret in %s: chmod 600 it", full)
    return lines


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
