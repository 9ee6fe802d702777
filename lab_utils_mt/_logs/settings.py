"""Which keys does ``logging.ini`` know?"""

from __future__ import annotations

import dataclasses
import logging
import re
from typing import Any

from .._config import setting
from .logger import SUCCESS

ALARM_PORT = 9020
"""What ``port = default`` means for alarms, as in 0.5.x: the standard library's logging port."""

HIGHEST_LEVEL = 999_999_999

_DIGITS = re.compile("[0-9]{1,9}", re.ASCII)


def level_of(text: str) -> int:
    """Return the level that a name or number means.

    Raises:
        ValueError: There is none of this name.
    """
    if _DIGITS.fullmatch(text):
        return int(text)
    level = logging.getLevelName(text.strip().upper())
    if isinstance(level, int):
        return level
    raise ValueError("no level: DEBUG, INFO, SUCCESS, WARNING, ERROR, CRITICAL or a number")


def _level(default: int) -> Any:
    return setting(default, least=0, cast=level_of)


def _port(default: int) -> Any:
    def cast(text: str) -> int:
        if text.lower() == "default":
            return default
        if not _DIGITS.fullmatch(text):
            raise ValueError("neither a port number nor 'default'")
        if not int(text):
            raise ValueError("no port that a program could listen on")
        return int(text)

    return setting(default, least=0, most=65535, cast=cast)


def _host_of(text: str) -> str:
    if not text or not text.isprintable() or " " in text:
        raise ValueError("neither a computer's name nor its address")
    return text


@dataclasses.dataclass(frozen=True)
class ConsoleSettings:
    """The keys of section [ConsoleLogger]."""

    active: bool = setting(True)
    use_coloured_output: bool = setting(True)
    log_level: int = _level(logging.INFO)
    capacity: int = setting(10_000, least=1)


@dataclasses.dataclass(frozen=True)
class FileSettings:
    """The keys of section [FileLogger]."""

    active: bool = setting(False)
    log_level: int = _level(logging.INFO)
    log_path: str = setting("")
    log_basename: str = setting("")
    log_extension: str = setting(".log")
    keep_days: int | None = setting(None, least=1)
    capacity: int = setting(100_000, least=1)


@dataclasses.dataclass(frozen=True)
class AlarmSettings:
    """The keys of section [AlarmLogger]; times are in seconds, here and below."""

    active: bool = setting(False)
    log_level: int = _level(logging.WARNING)
    host: str = setting("localhost", cast=_host_of)
    port: int = _port(ALARM_PORT)
    command: str = setting("alarm")
    timeout: float = setting(5.0, least=0.1, most=3600)
    capacity: int = setting(1000, least=1)


@dataclasses.dataclass(frozen=True)
class SlackSettings:
    """The keys of section [SlackLogger]."""

    active: bool = setting(False)
    log_level: int = _level(SUCCESS)
    api_file: str = setting("")
    channel: str = setting("")
    user: str = setting("")
    api_url: str = setting("")
    ca_file: str = setting("")
    timeout: float = setting(5.0, least=0.1, most=3600)
    capacity: int = setting(1000, least=1)


@dataclasses.dataclass(frozen=True)
class MailSettings:
    """The keys of section [MailHandler]."""

    active: bool = setting(False)
    log_level: int = _level(SUCCESS)
    credentials_file: str = setting("")
    mail_host: str = setting("")
    port: int = _port(0)
    sender: str = setting("")
    recipients: tuple[str, ...] = setting(())
    subject: str = setting("")
    tls: str = setting("starttls", choices="starttls implicit off")
    ca_file: str = setting("")
    interval: float = setting(60.0, least=0.0, most=86_400)
    timeout: float = setting(5.0, least=0.1, most=3600)
    capacity: int = setting(1000, least=1)
