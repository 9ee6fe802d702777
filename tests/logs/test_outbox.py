"""Is every record accounted for, whatever the threads do?"""

import gc
import logging
import random
import threading

import pytest
from daemons import TIMEOUT

from lab_utils_mt._logs.outbox import Outbox


def record(text="x", level=logging.INFO):
    """A record as a logger makes it."""
    return logging.LogRecord("n", level, "p.py", 1, text, (), None)


def texts(records):
    """Their messages."""
    return [each.getMessage() for each in records]


def take_all(outbox):
    """All that waits, in the order of delivery."""
    return texts(outbox.take(10**6))


def test_records_come_out_in_the_order_of_their_arrival():
    """Whatever their levels."""
    outbox = Outbox(100)
    levels = [logging.ERROR, logging.INFO, logging.CRITICAL, logging.DEBUG, logging.ERROR] * 5
    for number, level in enumerate(levels):
        outbox.put(record(str(number), level))
    assert texts(outbox.take(7)) == [str(number) for number in range(7)]
    assert take_all(outbox) == [str(number) for number in range(25)]


def test_a_full_queue_drops_the_oldest_that_is_no_error():
    """A flood of warnings does not cost the one alarm that matters."""
    outbox = Outbox(3)
    outbox.put(record("fire", logging.CRITICAL))
    begins = [outbox.put(record(f"w{number}", logging.WARNING)) for number in range(5)]
    assert begins == [False, False, True, False, False]
    assert take_all(outbox) == ["fire", "w3", "w4"]


def test_errors_alone_make_room_for_later_errors():
    """And an ordinary record that comes then is the one that goes."""
    outbox = Outbox(2)
    for number in range(3):
        outbox.put(record(f"e{number}", logging.ERROR))
    outbox.put(record("w", logging.WARNING))
    assert take_all(outbox) == ["e1", "e2"]
    assert outbox.counts.dropped == 2


def test_what_is_taken_counts_as_queued_until_it_is_ticked_off():
    """And is given again until then; sent and refused are told apart."""
    outbox = Outbox(10)
    for number in range(4):
        outbox.put(record(str(number)))
    assert texts(outbox.take(3)) == ["0", "1", "2"]
    outbox.tick_off(1, sent=True)
    outbox.tick_off(1, sent=False)
    outbox.put_back()
    assert texts(outbox.take(3)) == ["2", "3"]
    assert str(outbox.counts) == "4 raised = 1 sent + 2 queued + 1 dropped"


def test_what_is_put_back_makes_room_for_what_matters_more():
    """A sink that tries to deliver all of its queue at once keeps no more than that."""
    outbox = Outbox(3)
    for level in (logging.INFO, logging.ERROR, logging.INFO):
        outbox.put(record(f"before {level}", level))
    outbox.take(3)
    for level in (logging.INFO, logging.ERROR):
        outbox.put(record(f"after {level}", level))
    outbox.put_back()
    assert str(outbox.counts) == "5 raised = 0 sent + 3 queued + 2 dropped"
    assert take_all(outbox) == ["before 40", "after 20", "after 40"]


def test_a_delivery_that_ends_after_all_was_dropped_counts_as_sent():
    """The sink was closed meanwhile; what had not been taken stays dropped."""
    outbox = Outbox(10)
    outbox.put(record())
    outbox.put(record())
    outbox.take(1)
    assert outbox.drop_all() == 2
    assert outbox.counts.dropped == 2
    for _ in range(3):
        outbox.tick_off(1, sent=True)
    assert str(outbox.counts) == "2 raised = 1 sent + 0 queued + 1 dropped"


def test_a_closed_one_counts_what_comes_as_dropped():
    """And what waits can still be taken."""
    outbox = Outbox(10)
    outbox.put(record("before"))
    outbox.close()
    outbox.put(record("after"))
    assert outbox.await_records(1) is True
    assert take_all(outbox) == ["before"]
    outbox.tick_off(1, sent=True)
    assert outbox.await_records(1) is False
    assert str(outbox.counts) == "2 raised = 1 sent + 0 queued + 1 dropped"


def deliver_all(outbox, delivered):
    """Take until the outbox is closed; tick off some of what was taken each time."""
    dice = random.Random(1)
    while outbox.await_records(10):
        records = outbox.take(10)
        count = dice.randint(1, max(1, len(records)))
        delivered.extend(texts(records[:count]))
        outbox.tick_off(count, sent=True)
        outbox.put_back()


def put_many(outbox, name):
    """Put records of both kinds."""
    for number in range(2000):
        outbox.put(record(f"{name} {number}", random.choice([20, 40])))


def started(target, *args):
    """A thread that runs."""
    thread = threading.Thread(target=target, args=args)
    thread.start()
    return thread


def test_the_counts_add_up_at_any_moment():
    """Eight threads put, one takes, one asks."""
    outbox = Outbox(50)
    wrong, delivered = [], []
    done = threading.Event()

    def ask():
        while not done.is_set():
            counts = outbox.counts
            if counts.raised != counts.sent + counts.queued + counts.dropped:
                wrong.append(counts)

    asking, delivering = started(ask), started(deliver_all, outbox, delivered)
    for thread in [started(put_many, outbox, name) for name in range(8)]:
        thread.join(TIMEOUT)
    outbox.close()
    delivering.join(TIMEOUT)
    done.set()
    asking.join(TIMEOUT)
    counts = outbox.counts
    assert not wrong
    assert (counts.raised, counts.queued) == (16000, 0)
    assert counts.sent == len(delivered) == len(set(delivered))
    for name in range(8):  # each thread's records are in its order
        numbers = [int(text.split()[1]) for text in delivered if text.startswith(f"{name} ")]
        assert numbers == sorted(numbers)


def test_a_finalizer_that_logs_while_its_thread_is_inside_does_not_lock_up():
    """A lock that is not reentrant does."""

    class Node:
        def __init__(self, outbox):
            self.me, self.outbox = self, outbox

        def __del__(self):
            self.outbox.put(record("finalizer"))

    outbox = Outbox(10)
    before = gc.get_threshold()
    gc.set_threshold(1)  # collects at nearly every allocation, those inside put() included
    try:
        done = threading.Event()

        def work():
            for _ in range(300):
                Node(outbox)
                outbox.put(record())
            done.set()

        threading.Thread(target=work, daemon=True).start()
        assert done.wait(TIMEOUT)
    finally:
        gc.set_threshold(*before)
    gc.collect()
    assert outbox.counts.raised == 600


@pytest.mark.parametrize("hurry", [False, True])
def test_a_pause_ends_when_somebody_is_in_a_hurry(hurry):
    """Or when it is over."""
    outbox = Outbox(10)
    outbox.put(record())
    ended = threading.Event()

    def rest():
        outbox.pause(TIMEOUT * 10 if hurry else 0.01)
        ended.set()

    thread = threading.Thread(target=rest)
    thread.start()
    if hurry:
        outbox.hurry()
    assert ended.wait(TIMEOUT)
    thread.join()


def test_waiting_for_an_empty_queue_ends_at_once():
    """Nothing is to be delivered."""
    outbox = Outbox(10)
    outbox.hurry()
    assert outbox.await_settled(0.0)
    outbox.put(record())
    outbox.hurry()
    assert not outbox.await_settled(0.0)
