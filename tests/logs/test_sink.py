"""Does a sink take every record at once, deliver it in the end, and tell once what goes wrong?"""

import logging
import os
import threading
import time

import pytest
from daemons import TIMEOUT, wait_until
from logs.sinks import Shelf, await_counts, listening, logging_to
from systems import needs_fork

from lab_utils_mt._logs import living
from lab_utils_mt._logs.intake import Intake
from lab_utils_mt._logs.line import LineFormatter
from lab_utils_mt._logs.sink import Refused, SinkHandler, TryLater


def test_records_arrive_in_order():
    """From the call to the shelf."""
    shelf = Shelf()
    with logging_to(shelf) as logger:
        for number in range(500):
            logger.info("number %d", number)
        shelf.flush()
        assert shelf.texts == [f"number {number}" for number in range(500)]
        assert str(shelf.counts) == "500 raised = 500 sent + 0 queued + 0 dropped"


def test_levels_and_filters_of_the_handler_hold():
    """What they keep back is not counted."""
    shelf = Shelf()
    shelf.setLevel(logging.WARNING)
    shelf.addFilter(lambda record: "secretly" not in record.getMessage())
    with logging_to(shelf) as logger:
        logger.info("no")
        logger.warning("secretly")
        logger.warning("yes")
        shelf.flush()
        assert shelf.texts == ["yes"]
        assert shelf.counts.raised == 1


def test_a_deaf_place_holds_nobody_up_and_loses_the_oldest():
    """Stock handlers deliver in the caller's thread: there it would hang."""
    shelf = Shelf(capacity=10)
    shelf.gate.clear()
    with listening() as reports, logging_to(shelf) as logger:
        logger.info("first")
        wait_until(lambda: shelf.attempts == 1)
        for number in range(25):
            logger.info("number %d", number)
        assert str(shelf.counts) == "26 raised = 0 sent + 11 queued + 15 dropped"
        assert reports == [
            "shelf is too slow: its queue of 10 records is full, and records are lost"
        ]
        shelf.gate.set()
        await_counts(shelf, queued=0)
        assert shelf.texts == ["first", *(f"number {number}" for number in range(15, 25))]
        wait_until(lambda: len(reports) == 2)
        assert reports[1] == "shelf has caught up; 15 records are lost"


def test_a_place_that_is_down_is_reported_once_and_once_when_it_is_back():
    """And nothing is lost, nor told out of order."""
    shelf = Shelf()
    shelf.fault = ConnectionRefusedError("nobody there, password=hunter2")
    with listening() as reports, logging_to(shelf) as logger:
        for number in range(20):
            logger.error("number %d", number)
        wait_until(lambda: shelf.attempts > 1)
        assert "down for" in shelf.status()
        assert "hunter2" not in shelf.status()
        shelf.fault = None
        await_counts(shelf, sent=20, dropped=0)
        assert shelf.texts == [f"number {number}" for number in range(20)]
        wait_until(lambda: len(reports) == 2)
        assert reports[0] == (
            "shelf does not work: ConnectionRefusedError: nobody there, password=***;"
            " it is tried again, and up to 1000 records wait"
        )
        assert reports[1].startswith("shelf works again after ")
        assert shelf.status() == "shelf: 20 raised = 20 sent + 0 queued + 0 dropped; ok"


def test_the_report_of_a_failure_goes_to_the_other_sinks_only():
    """Two that fail do not feed each other."""
    one, two = Shelf("one"), Shelf("two")
    one.fault = two.fault = OSError("down")
    reports = logging.getLogger("lab_utils_mt.logging")
    intake = Intake([one, two])
    reports.addHandler(intake)
    try:
        with logging_to(one) as logger:
            logger.error("x")
            wait_until(lambda: one.attempts > 2)
            assert one.counts.raised == 2  # the record, and that two is down
            assert two.counts.raised == 1  # that one is down
            one.fault = two.fault = None
            await_counts(one, queued=0)
            await_counts(two, queued=0)
            assert all("one" in text for text in two.texts)
            assert all("two" in text for text in one.texts[1:])
    finally:
        reports.removeHandler(intake)
        one.close()
        two.close()


