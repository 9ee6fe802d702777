"""Is a bar met?"""

from __future__ import annotations

import statistics
from dataclasses import dataclass

from benchmarks.house.question import Bar, fits
from benchmarks.house.results import Measured, Results

LIMITED = 0.5  # a load process that is busier may be what is measured
SERVED = 0.7  # of the clients; the rest of their time they had answers and made the next request
FEW = 8  # clients; with fewer, the time between answer and request counts for much


@dataclass(frozen=True)
class Verdict:
    """What became of a bar; the value is the median over the rounds."""

    bar: Bar
    value: float | None = None
    low: float = 0.0
    high: float = 0.0
    note: str = ""

    @property
    def word(self) -> str:
        """``met``, ``missed`` or ``not measured``."""
        if self.value is None:
            return "not measured"
        return "met" if self.bar.is_met(self.value) else "missed"


def judge(bar: Bar, results: Results | None) -> Verdict:
    """Compare round by round: what slows the machine slows both sides of a ratio."""
    if results is None:
        return Verdict(bar)
    case = _best(bar, results, bar.of, bar.figure)
    other = bar.against and _best(bar, results, bar.against, bar.against_figure or bar.figure)
    if case is None or (bar.against is not None and other is None):
        return Verdict(bar)
    values = _values(bar, case, other or None)
    if not values:
        return Verdict(bar)
    note = _note(bar, case, other or None)
    return Verdict(bar, statistics.median(values), min(values), max(values), note)


def is_limited(case: Measured) -> bool:
    """Tell whether the load, not the server, may be what was measured."""
    return (case.median("load_busy") or 0.0) > LIMITED


def starved(case: Measured) -> float | None:
    """Return how many clients were served, if it was far from all; the others got no answer.

    Latencies know nothing of requests that had no answer: such a case looks better than it is.
    """
    served, clients = case.median("clients_served"), case.labels.get("clients")
    if served is None or not isinstance(clients, int) or clients < FEW:
        return None
    return served if served < SERVED * clients else None


def _values(bar: Bar, case: Measured, other: Measured | None) -> list[float]:
    if other is None:
        return case.values(bar.figure)
    theirs_name = bar.against_figure or bar.figure
    values = []
    for number, figures in case.rounds.items():
        theirs = other.rounds.get(number, {}).get(theirs_name)
        if theirs and bar.figure in figures:
            values.append(figures[bar.figure] / theirs)
    return values


def _best(bar: Bar, results: Results, labels: object, figure: str) -> Measured | None:
    """Return the case that is hardest to beat among those with the labels."""
    assert isinstance(labels, dict)
    medians = [
        (median, number)
        for number, case in enumerate(results.cases)
        if fits(case.labels, labels) and (median := case.median(figure)) is not None
    ]
    if not medians:
        return None
    _, number = max(medians) if bar.at_least is not None else min(medians)
    return results.cases[number]


def _note(bar: Bar, case: Measured, other: Measured | None) -> str:
    notes = []
    if other is not None and any(isinstance(v, tuple | list) for v in (bar.against or {}).values()):
        notes.append(f"against {other.labels.get('server', other.labels)}")
    if other is not None and starved(other) is not None:
        notes.append("which left clients without their turn")
    if is_limited(case):
        notes.append("limited by the load")
    return ", ".join(notes)
