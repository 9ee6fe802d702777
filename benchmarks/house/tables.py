"""How do results read as tables? Markdown, for ``results/TABLE.md`` and the end of a run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from benchmarks.house.question import Question
from benchmarks.house.results import Measured, Results
from benchmarks.house.verdict import Verdict, is_limited, judge, starved
from benchmarks.house.words import heading, number
from lab_utils_mt._load.fleet import ENOUGH

NOT_SHOWN = ("errors", "load_busy", "clients_served")  # they become remarks


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table; columns of figures are flushed right."""
    rows = [list(head), *map(list, rows)]
    widths = [max(3, *map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["| " + " | ".join(map(str.ljust, row, widths)) + " |" for row in rows]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines) + "\n"


def bars_table(pairs: Iterable[tuple[Question, Results | None]]) -> str:
    """Return the table of what was to be reached."""
    rows = [_bar_row(judge(bar, results)) for question, results in pairs for bar in question.bars]
    return markdown(["to be reached", "measured", "of", "bar", ""], rows) if rows else ""


def _bar_row(verdict: Verdict) -> list[str]:
    bar, measured = verdict.bar, "not measured"
    if verdict.value is not None:
        measured = number(verdict.value)
        if verdict.low != verdict.high:
            measured += f" ({number(verdict.low)} to {number(verdict.high)})"
    least = bar.at_least is not None
    limit = number(bar.at_least if bar.at_least is not None else bar.at_most or 0.0)
    word = f"**{verdict.word}**" if verdict.word == "missed" else verdict.word
    return [
        bar.text,
        measured,
        " / ".join(map(number, verdict.sides)),
        f"{'at least' if least else 'at most'} {limit}",
        f"{word}, {verdict.note}" if verdict.note else word,
    ]


def figures_table(results: Results) -> str:
    """Return medians and spreads of a question's cases."""
    labels = _in_order(name for case in results.cases for name in case.labels)
    figures = [
        name
        for name in _in_order(
            name for case in results.cases for found in case.rounds.values() for name in found
        )
        if name not in NOT_SHOWN
    ]
    head = [*(name.replace("_", " ") for name in labels), *map(heading, figures), "remarks"]
    return markdown(head, [_case_row(case, labels, figures) for case in results.cases])


def _case_row(case: Measured, labels: Sequence[str], figures: Sequence[str]) -> list[str]:
    cells = [str(case.labels.get(name, "")) for name in labels]
    return [*cells, *(_spread(case, figure) for figure in figures), remarks(case)]


def _spread(case: Measured, figure: str) -> str:
    values = case.values(figure)
    if len(values) <= 1:
        return "".join(map(number, values))
    low, middle, high = case.spread(figure)
    return f"{number(middle)} ({number(low)} to {number(high)})"


def remarks(case: Measured) -> str:
    """Return what a reader must know of a case."""
    notes = []
    if case.missing:
        notes.append(f"not measured: {case.missing}")
    if case.failed:
        notes.append(f"failed: {case.failed}")
    if is_limited(case):
        notes.append(f"limited by the load ({case.median('load_busy'):.0%} of a core)")
    if (served := starved(case)) is not None:
        notes.append(f"only {served:.0f} of the clients had their turn at a time")
    if errors := sum(case.values("errors")):
        notes.append(f"{errors:.0f} errors")
    return "; ".join(notes).replace("|", "/")


def circumstances(header: dict[str, Any], a_round: str) -> str:
    """Return in a sentence or two where and how it was measured, and how long a round was."""
    machine, size = header["machine"], header["size"]
    memory = f", {machine['memory_gib']:g} GiB" if machine["memory_gib"] else ""
    a_round = a_round or f"{size['seconds']:g} s"
    return (
        f"{machine['cpu']}, {machine['cores']} cores{memory}, {machine['kernel']}, "
        f"{machine['python']}; {code(header)}; {size['rounds']} rounds, in each {a_round}; "
        f"{header['time'][:10]}; load average at the start {header['load_average']}."
    )


def code(header: dict[str, Any]) -> str:
    """Return which code was measured."""
    return f"commit {(header['commit'] or 'unknown')[:10]}{' with changes' * bool(header['dirty'])}"


def code_differs(headers: Iterable[dict[str, Any]]) -> str:
    """Return a sentence that tells which questions had which code; empty if all had the same."""
    questions: dict[str, list[str]] = {}
    for header in headers:
        questions.setdefault(code(header), []).append(header["question"])
    if len(questions) <= 1:
        return ""
    told = "; ".join(f"{name}: {', '.join(them)}" for name, them in questions.items())
    return f"These rows were not all measured with the same code. {told}.\n"


def contestants_table(header: dict[str, Any]) -> str:
    """Return who took part, in which version and how set up."""
    rows = [
        [name, about.get("version") or f"not measured: {about['missing']}", about["settings"]]
        for name, about in header["contestants"].items()
    ]
    return markdown(["contestant", "version", "set up"], rows)


def versions_differ(newest: dict[str, Any], headers: Iterable[dict[str, Any]]) -> str:
    """Return a sentence that tells which questions had other versions than the newest file."""
    told = [
        f"{name} {version} in {header['question']}"
        for header in headers
        for name, version in _versions(header).items()
        if version != _versions(newest).get(name, version)
    ]
    others = f"; others had {', '.join(told)}" if told else ""
    return f"As of the newest file, {newest['question']}{others}.\n"


def libraries(header: dict[str, Any]) -> str:
    """Return a sentence with the versions of what else was used; empty if nobody noted them."""
    found = header.get("libraries", {})
    told = ", ".join(f"{name} {version}" for name, version in found.items())
    return f"Libraries: {told}.\n" if told else ""


def _versions(header: dict[str, Any]) -> dict[str, str]:
    contestants = {
        name: about.get("version", "(missing)") for name, about in header["contestants"].items()
    }
    return {**contestants, **header.get("libraries", {})}


def legend() -> str:
    """Return how to read the tables."""
    return (
        "Medians over the rounds, with the lowest and the highest in brackets. Ratios are taken "
        "round by round; *of* tells the medians that were divided. A p99 is of 100 latencies or "
        "more, a p99.9 of 1,000 or more. A case is *limited by the load* if a load process used "
        f"more than {ENOUGH:.0%} of a core: the server may be faster than the figure says.\n"
    )


def _in_order(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))
