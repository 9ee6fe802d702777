"""The pace of attempts, by a clock of our own."""

from __future__ import annotations

import pytest

from lab_utils_mt._storage import backoff
from lab_utils_mt._storage.backoff import Backoff


class Clock:
    """A clock that goes when it is told to."""

    now = 1000.0

    def monotonic(self) -> float:
        """Return the time."""
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Let the module see a clock of our own."""
    mine = Clock()
    monkeypatch.setattr(backoff, "time", mine)
    return mine


def test_at_most_20_attempts_a_minute(clock: Clock) -> None:
    """In any minute of an outage, with any jitter; and never more than 5 s between two."""
    for _ in range(200):
        pace, attempts, gaps = Backoff(), [clock.now], []
        while clock.now < attempts[0] + 60:
            pace.failed(pace.era)
            gaps.append(pace.delay())
            clock.now += gaps[-1]
            attempts.append(clock.now)
        assert len(attempts) - 1 <= 20
        assert max(gaps) < 4.5
        for gap, ideal in zip(gaps, [0.5, 1, 2, 4, 4, 4], strict=False):
            assert 0.9 * ideal <= gap <= 1.1 * ideal + 1e-9


def test_one_at_a_time_after_a_failure_more_after_each_success(clock: Clock) -> None:
    """So that a server that just came back is not stormed."""
    pace = Backoff()
    widths = [pace.width]
    for _ in range(3):
        assert pace.opened() is None
        widths.append(pace.width)
    pace.failed(pace.era)
    assert [*widths, pace.width] == [1, 2, 4, 8, 1]


def test_attempts_that_fail_side_by_side_count_once(clock: Clock) -> None:
    """Eight at once are no reason to wait eight times as long."""
    pace = Backoff()
    era = pace.era
    for _ in range(8):
        pace.failed(era)
    assert pace.delay() <= 0.55
    assert pace.outage is not None
    assert pace.outage.attempts == 8


def test_an_outage_begins_and_ends_once(clock: Clock) -> None:
    """So that it is told once."""
    pace = Backoff()
    assert pace.failed(pace.era)
    clock.now += 7
    assert not pace.failed(pace.era)
    assert str(pace.outage) == "7.0 s, 2 attempts"
    ended = pace.opened()
    assert ended is not None
    assert ended.attempts == 2
    assert pace.outage is None
    assert pace.opened() is None


def test_a_lost_session_is_replaced_at_once(clock: Clock) -> None:
    """And those that died with it count once."""
    pace = Backoff()
    pace.opened()
    era = pace.era
    for _ in range(5):
        pace.lost(era)
    assert pace.delay() == 0
    assert pace.width == 1
    assert pace.era == era + 1


def test_a_server_that_only_seems_to_be_back_counts_as_down(clock: Clock) -> None:
    """Logins work, but whatever they bring dies."""
    pace, delays = Backoff(), []
    for _ in range(4):
        pace.opened()
        pace.lost(pace.era)
        delays.append(pace.delay())
        clock.now += pace.delay()
    assert delays == [
        0,
        pytest.approx(0.5, rel=0.11),
        pytest.approx(1, rel=0.11),
        pytest.approx(2, rel=0.11),
    ]
    pace.opened()
    pace.proved(pace.era - 1)  # an old session proves nothing
    pace.lost(pace.era)
    assert pace.delay() > 3
    clock.now += 10
    pace.opened()
    pace.proved(pace.era)
    pace.lost(pace.era)
    assert pace.delay() == 0
