"""How is a question measured? Round by round, in each all cases in turn.

What slows the machine for a while slows all of them, and ratios are taken round by round.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from textwrap import shorten
from typing import Any

from benchmarks.house.machine import commit, contestants, libraries, load_average, machine
from benchmarks.house.peer import MissingPeer
from benchmarks.house.progress import Progress
from benchmarks.house.question import Case, Question, Size
from benchmarks.house.results import Measured, Results


def circumstances(size: Size) -> dict[str, Any]:
    """Return what all figures of this run depend on."""
    return {
        "run": uuid.uuid4().hex[:12],
        "size": {"name": size.name, "rounds": size.rounds, "seconds": size.seconds},
        "machine": machine(),
        **commit(),
        "contestants": contestants(),
        "libraries": libraries(),
    }


def measure(question: Question, size: Size, header: dict[str, Any], progress: Progress) -> Results:
    """Measure all cases of a question."""
    started = {
        "question": question.name,
        "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "load_average": load_average(),
    }
    results = Results(question.name, {**started, **header})
    cases = question.cases(size)
    _check_labels(question, cases)
    for number in range(size.rounds):
        for case in cases:
            measured = results.case(case.labels)
            if not measured.missing:
                _measure_once(case, measured, number)
            progress.step(question.name, case, measured, number)
    return results


def _measure_once(case: Case, measured: Measured, number: int) -> None:
    try:
        measured.rounds[number] = dict(case.measure())
    except MissingPeer as reason:
        measured.missing = str(reason)
    except Exception as fault:  # noqa: BLE001  # the other cases are measured all the same
        measured.failed = shorten(f"{type(fault).__name__}: {fault}", width=160)


def _check_labels(question: Question, cases: Sequence[Case]) -> None:
    labels = [tuple(sorted(case.labels.items())) for case in cases]
    if len(set(labels)) != len(labels):
        raise ValueError(f"question {question.name}: two cases have the same labels")
