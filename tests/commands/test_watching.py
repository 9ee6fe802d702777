"""Readings on their way to those who watch: which, in which form, and how many."""

from __future__ import annotations

import json
import math
import threading
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from lab_utils_mt._commands.readings import Reading
from lab_utils_mt._commands.watching import WAITING, Hub, Push, Watch, Wish, has_changed
from lab_utils_mt._wire.text import Dialect, split
from lab_utils_mt.exceptions import MessageError

NOON = datetime(2026, 11, 22, 21, 0, 0, 123456, tzinfo=timezone.utc)


def reading(at: float = 0.0, error: str | None = None, **values: Any) -> Reading:
    """Return a reading of the poller ``sensor``."""
    return Reading("sensor", NOON + timedelta(seconds=at), at, values, error)


def text(push: Push, missed: int = 0) -> str:
    """Return its line in the text dialect."""
    return push.line(Dialect.TEXT, missed).decode()


def document(push: Push, missed: int = 0) -> Any:
    """Return what its line in JSON says."""
    return json.loads(push.line(Dialect.JSON_RPC, missed))


class Watcher:
    """Somebody who watches."""

    def __init__(self, hub: Hub, dialect: Dialect = Dialect.TEXT, **wish: float) -> None:
        self.woken = 0
        self.watch: Watch = hub.subscribe("sensor", Wish(**wish), dialect, self._wake)

    def _wake(self) -> None:
        self.woken += 1

    def numbers(self) -> list[float]:
        """Return the first value of each reading that waits."""
        return [float(line.split("=")[1].split()[0]) for line in self.lines()]

    def lines(self) -> list[str]:
        """Return what waits."""
        return self.watch.take().decode().splitlines()


def test_a_line_of_text() -> None:
    """Numbers as Python writes them, any text as one word."""
    push = Push(reading(kelvin=4.2, pressure=1e-5, n=3, on=True, gone=None, note='a "b"\n'))
    assert text(push) == (
        "@sensor 2026-11-22T21:00:00.123456Z kelvin=4.2 pressure=1e-05 n=3 on=true gone=null"
        ' note="a \\"b\\"\\n"\n'
    )
    assert text(push, missed=3).endswith(" missed=3\n")
    assert split(text(Push(reading(a=math.nan, b=math.inf)))[:-1])[2:] == ["a=nan", "b=inf"]


def test_a_notification() -> None:
    """Valid JSON, whatever the values are."""
    push = Push(reading(kelvin=math.nan, note="ü\n", moment=NOON))
    assert document(push, 7) == {
        "jsonrpc": "2.0",
        "method": "watch",
        "params": {
            "name": "sensor",
            "time": "2026-11-22T21:00:00.123456Z",
            "values": {"kelvin": None, "note": "ü\n", "moment": "2026-11-22T21:00:00.123456Z"},
            "missed": 7,
        },
    }
    assert push.line(Dialect.JSON_RPC, 0).count(b"\n") == 1


def test_times_are_utc_with_microseconds() -> None:
    """Wherever the computer is."""
    zone = timezone(timedelta(hours=2))
    moment = datetime(2026, 1, 1, 1, tzinfo=zone)
    assert text(Push(Reading("s", moment, 0.0, {"a": 1}))) == "@s 2025-12-31T23:00:00.000000Z a=1\n"


def test_a_failure_in_both_forms() -> None:
    """Class and text, in one line."""
    push = Push(reading(error='OSError: "no"\n'))
    assert text(push).startswith(
        '@sensor 2026-11-22T21:00:00.123456Z error="OSError: \\"no\\"\\n"\n'
    )
    params = document(push)["params"]
    assert params["error"] == 'OSError: "no"\n'
    assert "values" not in params


@pytest.mark.parametrize(
    ("old", "new", "least", "changed"),
    [
        ({"a": 1.0}, {"a": 1.0}, 0.0, False),
        ({"a": 1.0}, {"a": 1.1}, 0.0, True),
        ({"a": 1.0}, {"a": 1.4}, 0.5, False),
        ({"a": 1.0}, {"a": 1.5}, 0.5, True),
        ({"a": 1.0, "b": 0}, {"a": 1.1, "b": -9}, 0.5, True),
        ({"a": math.nan}, {"a": math.nan}, 0.0, False),
        ({"a": math.nan}, {"a": 1.0}, 9.0, True),
        ({"a": math.inf}, {"a": math.inf}, 9.0, False),
        ({"a": None}, {"a": 0.0}, 9.0, True),
        ({"a": False}, {"a": True}, 9.0, True),
        ({"a": "x"}, {"a": "y"}, 9.0, True),
        ({"a": 1.0}, {"b": 1.0}, 9.0, True),
    ],
)
def test_what_a_change_is(
    old: dict[str, Any], new: dict[str, Any], least: float, changed: bool
) -> None:
    """For numbers a distance, for everything else a difference."""
    assert has_changed(old, new, least) is changed


@pytest.mark.parametrize(
    "wish",
    [
        {"every": 0.0},
        {"every": -1.0},
        {"every": math.nan},
        {"every": math.inf},
        {"on_change": -0.1},
        {"on_change": math.nan},
        {"every": 1.0, "on_change": 1.0},
    ],
)
def test_impossible_wishes_are_refused(wish: dict[str, float]) -> None:
    """With the name of what is wrong."""
    with pytest.raises(MessageError, match=next(iter(wish))):
        Wish(**wish)


