"""Several processes put one load on real servers."""

from __future__ import annotations

import _thread
import sys
import threading

import psutil
import pytest
from daemons import Stage, wait_until
from scripted import answering, scripted

from lab_utils_mt._load import fleet
from lab_utils_mt._load.fleet import Outcome, Progress, run
from lab_utils_mt._load.plan import Plan
from lab_utils_mt._load.tally import Tally
from lab_utils_mt.exceptions import LabUtilsError

REQUEST = b"echo hello\n"


def test_all_processes_are_counted(stage: Stage) -> None:
    """The server saw as many requests as all of them together."""
    told: list[Progress] = []
    plan = Plan("127.0.0.1", stage.port, REQUEST, 7, seconds=1.2, processes=3)
    outcome = run(plan, told.append)
    tally = outcome.tally
    assert outcome.plan == plan
    assert tally.requests == len(stage.executed) > 7
    assert not tally.errors
    assert [progress.second.second for progress in told] == [0, 1]
    assert told[-1].requests == tally.requests - tally.late
    assert 0 < outcome.busiest < 1.2
    assert not outcome.was_interrupted


def test_a_rate_is_shared() -> None:
    """And the clients of all processes come evenly."""
    with scripted(answering(b"hello\n")) as server:
        plan = Plan("127.0.0.1", server.port, REQUEST, 6, 1.0, 150.0, ramp=0.2, processes=2)
        outcome = run(plan)
    assert outcome.tally.requests == server.requests
    assert plan.scheduled is not None
    assert outcome.tally.requests + outcome.tally.unsent == pytest.approx(plan.scheduled, abs=8)
    assert server.connections == 6


@pytest.mark.parametrize("how", ["stop", "interrupt"])
def test_what_was_measured_until_ctrl_c_is_kept(how: str) -> None:
    """Ctrl-C in the main thread, or the event; no process stays."""
    stop = threading.Event()
    with scripted(answering(b"hello\n")) as server:

        def end() -> None:
            wait_until(lambda: server.requests > 20)
            stop.set() if how == "stop" else _thread.interrupt_main()

        thread = threading.Thread(target=end)
        thread.start()
        outcome = run(Plan("127.0.0.1", server.port, REQUEST, 2, 600, processes=2), stop=stop)
        thread.join()
    assert outcome.was_interrupted
    assert outcome.tally.requests > 0
    assert outcome.tally.seconds < 60
    assert outcome.reached is None


def test_a_host_without_address_starts_nothing() -> None:
    """It is one error."""
    with pytest.raises(LabUtilsError, match="has no address"):
        run(Plan("no.such.host.invalid", 1507, REQUEST))


def test_a_process_that_cannot_work_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last line that it wrote tells why."""
    monkeypatch.setattr(fleet, "_START", "raise SystemExit('no memory')")
    with pytest.raises(LabUtilsError, match=r"ended early: no memory \(exit status 1\): "):
        run(Plan("127.0.0.1", 9, REQUEST))


def test_a_killed_process_is_told() -> None:
    """By what, what is lost, and what may help; the others end."""

    def kill() -> None:
        wait_until(lambda: server.requests > 20)
        next(child for child in psutil.Process().children() if is_ours(child)).kill()

    def is_ours(child: psutil.Process) -> bool:
        return any("_load.worker" in word for word in child.cmdline())

    with scripted(answering(b"hello\n")) as server:
        thread = threading.Thread(target=kill)
        thread.start()
        with pytest.raises(LabUtilsError) as caught:
            run(Plan("127.0.0.1", server.port, REQUEST, 2, 600, processes=2))
        thread.join()
    assert ": what was measured is lost" in str(caught.value)
    if sys.platform == "win32":  # there, who kills chooses the exit status
        assert "(exit status " in str(caught.value)
    else:
        assert "(signal 9, Killed): " in str(caught.value)
        assert "whether memory ran out" in str(caught.value)
    assert not any(is_ours(child) for child in psutil.Process().children())


def test_when_the_load_may_be_the_limit() -> None:
    """If a process of it worked more than half of the time."""
    plan = Plan("127.0.0.1", 9, REQUEST, rate=10.0)
    assert Outcome(plan, Tally(), 0.6).is_limited
    assert not Outcome(plan, Tally(), 0.4).is_limited
    assert fleet.busy_part([0.13] * 8, 2) > fleet.ENOUGH > fleet.busy_part([0.13] * 8, 8)
    assert fleet.busy_part([0.6, 0.1], 8) == 0.6
    assert fleet.busy_part([], 2) == 0
    assert fleet.usable_processors() >= 1
    assert Outcome(plan, Tally(unsent=25), 0.4).reached == pytest.approx(0.75)


def test_how_long_a_load_may_last() -> None:
    """One timeout for the last connection, and one more for its reply."""
    plan = Plan("127.0.0.1", 9, REQUEST, seconds=5.0, warm_up=2.0, timeout=30.0)
    assert fleet._longest(plan) == 67.0
