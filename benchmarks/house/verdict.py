"""Is a bar met?"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.house.question import Bar, fits
from benchmarks.house.results import Measured, Results
from lab_utils_mt._load.fleet import ENOUGH

SERVED = 0.7  # of the clients; the rest of their time they had answers and made the next request
FEW = 8  # clients; with fewer, the time between answer and request counts for much


@dataclass(frozen=True)
class Verdict:
    """What became of a bar.

    Attributes:
        bar: It.
        value: The median over the rounds of what must reach it; None: not measured.
        low: The lowest of a round.
        high: The highest.
        note: What a reader must know of it.
        sides: The medians of the figures that were divided; empty if none were.
        left_out: Whether clients of the case had no answer: whatever its value, it is not met.
    """

    bar: Bar
    value: float | None = None
    low: float = 0.0
    high: float = 0.0
    note: str = ""
    sides: Sequence[float] = ()
    left_out: bool = False

    @property
    def word(self) -> str:
        """``met``, ``missed`` or ``not measured``."""
        if self.value is None:
            return "not measured"
        return "met" if self.bar.is_met(self.value) and not self.left_out else "missed"


def judge(bar: Bar, results: Results | None) -> Verdict:
    """Compare round by round: what slows the machine slows both sides of a ratio."""
    if results is None:
        return Verdict(bar)
    case, other = _worst(bar, results), _best(bar, results)
    if case is None or (bar.against is not None and other is None):
        return Verdict(bar)
    values = _values(bar, case, other)
    if not values:
        return Verdict(bar)
    return Verdict(
        bar,
        statistics.median(values),
        min(values),
        max(values),
        _note(bar, case, other, _missing(bar, results), len(values)),
        _sides(bar, case, other),
        left_out=starved(case) is not None,
    )


def is_limited(case: Measured) -> bool:
    """Tell whether the load, not the server, may be what was measured."""
    return (case.median("load_busy") or 0.0) > ENOUGH


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


def _sides(bar: Bar, case: Measured, other: Measured | None) -> Sequence[float]:
    if other is None:
        return ()
    return (
        statistics.median(case.values(bar.figure)),
        statistics.median(other.values(bar.against_figure or bar.figure)),
    )


def _worst(bar: Bar, results: Results) -> Measured | None:
    """Return the case that is farthest from the bar; None unless all of them were measured."""
    cases = [case for case in results.cases if fits(case.labels, bar.of)]
    if not all(case.values(bar.figure) for case in cases):
        return None
    return _extreme(cases, bar.figure, highest=bar.at_most is not None)


def _best(bar: Bar, results: Results) -> Measured | None:
    """Return the case that is hardest to beat among those to compare with."""
    figure = bar.against_figure or bar.figure
    return _extreme(_compared(bar, results), figure, highest=bar.at_least is not None)


def _compared(bar: Bar, results: Results) -> list[Measured]:
    """Return the cases to compare with, as far as they were measured."""
    if bar.against is None:
        return []
    figure = bar.against_figure or bar.figure
    cases = [case for case in results.cases if fits(case.labels, bar.against)]
    return [case for case in cases if case.values(figure)]


def _missing(bar: Bar, results: Results) -> list[str]:
    """Return which of several to compare with were not measured: one might have been the best."""
    measured = _compared(bar, results)
    return [
        str(value)
        for label, wanted in (bar.against or {}).items()
        if isinstance(wanted, tuple | list)
        for value in wanted
        if all(case.labels[label] != value for case in measured)
    ]


def _extreme(cases: Sequence[Measured], figure: str, *, highest: bool) -> Measured | None:
    ordered = sorted(cases, key=lambda case: case.median(figure) or 0.0, reverse=highest)
    return ordered[0] if ordered else None


def _note(
    bar: Bar, case: Measured, other: Measured | None, missing: Sequence[str], rounds: int
) -> str:
    notes = []
    if _is_choice(bar.of):
        notes.append(f"the worst: {case.labels.get('server', case.labels)}")
    if other is not None and _is_choice(bar.against or {}):
        notes.append(f"against {other.labels.get('server', other.labels)}")
    if other is not None and starved(other) is not None:
        notes.append("which left clients without their turn")
    if missing:
        notes.append(f"without {' and '.join(missing)}")
    if starved(case) is not None:
        notes.append("it left clients without their turn")
    sides = [case] if other is None else [case, other]
    whose = {(True, False): "", (False, True): "the other side ", (True, True): "both sides "}
    limited = is_limited(case), other is not None and is_limited(other)
    if any(limited):
        notes.append(f"{whose[limited]}limited by the load")
    most = len({number for side in sides for number in side.rounds})
    if rounds < most or not all(side.is_whole for side in sides):
        notes.append("not all rounds")
    return ", ".join(notes)


def _is_choice(labels: Mapping[str, object]) -> bool:
    return any(isinstance(value, tuple | list) for value in labels.values())
