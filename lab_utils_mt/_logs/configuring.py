"""How does a program get its logging from a file, once or again, and how is that undone?

::

    root logger -- Intake --> console, file, alarms, Slack, mail: each with queue and thread

Nothing but the root logger's level and list of handlers is changed, and the levels that section
[Levels] names.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import threading
from collections.abc import Mapping

from ..exceptions import ConfigError
from . import living
from .files import PlainFormatter
from .health import logger
from .intake import Intake
from .logger import set_default_name
from .plan import Kind, Plan, default_plan, read_plan
from .settings import HIGHEST_LEVEL, level_of
from .sink import SinkHandler

_CLOSE_TIMEOUT = 3.0  # s for all sinks together


@dataclasses.dataclass(frozen=True)
class _Setup:
    """What is in force, and what was before."""

    handlers: tuple[logging.Handler, ...] = ()  #: Of the root logger: the intake, or a fallback.
    sinks: tuple[SinkHandler, ...] = ()
    levels_before: Mapping[str, int] = dataclasses.field(default_factory=dict)


# Guards _setup, the root logger's handlers and the levels. Reentrant: a signal handler may
# unconfigure while its thread is inside. Sinks are closed after letting go.
_lock = threading.RLock()
_setup = _Setup()
_intake = Intake(())


def configure(
    config_file: str | None,
    fallback: bool,
    logger_name: str,
    log_level: int | str | None,
    further: dict[str, Kind],
) -> None:
    """Put a file's sinks into force; see :func:`lab_utils_mt.custom_logging.configure_logging`."""
    try:
        level = _level(log_level)
        plan = _plan(config_file, further)
    except ConfigError as error:
        if not fallback:
            raise
        _fall_back(error)
        return
    _put_into_force(plan, logger_name, level)
    _tell(plan, fallback)


def unconfigure() -> None:
    """Take everything back that :func:`configure` did; deliver what waits, within 3 s."""
    global _setup  # noqa: PLW0603  (the process has one root logger)
    with _lock:
        # The levels of before stay known until they are restored.
        old, between = _setup, _Setup(_setup.handlers, (), _setup.levels_before)
        _setup = between
        set_default_name(None)
        local = [sink for sink in old.sinks if sink.is_local]
        shift = _intake.relieve(local)
    # What is lost behind a network, the others can still tell.
    shift.await_end()
    living.close_all((sink for sink in old.sinks if not sink.is_local), _CLOSE_TIMEOUT)
    with _lock:
        if _setup is between:  # nobody has configured meanwhile
            _setup = _Setup()
            _replace_handlers(old.handlers, ())
            _set_levels(old.levels_before)
            shift = _intake.relieve(())
    shift.await_end()
    living.close_all(local, _CLOSE_TIMEOUT)


def _plan(config_file: str | None, further: dict[str, Kind]) -> Plan:
    if config_file is None:
        return default_plan()
    plan = read_plan(config_file, further)
    if not plan.sinks and plan.faults:
        raise ConfigError(_told(plan.faults))
    return plan


def _level(level: int | str | None) -> int | None:
    if level is None:
        return None
    if isinstance(level, int) and not isinstance(level, bool):
        if not 0 <= level <= HIGHEST_LEVEL:
            raise ConfigError(f"argument: log_level must be between 0 and {HIGHEST_LEVEL}")
        return level
    try:
        return level_of(str(level))
    except ValueError as error:
        raise ConfigError(f"argument: log_level = {level!r} is {error}") from None


def _put_into_force(plan: Plan, logger_name: str, app_level: int | None) -> None:
    global _setup  # noqa: PLW0603  (the process has one root logger)
    least = min((sink.level for sink in plan.sinks), default=logging.getLogger().level)
    levels = {"": least, **plan.levels}
    if app_level is not None:
        levels["" if logger_name == "root" else logger_name] = app_level
    with _lock:
        old = _setup
        now = {name: logging.getLogger(name).level for name in levels}
        before = {name: old.levels_before.get(name, now[name]) for name in levels}
        shift = _intake.relieve(plan.sinks)
        _replace_handlers(old.handlers, (_intake,))
        _set_levels({**old.levels_before, **levels})  # in one go: none is lower in between
        _setup = _Setup((_intake,), tuple(plan.sinks), before)
        set_default_name(logger_name)
    shift.await_end()
    living.close_all(old.sinks, _CLOSE_TIMEOUT)


def _replace_handlers(old: tuple[logging.Handler, ...], new: tuple[logging.Handler, ...]) -> None:
    root = logging.getLogger()
    for handler in new:
        root.addHandler(handler)  # if it is not there yet
    for handler in old:
        if handler not in new:
            root.removeHandler(handler)


def _set_levels(levels: Mapping[str, int]) -> None:
    for name, level in levels.items():
        if logging.getLogger(name).level != level:
            logging.getLogger(name).setLevel(level)


def _fall_back(error: ConfigError) -> None:
    """Log with what is in force, or with the standard library's simplest handler."""
    global _setup  # noqa: PLW0603  (the process has one root logger)
    root = logging.getLogger()
    with _lock:
        if not _setup.handlers:
            before = tuple(root.handlers)
            logging.basicConfig()
            added = tuple(handler for handler in root.handlers if handler not in before)
            for handler in added:
                handler.setFormatter(PlainFormatter(logging.BASIC_FORMAT))
            _setup = _Setup(added)
    logger.warning("logging could not be configured: %s", error)


def _tell(plan: Plan, fallback: bool) -> None:
    logger.debug("logging to %s", ", ".join(map(_described, plan.sinks)) or "nothing")
    if not plan.faults:
        return
    if not fallback:
        raise ConfigError(_told(plan.faults))
    logger.warning("some of the logging could not be configured: %s", _told(plan.faults))


def _described(sink: SinkHandler) -> str:
    return f"{sink.title} from {logging.getLevelName(sink.level)}"


def _told(faults: list[str]) -> str:
    return "; ".join(faults)


def _in_child() -> None:
    global _lock  # noqa: PLW0603  (the child's own: another thread may have held it)
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