def test_attempts_become_rare():
    """Whoever waits for a server that is down does not knock all the time."""
    shelf = Shelf()
    shelf.fault = OSError("down")
    shelf._first_pause, shelf.longest_pause = 0.01, 0.04
    begin = time.monotonic()
    with logging_to(shelf) as logger:
        logger.error("x")
        wait_until(lambda: shelf.attempts >= 8)
        assert time.monotonic() - begin > 0.15  # 0.008 + 0.016 + 5 x 0.032
        shelf.fault = None


def test_a_refused_record_is_dropped_and_the_next_is_delivered():
    """It would be refused for ever."""

    class Picky(Shelf):
        def deliver(self, records):
            if "bad" in records[0].getMessage():
                raise Refused("no such word")
            return super().deliver(records)

    shelf = Picky()
    with listening() as reports, logging_to(shelf) as logger:
        for text in ("good 1", "bad 1", "bad 2", "good 2"):
            logger.info(text)
        await_counts(shelf, sent=2, dropped=2)
        assert shelf.texts == ["good 1", "good 2"]
        assert reports == ["shelf refuses what is logged: no such word"]


def test_a_place_that_asks_for_patience_gets_it_and_has_not_failed():
    """Nobody's hurry changes that."""

    class Patient(Shelf):
        def deliver(self, records):
            if self.attempts == 0:
                self.attempts += 1
                raise TryLater(0.3)
            return super().deliver(records)

    shelf = Patient()
    with listening() as reports, logging_to(shelf) as logger:
        begin = time.monotonic()
        logger.info("x")
        wait_until(lambda: shelf.attempts == 1)
        shelf.flush()  # returns at once, and nothing went out
        assert shelf.counts.queued == 1
        await_counts(shelf, sent=1)
        assert time.monotonic() - begin >= 0.3
        assert reports == []


def test_what_a_library_logs_while_it_delivers_is_not_delivered():
    """It would go on for ever."""

    class Chatty(Shelf):
        def deliver(self, records):
            logger.warning("sending to https://hooks.example/secret")
            return super().deliver(records)

    shelf, other = Chatty(), Shelf("other")
    with logging_to(shelf, other) as logger:
        logger.info("x")
        shelf.flush()
        other.flush()
        assert shelf.texts == other.texts == ["x"]


def test_a_record_that_cannot_be_formatted_is_told_as_it_was_written():
    """The stock handlers lose it."""

    class Hostile:
        def __repr__(self):
            return "HOSTILE"

        def __str__(self):
            raise RuntimeError("no text")

    shelf = Shelf()
    with logging_to(shelf) as logger:
        logger.info("%d K", "four")
        logger.info("%s", Hostile())
        logger.info(Hostile())
        shelf.flush()
        assert shelf.texts == [
            "%d K % ('four',) (TypeError: the arguments do not fit)",
            "%s % (HOSTILE,) (RuntimeError: the arguments do not fit)",
            "<Hostile> % () (RuntimeError: the arguments do not fit)",
        ]


def test_close_delivers_what_waits():
    """Also while it pauses."""

    class Pausing(Shelf):
        def pause(self):
            return TIMEOUT * 10

    shelf = Pausing()
    with logging_to(shelf) as logger:
        for number in range(5):
            logger.info("number %d", number)
    assert len(shelf.texts) == 5


