"""Which sinks does a ``logging.ini`` ask for?"""

from __future__ import annotations

import dataclasses
import difflib
import logging
from collections.abc import Callable
from typing import Any

from .._config import IniFile
from ..exceptions import ConfigError
from . import settings as of
from .console import ConsoleHandler, console_handler
from .files import CustomTimedRotatingFileHandler
from .mail import TlsSMTPHandler
from .queued import QueuedHandler
from .secret_files import read_credentials, read_token
from .sink import SinkHandler
from .slack import SlackHandler

LEVELS = "Levels"
"""The section with levels of single loggers."""

Maker = Callable[[Any], "SinkHandler | None"]


@dataclasses.dataclass(frozen=True)
class Kind:
    """One kind of sink: its keys, those that it cannot do without, and how it is made."""

    settings: type
    required: tuple[str, ...]
    make: Maker


@dataclasses.dataclass
class Plan:
    """What a file asks for, as far as it can be had."""

    sinks: list[SinkHandler] = dataclasses.field(default_factory=list)
    faults: list[str] = dataclasses.field(default_factory=list)  #: One for each that cannot.
    levels: dict[str, int] = dataclasses.field(default_factory=dict)  #: Of loggers; "" is the root.


def _console(settings: of.ConsoleSettings) -> SinkHandler | None:
    handler = console_handler(colour=None if settings.use_coloured_output else False)
    if not isinstance(handler, ConsoleHandler):
        return None  # there is no standard output
    handler.setLevel(logging.NOTSET)  # the queue in front of it has the level
    return QueuedHandler("console", handler, settings.capacity)


def _file(settings: of.FileSettings) -> SinkHandler:
    handler = CustomTimedRotatingFileHandler(
        settings.log_path,
        settings.log_basename,
        settings.log_extension,
        keep_days=settings.keep_days,
    )
    from .json_lines import JsonLinesFormatter  # noqa: PLC0415  (its library takes 30 ms)

    handler.setFormatter(JsonLinesFormatter())
    return QueuedHandler(f"file {handler.basename}", handler, settings.capacity)


def _mail(settings: of.MailSettings) -> SinkHandler:
    credentials = None
    if settings.credentials_file:
        credentials = read_credentials(settings.credentials_file, "credentials_file")
    return TlsSMTPHandler(
        (settings.mail_host, settings.port) if settings.port else settings.mail_host,
        settings.sender,
        list(settings.recipients),
        settings.subject or "Log of a lab daemon",
        credentials,
        timeout=settings.timeout,
        tls=settings.tls,
        ca_file=settings.ca_file or None,
        interval=settings.interval,
        capacity=settings.capacity,
    )


def _slack(settings: of.SlackSettings) -> SinkHandler:
    return SlackHandler(
        read_token(settings.api_file, "api_file"),
        settings.channel,
        settings.user,
        api_url=settings.api_url or None,
        ca_file=settings.ca_file or None,
        timeout=settings.timeout,
        capacity=settings.capacity,
    )


KINDS = {
    "ConsoleLogger": Kind(of.ConsoleSettings, (), _console),
    "FileLogger": Kind(of.FileSettings, ("log_path", "log_basename"), _file),
    "SlackLogger": Kind(of.SlackSettings, ("api_file",), _slack),
    "MailHandler": Kind(of.MailSettings, ("mail_host", "sender", "recipients"), _mail),
}


def default_plan() -> Plan:
    """Return the plan for no file at all: the console."""
    plan = Plan()
    _add(plan, KINDS["ConsoleLogger"], {}, "console")
    return plan


def read_plan(path: str, further: dict[str, Kind]) -> Plan:
    """Make the sinks that a file asks for; those that cannot be made do not hinder the others.

    Args:
        path: The file; ``~`` is expanded.
        further: Kinds of sinks beyond :data:`KINDS`, by section.

    Raises:
        ConfigError: There is no such file, it is no ini file, or none of its sections is ours.
    """
    file = IniFile(path)
    kinds = {**KINDS, **further}
    plan = Plan(faults=_misspelt(file, kinds))
    if not any(section in kinds for section in file.sections) and not plan.faults:
        names = ", ".join(f"[{name}]" for name in kinds)
        raise ConfigError(f"{file.path}: sections are missing; known are {names} and [{LEVELS}]")
    for section, kind in kinds.items():
        _read_sink(plan, file, section, kind)
    _read_levels(plan, file)
    return plan


def _misspelt(file: IniFile, kinds: dict[str, Kind]) -> list[str]:
    """Say which sections look like one of ours; others are the user's own."""
    faults = []
    for section in file.sections:
        meant = None if section in {*kinds, LEVELS} else _meant(file, section, kinds)
        if meant:
            faults.append(f"{file.where(section)}: did you mean [{meant}]?")
    return faults


def _meant(file: IniFile, section: str, kinds: dict[str, Kind]) -> str | None:
    # [Mail] may be somebody else's, but not with our keys.
    keys = {key.lower() for key in file.keys(section)}
    for name, kind in kinds.items():
        ours = {field.name for field in dataclasses.fields(kind.settings)}
        if _stem(section) == _stem(name) and keys <= ours:
            return name
    known = {name.casefold(): name for name in [*kinds, LEVELS]}
    nearest = difflib.get_close_matches(section.casefold(), known, n=1, cutoff=0.8)
    return known[nearest[0]] if nearest else None


def _stem(section: str) -> str:
    return section.casefold().removesuffix("logger").removesuffix("handler")


def _read_sink(plan: Plan, file: IniFile, section: str, kind: Kind) -> None:
    try:
        if file.truth(section, "active", kind.settings().active):
            present = section in file.sections
            values = file.read(section, kind.settings, kind.required) if present else {}
            _add(plan, kind, values, file.where(section))
    except ConfigError as error:
        plan.faults.append(str(error))


def _add(plan: Plan, kind: Kind, values: dict[str, Any], where: str) -> None:
    empty = [key for key in kind.required if key in values and not values[key]]
    if empty:
        raise ConfigError(f"{where}: key {empty[0]!r} is empty")
    settings = kind.settings(**values)
    try:
        sink = kind.make(settings)
    except (ConfigError, OSError, ValueError) as error:
        raise ConfigError(f"{where}: {_reason(error)}") from error
    if sink is not None:
        sink.setLevel(settings.log_level)
        plan.sinks.append(sink)


def _reason(error: Exception) -> str:
    # The text of an OSError doubles each backslash of a path on Windows.
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.strerror}: {error.filename}"
    return str(error)


def _read_levels(plan: Plan, file: IniFile) -> None:
    for name, text in file.keys(LEVELS).items():
        try:
            plan.levels["" if name == "root" else name] = of.level_of(text)
        except ValueError as error:
            plan.faults.append(f"{file.where(LEVELS)}: {name} = {text!r} is {error}")
