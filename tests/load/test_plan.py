"""Which loads can be planned, and how they are dealt out."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab_utils_mt._load.plan import Plan
from lab_utils_mt.exceptions import LabUtilsError

PLAN = Plan("lab-pc", 1507, b"ping\n")


@given(st.binary().filter(lambda data: b"\n" not in data and data.strip()), st.booleans())
def test_a_plan_travels_as_json(request: bytes, reconnect: bool) -> None:
    """With every request, also one that is no text."""
    plan = Plan("lab-pc", 1507, request + b"\n", 3, rate=2.5, reconnect=reconnect, ok=request)
    assert Plan.from_json(json.loads(json.dumps(plan.as_json()))) == plan


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"clients": 0}, "clients is 0, not a number from 1"),
        ({"clients": True}, "clients"),
        ({"clients": 1.5}, "clients"),
        ({"port": 70000}, "port"),
        ({"seconds": 0.0}, "seconds"),
        ({"seconds": float("nan")}, "seconds"),
        ({"rate": 0.0}, "rate"),
        ({"rate": -1.0}, "rate"),
        ({"ramp": -1.0}, "ramp"),
        ({"timeout": 0.0}, "timeout"),
        ({"ramp": 10.0}, "a ramp of 10 s is not over before the end"),
        ({"ramp": 12.0, "warm_up": 2.0}, "a ramp of 12 s is not over"),
        ({"rate": 0.1, "warm_up": 1.0, "seconds": 2.0}, "at a rate of 0.1/s nothing is due"),
        ({"request": b"\n"}, "empty"),
        ({"request": b"ping"}, "not one line"),
        ({"request": b"a\nb\n"}, "not one line"),
        ({"terminated": False}, "reconnect"),
        ({"processes": 2}, "some have nothing to do"),
    ],
)
def test_nonsense_is_refused(change: dict[str, Any], complaint: str) -> None:
    """The text says what it is."""
    with pytest.raises(LabUtilsError, match=complaint):
        dataclasses.replace(PLAN, **change)


@pytest.mark.parametrize(
    "change", [{"request": 3}, {"host": None}, {"rate": "fast"}, {"reconnect": 1}, {"more": 1}]
)
def test_json_of_something_else_is_refused(change: dict[str, Any]) -> None:
    """Whatever it is."""
    with pytest.raises(LabUtilsError, match="no plan"):
        Plan.from_json(PLAN.as_json() | change)
    with pytest.raises(LabUtilsError, match="no plan"):
        Plan.from_json([change])


@given(st.integers(1, 50), st.integers(1, 50))
def test_clients_are_dealt_out_evenly(clients: int, processes: int) -> None:
    """Each to one process."""
    processes = min(clients, processes)
    plan = dataclasses.replace(PLAN, clients=clients, processes=processes)
    shares = [plan.numbers(process) for process in range(processes)]
    assert sorted(number for share in shares for number in share) == [*plan.numbers(None)]
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_how_many_requests_are_meant() -> None:
    """Fewer while clients still come."""
    assert PLAN.scheduled is None
    plan = dataclasses.replace(PLAN, clients=2, rate=10.0, seconds=4.0)
    assert plan.scheduled == pytest.approx(40)
    assert dataclasses.replace(plan, ramp=2.0).scheduled == pytest.approx(35)
    assert dataclasses.replace(plan, ramp=4.0, warm_up=4.0).scheduled == pytest.approx(40)


def test_a_rate_at_which_something_is_due() -> None:
    """The first request of a client is due when it comes, the next an interval later."""
    slow = dataclasses.replace(PLAN, rate=0.1, seconds=2.0)
    assert slow.scheduled == pytest.approx(0.2)
    assert dataclasses.replace(slow, warm_up=9.0).rate == 0.1
    assert dataclasses.replace(slow, warm_up=9.0, clients=2).rate == 0.1


def test_an_address_as_it_is_written() -> None:
    """One of IPv6 in brackets."""
    assert PLAN.where == "lab-pc:1507"
    assert dataclasses.replace(PLAN, host="::1").where == "[::1]:1507"
