"""The load tester as a user calls it: figures, errors, files, exit status."""

from __future__ import annotations

import argparse
import contextlib
import copy
import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import psutil
import pytest
from daemons import Stage, serving, wait_until
from systems import WINDOWS, needs_keys, needs_ulimit
from talkative import TIMEOUT, environment, terminal
from test_command_line import run

from lab_utils_mt._cli import load, load_plots, load_summary
from lab_utils_mt._cli.load_comparison import Comparison
from lab_utils_mt._cli.load_page import page
from lab_utils_mt._cli.load_results import Files, Result, read
from lab_utils_mt._load.fleet import Outcome
from lab_utils_mt._load.plan import Plan
from lab_utils_mt._load.tally import Second, Tally
from lab_utils_mt.exceptions import LabUtilsError

PAGE = Path("new", "load.html")
HOSTILE = b"Error! <script>alert('x')</script>&\x1b[31m\n"


@contextlib.contextmanager
def replying(reply: bytes, pause: float = 0.0) -> Any:
    """Run a server that gives each line the same reply; yield its port."""
    over = threading.Event()

    def serve(client: socket.socket) -> None:
        with client, contextlib.suppress(OSError), client.makefile("rb") as lines:
            for _ in lines:
                over.wait(pause)
                client.sendall(reply)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                clients.append(client)
                if over.is_set():
                    client.close()
                    return
                threads.append(threading.Thread(target=serve, args=(client,)))
                threads[-1].start()

    clients: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threads = [threading.Thread(target=accept)]
        threads[0].start()
        try:
            yield listener.getsockname()[1]
        finally:
            over.set()
            socket.create_connection(listener.getsockname()).close()  # wakes it on all systems
            threads[0].join(TIMEOUT)
            for client in clients:
                with contextlib.suppress(OSError):
                    client.shutdown(socket.SHUT_RDWR)
            for thread in threads:
                thread.join(TIMEOUT)