@pytest.mark.parametrize("fault", [None, OSError("down")])
def test_close_is_bounded_and_counts_what_is_lost(fault):
    """A place that is deaf, one that is down."""
    shelf = Shelf()
    shelf.flush_timeout = 0.2
    shelf.fault = fault
    if fault is None:
        shelf.gate.clear()
    with listening() as reports:
        with logging_to(shelf) as logger:
            for number in range(5):
                logger.info("number %d", number)
            wait_until(lambda: shelf.attempts > 0)
            begin = time.monotonic()
        assert time.monotonic() - begin < TIMEOUT / 2
        assert shelf.counts.raised == 5
        assert shelf.counts.queued == 0  # one was on its way, and may have arrived after all
        assert reports[-1] == "shelf is closed: 5 records are lost, or not confirmed"
    shelf.close()  # again
    shelf.handle(logging.makeLogRecord({"msg": "late"}))
    assert shelf.counts.raised == 6
    assert shelf.counts.dropped >= 5
    wait_until(lambda: not shelf._thread.is_alive())


def test_a_flush_while_it_is_down_ends_with_an_attempt():
    """Nobody waits for all of the timeout."""
    shelf = Shelf()
    shelf.flush_timeout = TIMEOUT * 10
    shelf.fault = OSError("down")
    with logging_to(shelf) as logger:
        logger.info("x")
        begin = time.monotonic()
        shelf.flush()
        assert time.monotonic() - begin < TIMEOUT
        assert shelf.attempts >= 1
        shelf.flush_timeout = 0.1


