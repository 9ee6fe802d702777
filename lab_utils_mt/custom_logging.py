"""How does a program of this package log?

::

    from lab_utils_mt import custom_logging

    logger = custom_logging.getLogger("cryostat")
    logger.setLevel("INFO")
    logger.addHandler(custom_logging.console_handler())
    logger.success("cold: %.2f K", 4.2)
"""

from ._logs.console import ColoredFormatter, console_handler
from ._logs.logger import SUCCESS, CustomLogger, getLogger

__all__ = ["SUCCESS", "ColoredFormatter", "CustomLogger", "console_handler", "getLogger"]