def test_an_unknown_poller_is_answered_with_similar_ones() -> None:
    """As an unknown command is."""
    with pytest.raises(MessageError, match="did you mean sensor"):
        Hub(["sensor"]).subscribe("senor", Wish(), Dialect.TEXT, lambda: None)


def test_the_newest_reading_waits_for_a_new_watcher() -> None:
    """None, if there is none; and the failure, if the poller fails."""
    hub = Hub(["sensor"])
    assert Watcher(hub).lines() == []
    hub.publish(reading(1.0, a=1))
    hub.publish(reading(2.0, a=2))
    assert Watcher(hub).numbers() == [2]
    hub.publish(reading(3.0, error="OSError: x"))
    assert [line.split()[2] for line in Watcher(hub).lines()] == ["a=2", 'error="OSError:']
    hub.publish(reading(4.0, a=4))
    assert Watcher(hub).numbers() == [4]


def test_each_watcher_gets_everything_in_order_and_is_woken() -> None:
    """By its own form."""
    hub = Hub(["sensor", "other"])
    one, two = Watcher(hub), Watcher(hub, Dialect.JSON_RPC)
    for number in range(5):
        hub.publish(reading(number, a=number))
    assert one.numbers() == [0, 1, 2, 3, 4]
    assert one.lines() == []
    documents = [json.loads(line) for line in two.lines()]
    assert [one["params"]["values"]["a"] for one in documents] == [0, 1, 2, 3, 4]
    assert one.woken == two.woken == 5


def test_a_slow_watcher_gets_the_newest_and_a_count() -> None:
    """The count stands where the gap is, once."""
    hub = Hub(["sensor"])
    watcher = Watcher(hub)
    for number in range(WAITING + 50):
        hub.publish(reading(number, a=number))
    lines = watcher.lines()
    assert len(lines) == WAITING
    assert lines[0].endswith("a=50 missed=50")
    assert lines[-1].endswith(f"a={WAITING + 49}")
    assert sum("missed" in line for line in lines) == 1
    hub.publish(reading(999, a=999))
    assert "missed" not in watcher.lines()[0]


def test_every_leaves_out_and_does_not_count_it_as_missed() -> None:
    """Readings that come a little early are taken all the same."""
    hub = Hub(["sensor"])
    watcher = Watcher(hub, every=1.0)
    for at in (0.0, 0.5, 0.999, 1.5, 2.001, 2.4, 2.998, 3.4, 9.0, 9.5, 10.0):
        hub.publish(reading(at, a=at))
    lines = watcher.lines()
    assert [float(line.split("=")[1]) for line in lines] == [0.0, 0.999, 2.001, 2.998, 9.0, 10.0]


def test_on_change_compares_with_the_last_one_that_was_given() -> None:
    """Else a slow drift would never be told."""
    hub = Hub(["sensor"])
    watcher = Watcher(hub, on_change=1.0)
    for number in range(30):
        hub.publish(reading(number, a=number / 10))
    assert watcher.numbers() == [0.0, 1.0, 2.0]


def test_a_failure_and_what_follows_it_are_always_given() -> None:
    """Whatever is left out otherwise."""
    hub = Hub(["sensor"])
    watchers = [Watcher(hub, every=100.0), Watcher(hub, on_change=100.0)]
    hub.publish(reading(0.0, a=1))
    hub.publish(reading(0.1, error="OSError: x"))
    hub.publish(reading(0.2, a=1))
    hub.publish(reading(0.3, a=1))
    assert [len(watcher.lines()) for watcher in watchers] == [3, 3]


def test_a_cancelled_watch_gets_nothing() -> None:
    """Not even what waited; it may be cancelled twice."""
    hub = Hub(["sensor"])
    watcher = Watcher(hub)
    hub.publish(reading(0.0, a=1))
    watcher.watch.cancel()
    watcher.watch.cancel()
    hub.publish(reading(0.0, a=1))
    assert watcher.lines() == []
    assert len(hub) == 0


def test_an_encoding_is_made_once_for_all() -> None:
    """And not at all if nobody asks."""
    push = Push(reading(a=1))
    assert push._lines == {}
    lines = [push.line(Dialect.TEXT, missed) for missed in range(3)]
    assert len(set(lines)) == 3
    assert list(push._lines) == [Dialect.TEXT]


def test_many_threads_take_what_many_publish() -> None:
    """Nothing is lost or doubled; what was missed is counted."""
    hub = Hub(["sensor"])
    watcher = Watcher(hub)
    got: list[str] = []
    done = threading.Event()

    def take() -> None:
        while not done.wait(0.0005):
            got.extend(watcher.lines())
        got.extend(watcher.lines())

    taker = threading.Thread(target=take, name="taker")
    taker.start()
    for number in range(20_000):
        hub.publish(reading(number, a=number))
    done.set()
    taker.join()
    missed = sum(int(line.split("missed=")[1]) for line in got if "missed" in line)
    numbers = [int(line.split("a=")[1].split()[0]) for line in got]
    assert numbers == sorted(set(numbers))
    assert len(numbers) + missed == 20_000
