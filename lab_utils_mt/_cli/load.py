"""How many requests does a server bear, and how long do its clients wait?

    lab-utils-mt load :1507 get_temperature --clients 16 --seconds 30
    lab-utils-mt load :1507 'set_temperature 4.2 --ramp 2' --rate 200
    lab-utils-mt load :1507 --clients 8 -- set_temperature 4.2 --ramp 2
    lab-utils-mt load :1507 get_temperature --output report.html
    lab-utils-mt load :1507 get_temperature --json new.json --compare old.json

The server does what it is asked, thousands of times: choose a command that
may be repeated.

One word is sent as it stands, a JSON-RPC line too; of several, each is one
word for the server. Options of the command stand with it in quotes, or all
of it behind --.

Without --rate each client sends again as soon as it has its reply. A server
that stalls is then sent little, and most latencies look good. With --rate
the requests have a schedule, whatever the server does, and a latency counts
from the scheduled time: what somebody waits who comes then.

A latency is the time from a request to its reply. Half of the replies came
within p50, 99 of 100 within p99: that is what clients meet when they are
lucky as often as not, and when they are unlucky.

With --ramp the clients come one by one: few servers take hundreds at once.
With --warm-up the first seconds are not measured: make it as long as the
ramp, or the figures hold seconds with fewer clients.

On a machine that does other things, too, two runs of the same load differ by
more than 10 %. So --compare calls only worse what is so by more than 25 %: a
latency of more than 1.25 times the earlier one, a rate of less than a 1.25th
of it. See --worse-by, and measure for longer before you make it small.

The exit status is
    0    if all went well,
    1    if the server cannot be reached, every request failed, a package is
         missing, a file cannot be written, the load itself failed, or nobody
         reads what is told here; the files that were asked for are written,
    2    if the words here make no sense, or the earlier measurement cannot be
         compared,
    3    if it is worse than the earlier one: a lower rate, a longer p50 or
         p99, more failed requests of a hundred, errors of a new kind, or more
         requests of a schedule that could not be sent in time,
    130  after Ctrl-C, which ends the load and shows what was measured; no file
         is written if nothing was.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._process.signals import handling
from .._wire.text import refuse_controls
from ..exceptions import LabUtilsError, MessageError
from ..socket_comm import quote
from .interrupts import Interrupts
from .reaching import complain, place, seconds

if TYPE_CHECKING:
    from .._load.fleet import Outcome
    from .._load.plan import Plan
    from .load_comparison import Comparison
    from .load_results import Files, Result
    from .load_screen import LoadScreen

_MOST_PERCENT = 1e6
_LONGEST_WAIT = 86_400.0  # seconds
_WORSE_BY = 25.0  # percent; on a shared machine the same load twice may differ by more than 10
_FAILED, _USAGE, _WORSE = 1, 2, 3
_PACKAGES = {"hdrh": "hdrhistogram", "matplotlib": "matplotlib", "rich": "rich"}


class Unfit(LabUtilsError):
    """What was asked for makes no sense."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what says which load is put where."""
    parser.usage = "%(prog)s HOST:PORT command... [options]"
    parser.add_argument(
        "server", type=place, metavar="HOST:PORT", help="1507, :1507, host, host:1507, [::1]:1507"
    )
    parser.add_argument("words", nargs="+", metavar="command", help="what is sent, again and again")
    _add_load(parser.add_argument_group("the load").add_argument)
    _add_results(parser.add_argument_group("the results").add_argument)


