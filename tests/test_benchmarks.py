"""The benchmarks' verdicts: what is divided by what, and what is said when it cannot be."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from daemons import serving as listening
from daemons import wait_until

from benchmarks.__main__ import main
from benchmarks.house import load, percentile, plots, question, results, tables
from benchmarks.house.callers import CallersFailed, Seen, call_in_processes
from benchmarks.house.peer import MissingPeer, find
from benchmarks.house.question import Bar
from benchmarks.house.results import Results
from benchmarks.house.servers import (
    CONTESTANTS,
    PEERS,
    ROOT,
    Running,
    ServerDied,
    StartFailed,
    serving,
)
from benchmarks.house.verdict import judge
from benchmarks.peers import ours
from benchmarks.questions import idle_clients, many_commands, persistent_clients
from lab_utils_mt._load.fleet import Outcome, run
from lab_utils_mt._load.plan import Plan
from lab_utils_mt._load.tally import Tally
from lab_utils_mt.exceptions import LabUtilsError
from lab_utils_mt.socket_comm import Server

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


def test_a_reply_that_tells_of_an_error_is_no_answer(pid_file: str) -> None:
    """It would be measured as one, and errors are fast."""
    error = b'{"jsonrpc":"2.0","error":{"code":-32601,"message":"Method not found"},"id":1}'
    assert not any(error.startswith(ok) for _, _, ok in many_commands.STYLES.values())

    without_echo = Server(host="127.0.0.1", port=0, pid_file_name=pid_file)
    with (
        listening(without_echo) as server,
        ours.connect(server.port) as call,
        pytest.raises(ValueError, match="wrong reply"),
    ):
        call()


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


PEER_FILE = "a_peer_of_the_test"
PEER = r"""
import dataclasses
import socket
from benchmarks.house.peer import Wire
from benchmarks.peers import rpyc

def serve(port, options):
    raise RuntimeError("broken on purpose")

def serve_two(port, options):
    with socket.create_server(("127.0.0.1", port)) as listener:
        for _ in range(2):
            with listener.accept()[0] as client:
                client.recv(100)
                client.sendall(b"hello\n")
    raise RuntimeError("two are enough")

