"""Does every logger that is asked for here know success(), and no other one?"""

import inspect
import logging
import pickle
import threading

import pytest

from lab_utils_mt._logs.logger import SUCCESS, CustomLogger, getLogger


@pytest.fixture
def fresh_name(request):
    """A name that no logger has; it is forgotten at the end."""
    name = f"fresh.{request.node.name}"
    yield name
    logging.Logger.manager.loggerDict.pop(name, None)


@pytest.fixture
def records():
    """What arrives at the root logger."""
    kept = []
    handler = logging.Handler()
    handler.emit = kept.append
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.DEBUG)
    root.addHandler(handler)
    yield kept
    root.removeHandler(handler)
    root.setLevel(level)


def test_success_has_its_level_name_arguments_and_caller(fresh_name, records):
    """The caller's line, not ours, on every Python."""
    getLogger(fresh_name).success("cold: %.1f K", 4.2)
    line = inspect.currentframe().f_lineno - 1
    (record,) = records
    assert (record.levelno, record.levelname) == (SUCCESS, "SUCCESS") == (25, "SUCCESS")
    assert record.getMessage() == "cold: 4.2 K"
    assert (record.filename, record.lineno) == ("test_logger.py", line)
    assert record.funcName == "test_success_has_its_level_name_arguments_and_caller"


def test_a_wrapper_can_name_its_own_caller(fresh_name, records):
    """As with info()."""

    def wrapper(method):
        method("x", stacklevel=2, extra={"device": "d"})

    wrapper(getLogger(fresh_name).success)
    wrapper(getLogger(fresh_name).info)
    assert [r.funcName for r in records] == ["test_a_wrapper_can_name_its_own_caller"] * 2
    assert records[0].device == "d"


def test_filtered_out_means_nothing_happens(fresh_name, records):
    """Not even formatting."""
    logger = getLogger(fresh_name)
    logger.setLevel(logging.WARNING)
    logger.success("%d", "no number")
    assert records == []


@pytest.mark.parametrize("name", [None, "", "root"])
def test_the_root_logger_knows_success(name, records):
    """And stays the root logger, also for pickle."""
    root = getLogger(name)
    root.success("x")
    assert root is logging.getLogger() is logging.root is logging.Logger.root
    assert isinstance(root, logging.RootLogger)
    assert pickle.loads(pickle.dumps(root)) is root
    assert records[0].name == "root"


def test_an_existing_plain_logger_learns_success(fresh_name, records):
    """The object stays the same, for others hold it."""
    plain = logging.getLogger(fresh_name)
    assert not hasattr(plain, "success")
    assert getLogger(fresh_name) is plain is logging.getLogger(fresh_name)
    plain.success("x")
    assert type(plain) is logging.Logger
    assert len(records) == 1


def test_a_new_logger_is_a_custom_logger(fresh_name):
    """Also one above loggers that exist, and one of a class that somebody has set."""

    class Verbose(logging.Logger):
        pass

    child = logging.getLogger(f"{fresh_name}.parent.child")
    try:
        assert isinstance(getLogger(fresh_name), CustomLogger)
        parent = getLogger(f"{fresh_name}.parent")
        parent.success("x")
        assert child.parent is parent
        logging.setLoggerClass(Verbose)
        both = getLogger(f"{fresh_name}.both")
        assert isinstance(both, CustomLogger)
        assert isinstance(both, Verbose)
        assert logging.Logger.manager.loggerClass is None
    finally:
        logging.setLoggerClass(logging.Logger)
        for suffix in (".parent.child", ".parent", ".both"):
            logging.Logger.manager.loggerDict.pop(fresh_name + suffix, None)


def test_a_logger_with_a_class_of_its_own_keeps_it(fresh_name, records):
    """A library's class, with attributes of its own."""

    class Verbose(logging.Logger):
        def __init__(self, name):
            super().__init__(name)
            self.spam = 7

        def verbose(self):
            self.info("spam %d", self.spam)

    logger = Verbose(fresh_name)
    logger.parent, logger.manager = logging.root, logging.Logger.manager
    logging.Logger.manager.loggerDict[fresh_name] = logger
    assert getLogger(fresh_name) is logger
    logger.success("x")
    logger.verbose()
    assert isinstance(logger, Verbose)
    assert [r.getMessage() for r in records] == ["x", "spam 7"]


def test_a_foreign_success_method_is_left_alone(fresh_name):
    """It is somebody else's logger after all."""
    logger = logging.getLogger(fresh_name)
    logger.success = lambda message: "mine"
    assert getLogger(fresh_name).success("x") == "mine"
    assert type(logger) is logging.Logger


def test_loggers_of_others_stay_as_they_are(fresh_name):
    """The class that logging makes loggers of, and the loggers that nobody asked for here."""
    before = logging.getLoggerClass()
    getLogger(f"{fresh_name}.mine")
    assert logging.getLoggerClass() is before is logging.Logger
    assert type(logging.getLogger(fresh_name)) is logging.Logger
    assert type(logging.getLogger(f"{fresh_name}.mine.child")) is logging.Logger
    for suffix in (".mine", ".mine.child"):
        logging.Logger.manager.loggerDict.pop(fresh_name + suffix)


def test_many_threads_may_ask_at_once(fresh_name, records):
    """All get the same one."""
    barrier, got = threading.Barrier(16), []

    def run():
        barrier.wait(10)
        logger = getLogger(fresh_name)
        logger.success("x")
        got.append(logger)

    threads = [threading.Thread(target=run) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(got) == len(records) == len(threads)
    assert len(set(map(id, got))) == 1
