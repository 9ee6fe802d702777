"""The benchmarks' verdicts: what is divided by what, and what is said when it cannot be."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from benchmarks.__main__ import main
from benchmarks.house import load, question, results
from benchmarks.house.callers import CallersFailed, Seen, call_in_processes
from benchmarks.house.peer import find
from benchmarks.house.question import Bar
from benchmarks.house.results import Results
from benchmarks.house.servers import Running
from benchmarks.house.verdict import judge
from benchmarks.questions import idle_clients
from lab_utils_mt._load.fleet import Outcome
from lab_utils_mt._load.plan import Plan
from lab_utils_mt._load.tally import Tally

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


@pytest.mark.parametrize(
    ("ours", "fast", "note"),
    [
        (0.6, 0.4, "limited by the load"),
        (0.4, 0.6, "the other side limited by the load"),
        (0.6, 0.6, "both sides limited by the load"),
    ],
)
def test_of_a_ratio_it_is_told_which_side_the_load_limited(
    ours: float, fast: float, note: str
) -> None:
    """Ours looks better than it is if the other could have been faster."""
    found = measured(ours=rates(200, load_busy=ours), fast=rates(200, load_busy=fast))
    bar = Bar("", "requests_per_s", OURS, {"server": "fast"}, at_least=0.85)
    assert judge(bar, found).note == note


def test_each_of_several_must_reach_the_bar() -> None:
    """The worst is compared, and named; if one is missing, nobody knows which is the worst."""
    both = {"server": ("ours", "ours, old"), "clients": 8}
    old = {"server": "ours, old", "clients": 8}
    found = measured(ours=rates(900), fast=rates(1000))
    found.case(old).rounds.update(enumerate(rates(500)))
    bar = Bar("", "requests_per_s", both, {"server": "fast"}, at_least=0.85)
    verdict = judge(bar, found)
    assert (verdict.value, verdict.word, verdict.note) == (0.5, "missed", "the worst: ours, old")

    most = Bar("", "requests_per_s", both, at_most=600)
    assert (judge(most, found).value, judge(most, found).word) == (900, "missed")
    found.case(old).rounds.clear()
    assert judge(bar, found).word == "not measured"


@pytest.mark.parametrize("side", ["ours", "fast"])
def test_a_round_that_failed_on_one_side_is_told(side: str) -> None:
    """The others are compared all the same."""
    found = measured(ours=rates(900, 900), fast=rates(1000, 1000))
    found.case({"server": side, "clients": 8}).rounds.pop(1)
    found.case({"server": side, "clients": 8}).failed = "it did not start"
    bar = Bar("", "requests_per_s", OURS, {"server": "fast"}, at_least=0.85)
    assert (judge(bar, found).value, judge(bar, found).note) == (0.9, "not all rounds")


def test_what_a_client_sees_is_counted_by_when_it_was_answered() -> None:
    """Answers count if they come in the span, latencies if the request was begun in it."""
    begin = time.perf_counter() + 0.15
    seen = Seen()
    seen.ask(lambda: time.sleep(0.1), begin, begin + 0.4)
    assert 1 <= seen.answered <= 4
    assert seen.answered <= len(seen.latencies) + 1
    assert min(seen.latencies) > 0.09
    assert seen.waited == pytest.approx(0.4, abs=0.01)


def test_a_load_process_that_dies_says_why() -> None:
    """The last lines of its standard error are in the fault."""
    running = Running(1, 0, find("benchmarks.peers.ours"), "benchmarks.peers.nobody")
    with pytest.raises(CallersFailed, match="No module named"):
        call_in_processes(running, clients=2, seconds=0.1, warm_up=0.1, processes=1)


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (["report", "start"], "give no question"),
        (["--seconds", "nan"], "positive float"),
        (["--seconds", "inf"], "positive float"),
        (["strat"], "did you mean start"),
    ],
)
def test_a_command_line_that_means_nothing_is_refused(
    words: list[str], fault: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """And what is wrong with it is told."""
    with pytest.raises(SystemExit):
        main(words)
    assert fault in capsys.readouterr().err


def test_a_measurement_that_somebody_ended_gives_no_figures() -> None:
    """Half a measurement is none."""
    plan = Plan("127.0.0.1", 1, b"hello\n")
    with pytest.raises(KeyboardInterrupt):
        load.figures(Outcome(plan, Tally(), 0.0, was_interrupted=True), 1.0)


def test_idle_clients_that_come_too_late_give_no_figures() -> None:
    """Seconds in which some are missing would count."""
    with pytest.raises(RuntimeError, match="to come"), idle_clients.at_most(0.01, "come"):
        time.sleep(0.02)


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
