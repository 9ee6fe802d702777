"""The benchmarks' verdicts: what is divided by what, and what is said when it cannot be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.house import question, results
from benchmarks.house.question import Bar
from benchmarks.house.results import Results
from benchmarks.house.verdict import judge

HEADER = {"machine": "some"}
OURS = {"server": "ours", "clients": 8}
THEIRS = {"server": ("fast", "slow"), "clients": 8}


def measured(**figures: list[dict[str, float]]) -> Results:
    """Return results with 8 clients: the figures of each round, by server."""
    found = Results("some_question", dict(HEADER))
    for server, rounds in figures.items():
        found.case({"server": server, "clients": 8}).rounds.update(enumerate(rounds))
    return found


def rates(*numbers: float, **more: float) -> list[dict[str, float]]:
    """Return a figure of some rounds."""
    return [{"requests_per_s": number, **more} for number in numbers]


def test_a_ratio_is_taken_within_each_round_and_then_the_median() -> None:
    """A round on a slow machine is slow for both: 0.5, 0.9 and 0.8, not 900 of 1000."""
    found = measured(ours=rates(500, 90, 1600), fast=rates(1000, 100, 2000))
    verdict = judge(Bar("", "requests_per_s", OURS, {"server": "fast"}, at_least=0.85), found)
    assert (verdict.value, verdict.low, verdict.high) == (0.8, 0.5, 0.9)
    assert verdict.word == "missed"


def test_the_best_of_several_is_the_one_to_beat() -> None:
    """And it is named."""
    found = measured(ours=rates(300), slow=rates(100), fast=rates(200))
    verdict = judge(Bar("", "requests_per_s", OURS, THEIRS, at_least=1.5), found)
    assert (verdict.value, verdict.word, verdict.note) == (1.5, "met", "against fast")

    late = Bar("", "p99_ms", OURS, THEIRS, at_most=1.0)
    found = measured(ours=[{"p99_ms": 3.0}], slow=[{"p99_ms": 6.0}], fast=[{"p99_ms": 2.0}])
    assert (judge(late, found).value, judge(late, found).word) == (1.5, "missed")


@pytest.mark.parametrize("rounds", [[], [{"p50_ms": 1.0}]])
def test_what_was_not_measured_is_neither_met_nor_missed(rounds: list[dict[str, float]]) -> None:
    """Be it a file, a case or a figure."""
    bar = Bar("", "requests_per_s", OURS, {"server": "fast"}, at_least=0.85)
    assert judge(bar, None).word == "not measured"
    assert judge(bar, measured(ours=rates(1), fast=rounds)).word == "not measured"
    assert judge(bar, measured(ours=rounds, fast=rates(1))).word == "not measured"


def test_a_load_that_was_the_limit_is_told() -> None:
    """The figure is then the load's, not the server's."""
    bar = Bar("", "requests_per_s", OURS, at_least=100)
    assert judge(bar, measured(ours=rates(200, load_busy=0.4))).note == ""
    assert judge(bar, measured(ours=rates(200, load_busy=0.6))).note == "limited by the load"


def test_results_come_back_as_they_were_written(tmp_path: Path) -> None:
    """Also what was missing, and what failed."""
    found = measured(ours=rates(1.5, 2.5), slow=[])
    found.case({"server": "slow", "clients": 8}).missing = "no wheel"
    found.case({"server": "fast", "clients": 8}).failed = "it did not start"
    found.write(tmp_path)

    assert results.read("some_question", tmp_path) == found
    assert results.read("another_question", tmp_path) is None
    first, *_ = (tmp_path / "some_question.jsonl").read_text().splitlines()
    assert json.loads(first) == HEADER


@pytest.mark.parametrize("name", question.names())
def test_a_question_says_what_it_asks_and_what_must_be_reached(name: str) -> None:
    """Each bar and plot names labels that its cases have, in both sizes."""
    asked = question.load(name)
    assert asked.text.endswith("?")
    for size in (question.FULL, question.SMOKE):
        assert asked.cases(size)
    cases = asked.cases(question.FULL)
    wanted: list[dict[str, Any]] = [dict(bar.of) for bar in asked.bars]
    wanted += [dict(bar.against) for bar in asked.bars if bar.against]
    for labels in wanted:
        assert any(question.fits(case.labels, labels) for case in cases), labels
    for plot in asked.plots:
        shown = [case for case in cases if question.fits(case.labels, plot.only)]
        assert shown, plot
        assert all(plot.x in case.labels for case in shown), plot