HERE = dataclasses.replace(rpyc.PEER, version=lambda: "1", serve=serve)
MORTAL = dataclasses.replace(HERE, serve=serve_two, wire=Wire(b"hello\n", b"hello"))
NOT_HERE = dataclasses.replace(HERE, version=rpyc.installed("a-package-that-is-nowhere"))
"""


def test_only_a_peer_that_is_not_installed_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is there and does not start shows a broken benchmark: it must not pass for that."""
    (tmp_path / f"{PEER_FILE}.py").write_text(PEER, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(MissingPeer, match="is not installed"), serving(f"{PEER_FILE}:NOT_HERE"):
        pass
    with pytest.raises(StartFailed, match="broken on purpose"), serving(f"{PEER_FILE}:HERE"):
        pass


def test_a_server_that_dies_while_it_is_measured_has_no_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused connections are few: by their number alone, half a measurement would pass."""
    (tmp_path / f"{PEER_FILE}.py").write_text(PEER, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(ServerDied, match="two are enough"), serving(f"{PEER_FILE}:MORTAL") as it:
        plan = Plan("127.0.0.1", it.port, b"hello\n", seconds=0.1)
        assert run(plan).tally.requests == 1
        wait_until(lambda: has_ended(it.pid))


def has_ended(pid: int) -> bool:
    """Tell whether a process has, also if nobody has asked for its exit status yet."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.mark.parametrize("why", ["it was not there", "it has another figure only"])
def test_the_fastest_of_several_is_told_to_be_without_those_that_are_missing(why: str) -> None:
    """It might have been the fastest."""
    found = measured(ours=rates(300), slow=rates(100))
    if why == "it has another figure only":
        found.case({"server": "fast", "clients": 8}).rounds[0] = {"p50_ms": 1.0}
    verdict = judge(Bar("", "requests_per_s", OURS, THEIRS, at_least=1.5), found)
    assert (verdict.word, verdict.note) == ("met", "against slow, without fast")


def test_a_bar_is_not_met_by_leaving_clients_without_an_answer() -> None:
    """Latencies know nothing of requests that had none."""
    bar = Bar("", "p99_ms", OURS, {"server": "fast"}, at_most=1.0)
    fast = [{"p99_ms": 2.0}]
    for served, word in ((8.0, "met"), (2.0, "missed")):
        found = measured(ours=[{"p99_ms": 1.0, "clients_served": served}], fast=fast)
        assert judge(bar, found).word == word
    assert judge(bar, found).note == "it left clients without their turn"


def test_the_figures_that_were_divided_are_shown() -> None:
    """A ratio of two growths says nothing of how much grows."""
    bar = Bar("", "growth", OURS, {"server": "fast"}, at_most=1.1)
    found = measured(ours=[{"growth": 1.62}], fast=[{"growth": 1.63}])
    asked = question.Question("", "", "", "", lambda _: [], [bar], [])
    assert "1.62 / 1.63" in tables.bars_table([(asked, found)])


@pytest.mark.parametrize(
    ("count", "names"),
    [
        (1, {"p50_ms"}),
        (99, {"p50_ms"}),
        (100, {"p50_ms", "p99_ms"}),
        (999, {"p50_ms", "p99_ms"}),
        (1000, {"p50_ms", "p99_ms", "p999_ms"}),
    ],
)
def test_a_percentile_needs_a_latency_beyond_it(count: int, names: set[str]) -> None:
    """Of fewer, it would be the longest of them."""
    assert percentile.told_of([0.001] * count).keys() == names
    tally = Tally()
    tally.record(1000, count)
    tally.requests, tally.seconds = count, 1.0
    found = load.figures(Outcome(Plan("127.0.0.1", 1, b"hello\n"), tally, 0.0))
    assert names == {name for name in found if name.startswith("p")}


def test_a_folder_that_cannot_be_is_told_before_anything_is_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not after hours."""
    file = tmp_path / "file"
    file.touch()
    assert main(["start", "--rounds", "1", "--folder", str(file)]) == 1
    said = capsys.readouterr()
    assert f"cannot write {file / 'results'}" in said.err
    assert "first reply" not in said.out


def test_results_that_cannot_be_written_leave_no_file_and_the_old_ones(tmp_path: Path) -> None:
    """Neither a half of the new ones."""
    measured(ours=rates(1.0)).write(tmp_path)
    before = results.read("some_question", tmp_path)
    broken = measured(ours=rates(2.0))
    broken.header["machine"] = object()
    with pytest.raises(TypeError):
        broken.write(tmp_path)
    (tmp_path / "a_folder.jsonl").mkdir()
    unwritable = measured(ours=rates(2.0))
    unwritable.question = "a_folder"
    with pytest.raises(LabUtilsError, match="cannot write"):
        unwritable.write(tmp_path)
    assert results.read("some_question", tmp_path) == before
    assert {path.name for path in tmp_path.iterdir()} == {"some_question.jsonl", "a_folder.jsonl"}


@pytest.mark.parametrize(
    "names",
    [
        list(CONTESTANTS),
        ["lab_utils_mt, bytes", "lab_utils_mt, text", "ThreadingTCPServer", "rpyc", "Pyro5"],
        ["socketserver", "lab_utils_mt.socket_comm", "lab_utils_mt.database", "rpyc", "aiokatcp"],
        ["logging", "loguru", "structlog", "lab_utils_mt"],
        ["typed", "JSON-RPC", "argparse"],
        [""],
    ],
)
def test_ours_is_orange_and_no_colour_is_used_twice(names: list[str]) -> None:
    """Who has a plot of a package in mind finds it in each."""
    found = plots.colours(names)
    assert len(set(found.values())) == len(names)
    others = [name for name in names if name and not name.startswith("lab_utils_mt")]
    if len(others) == len(names):  # all of them are ours
        others = []
    assert {found[name] for name in others}.isdisjoint(plots.SHADES)
    assert {found[name] for name in names if name not in others} <= set(plots.SHADES)
    assert found.get("lab_utils_mt", "#E69F00") == "#E69F00"


def test_a_further_contestant_takes_part_by_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is measured, and is drawn in a colour of its own; a Peer need not name one."""
    monkeypatch.setitem(CONTESTANTS, "a new one", "benchmarks.peers.bare:ONE_MESSAGE")
    asked = {case.labels["server"] for case in persistent_clients.cases(question.FULL)}
    assert "a new one" in asked
    found = plots.colours(CONTESTANTS)
    assert found["a new one"] in plots.FURTHER
    assert len(set(found.values())) == len(CONTESTANTS)


def test_the_peers_are_all_that_is_neither_ours_nor_the_floor() -> None:
    """Nobody lists them a second time."""
    assert PEERS == ("rpyc", "Pyro5", "frappy", "aiokatcp", "PyTango", "QMI")
    assert all(
        set(bar.against["server"]) == set(PEERS)
        for bar in persistent_clients.BARS
        if bar.against and isinstance(bar.against["server"], tuple)
    )


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_an_output_that_nobody_reads_ends_it_without_a_traceback(unbuffered: str) -> None:
    """As ``--list | head -1`` does."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as pipe:
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-m", "benchmarks", "--list"],
            stdout=pipe,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
            cwd=ROOT,
            timeout=60,
            check=False,
        )
    assert (done.returncode, done.stderr) == (1, b"")


def results_in(folder: Path, *lines: str) -> Path:
    """Put a file of results where the report looks for that of a question."""
    path = folder / "results" / "start.jsonl"
    path.parent.mkdir()
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


HEAD = json.dumps(
    {
        "question": "start",
        "time": "2026-11-23T06:16:56+0000",
        "load_average": None,
        "size": {"name": "full", "rounds": 1, "seconds": 1.0},
        "machine": dict.fromkeys(("cpu", "cores", "memory_gib", "kernel", "python"), 1),
        "commit": None,
        "dirty": None,
        "contestants": {},
    }
)
LINE = '{"labels": {"server": "lab_utils_mt"}, "round": 0, "figures": {"first_reply_ms": 109.4}}'


@pytest.mark.parametrize(
    ("lines", "fault"),
    [
        ((), "line 1 of {path} is no result"),
        (("[1]", LINE), "line 1 of {path} is no result"),
        ((HEAD, LINE, LINE[:30]), "line 3 of {path} is no result"),
        ((HEAD, LINE.replace("labels", "label")), "line 2 of {path} is no result"),
        ((HEAD, LINE.replace("109.4", '"late"')), "line 2 of {path} is no result"),
        (('{"machine": "some"}', LINE), "are of another version, without commit, contestants,"),
    ],
)
def test_a_report_of_damaged_results_says_where(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], lines: tuple[str, ...], fault: str
) -> None:
    """One line, exit status 1; the table of before stays."""
    path = results_in(tmp_path, *lines)
    table = path.with_name("TABLE.md")
    table.write_text("before", encoding="utf-8")
    assert main(["report", "--folder", str(tmp_path)]) == 1
    said = capsys.readouterr()
    assert (said.out, len(said.err.splitlines())) == ("", 1)
    assert fault.format(path=path) in said.err
    assert table.read_text(encoding="utf-8") == "before"


def test_a_report_of_nothing_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As after a slip in the name of the folder, which is not made."""
    folder = tmp_path / "reslts"
    assert main(["report", "--folder", str(folder)]) == 1
    assert f"there are no results in {folder / 'results'}" in capsys.readouterr().err
    assert not folder.exists()


def test_a_report_that_cannot_be_written_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not a traceback."""
    results_in(tmp_path, HEAD, LINE)
    (tmp_path / "plots").write_text("a file where a folder should be")
    assert main(["report", "--folder", str(tmp_path)]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1
