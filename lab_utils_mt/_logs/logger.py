"""How does a program report that something worked?

With ``logger.success(...)``, on a level between INFO and WARNING. Only loggers that somebody asks
for here learn it; the class that :mod:`logging` makes other libraries' loggers of stays as it is.
"""

from __future__ import annotations

import logging
import types
from typing import Any, cast

SUCCESS = 25
logging.addLevelName(SUCCESS, "SUCCESS")
vars(logging)["SUCCESS"] = SUCCESS  # as in 0.5.x

_default_name: str | None = None


def set_default_name(name: str | None) -> None:
    """Say which logger :func:`getLogger` means without a name; None: the root logger."""
    global _default_name  # noqa: PLW0603  (as in 0.5.x: one application in a process)
    _default_name = name


class CustomLogger(logging.Logger):
    """A :class:`logging.Logger` with the level SUCCESS (25): events that are good news."""

    def success(self, message: object, *args: object, **kws: Any) -> None:
        """Log with level SUCCESS; the arguments are those of :meth:`logging.Logger.info`."""
        if self.isEnabledFor(SUCCESS):
            # Through log() and not _log(): only then does every Python count frames alike.
            kws["stacklevel"] = kws.get("stacklevel", 1) + 1
            self.log(SUCCESS, message, *args, **kws)


def getLogger(name: str | None = None) -> CustomLogger:  # noqa: N802
    """Return the very logger that :func:`logging.getLogger` returns, able to ``success()``.

    Args:
        name: The logger's name; ``"root"`` or None: the root logger. After a
            ``configure_logging(logger_name=...)``, None means that one.
    """
    name = _default_name if name is None else name
    logger = logging.getLogger(name) if _exists(name) else _make(name)
    if not hasattr(logger, "success"):
        # Others have it, too, and a changed class would slow down each of its calls.
        vars(logger)["success"] = types.MethodType(CustomLogger.success, logger)
    return cast("CustomLogger", logger)


def _exists(name: str | None) -> bool:
    if not name or name == logging.root.name:
        return True
    # There may be a place holder, above loggers that exist.
    return isinstance(logging.Logger.manager.loggerDict.get(name), logging.Logger)


def _make(name: str | None) -> logging.Logger:
    manager = logging.Logger.manager
    with logging._lock:  # type: ignore[attr-defined]  # the manager's own: nobody else makes one
        before = manager.loggerClass
        manager.loggerClass = _with_success(before or logging.getLoggerClass())
        try:
            return logging.getLogger(name)
        finally:
            manager.loggerClass = before


def _with_success(kind: type[logging.Logger]) -> type[logging.Logger]:
    if kind is logging.Logger:
        return CustomLogger
    if hasattr(kind, "success"):
        return kind
    return type(f"Custom{kind.__name__}", (CustomLogger, kind), {})
