"""How are results kept?

One file a question, one JSON document a line: first what the figures depend on, then a line for
each case and round. A run writes a question's file anew once all its rounds are done; git has the
history.
"""

from __future__ import annotations

import contextlib
import json
import statistics
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab_utils_mt._replacing import replacing, require_place
from lab_utils_mt.exceptions import LabUtilsError

FOLDER = Path(__file__).parents[1]  # has results/ and plots/


@dataclass
class Measured:
    """A case's figures by round, or why there are none."""

    labels: dict[str, Any]
    rounds: dict[int, Mapping[str, float]] = field(default_factory=dict)
    missing: str = ""  # it cannot be had here
    failed: str = ""  # it went wrong, at least once

    @property
    def is_whole(self) -> bool:
        """Whether each round has its figures."""
        return not (self.missing or self.failed)

    def values(self, figure: str) -> list[float]:
        """Return a figure of all rounds that have it."""
        return [figures[figure] for figures in self.rounds.values() if figure in figures]

    def median(self, figure: str) -> float | None:
        """Return a figure's median; None if it was not measured."""
        values = self.values(figure)
        return statistics.median(values) if values else None

    def spread(self, figure: str) -> tuple[float, float, float]:
        """Return the lowest, the median and the highest; the figure must have been measured."""
        values = self.values(figure)
        return min(values), statistics.median(values), max(values)


@dataclass
class Results:
    """All that is known of a question."""

    question: str
    header: dict[str, Any]
    cases: list[Measured] = field(default_factory=list)

    def case(self, labels: Mapping[str, Any]) -> Measured:
        """Return the case with these labels, a new one if there is none yet."""
        for measured in self.cases:
            if measured.labels == labels:
                return measured
        self.cases.append(Measured(dict(labels)))
        return self.cases[-1]

    def write(self, folder: Path) -> None:
        """Write ``<question>.jsonl``, all or nothing.

        Raises:
            LabUtilsError: It cannot be written; what was there before still is.
        """
        lines = [self.header, *(line for case in self.cases for line in _lines(case))]
        with replacing(_file(self.question, folder)) as fresh:
            fresh.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def require_folder(folder: Path) -> None:
    """Make the folder, and make sure that results can be written there.

    Raises:
        LabUtilsError: They cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LabUtilsError(f"cannot write {folder}: {error.strerror}") from error
    require_place(_file("results", folder))


def read(question: str, folder: Path) -> Results | None:
    """Return what was measured last; None if nothing was.

    Raises:
        LabUtilsError: The file is damaged; the text tells where.
    """
    path = _file(question, folder)
    try:
        head, *lines = path.read_bytes().splitlines() or [b""]
    except FileNotFoundError:
        return None
    with _blaming(path, 1):
        results = Results(question, dict(json.loads(head)))
    for number, line in enumerate(lines, 2):
        with _blaming(path, number):
            _take(json.loads(line), results)
    return results


def _take(line: dict[str, Any], results: Results) -> None:
    case = results.case(line["labels"])
    if "figures" in line:
        figures = {str(name): float(value) for name, value in line["figures"].items()}
        case.rounds[line["round"]] = figures
    case.missing = line.get("missing", case.missing)
    case.failed = line.get("failed", case.failed)


@contextlib.contextmanager
def _blaming(path: Path, number: int) -> Iterator[None]:
    try:
        yield
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        text = f"line {number} of {path} is no result ({error!r}): remove the file, measure again"
        raise LabUtilsError(text) from error


def _file(question: str, folder: Path) -> Path:
    return folder / f"{question}.jsonl"


def _lines(case: Measured) -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = [
        {"labels": case.labels, "round": number, "figures": figures}
        for number, figures in case.rounds.items()
    ]
    if case.missing:
        lines.append({"labels": case.labels, "missing": case.missing})
    if case.failed:
        lines.append({"labels": case.labels, "failed": case.failed})
    return lines