def test_many_threads_lose_nothing():
    """Sixteen at once; each one's records stay in its order."""
    shelf = Shelf(capacity=100_000, batch=100)
    with logging_to(shelf) as logger:

        def work(name):
            for number in range(500):
                logger.info("%d %d", name, number)

        threads = [threading.Thread(target=work, args=(name,)) for name in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(TIMEOUT)
        shelf.flush()
        await_counts(shelf, sent=8000, dropped=0)
        for name in range(16):
            own = [text for text in shelf.texts if text.startswith(f"{name} ")]
            assert own == [f"{name} {number}" for number in range(500)]


def test_the_thread_starts_with_the_first_record():
    """An idle sink costs none."""
    shelf = Shelf()
    before = threading.active_count()
    with logging_to(shelf) as logger:
        assert threading.active_count() == before
        logger.info("x")
        assert threading.active_count() == before + 1


@needs_fork
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_delivers_its_own_records_and_only_those():
    """What waited is the parent's."""
    shelf = Shelf()
    shelf.gate.clear()
    reading, writing = os.pipe()
    with logging_to(shelf) as logger:
        logger.info("parent")
        wait_until(lambda: shelf.attempts == 1)
        child = os.fork()
        if child == 0:
            shelf.gate = threading.Event()
            shelf.gate.set()
            logger.info("child")
            shelf.flush()
            os.write(writing, ",".join(shelf.texts).encode())
            os._exit(0)
        os.waitpid(child, 0)
        assert os.read(reading, 100) == b"child"
        shelf.gate.set()
        await_counts(shelf, sent=1)
        assert shelf.texts == ["parent"]
    os.close(reading)
    os.close(writing)


def test_a_sink_that_does_nothing_has_failed():
    """It would be asked again without end."""

    class Idle(SinkHandler):
        attempts = 0

        def deliver(self, records):
            self.attempts += 1
            return 0

    sink = Idle("idle")
    sink.flush_timeout = 0.1
    with listening() as reports, logging_to(sink) as logger:
        logger.info("x")
        wait_until(lambda: reports)
        assert "does not work" in reports[0]
        assert sink.attempts == 1


def test_the_status_tells_of_all_sinks_that_live():
    """As the server's command shows it."""
    shelf = Shelf("a shelf of its own")
    with logging_to(shelf) as logger:
        logger.info("x")
        shelf.flush()
        expected = "  a shelf of its own: 1 raised = 1 sent + 0 queued + 0 dropped; ok"
        assert expected in living.status_lines()
    assert expected not in living.status_lines()


class Raising(logging.Handler):
    """A handler of a user's that raises."""

    def handle(self, record):
        raise AttributeError("no request_id")


def test_a_handler_that_raises_on_a_report_stops_no_sink():
    """Its thread goes on, and delivers when the place is back."""
    shelf, raising = Shelf(), Raising()
    shelf.fault = OSError("down")
    reports = logging.getLogger("lab_utils_mt.logging")
    reports.addHandler(raising)
    try:
        with logging_to(shelf) as logger:
            logger.error("x")
            wait_until(lambda: shelf.attempts > 1)
            shelf.fault = None
            await_counts(shelf, sent=1)
    finally:
        reports.removeHandler(raising)


class Mute(Exception):
    """An error without a text."""

    def __str__(self):
        raise RuntimeError


@pytest.mark.parametrize("fault", [Mute(), TryLater(float("nan")), SystemExit(3)])
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_nothing_that_a_delivery_raises_ends_the_sink(fault):
    """The next record starts another thread, if need be."""
    shelf = Shelf()
    shelf.fault = fault
    with listening(), logging_to(shelf) as logger:
        logger.error("one")
        wait_until(lambda: shelf.attempts > 0)
        shelf.fault = None
        wait_until(lambda: shelf._thread is None or shelf.counts.sent == 1)
        logger.error("two")
        await_counts(shelf, sent=2)
        assert shelf.texts == ["one", "two"]


def test_patience_may_be_as_long_as_the_other_end_likes():
    """Longer than a system can wait at once; people are told, and the end is not held up."""
    shelf = Shelf()
    shelf.fault = TryLater(1e12)
    with listening() as reports, logging_to(shelf) as logger:
        logger.error("x")
        wait_until(lambda: reports)
        assert "shelf asks for 11574074 d 1 h of patience" in reports[0]
        assert "asked to wait" in shelf.status()
        assert shelf._thread.is_alive()


def test_what_is_refused_shows_in_the_status():
    """Until something is taken again."""
    shelf = Shelf()
    shelf.fault = Refused("quota")
    with listening(), logging_to(shelf) as logger:
        logger.error("x")
        await_counts(shelf, dropped=1)
        assert shelf.status().endswith("; refuses: quota")
        shelf.fault = None
        logger.error("x")
        await_counts(shelf, sent=1)
        assert shelf.status().endswith("; ok")


@pytest.mark.parametrize(
    "extra",
    [
        {"levelno": None},
        {"levelname": None, "name": 7},
        {"exc_info": (ValueError, ValueError())},
        {"exc_info": 5, "exc_text": 5, "stack_info": 5},
        {"msg": None, "args": 3},
    ],
)
def test_records_made_by_hand_are_delivered(extra):
    """Whatever stands in their fields; logging lets them pass."""
    shelf = Shelf()
    with logging_to(shelf, Intake([shelf])) as logger:
        for handler in logger.handlers:
            handler.handle(logging.makeLogRecord({"msg": "x", **extra}))
        await_counts(shelf, sent=2)
        for record in shelf.kept:
            assert isinstance(LineFormatter("%(message)s").format(record), str)


def test_records_of_another_class_are_delivered():
    """Whose messages are made in another way."""

    class Braces(logging.LogRecord):
        def getMessage(self):
            return self.msg.format(*self.args)

    shelf = Shelf()
    with logging_to(shelf):
        shelf.handle(Braces("n", 20, "p", 1, "{} K", (4,), None))
        await_counts(shelf, sent=1)
        assert LineFormatter("%(message)s").format(shelf.kept[0]) == "INFO     4 K"


def test_the_only_sink_tells_on_the_standard_error_output(capsys):
    """Nobody else would."""
    shelf = Shelf()
    shelf.fault = OSError("down \x1b[2J")
    reports = logging.getLogger("lab_utils_mt.logging")
    before, reports.propagate = reports.propagate, False
    reports.addHandler(shelf)
    try:
        reports.error("x")
        wait_until(lambda: shelf.attempts > 0)
        wait_until(lambda: "; down for" in shelf.status())
    finally:
        reports.removeHandler(shelf)
        reports.propagate = before
        shelf.flush_timeout = 0.1
        shelf.close()
    first = capsys.readouterr().err.splitlines()[0]
    assert first.startswith("WARNING  shelf does not work: OSError: down \\x1b[2J")


def test_a_sink_that_is_used_after_its_end_says_so_once(capsys):
    """logging.shutdown() and dictConfig() close what they did not make."""
    shelf = Shelf()
    with logging_to(shelf) as logger:
        shelf.close()
        logger.error("x")
        logger.error("x")
    (line,) = capsys.readouterr().err.splitlines()
    assert "shelf was closed" in line
    assert "configure_logging()" in line


@needs_fork
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_threads_of_a_forked_child_are_heard():
    """Theirs may be the numbers of the parent's sink threads."""
    shelf = Shelf()
    with logging_to(shelf) as logger:
        logger.info("parent")
        shelf.flush()
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            for number in range(20):
                thread = threading.Thread(target=logger.info, args=("child %d", number))
                thread.start()
                thread.join()
            os.write(writing, str(shelf.counts.raised).encode())
            os._exit(0)
        os.waitpid(child, 0)
        assert os.read(reading, 100) == b"20"
    os.close(reading)
    os.close(writing)


def test_two_sinks_that_come_and_go_do_not_feed_each_other():
    """Each event would make the other fail, which is an event."""

    class Flapping(Shelf):
        def deliver(self, records):
            self.fault = None if self.fault else OSError("cut")
            return super().deliver(records)

    one, two = Flapping("one"), Flapping("two")
    one._first_pause = two._first_pause = 0.01
    reports = logging.getLogger("lab_utils_mt.logging")
    intake = Intake([one, two])
    reports.addHandler(intake)
    try:
        with logging_to(one) as logger:
            for number in range(20):
                logger.info("number %d", number)
            wait_until(lambda: len(one.kept) >= 20)
            wait_until(lambda: not one.counts.queued + two.counts.queued)
            assert one.attempts > 40
            assert one.counts.raised + two.counts.raised < 30
    finally:
        reports.removeHandler(intake)
        one.close()
        two.close()


def test_a_report_that_no_other_sink_takes_is_told_all_the_same(capsys):
    """The other one is for errors only."""
    shelf, strict = Shelf(), Shelf("strict")
    strict.setLevel(logging.ERROR)
    shelf.fault = OSError("down")
    reports = logging.getLogger("lab_utils_mt.logging")
    intake = Intake([shelf, strict])
    before, reports.propagate = reports.propagate, False
    reports.addHandler(intake)
    try:
        reports.error("x")
        seen = []
        wait_until(lambda: seen.append(capsys.readouterr().err) or "".join(seen).endswith("\n"))
        assert "".join(seen).startswith("WARNING  shelf does not work: OSError: down")
        assert strict.texts == ["x"]
    finally:
        reports.removeHandler(intake)
        reports.propagate = before
        shelf.flush_timeout = strict.flush_timeout = 0.1
        shelf.close()
        strict.close()


def test_an_overflow_that_begins_when_a_delivery_fails_is_told():
    """What was on its way has no place any more."""
    shelf = Shelf(capacity=5, batch=5)
    shelf.gate.clear()
    with listening() as reports, logging_to(shelf) as logger:
        for number in range(5):
            logger.info("number %d", number)
        wait_until(lambda: shelf.attempts == 1)
        for number in range(5):
            logger.info("number %d", number)
        shelf.fault = OSError("down")
        shelf.gate.set()
        wait_until(lambda: len(reports) == 2)
        assert sorted("queue of 5 records is full" in text for text in reports) == [False, True]
        shelf.fault = None


def test_without_a_thread_a_local_sink_delivers_at_its_end(monkeypatch):
    """The system has no thread left."""
    shelf = Shelf()
    shelf.is_local = True

    def start(thread):
        raise RuntimeError("can't start new thread")

    with listening(), logging_to(shelf) as logger:
        monkeypatch.setattr(threading.Thread, "start", start)
        logger.info("x")
        begin = time.monotonic()
        shelf.flush()
        monkeypatch.undo()
        assert shelf.texts == ["x"]
        assert time.monotonic() - begin < shelf.flush_timeout
        logger.info("y")
        await_counts(shelf, sent=2)
