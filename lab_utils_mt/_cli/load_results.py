"""What is kept of a load, and where?"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import json
import os
import platform
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import __version__
from .._load.driver import find
from .._load.fleet import Outcome
from .._load.plan import Plan
from .._load.tally import Tally
from .._replacing import replacing, require_place
from ..exceptions import LabUtilsError

if TYPE_CHECKING:
    from .load_comparison import Comparison

PERCENTS = (50.0, 90.0, 99.0, 99.9)
_FORMAT = "lab_utils_mt load 1"
_MOST_FILE = 2**28  # bytes
_PAGE, _FIGURES = "load.html", "load.json"
_PAGES = {".html", ".htm"}
_DAMAGE = (LabUtilsError, KeyError, TypeError, ValueError, AttributeError, OverflowError)


@dataclasses.dataclass(frozen=True)
class Result:
    """What came of a load, where and when.

    Attributes:
        outcome: What was seen.
        time: When it ended, in UTC, as ISO 8601 writes it.
        machine: On what the load ran: system, processor, cores, python, lab_utils_mt.
    """

    outcome: Outcome
    time: str
    machine: dict[str, str]

    @classmethod
    def of(cls, outcome: Outcome) -> Result:
        """Return what has just been seen here."""
        now = datetime.datetime.now(datetime.timezone.utc)
        return cls(outcome, now.isoformat(timespec="seconds"), machine())

    def figures(self) -> dict[str, float]:
        """Return the figures by name; times in ms."""
        tally = self.outcome.tally
        found = {"requests_per_s": tally.requests_per_second, "errors": float(tally.failed)}
        found["failed_percent"] = 100 * tally.failed / max(1, tally.requests + tally.failed)
        found["min_ms"] = tally.least * 1e3
        for percent, value in tally.percentiles(PERCENTS).items():
            found[f"p{percent:g}_ms".replace(".", "")] = value * 1e3
        return found | {"max_ms": tally.most * 1e3, "load_busy": self.outcome.busiest}

    def as_json(self) -> dict[str, Any]:
        """Return what :func:`read` reads."""
        outcome = self.outcome
        return {
            "format": _FORMAT,
            "time": self.time,
            "machine": self.machine,
            "plan": outcome.plan.as_json(),
            "figures": {name: round(value, 6) for name, value in self.figures().items()},
            "busiest": outcome.busiest,
            "was_interrupted": outcome.was_interrupted,
            "tally": outcome.tally.to_json(),
        }


def machine() -> dict[str, str]:
    """Return on what this runs."""
    return {
        "system": f"{platform.system()} {platform.release()}",
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "python": platform.python_version(),
        "lab_utils_mt": __version__,
    }


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").split("\n"):
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def read(path: Path) -> Result:
    """Return what ``--json`` wrote.

    Raises:
        LabUtilsError: There is no such file.
    """
    try:
        with path.open("rb") as file:
            values = json.loads(file.read(_MOST_FILE))
    except OSError as error:
        raise LabUtilsError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise LabUtilsError(f"{path} has no figures of a load: {error}") from error
    if not isinstance(values, dict) or values.get("format") != _FORMAT:
        raise LabUtilsError(f"{path} has no figures of a load: write them with --json")
    try:
        outcome = Outcome(
            Plan.from_json(values["plan"]),
            Tally.from_json(values["tally"]),
            float(values["busiest"]),
            bool(values["was_interrupted"]),
        )
        about = {str(name): str(value) for name, value in values["machine"].items()}
        return Result(outcome, str(values["time"]), about)
    except _DAMAGE as error:
        raise LabUtilsError(f"the figures of a load in {path} are damaged: {error}") from error


def reach(plan: Plan) -> None:
    """Make sure that there is a server, before anything is measured.

    Raises:
        LabUtilsError: There is none.
    """
    address = find(plan)
    with socket.socket(address.family, socket.SOCK_STREAM) as probe:
        probe.settimeout(plan.timeout)
        try:
            probe.connect(address.place)
        except OSError as error:
            why = error.strerror or str(error)
            text = f"cannot reach a server at {plan.where}: {why}"
            raise LabUtilsError(text) from error


class Files:
    """Where the results go.

    Args:
        output: A page, or a folder; None: nowhere.
        figures: A file for the figures; None: nowhere.

    Raises:
        LabUtilsError: Something cannot be written there.
    """

    def __init__(self, output: Path | None, figures: Path | None) -> None:
        self._page = _page(output)
        self._figures = [] if figures is None else [figures]
        if output is not None and self._page != output:
            _make_folder(output)
            self._figures.append(output / _FIGURES)
        for path in (*self._figures, *filter(None, [self._page])):
            _check(path)

    @property
    def are_wanted(self) -> bool:
        """Whether anything is to be written."""
        return bool(self._figures or self._page)

    def write(self, result: Result, comparison: Comparison | None) -> Iterator[Path]:
        """Write all files; yield each that is written.

        Raises:
            LabUtilsError: Some cannot be written; the others are.
        """
        complaints = []
        for path, text in self._texts(result, comparison):
            try:
                _write(path, text)
            except LabUtilsError as error:
                complaints.append(str(error))
            else:
                yield path
        if complaints:
            raise LabUtilsError("; ".join(complaints))

    def _texts(self, result: Result, comparison: Comparison | None) -> Iterator[tuple[Path, str]]:
        for path in self._figures:
            yield path, json.dumps(result.as_json()) + "\n"
        if self._page is not None:
            from .load_page import page  # noqa: PLC0415  (matplotlib is slow)

            yield self._page, page(result, comparison)


def twice(output: Path | None, figures: Path | None) -> Path | None:
    """Return the file that is asked for as the page and for the figures; None if there is none."""
    page = _page(output)
    same = page and figures and page.resolve() == figures.resolve()
    return figures if same else None


def _page(output: Path | None) -> Path | None:
    if output is None or output.suffix.lower() in _PAGES:
        return output
    return output / _PAGE


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(exist_ok=True)
    except OSError as error:
        text = f"cannot make the folder {path}: {error.strerror}; or name a page.html"
        raise LabUtilsError(text) from error


def _check(path: Path) -> None:
    if path.exists() and not path.is_file():
        raise LabUtilsError(f"cannot write {path}: it is there, and not a file")
    require_place(path)


def _write(path: Path, text: str) -> None:
    with replacing(path) as new:
        new.write_text(text, encoding="utf-8")
