"""Has the facade the documented names?"""

import io
import logging

from lab_utils_mt import custom_logging


def test_the_documented_names_are_there():
    """What a 0.5.x daemon imports today."""
    assert logging.INFO < custom_logging.SUCCESS < logging.WARNING
    assert logging.getLevelName(25) == "SUCCESS"
    assert issubclass(custom_logging.CustomLogger, logging.Logger)
    assert issubclass(custom_logging.ColoredFormatter, logging.Formatter)
    assert set(custom_logging.__all__) <= set(dir(custom_logging))


def test_a_custom_logger_can_be_made_by_hand():
    """CustomLogger(name, level), as documented."""
    logger = custom_logging.CustomLogger("by hand", logging.INFO)
    stream = io.StringIO()
    logger.addHandler(custom_logging.console_handler(stream))
    logger.success("cold: %.1f K", 4.2)
    logger.debug("not shown")
    assert stream.getvalue().startswith("SUCCESS  ")
    assert stream.getvalue().endswith(" by hand              cold: 4.2 K\n")
