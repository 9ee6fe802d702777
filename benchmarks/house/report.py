"""What do the results say? Tables and plots, drawn from the results' files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.house import tables
from benchmarks.house.question import Question, load, names
from benchmarks.house.results import FOLDER, Results, read
from lab_utils_mt._replacing import replacing
from lab_utils_mt.exceptions import LabUtilsError

# Of the header of each question, for the tables.
_NEEDED = {"question", "time", "load_average", "size", "machine", "commit", "dirty", "contestants"}

HEAD = """# Results

`python -m benchmarks` measures them, `python -m benchmarks report` writes this page from them.

"""


def report(folder: Path = FOLDER) -> list[Path]:
    """Write ``results/TABLE.md``, and a PNG and an SVG for each plot in ``plots/``.

    Args:
        folder: Has ``results/``.

    Returns:
        All files that were written, the table first.

    Raises:
        LabUtilsError: There are no results, or damaged ones, or the table cannot be written.
    """
    from benchmarks.house.plots import draw

    results = folder / "results"
    pairs = [(question, _read(question.name, results)) for question in map(load, names())]
    if not any(found for _, found in pairs):
        raise LabUtilsError(f"there are no results in {results}: measure first, or see --folder")
    table = results / "TABLE.md"
    with replacing(table) as fresh:
        fresh.write_text(_text(pairs), encoding="utf-8")
    written = [table]
    for question, found in pairs:
        if found is not None:
            for plot in question.plots:
                written += draw(question, plot, found, folder / "plots")
    return written


def _read(question: str, folder: Path) -> Results | None:
    found = read(question, folder)
    if found is not None and (lacking := _NEEDED - found.header.keys()):
        text = f"the results of {question} in {folder} are of another version"
        raise LabUtilsError(f"{text}, without {', '.join(sorted(lacking))}: measure it again")
    return found


def _text(pairs: list[tuple[Question, Results | None]]) -> str:
    headers = [found.header for _, found in pairs if found]
    parts = [HEAD, tables.legend(), "\n## Bars\n\n", tables.bars_table(pairs)]
    if differs := tables.code_differs(headers):
        parts.append(f"\n{differs}")
    if headers:
        parts += ["\n## Contestants\n\n", _contestants(headers)]
    for question, found in pairs:
        parts += [f"\n## {question.name}\n\n{question.text}\n\n{question.about}\n\n"]
        if found is None:
            parts.append("Not measured.\n")
        else:
            when = tables.circumstances(found.header, question.a_round)
            parts += [tables.figures_table(found), f"\n{when}\n"]
    return "".join(parts)


def _contestants(headers: list[dict[str, Any]]) -> str:
    newest = max(headers, key=_time)
    about = [tables.contestants_table(newest), tables.libraries(newest)]
    return "\n".join([*filter(None, about), tables.versions_differ(newest, headers)])


def _time(header: dict[str, Any]) -> str:
    return str(header["time"])
