"""How is it run? ``python -m benchmarks``, with the names of some questions or of none: all."""

from __future__ import annotations

import argparse
import dataclasses
import difflib
import math
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from benchmarks.house import question
from benchmarks.house.progress import progress
from benchmarks.house.question import FULL, SMOKE, Question, Size
from benchmarks.house.results import FOLDER, Results, require_folder
from benchmarks.house.rounds import circumstances, measure
from benchmarks.house.tables import bars_table
from lab_utils_mt._cli.output import mend_output
from lab_utils_mt.exceptions import LabUtilsError

INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says; return the exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.list:
        for name in question.names():
            print(f"{name:24} {question.load(name).text}")
        return 0
    if options.questions == ["report"]:
        return _report(options.folder)
    questions = _chosen(parser, options.questions)
    size = _size(options)
    if not size.is_smoke:
        return _run(questions, size, options.folder, allow_missing=options.allow_missing)
    with tempfile.TemporaryDirectory() as folder:
        status = _run(questions, size, Path(folder), allow_missing=options.allow_missing)
        if status != INTERRUPTED:
            _draw(Path(folder))
        return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("questions", nargs="*", metavar="QUESTION", help="default: all")
    parser.add_argument("--list", action="store_true", help="show the questions")
    parser.add_argument("--smoke", action="store_true", help="see only whether all still works")
    parser.add_argument("--rounds", type=_positive(int), help=f"default {FULL.rounds}")
    parser.add_argument(
        "--seconds", type=_positive(float), help=f"of one measurement, default {FULL.seconds:g}"
    )
    parser.add_argument(
        "--allow-missing", action="store_true", help="exit with 0 though a contestant is missing"
    )
    parser.add_argument(
        "--folder", type=Path, default=FOLDER, help="of results/ and plots/, default benchmarks/"
    )
    parser.epilog = "python -m benchmarks report draws tables and plots from the results."
    return parser


def _positive(kind: type[int] | type[float]) -> Callable[[str], float]:
    def positive(text: str) -> float:
        value = kind(text)
        if not 0 < value < math.inf:
            raise ValueError
        return value

    positive.__name__ = f"positive {kind.__name__}"
    return positive


def _chosen(parser: argparse.ArgumentParser, wanted: Sequence[str]) -> list[Question]:
    known = question.names()
    if "report" in wanted:
        parser.error("report draws all results: give no question beside it")
    for name in wanted:
        if name not in known:
            close = difflib.get_close_matches(name, [*known, "report"], cutoff=0.4)
            hint = f"; did you mean {' or '.join(close)}?" if close else ""
            parser.error(f"there is no question {name!r}{hint} (--list shows all)")
    return [question.load(name) for name in dict.fromkeys(wanted or known)]


def _size(options: argparse.Namespace) -> Size:
    size = SMOKE if options.smoke else FULL
    given = {"rounds": options.rounds, "seconds": options.seconds}
    return dataclasses.replace(size, **{k: v for k, v in given.items() if v is not None})


def _run(questions: Sequence[Question], size: Size, folder: Path, *, allow_missing: bool) -> int:
    try:
        require_folder(folder / "results")
    except LabUtilsError as fault:
        print(fault, file=sys.stderr)
        return 1
    header = circumstances(size)
    found: dict[str, Results] = {}
    unwritten: list[str] = []
    steps = size.rounds * sum(len(one.cases(size)) for one in questions)
    try:
        with progress(steps) as shown:
            for one in questions:
                found[one.name] = measure(one, size, header, shown)
                unwritten += _faults(found[one.name], folder / "results")
    except KeyboardInterrupt:
        done = ", ".join(found) or "none"
        print(f"\nInterrupted. Kept: {done}. What was being measured is discarded.")
        return INTERRUPTED
    print()
    if not size.is_smoke:
        print(bars_table((one, found[one.name]) for one in questions))
        print(f"Results are in {folder / 'results'}; python -m benchmarks report draws them.")
    status = _status(found, allow_missing=allow_missing)
    print(*unwritten, sep="\n", end="\n" * bool(unwritten), file=sys.stderr)
    return status or int(bool(unwritten))


def _faults(results: Results, folder: Path) -> list[str]:
    """Write results; return why they could not be written, or nothing: the others still can."""
    try:
        results.write(folder)
    except LabUtilsError as fault:
        return [str(fault)]
    return []


def _status(found: Mapping[str, Results], *, allow_missing: bool) -> int:
    cases = [(name, case) for name, results in found.items() for case in results.cases]
    broken = [(name, case) for name, case in cases if not case.is_whole]
    for name, case in broken:
        labels = ", ".join(map(str, case.labels.values()))
        print(f"{name}: {labels}: {case.failed or f'not measured: {case.missing}'}")
    print(f"{len(cases) - len(broken)} of {len(cases)} cases measured")
    return int(any(case.failed or not allow_missing for _, case in broken))


def _report(folder: Path) -> int:
    try:
        table, *_ = _draw(folder)
    except BrokenPipeError:
        raise
    except (LabUtilsError, OSError) as fault:
        print(fault, file=sys.stderr)
        return 1
    print(table.read_text(encoding="utf-8"))
    return 0


def _draw(folder: Path) -> list[Path]:
    from benchmarks.house.report import report

    written = report(folder)
    print("wrote", ", ".join(path.name for path in written))
    return written


def _program() -> int:
    try:
        mend_output()
        status = main()
        sys.stdout.flush()
    except BrokenPipeError:  # "... | head": nobody reads on
        # What is still buffered would fail again when Python flushes it at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return status


if __name__ == "__main__":
    # So that servers are ended and working folders removed then, too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(_program())
