"""Percentiles against a sorted list, and merging against one measurement."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
from hdrh.histogram import HdrHistogram
from hypothesis import given, settings
from hypothesis import strategies as st

from lab_utils_mt._load.ledger import NANOSECONDS, Ledger
from lab_utils_mt._load.tally import Second, Tally, rank, rounded
from lab_utils_mt.exceptions import LabUtilsError

HOUR = 3_600_000_000  # microseconds
LATENCIES = st.lists(st.integers(1, 21 * 24 * HOUR), min_size=1, max_size=60)
PERCENT = st.floats(0, 100)


def tally_of(latencies: list[int]) -> Tally:
    """Return a tally of latencies in microseconds."""
    tally = Tally(seconds=1.0, cpu_seconds=0.25)
    for latency in latencies:
        tally.record(latency)
    return tally


@settings(deadline=None)
@given(LATENCIES, PERCENT)
def test_a_percentile_is_that_of_the_sorted_list(latencies: list[int], percent: float) -> None:
    """To three digits, never below."""
    true = sorted(latencies)[rank(len(latencies), percent) - 1]
    found = tally_of(latencies).percentile(percent) * 1e6
    assert true - 0.5 <= found <= true * 1.001 + 0.5


@settings(deadline=None)
@given(LATENCIES, PERCENT)
def test_what_is_rounded_is_the_same_to_a_histogram(latencies: list[int], percent: float) -> None:
    """So a load may keep that until its end."""
    one, other = tally_of(latencies), tally_of([rounded(latency) for latency in latencies])
    assert one.distribution() == other.distribution()
    assert one.percentile(percent) == other.percentile(percent)
    assert (one.least, one.most) == (other.least, other.most)


@given(LATENCIES, PERCENT)
def test_a_second_is_nearly_as_good(latencies: list[int], percent: float) -> None:
    """To 1.6 %."""
    second = Second(0)
    second.add(Counter(latencies).items(), max(latencies))
    true = sorted(latencies)[rank(len(latencies), percent) - 1]
    assert second.percentile(percent) * 1e6 == pytest.approx(true, rel=0.016, abs=1)
    assert second.max * 1e6 == pytest.approx(max(latencies))


@settings(deadline=None, max_examples=40)
@given(LATENCIES, LATENCIES)
def test_merging_is_measuring_together(first: list[int], second: list[int]) -> None:
    """Also after a journey as JSON."""
    merged = Tally()
    for part in (first, second):
        merged.merge(Tally.from_json(json.loads(json.dumps(tally_of(part).to_json()))))
    both = tally_of(first + second)
    assert merged.distribution() == both.distribution()
    assert merged.requests == both.requests == merged.histogram.get_total_count()
    wanted = [0, 50, 99.9, 100]
    assert merged.percentiles(wanted) == both.percentiles(wanted)
    assert (merged.least, merged.most) == (both.least, both.most)
    assert (merged.seconds, merged.cpu_seconds) == (1.0, 0.5)


def test_errors_and_the_time_line_are_merged() -> None:
    """By kind, and by second; the first example stays."""
    first, second = Tally(), Tally()
    first.fail("reset", "a")
    second.fail("reset", "b")
    second.fail("closed", "c")
    first.timeline = [Second(0, 1.0, 5, 1, 10, Counter({10: 5})), Second(1, 0.5, 1)]
    second.timeline = [Second(0, 0.9, 7, 0, 30, Counter({10: 6, 30: 1}))]
    first.merge(second)
    assert first.errors == {"reset": 2, "closed": 1}
    assert first.first_errors == {"reset": "a", "closed": "c"}
    assert first.timeline[0] == Second(0, 1.0, 12, 1, 30, Counter({10: 11, 30: 1}))
    assert [one.second for one in first.timeline] == [0, 1]


def test_nothing_was_seen() -> None:
    """Then all figures are 0."""
    tally = Tally()
    assert (tally.percentile(99), tally.least, tally.most, tally.requests_per_second) == (0,) * 4
    assert Second(0).p99 == 0


@pytest.mark.parametrize(
    "change",
    [
        {"histogram": "nonsense"},
        {"histogram": 3},
        {"histogram": "HISTFAAAAB"},
        {"requests": "many"},
        {"requests": None},
        {"errors": []},
        {"errors": {"reset": {}}},
        {"timeline": [[1]]},
        {"timeline": [[0, 1, 2, 3, 4, [[1]]]]},
        {"seconds": 1e999},
        {"seconds": float("nan")},
        {"cpu_seconds": float("-inf")},
        {"waited": float("nan")},
        {"waited": None},
        {"late": float("nan")},
        {"timeline": [[0, float("nan"), 2, 3, 4, []]]},
        {"bytes_in": float("inf")},
        {"requests": 0},
        {"requests": -5},
        {"requests": 10**400},
        {"requests": "1"},
        {"requests": True},
        {"requests": 1.5},
        {"late": 2},
        {"unsent": -1},
        {"bytes_in": 2**63},
        {"errors": {"reset": 10**400}},
        {"errors": {"reset": -1}},
        {"seconds": -1.0},
        {"seconds": 10**400},
        {"timeline": [[10**400, 1, 2, 3, 4, []]]},
        {"timeline": [[-1, 1, 2, 3, 4, []]]},
        {"timeline": [[0, 1, -2, 3, 4, []]]},
        {"timeline": [[0, 1, 2, 3, 4, [[2**63, 1]]]]},
        {"timeline": [[0, 1, 2, 3, 4, [[5, -1]]]]},
    ],
)
def test_a_damaged_tally_is_refused(change: dict[str, Any]) -> None:
    """With one kind of error."""
    values = tally_of([5]).to_json()
    with pytest.raises(LabUtilsError, match="no tally of a load"):
        Tally.from_json(values | change)
    for other in (None, [], 3, {}):
        with pytest.raises(LabUtilsError, match="no tally of a load"):
            Tally.from_json(other)


def test_a_wait_of_weeks_is_kept_whole() -> None:
    """As long as a plan may wait; and it costs no more room."""
    long = 21 * 24 * HOUR
    tally = Tally.from_json(tally_of([long]).to_json())
    assert tally.most * 1e6 == pytest.approx(long, rel=0.001)
    assert len(tally.to_json()["histogram"]) < 100
    assert len(tally.histogram.counts) < 50_000


def test_a_tally_of_before_can_be_read() -> None:
    """Its histogram ended at 1 h."""
    earlier = HdrHistogram(1, HOUR, 3)
    earlier.record_value(HOUR // 2)
    values = tally_of([5]).to_json() | {"histogram": earlier.encode().decode()}
    assert Tally.from_json(values).most == pytest.approx(1800, rel=0.001)


def test_a_long_time_line_does_not_grow_for_ever() -> None:
    """Seconds are taken together; nothing is lost."""
    now = 0
    ledger = Ledger(0, 9000 * NANOSECONDS, None)
    for second in range(1, 9001):
        now = second * NANOSECONDS
        ledger.latencies.append(1000 * second)
        ledger.end_second(now)
    tally = ledger.close(0)
    assert len(tally.timeline) == 3000
    assert tally.requests == sum(second.requests for second in tally.timeline) == 9000
    assert tally.timeline[-1].second == 8997


def test_ever_new_latencies_do_not_fill_the_memory() -> None:
    """As of a server that falls ever farther behind its schedule: here up to 100 min."""
    seconds, each = 30, 2000
    ledger = Ledger(0, seconds * NANOSECONDS, None)
    for second in range(1, seconds + 1):
        first = second * 200 * NANOSECONDS
        ledger.latencies.extend(range(first, first + each * 1000, 1000))
        ledger.end_second(second * NANOSECONDS)
    assert len(ledger._counts) < 1000
    assert ledger.close(0).timed == seconds * each
