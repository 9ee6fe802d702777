"""How do I get a Windows on this Linux machine, and run something in it?

::

    python tests/windows/world.py install                   make the world, if it is not there
    python tests/windows/world.py suite [FILE ...]          the whole test suite, or some files
    python tests/windows/world.py run -m pytest -q FILE     any program of the Windows Python
    python tests/windows/world.py console SCRIPT.py         the same at a console
    python tests/windows/world.py --send 2:^C console ...   which types Ctrl-C after 2 s
    python tests/windows/world.py where                     the folder of the world
    python tests/windows/world.py lock                      new versions into requirements.txt

Options come before the command. Where Wine is not there and cannot be installed, the answer is
``skipped: no Wine`` and the exit status 0 (with --require: 1).
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import locking
from console import Console
from installing import NoWineError, cache_folder, fingerprint, install
from streaming import stream
from suite import Suite, database, groups, tell
from wine import World

_SUMMARY = re.compile(r"^=*\s*(?:no tests ran|\d+ \w+(?:, \d+ \w+)*) in [\d.]+s", re.MULTILINE)
_TIME_IS_UP = 124  # the exit status of timeout(1)
_FAULTS = re.compile(r"\b(?:failed|errors?)\b")


def say(text: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="world.py", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    add = parser.add_argument
    add("--timeout", type=float, default=3300.0, metavar="S", help="seconds for a run or the suite")
    # They wait for Wine's server and for the network more than they compute.
    workers = 2 * (os.cpu_count() or 1)
    add("--workers", type=int, default=workers, metavar="N", help="groups at once")
    add("--require", action="store_true", help="fail if there is no Wine")
    add("--send", action="append", default=[], metavar="S:KEYS", help="what the console types when")
    add("command", choices=["install", "suite", "run", "console", "where", "lock"])
    add("words", nargs=argparse.REMAINDER)
    return parser


def run(world: World, words: list[str], limit: float) -> int:
    """Run Python with some words, show its output as it comes, and return its exit status."""
    printed: list[str] = []

    def show(line: str) -> None:
        printed.append(line)
        say(line)

    ended = stream(world, words, show, limit)
    for process in ended.left:
        say(f"left behind, and ended now: {process}")
    if ended.is_late:
        say(f"FAILED: it was ended after {limit:g} s")
        return _TIME_IS_UP
    return checked(words, ended.status, "\n".join(printed))


def checked(words: list[str], status: int, output: str) -> int:
    """Return an exit status, which is not 0 if it was a pytest whose output tells another story."""
    if words[:2] != ["-m", "pytest"] or status:
        return status
    last = [found[0] for found in _SUMMARY.finditer(output)][-1:]
    if not last or _FAULTS.search(last[0]):
        say(f"FAILED: pytest ended with status 0, but {last[0] if last else 'without a summary'}")
        return 1
    return 0


def show_console(world: World, words: list[str], send: list[str], limit: float) -> int:
    """Run Python at a console, copy what it shows, and type what is to be sent."""
    shown = Console(world, words)
    timers = [
        threading.Timer(float(seconds), shown.type, [_keys(keys)])
        for seconds, _, keys in (one.partition(":") for one in send)
    ]
    try:
        for timer in timers:
            timer.start()
        return shown.finish(limit, copy=True)
    finally:
        for timer in timers:
            timer.cancel()
        shown.close()


def _keys(text: str) -> str:
    """Return what is typed: ``^C`` is Ctrl-C, ``^M`` the return key."""
    return re.sub(r"\^([@-_])", lambda found: chr(ord(found[1]) - 64), text)


def run_suite(world: World, files: list[str], workers: int, limit: float) -> int:
    """Run the suite, or some files of it; return the exit status."""
    started = time.monotonic()
    paths = [Path(name).resolve() for name in files]
    with database() as extra:
        suite = Suite(world, limit, say, extra)
        status = tell(suite.run([paths] if paths else groups(), max(1, workers)), say)
    say(f"the suite took {time.monotonic() - started:.0f} s")
    return status


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    options = make_parser().parse_args(arguments)
    if options.command == "where":
        say(str(cache_folder() / fingerprint()))
        return 0
    if options.command == "lock":
        return locking.lock()
    try:
        world = install(say)
    except NoWineError as error:
        say(f"skipped: no Wine ({error})")
        return int(options.require)
    except (RuntimeError, OSError, subprocess.TimeoutExpired) as error:
        say(f"FAILED: {error}")
        return 1
    return perform(options, world)


def perform(options: argparse.Namespace, world: World) -> int:
    """Do what needs a world."""
    if options.command == "install":
        say(f"the world is in {world.folder}")
        return 0
    world.wake()
    if options.command == "suite":
        return run_suite(world, options.words, options.workers, options.timeout)
    if options.command == "console":
        return show_console(world, options.words, options.send, options.timeout)
    return run(world, options.words, options.timeout)


if __name__ == "__main__":
    sys.exit(main())
