"""How far is it? A bar with the time left on a terminal, a line for each case elsewhere."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

from benchmarks.house.question import Case
from benchmarks.house.results import Measured
from benchmarks.house.words import figure_text


class Progress:
    """Counts the steps of a run: cases times rounds."""

    def __init__(self, steps: int) -> None:
        self._steps = steps
        self._done = 0

    def step(self, question: str, case: Case, measured: Measured, number: int) -> None:
        """Tell of a case that has been measured."""
        self._done += 1
        self._show(f"{question}: {case}: {outcome(measured, number)}")

    def _show(self, line: str) -> None:
        print(f"[{self._done}/{self._steps}] {line}", flush=True)


class BarProgress(Progress):
    """The same as a bar."""

    def __init__(self, steps: int, bar: Any) -> None:
        super().__init__(steps)
        self._bar = bar
        self._task = bar.add_task("", total=steps)

    def _show(self, line: str) -> None:
        self._bar.console.print(line, highlight=False, markup=False)
        self._bar.advance(self._task)


@contextlib.contextmanager
def progress(steps: int) -> Iterator[Progress]:
    """Show how far a run is."""
    if not (sys.stdout.isatty() and find_spec("rich")):
        yield Progress(steps)
        return
    from rich.progress import BarColumn, MofNCompleteColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = [BarColumn(None), MofNCompleteColumn(), TimeElapsedColumn(), "left:"]
    with Bar(*columns, TimeRemainingColumn(), expand=True) as bar:
        yield BarProgress(steps, bar)


def outcome(measured: Measured, number: int) -> str:
    """Say how a case went in a round."""
    if measured.missing:
        return f"NOT MEASURED: {measured.missing}"
    figures = measured.rounds.get(number)
    if figures is None:
        return f"FAILED: {measured.failed}"
    told = {
        name: value
        for name, value in figures.items()
        if name != "clients_served" and (value or name != "errors")
    }
    return ", ".join(figure_text(name, value) for name, value in told.items())
