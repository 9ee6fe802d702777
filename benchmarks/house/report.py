"""What do the results say? Tables and plots, drawn from the results' files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.house import tables
from benchmarks.house.question import Question, load, names
from benchmarks.house.results import FOLDER, Results, read

HEAD = """# Results

`python -m benchmarks` measures them, `python -m benchmarks report` writes this page from them.

"""


def report(folder: Path = FOLDER) -> list[Path]:
    """Write ``results/TABLE.md``, and a PNG and an SVG for each plot in ``plots/``.

    Args:
        folder: Has ``results/``.

    Returns:
        All files that were written, the table first.
    """
    from benchmarks.house.plots import draw

    results = folder / "results"
    pairs = [(question, read(question.name, results)) for question in map(load, names())]
    results.mkdir(parents=True, exist_ok=True)
    table = results / "TABLE.md"
    table.write_text(_text(pairs), encoding="utf-8")
    written = [table]
    for question, found in pairs:
        if found is not None:
            for plot in question.plots:
                written += draw(question, plot, found, folder / "plots")
    return written


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
