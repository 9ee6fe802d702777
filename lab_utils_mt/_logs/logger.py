"""How does a program report that something worked?

With ``logger.success(...)``, on a level between INFO and WARNING. Only loggers that somebody asks
for here learn it; the class that :mod:`logging` makes other libraries' loggers of stays as it is.
"""

from __future__ import annotations

import logging
from typing import Any, cast

SUCCESS = 25
logging.addLevelName(SUCCESS, "SUCCESS")


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
        name: The logger's name; None or ``"root"``: the root logger.
    """
    logger = logging.getLogger(name)
    if not hasattr(logger, "success"):
        # The object itself learns it, for others hold references to it already.
        logger.__class__ = _with_success(type(logger))
    return cast("CustomLogger", logger)


def _with_success(kind: type[logging.Logger]) -> type[logging.Logger]:
    if kind is logging.Logger:
        return CustomLogger
    # The root logger, or one of a library with a logger class of its own: it stays that, too.
    return type(f"Custom{kind.__name__}", (CustomLogger, kind), {})