def test_figures_come_out(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    """And what the server counted is what is told."""
    where = f"127.0.0.1:{stage.port}"
    words = ("--clients", "4", "--processes", "2", "--seconds", "0.3")
    status, output, errors = run(capsys, "load", where, "echo", "a b", *words)
    assert (status, errors) == (0, "")
    assert f'load on {where}: echo "a b"\n4 clients, 0.3 s, as fast' in output
    assert f"{len(stage.executed):,} good replies, " in output
    assert "no errors" in output
    assert set(stage.executed) == {'echo "a b"'}
    for figure in ("min", "p50", "p90", "p99", "p99.9", "max", "up to ms"):
        assert figure in output


def test_options_of_the_command_stand_behind_two_dashes(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    """Or in quotes with it."""
    where = f"127.0.0.1:{stage.port}"
    for words in (["--", "echo", "--times", "2", "x"], ["echo --times 2 x"]):
        status, _, errors = run(capsys, "load", where, "--seconds", "0.1", *words)
        assert (status, errors) == (0, "")
    assert set(stage.executed) == {"echo --times 2 x"}


def test_failing_commands_are_told(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    """By kind, with an example; exit status 1 if nothing else came."""
    where = f"127.0.0.1:{stage.port}"
    status, output, _ = run(capsys, "load", where, "fail so", "--seconds", "0.2")
    assert status == 1
    assert "x Error! reply: Error! argument how: invalid choice: 'so'" in output
    line = '{"jsonrpc":"2.0","id":1,"method":"nonsense"}'
    status, output, _ = run(capsys, "load", where, line, "--seconds", "0.2")
    assert status == 1
    assert "x JSON-RPC error: {" in output


def test_a_json_line_is_sent_as_it_stands(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    """But a notification is refused: it gets no reply."""
    where = f"127.0.0.1:{stage.port}"
    line = '{"jsonrpc":"2.0","id":1,"method":"ping"}'
    assert run(capsys, "load", where, line, "--seconds", "0.2")[0] == 0
    for space in ("", " "):
        line = space + '{"jsonrpc":"2.0","method":"ping"}'
        status, _, errors = run(capsys, "load", where, line, "--seconds", "0.1", "--timeout", "0.1")
        assert status == 2
        assert errors == "load: a JSON-RPC notification gets no reply: give it an id\n"


class Small(Stage):
    """A server for two clients."""

    max_clients = 2


def test_a_full_server_and_a_rate_out_of_reach_are_explained(
    pid_file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """With what may help."""
    words = ("--clients", "6", "--rate", "300", "--seconds", "0.5")
    with serving(Small(pid_file_name=pid_file, port=0)) as server:
        status, output, _ = run(capsys, "load", f"127.0.0.1:{server.port}", "echo", *words)
    assert status == 0
    assert "x server full: Error! server full (2 clients)" in output
    assert "raise its max_clients" in output
    assert "note: the rate was not reached" in output


def test_no_server_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """At once; exit status 1."""
    status, output, errors = run(capsys, "load", "127.0.0.1:1", "ping")
    assert (status, output) == (1, "")
    assert errors.startswith("load: cannot reach a server at 127.0.0.1:1: ")
    assert len(errors.splitlines()) == 1


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ((), "required: HOST:PORT"),
        ((":1507",), "required: command"),
        ((":1", "ping", "--clients", "0"), "argument --clients: '0' is not a number from 1 to"),
        ((":1", "ping", "--clients", "-1"), "argument --clients"),
        ((":1", "ping", "--clients", "9" * 5000), "argument --clients"),
        ((":1", "ping", "--seconds", "0"), "argument --seconds"),
        ((":1", "ping", "--rate", "-5"), "argument --rate: '-5' is not a number of requests/s"),
        ((":1", "ping", "--rate", "0"), "argument --rate"),
        ((":1", "ping", "--rate", "nan"), "argument --rate"),
        ((":1", "ping", "--ramp", "-1"), "argument --ramp"),
        ((":1", "ping", "--processes", "0"), "argument --processes"),
        ((":1", "ping", "--timeout", "0"), "argument --timeout"),
        ((":1", "ping", "--greeting", "-1"), "argument --greeting"),
        (
            (":1", "ping", "--greeting", "1001"),
            "argument --greeting: '1001' is not a number from 0 to 1000",
        ),
        (
            (":1", "ping", "--worse-by", "-1"),
            "argument --worse-by: '-1' is not a number of percent",
        ),
        ((":1", "ping", "--client", "3"), "unrecognized arguments: --client"),
    ],
)
def test_bad_words_get_the_usage_and_one_line(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...], complaint: str
) -> None:
    """And exit status 2; nothing is sent."""
    status, output, errors = run(capsys, "load", *words)
    assert (status, output) == (2, "")
    assert errors.startswith("usage: ")
    assert complaint in errors.splitlines()[-1]


@pytest.mark.parametrize(
    ("words", "status", "complaint"),
    [
        (("ping", "--processes", "2"), 2, "some have nothing to do"),
        (("a\nb",), 2, "U+000A"),
        ((" ",), 2, "the request is empty"),
        (("\udcff",), 2, "no text"),
        (("ping", "--json", "missing/a.json"), 1, "cannot write"),
        (("ping", "--output", "missing/a.html"), 1, "cannot write"),
        (("ping", "--output", "missing/folder"), 1, "cannot make the folder"),
        (("ping", "--output", "a.html", "--json", "./a.html"), 2, "both mean a.html: name another"),
        (("ping", "--output", "new", "--json", "new/load.html"), 2, f"both mean {PAGE}"),
        (("ping", "--output", "a.json"), 2, "--output a.json is for a page: the figures go to"),
        (("ping", "--compare", "missing.json"), 2, "cannot read"),
        (("ping", "--compare", "text.json"), 2, "has no figures of a load"),
        (("ping", "--compare", "list.json"), 2, "has no figures of a load: write them with"),
        (("ping", "--compare", "damaged.json"), 2, "are damaged"),
    ],
)
def test_what_makes_no_sense_is_one_line(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    status: int,
    complaint: str,
) -> None:
    """Before anything is sent."""
    monkeypatch.chdir(tmp_path)
    Path("text.json").write_text("hello")
    Path("list.json").write_text("[]")
    Path("damaged.json").write_text('{"format": "lab_utils_mt load 1", "plan": {}, "tally": 1}')
    found, output, errors = run(capsys, "load", "127.0.0.1:1", *words)
    assert (found, output, len(errors.splitlines())) == (status, "", 1)
    assert complaint in errors


def test_more_clients_than_files_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Exit status 2."""
    if not WINDOWS:
        import resource

        if resource.getrlimit(resource.RLIMIT_NOFILE)[1] > 90_000:
            pytest.skip("this system has no limit that a load reaches")
    status, _, errors = run(capsys, "load", "127.0.0.1:1", "ping", "--clients", "100000")
    assert (status, len(errors.splitlines())) == (2, 1)
    assert "use more processes" in errors


@needs_ulimit
def test_more_processes_than_files_is_one_line(tmp_path: Path) -> None:
    """Exit status 2: this program needs two files for each of them."""
    words = "-m lab_utils_mt load 127.0.0.1:1 ping --clients 40 --processes 40"
    done = subprocess.run(
        ["sh", "-c", f"ulimit -n 48; exec {sys.executable} {words}"],
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "load: 40 processes, but this one may have the files to talk to 8:"
        " use fewer processes, or raise the limit of open files (ulimit -n)\n"
    )


@pytest.mark.parametrize("missing", ["rich", "matplotlib", "hdrh"])
def test_a_missing_package_is_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    """Which says how to get it."""
    found = "lab_utils_mt._cli.load.importlib.util.find_spec"
    monkeypatch.setattr(found, lambda name: None if name == missing else "there")
    status, _, errors = run(capsys, "load", "127.0.0.1:1", "ping")
    assert (status, len(errors.splitlines())) == (1, 1)
    assert load._PACKAGES[missing] in errors
    assert 'python -m pip install "lab_utils_mt[load]"' in errors


def test_other_commands_do_not_wait_for_it() -> None:
    """Nothing that only a load needs is imported for them."""
    code = (
        "import sys; from lab_utils_mt.__main__ import main; main(['send', '127.0.0.1:1', 'ping']);"
        "sys.exit(str([name for name in sys.modules if name.split('.')[0] in"
        " ('hdrh', 'rich', 'matplotlib') or '._load' in name]))"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    assert done.stderr.splitlines()[-1] == "[]"


# --- files and comparisons -----------------------------------------------------------------------


def measure(capsys: pytest.CaptureFixture[str], port: int, *words: str) -> tuple[int, str, str]:
    """Run a short load."""
    return run(capsys, "load", f"127.0.0.1:{port}", "echo", "--seconds", "0.3", *words)


def test_earlier_and_now(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Exit status 3 if it is worse; 0 if it is as it was, or if more is allowed."""
    fast, slow = str(tmp_path / "fast.json"), str(tmp_path / "slow.json")
    with replying(b"hello\n") as port:
        assert measure(capsys, port, "--json", fast)[0] == 0
    with replying(b"hello\n", 0.05) as port:
        status, output, _ = measure(capsys, port, "--json", slow, "--compare", fast)
        assert status == 3
        assert "worse: requests/s: 0." in output
        assert "worse: p50 (ms): " in output
        assert "port was " in output
        assert measure(capsys, port, "--compare", fast, "--worse-by", "999999")[0] == 0
    with replying(b"hello\n") as port:
        status, output, _ = measure(capsys, port, "--compare", slow)
        assert status == 0
        assert "not worse than the earlier one" in output
        status, output, _ = measure(capsys, port, "--compare", slow, "--clients", "2")
        assert status == 2


def test_a_different_load_is_not_compared(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """What differs is told, before anything is sent."""
    path = str(tmp_path / "a.json")
    with replying(b"hello\n") as port:
        measure(capsys, port, "--json", path)
    words = ("ping", "--clients", "2", "--rate", "5", "--compare", path)
    status, output, errors = run(capsys, "load", f"127.0.0.1:{port}", *words)
    assert (status, output, len(errors.splitlines())) == (2, "", 1)
    for difference in ("request 'echo', now 'ping'", "clients 1, now 2", "rate none, now 5"):
        assert difference in errors


def test_errors_that_were_not_there_are_worse(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Although all figures may be better."""
    path = str(tmp_path / "a.json")
    with replying(b"hello\n", 0.05) as port:
        measure(capsys, port, "--json", path)

    with replying(b"hello\nError! why\n") as port:
        status, output, _ = measure(capsys, port, "--compare", path, "--worse-by", "999999")
    assert "surplus" in output
    assert status == 1  # nothing but errors
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=_good_then_bad, args=(listener,))
        thread.start()
        port = listener.getsockname()[1]
        status, output, _ = measure(capsys, port, "--compare", path, "--worse-by", "999999")
        thread.join()
    assert status == 3
    assert "worse: errors that were not there: " in output


def test_a_schedule_that_is_not_kept_is_worse(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Although the figures may be worse by as much; but only if it was kept before."""
    kept, late = str(tmp_path / "kept.json"), str(tmp_path / "late.json")
    line = "worse: requests that could not be sent in time: "
    words = ("--rate", "20", "--worse-by", "999999", "--json")
    with replying(b"hello\n") as port:
        assert measure(capsys, port, *words, kept)[0] == 0
    with replying(b"hello\n", 0.2) as port:
        status, output, _ = measure(capsys, port, *words, late, "--compare", kept)
        assert status == 3
        assert line in output
        assert measure(capsys, port, *words, late, "--compare", late)[0] == 0
    (text,) = (text for text in output.splitlines() if text.startswith(line))
    assert float(text.removeprefix(line).partition("%")[0]) > 50
    assert " of the schedule, earlier " in text


def test_a_greeting_belongs_to_the_load(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """With it there are no errors, and only then it can be compared."""
    path = str(tmp_path / "a.json")
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=_greeting, args=(listener, over))
        thread.start()
        port, words = listener.getsockname()[1], ("--rate", "20", "--json", path)
        status, output, _ = measure(capsys, port, *words, "--greeting", "1")
        assert (status, "no errors" in output) == (0, True)
        status, output, _ = measure(capsys, port, *words)
        assert "x surplus: the server sent a" in output
        assert "needs --greeting" in output
        over.set()
        socket.create_connection(listener.getsockname()).close()
        thread.join()
    status, _, errors = measure(capsys, port, "--rate", "20", "--greeting", "1", "--compare", path)
    assert status == 2
    assert "greeting 0, now 1" in errors


def _greeting(listener: socket.socket, over: threading.Event) -> None:
    """Serve one client after the other, until the first one that comes when it is over."""
    while not over.is_set():
        client, _ = listener.accept()
        with client, contextlib.suppress(OSError), client.makefile("rb") as lines:
            client.sendall(b"welcome\n")
            for _ in lines:
                threading.Event().wait(0.01)
                client.sendall(b"hello\n")


def _good_then_bad(listener: socket.socket) -> None:
    """Serve the look whether somebody is there, and one client."""
    for _ in range(2):
        client, _ = listener.accept()
        with client, client.makefile("rb") as lines:
            for number, _ in enumerate(lines):
                client.sendall(b"Error! bad\n" if number % 2 else b"hello\n")


def test_more_failed_requests_are_worse(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Of a hundred, and also if some failed before."""
    path = tmp_path / "a.json"
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=_good_then_bad, args=(listener,))
        thread.start()
        measure(capsys, listener.getsockname()[1], "--json", str(path))
        thread.join()
    bad = read(path)
    few = copy.deepcopy(bad)
    few.outcome.tally.errors = Counter({"Error! reply": few.outcome.tally.requests // 10})
    worse = Comparison(few, bad, 25.0).worse
    assert [text for text in worse if text.startswith("failed (%): 5.")] == worse != []
    assert Comparison(bad, bad, 0.0).worse == []
    assert Comparison(bad, few, 0.0).worse == []


def test_nothing_can_be_compared_with_no_reply(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Exit status 2, before anything is sent."""
    path = str(tmp_path / "a.json")
    with replying(b"Error! no\n") as port:
        assert measure(capsys, port, "--json", path)[0] == 1
    status, output, errors = measure(capsys, 1, "--compare", path)
    assert (status, output) == (2, "")
    assert errors == f"load: {path} has no good reply to compare with: measure it again\n"


@pytest.mark.parametrize(
    ("part", "change", "complaint"),
    [
        ("tally", {"requests": -5}, "are damaged"),
        ("tally", {"requests": 0}, "are damaged"),
        ("tally", {"errors": {"reset": 10**400}}, "are damaged"),
        ("tally", {"timeline": [[0, 1, 10**400, 0, 0, []]]}, "are damaged"),
        ("tally", {"seconds": -1}, "are damaged"),
        ("tally", {"seconds": 0}, "was measured for 0 s"),
        ("busiest", 10**400, "are damaged"),
    ],
)
def test_a_damaged_file_costs_no_measurement(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, part: str, change: Any, complaint: str
) -> None:
    """Exit status 2, before anything is sent."""
    path = tmp_path / "a.json"
    plan = Plan("127.0.0.1", 1, b"echo\n", seconds=0.3)
    tally = Tally(seconds=0.3)
    tally.record(500)
    values = Result.of(Outcome(plan, tally, 0.1)).as_json()
    path.write_text(json.dumps(values))
    assert measure(capsys, 1, "--compare", str(path))[0] == 1  # but for the server all is well
    values[part] = values[part] | change if part == "tally" else change
    path.write_text(json.dumps(values))
    status, output, errors = measure(capsys, 1, "--compare", str(path))
    assert (status, output, len(errors.splitlines())) == (2, "", 1)
    assert complaint in errors


def test_how_much_worse_is_too_much(capsys: pytest.CaptureFixture[str]) -> None:
    """The help and the options agree."""
    parser = argparse.ArgumentParser()
    load.add_arguments(parser)
    assert parser.parse_args([":1", "ping"]).worse_by == 25.0
    _, output, _ = run(capsys, "load", "--help")
    assert "how much worse is too much; default: 25\n" in output
    assert "worse what is so by more than 25 %" in output


def test_the_help_fits_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 80 columns; and it explains its words."""
    monkeypatch.setenv("COLUMNS", "80")
    _, output, _ = run(capsys, "load", "--help")
    assert max(map(len, output.splitlines())) <= 79
    for text in (
        "99 of 100 within p99",
        "With --ramp",
        "a file cannot be written",
        "could not be sent in time",
        "more than 10 %",
    ):
        assert text in output


def outcome(tally: Tally, busiest: float = 0.1, **plan: Any) -> Outcome:
    """Return what came of a load on nothing."""
    return Outcome(Plan("127.0.0.1", 9, b"ping\n", **plan), tally, busiest)


def test_what_should_be_known_of_the_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """And only that."""
    limited = outcome(Tally(), 0.7, clients=16, processes=4)
    monkeypatch.setattr(load_summary, "usable_processors", lambda: 4)
    assert "--processes" not in "".join(load_summary.warnings(limited))
    monkeypatch.setattr(load_summary, "usable_processors", lambda: 6)
    assert "try --processes 6" in "".join(load_summary.warnings(limited))
    assert "--processes" not in "".join(load_summary.warnings(outcome(Tally(), 0.7)))

    assert list(load_summary.warnings(outcome(Tally(unsent=0), rate=100.0))) == []
    (text,) = load_summary.warnings(outcome(Tally(unsent=1), rate=100.0))
    assert "1 of 1,000 requests were not sent in time" in text
    assert list(load_summary.warnings(outcome(Tally(unsent=1), rate=200.0))) == []
    ended = dataclasses.replace(outcome(Tally(unsent=1), rate=200.0), was_interrupted=True)
    assert "1 requests were not sent" in "".join(load_summary.warnings(ended))

    assert list(load_summary.warnings(outcome(Tally(), ramp=2.0, warm_up=2.0))) == []
    assert "the clients came over 2 s" in "".join(load_summary.warnings(outcome(Tally(), ramp=2.0)))
    for words in ("--greeting", "--reconnect", "to the first line"):
        assert words in load_summary.HINTS["surplus"].replace("\n", " ")


def test_one_error_is_one() -> None:
    """And two are two."""
    for times, told in ((1, "1 error:"), (2, "2 errors:")):
        result = Result.of(outcome(Tally(errors=Counter(closed=times), seconds=1.0)))
        assert told in [text for text, _ in load_summary.summary(result)]


def test_a_long_time_line_is_drawn_whole() -> None:
    """Seconds are taken together, none is left out."""
    tally = Tally(timeline=[Second(number, 1.0, 100, 0, 10) for number in range(1801)])
    tally.timeline[1000] = Second(1000, 1.0, 0, 50, 900_000)
    bins = load_plots._bins(tally)
    assert len(bins) <= 600
    assert max(one.worst for one in bins) == 900_000
    assert sum(one.errors for one in bins) == 50
    assert sum(one.requests for one in bins) == 180_000
    assert sum(one.seconds for one in bins) == pytest.approx(1801)
    assert load_plots._bins(Tally()) == []


def test_a_load_whose_replies_have_no_latency_is_told(tmp_path: Path) -> None:
    """All began before the measurement."""
    result = Result.of(outcome(Tally(requests=2, seconds=1.0)))
    assert "2 good replies, 2.0 requests/s" in [text for text, _ in load_summary.summary(result)]
    assert "2.0</b>requests/s" in page(result, None)


def test_the_figures_can_be_read_by_others(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """They are JSON with names and units; a folder gets the page, too."""
    folder = tmp_path / "results"
    with replying(b"hello\n") as port:
        status, output, _ = measure(capsys, port, "--output", str(folder))
    assert status == 0
    assert sorted(path.name for path in folder.iterdir()) == ["load.html", "load.json"]
    values = json.loads((folder / "load.json").read_text())
    figures = values["figures"]
    assert figures["requests_per_s"] > 0
    assert figures["p50_ms"] <= figures["p99_ms"] <= figures["p999_ms"] <= figures["max_ms"]
    assert values["machine"]["python"]
    assert read(folder / "load.json").as_json() == values
    assert output.count("written: ") == 2


def test_the_page_is_safe_and_whole(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """What the server says is shown as text; nothing comes from elsewhere."""
    path, earlier = tmp_path / "page.html", str(tmp_path / "a.json")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=_hostile, args=(listener,))
        thread.start()
        where = f"127.0.0.1:{listener.getsockname()[1]}"
        words = ("<b>&", "--seconds", "0.4", "--rate", "100", "--json", earlier)
        status, output, _ = run(capsys, "load", where, *words)
        again = (*words[:-2], "--output", str(path), "--compare", earlier, "--worse-by", "999999")
        assert run(capsys, "load", where, *again)[0] == 0
        thread.join()
    assert status == 0
    assert "\x1b" not in output
    page = path.read_text(encoding="utf-8")
    assert "<script" not in page
    assert "&lt;script&gt;alert" in page
    assert "<code>&lt;b&gt;&amp;</code>" in page
    assert "http" not in page
    assert page.count("<svg") == 3
    assert "\x1b" not in page
    assert "&amp;\\x1b[31m" in page
    assert "prefers-color-scheme: dark" in page
    for text in ("Error! reply", "p99", "Latency by percentile", "Compared", "earlier", "intended"):
        assert text in page


def test_a_page_shows_no_control_characters_of_a_file() -> None:
    """Nor what turns the direction of the text."""
    result = Result.of(outcome(Tally(seconds=1.0)))
    foreign = {**result.machine, "python": "3\x1b]0;\u202e"}
    earlier = dataclasses.replace(result, machine=foreign, time="<i>yesterday\x1b")
    told = page(result, Comparison(earlier, result, 25.0))
    assert "<h2>Compared with the earlier one</h2>\n" in told
    assert ">&lt;i&gt;yesterday\\x1b<" in told
    assert "python was 3\\x1b]0;\\u202e, now " in told
    assert not {"\x1b", "\u202e"} & set(told)


@pytest.mark.parametrize("lost", [0, 1])
def test_a_file_that_cannot_be_written_costs_only_itself(tmp_path: Path, lost: int) -> None:
    """The other one is written all the same, then it is told."""
    paths = [tmp_path / "page.html", tmp_path / "a.json"]
    files = Files(*paths)
    paths[lost].mkdir()
    written: list[Path] = []
    with pytest.raises(LabUtilsError) as caught:
        written.extend(files.write(Result.of(outcome(Tally(seconds=1.0))), None))
    assert paths[1 - lost].is_file()
    assert str(caught.value).startswith(f"cannot write {paths[lost]}: ")


def _hostile(listener: socket.socket) -> None:
    """Serve two loads: for each the look whether somebody is there, and one client."""
    for _ in range(4):
        client, _ = listener.accept()
        with client, client.makefile("rb") as lines:
            for number, _ in enumerate(lines):
                client.sendall(HOSTILE if number % 2 else b"hello\n")


# --- Ctrl-C and closed outputs -------------------------------------------------------------------


def start(stage: Stage, folder: Path, *words: str) -> subprocess.Popen[str]:
    """Start a long load."""
    where = f"127.0.0.1:{stage.port}"
    command = [sys.executable, "-m", "lab_utils_mt", "load", where, "echo", "--seconds", "500"]
    return subprocess.Popen(
        [*command, *words],
        env=environment(folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@needs_keys
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_the_first_connection_at_once(tmp_path: Path, signum: signal.Signals) -> None:
    """It waits for a server that takes no more connections."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            full = stack.enter_context(socket.socket())
            full.setblocking(False)
            full.connect_ex(listener.getsockname())
        words = ("load", f"127.0.0.1:{listener.getsockname()[1]}", "echo", "--timeout", "600")
        program = stack.enter_context(
            subprocess.Popen(
                [sys.executable, "-m", "lab_utils_mt", *words],
                env=environment(tmp_path),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        wait_until(lambda: _is_connecting(listener.getsockname()[1], program.pid))
        program.send_signal(signum)
        output, errors = program.communicate(timeout=TIMEOUT)
    assert program.returncode == (130 if signum == signal.SIGINT else -signum)
    assert (output, errors) == ("", "")


def _is_connecting(port: int, pid: int) -> bool:
    own = psutil.Process(pid).net_connections("tcp")
    return any(one.status == "SYN_SENT" and one.raddr[1] == port for one in own)


@needs_keys
def test_ctrl_c_shows_what_was_measured(stage: Stage, tmp_path: Path) -> None:
    """Exit status 130; the figures are written, and no process stays."""
    path = tmp_path / "a.json"
    with start(
        stage, tmp_path, "--clients", "4", "--processes", "2", "--json", str(path)
    ) as program:
        wait_until(lambda: len(stage.executed) > 50)
        os.killpg(program.pid, signal.SIGINT)
        output, errors = program.communicate(timeout=TIMEOUT)
    assert (program.returncode, errors) == (130, "")
    assert "interrupted after " in output
    assert "good replies" in output
    assert read(path).outcome.was_interrupted


@needs_keys
def test_ctrl_c_before_anything_was_measured_keeps_the_earlier_file(
    stage: Stage, tmp_path: Path
) -> None:
    """An empty measurement must not take the place of a good one."""
    path = tmp_path / "a.json"
    path.write_text("figures of yesterday")
    with start(stage, tmp_path, "--warm-up", "500", "--json", str(path)) as program:
        wait_until(lambda: len(stage.executed) > 50)
        os.killpg(program.pid, signal.SIGINT)
        output, errors = program.communicate(timeout=TIMEOUT)
    assert (program.returncode, errors) == (130, "")
    assert "no file is written" in output
    assert path.read_text() == "figures of yesterday"
    assert not list(tmp_path.glob(".a-*"))


def test_a_closed_output_loses_no_file(stage: Stage, tmp_path: Path) -> None:
    """As after ``| head -1``: the measurement goes on; exit status 1."""
    path, folder = tmp_path / "a.json", tmp_path / "all"
    words = ("--seconds", "1.5", "--json", str(path), "--output", str(folder))
    with start(stage, tmp_path, *words) as program:
        assert program.stdout is not None
        assert program.stderr is not None
        program.stdout.readline()
        program.stdout.close()
        errors = program.stderr.read()
        assert program.wait(TIMEOUT) == 1
    assert errors == ""
    assert read(path).outcome.tally.seconds >= 1.5
    assert (folder / "load.html").stat().st_size > 1000


def test_a_closed_output_ends_a_load_that_nobody_needs(stage: Stage, tmp_path: Path) -> None:
    """If there are no files either; exit status 1."""
    with start(stage, tmp_path) as program:
        assert program.stdout is not None
        program.stdout.readline()
        program.stdout.close()
        assert program.wait(TIMEOUT) == 1


def test_a_killed_load_leaves_no_process(stage: Stage, tmp_path: Path) -> None:
    """Its processes notice that it is gone, also if nobody could tell them."""
    with start(stage, tmp_path, "--clients", "2", "--processes", "2") as program:
        wait_until(lambda: len(stage.executed) > 50)
        children = psutil.Process(program.pid).children()
        assert len(children) == 2
        program.kill()
        program.communicate(timeout=TIMEOUT)
    wait_until(lambda: not any(child.is_running() for child in children), "their end")


def test_a_terminal_sees_a_table(stage: Stage, tmp_path: Path) -> None:
    """With a bar; then the summary."""
    where = f"127.0.0.1:{stage.port}"
    with terminal(tmp_path, "load", where, "echo", "--seconds", "1.5") as screen:
        screen.wait_for("p99 ms")
        screen.wait_for("of 1.5 s")
        screen.wait_for("good replies")
        assert screen.finish() == 0