def _add_load(add: Any) -> None:
    add("--clients", type=_clients, default=1, metavar="N", help="how many at once; default: 1")
    add("--seconds", type=seconds, default=10.0, metavar="S", help="for how long; default: 10")
    more = {"metavar": "S", "default": 0.0, "type": _wait}
    add("--rate", type=_rate, metavar="R", help="requests/s of all clients; default: no schedule")
    add("--ramp", help="over which the clients come, one by one; default: 0", **more)
    add("--warm-up", help="before anything is measured; default: 0", **more)
    add(
        "--processes",
        type=_processes,
        default=1,
        metavar="P",
        help="how many share the clients; default: 1",
    )
    add("--reconnect", action="store_true", help="a new connection for each request")
    add(
        "--greeting",
        type=_greeting,
        default=0,
        metavar="N",
        help="lines that the server sends to each new connection, unasked; default: 0",
    )
    add(
        "--timeout",
        type=seconds,
        default=30.0,
        metavar="S",
        help="for how long to wait for a connection, and for a reply; default: 30",
    )


def _add_results(add: Any) -> None:
    add(
        "--output",
        type=Path,
        metavar="PATH",
        help="where a report with plots goes: page.html, or a folder for it and its figures",
    )
    add("--json", type=Path, metavar="FILE", help="where the figures go, for --compare")
    add("--compare", type=Path, metavar="FILE", help="the figures of an earlier load")
    add(
        "--worse-by",
        type=_percent,
        default=_WORSE_BY,
        metavar="PERCENT",
        help=f"how much worse is too much; default: {_WORSE_BY:g}",
    )


def _count(text: str, most: int, least: int = 1) -> int:
    count = int(text) if text.isascii() and text.isdigit() and len(text) <= len(str(most)) else -1
    if not least <= count <= most:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from {least} to {most}")
    return count


def _clients(text: str) -> int:
    from .._load.plan import MOST_CLIENTS  # noqa: PLC0415  (here and below: send needs none of it)

    return _count(text, MOST_CLIENTS)


def _processes(text: str) -> int:
    from .._load.plan import MOST_PROCESSES  # noqa: PLC0415

    return _count(text, MOST_PROCESSES)


def _greeting(text: str) -> int:
    from .._load.plan import MOST_GREETING  # noqa: PLC0415

    return _count(text, MOST_GREETING, 0)


def _wait(text: str) -> float:
    return _number(text, 0, _LONGEST_WAIT, "a number of seconds")


def _rate(text: str) -> float:
    from .._load.plan import LEAST_RATE, MOST_RATE  # noqa: PLC0415

    return _number(text, LEAST_RATE, MOST_RATE, "a number of requests/s")


def _percent(text: str) -> float:
    return _number(text, 0, _MOST_PERCENT, "a number of percent")


def _number(text: str, least: float, most: float, what: str) -> float:
    try:
        number = float(text) if text.isascii() and "_" not in text else -1.0
    except ValueError:
        number = -1.0
    if not least <= number <= most:
        raise argparse.ArgumentTypeError(f"{text!r} is not {what} from {least:g} to {most:.0f}")
    return number


def run(options: argparse.Namespace) -> int:
    """Put the load on the server; return the exit status."""
    interrupts = Interrupts()
    try:
        _require_packages()
        status = _perform(options, interrupts)
    except BrokenPipeError:
        raise
    except (LabUtilsError, OSError) as error:
        complain("load", error)
        status = _USAGE if isinstance(error, (Unfit, MessageError)) else _FAILED
    return interrupts.exit_status if interrupts.signum else status


def _require_packages() -> None:
    missing = [name for module, name in _PACKAGES.items() if not importlib.util.find_spec(module)]
    if missing:
        names = " and ".join(missing)
        text = f'load needs {names}: run python -m pip install "lab_utils_mt[load]"'
        raise LabUtilsError(text)


def _perform(options: argparse.Namespace, interrupts: Interrupts) -> int:
    # Imported here because --help must not need all packages, nor send wait for them.
    from .load_results import reach  # noqa: PLC0415

    plan = _plan(options)
    files = _files(options)
    earlier = None if options.compare is None else _earlier(options.compare, plan)
    reach(plan)
    stop = threading.Event()

    def note(signum: int, frame: Any) -> None:
        interrupts.note(signum, frame)
        stop.set()

    # Until here nothing is lost if a signal ends the program where it stands, and at once.
    with handling(note):
        return _measure(plan, files, stop, earlier, options.worse_by)


