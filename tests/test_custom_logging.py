"""Has the facade the documented names?"""

import inspect
import io
import logging

import pytest

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


EMPTY = inspect.Parameter.empty


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ColoredFormatter", {"fmt": None, "datefmt": None, "style": "%"}),
        ("CustomLogger", {"name": EMPTY, "level": 0}),
        (
            "CustomTimedRotatingFileHandler",
            {"path": EMPTY, "basename": EMPTY, "extension": ".log"},
        ),
        ("NonPickledSocketHandler", {"host": EMPTY, "port": EMPTY}),
        (
            "TlsSMTPHandler",
            {
                "mailhost": EMPTY,
                "fromaddr": EMPTY,
                "toaddrs": EMPTY,
                "subject": EMPTY,
                "credentials": None,
                "secure": None,
                "timeout": 5.0,
            },
        ),
        (
            "configure_logging",
            {"config_file": None, "fallback": False, "logger_name": "root", "log_level": None},
        ),
        ("getLogger", {"name": None}),
        ("string_to_bool", {"s": EMPTY}),
    ],
)
def test_signatures_are_those_of_the_manual(name, expected):
    """What is new is by keyword only, so that it never takes the place of an old argument."""
    parameters = inspect.signature(getattr(custom_logging, name)).parameters.values()
    old = {
        parameter.name: parameter.default
        for parameter in parameters
        if parameter.kind is not inspect.Parameter.KEYWORD_ONLY
    }
    ours = {key: value for key, value in old.items() if key in expected}
    assert list(ours.items()) == list(expected.items())
    surplus = old.keys() - expected.keys()
    assert surplus <= {"validate", "defaults"}  # the standard library's own, of later Pythons


@pytest.mark.parametrize(
    ("name", "attributes"),
    [
        ("ColoredFormatter", "colour_map colours prefix suffix format"),
        ("CustomLogger", "success"),
        ("CustomTimedRotatingFileHandler", "basename extension path rolloverAt stream doRollover"),
        ("NonPickledSocketHandler", "emit"),
        ("TlsSMTPHandler", "fromaddr mailhost mailport password toaddrs username emit"),
    ],
)
def test_documented_attributes_are_there(name, attributes, tmp_path):
    """On an object that has been made as one does."""
    arguments = {
        "CustomLogger": ("n",),
        "CustomTimedRotatingFileHandler": (str(tmp_path), "base"),
        "NonPickledSocketHandler": ("127.0.0.1", 1),
        "TlsSMTPHandler": ("mail.invalid", "a@b.c", ["d@e.f"], "s"),
    }
    made = getattr(custom_logging, name)(*arguments.get(name, ()))
    for attribute in attributes.split():
        assert hasattr(made, attribute), attribute
    if isinstance(made, logging.Handler):
        made.close()