def _measure(
    plan: Plan, files: Files, stop: threading.Event, earlier: Result | None, worse_by: float
) -> int:
    from .._load.fleet import run as run_fleet  # noqa: PLC0415
    from .load_comparison import Comparison  # noqa: PLC0415
    from .load_results import Result  # noqa: PLC0415
    from .load_screen import make_screen  # noqa: PLC0415

    with make_screen(plan, may_be_closed=files.are_wanted) as screen:
        outcome = run_fleet(plan, screen.show, stop)
    result = Result.of(outcome)
    comparison = None if earlier is None else Comparison(earlier, result, worse_by)
    _tell(screen, result, comparison)
    if files.are_wanted and not outcome.tally.seconds:
        screen.say("nothing was measured: no file is written")
        return _FAILED
    for path in files.write(result, comparison):
        screen.say(f"written: {path}")
    if screen.is_closed:
        return _FAILED
    return _status(outcome, comparison is not None and bool(comparison.worse))


def _files(options: argparse.Namespace) -> Files:
    from .load_results import Files, twice  # noqa: PLC0415

    if path := twice(options.output, options.json):
        raise Unfit(f"--output and --json both mean {path}: name another file for the figures")
    if options.output is not None and options.output.suffix.lower() == ".json":
        raise Unfit(f"--output {options.output} is for a page: the figures go to --json")
    return Files(options.output, options.json)


def _plan(options: argparse.Namespace) -> Plan:
    from .._load.files import require_files, require_pipes  # noqa: PLC0415
    from .._load.plan import Plan  # noqa: PLC0415

    host, port = options.server
    try:
        plan = Plan(
            host=host,
            port=port,
            request=_line(options.words),
            clients=options.clients,
            seconds=options.seconds,
            rate=options.rate,
            ramp=options.ramp,
            warm_up=options.warm_up,
            processes=options.processes,
            reconnect=options.reconnect,
            timeout=options.timeout,
            greeting=options.greeting,
        )
        require_files(-(-plan.clients // plan.processes))
        require_pipes(plan.processes)
    except MessageError:
        raise
    except LabUtilsError as error:
        raise Unfit(str(error)) from error
    return plan


def _line(words: list[str]) -> bytes:
    """Return the line that is sent."""
    text = words[0] if len(words) == 1 else " ".join(map(quote, words))
    refuse_controls(text)
    if _is_notification(text):
        raise Unfit("a JSON-RPC notification gets no reply: give it an id")
    try:
        return text.encode() + b"\n"
    except UnicodeEncodeError:
        raise Unfit("the command holds bytes that are no text") from None


def _is_notification(text: str) -> bool:
    try:
        document = json.loads(text) if text.lstrip().startswith(("{", "[")) else None
    except (ValueError, RecursionError):
        return False
    documents = document if isinstance(document, list) else [document]
    requests = [one for one in documents if isinstance(one, dict) and "method" in one]
    return bool(requests) and not any("id" in one for one in requests)


def _earlier(path: Path, plan: Plan) -> Result:
    from .load_comparison import require_replies, require_same  # noqa: PLC0415
    from .load_results import read  # noqa: PLC0415

    try:
        earlier = read(path)
        require_same(earlier.outcome.plan, plan, str(path))
        require_replies(earlier, str(path))
    except LabUtilsError as error:
        raise Unfit(str(error)) from error
    return earlier


def _tell(screen: LoadScreen, result: Result, comparison: Comparison | None) -> None:
    from .load_summary import summary  # noqa: PLC0415

    for line, style in summary(result):
        screen.say(line, style)
    if comparison is not None:
        screen.say("")
        for line, style in comparison.lines():
            screen.say(line, style)


def _status(outcome: Outcome, is_worse: bool) -> int:
    if not outcome.tally.requests:
        return _FAILED
    return _WORSE if is_worse else 0
