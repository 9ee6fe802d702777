"""What did a load show, told in a page that can be kept, mailed and printed?

One file without scripts, and with nothing from elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from html import escape
from typing import TYPE_CHECKING

from .._load.fleet import Outcome
from .load_plots import plots
from .load_results import PERCENTS, Result
from .load_summary import HINTS, described, ms, per_second, sent, shown, warnings
from .reaching import harmless

if TYPE_CHECKING:
    from .load_comparison import Comparison

_MOST_REQUEST = 2000  # characters

_STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --paper: #ffffff; --grid: #d0d4da;
  --first: #0072b2; --second: #d55e00; --third: #8a8f98; --good: #1a7f4b; --bad: #b3261e;
  --note: #7a5200; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e7eb; --paper: #16191d; --grid: #3b424b;
  --first: #56b4e9; --second: #ff9d4d; --third: #9aa1ab; --good: #5fd08f; --bad: #ff8a80;
  --note: #ffcf70; } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 56rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin-bottom: 0; } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
code { font: .9em ui-monospace, monospace; overflow-wrap: anywhere; }
table { border-collapse: collapse; } th { font-weight: 600; text-align: left; }
th, td { padding: .2rem 1.2rem .2rem 0; border-bottom: 1px solid var(--grid);
  vertical-align: top; }
td:first-child { white-space: nowrap; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
svg { width: 100%; height: auto; } .bad { color: var(--bad); } .good { color: var(--good); }
.note { color: var(--note); } .quiet { opacity: .75; }
.tiles { display: flex; flex-wrap: wrap; gap: .5rem 2rem; margin: 1.5rem 0; }
.tiles div { min-width: 6rem; } .tiles b { display: block; font-size: 1.5rem; }
""".strip()


def page(result: Result, comparison: Comparison | None) -> str:
    """Return the page.

    Args:
        result: What came of the load.
        comparison: With what came of an earlier one; None: there is none.
    """
    outcome = result.outcome
    title = f"Load on {outcome.plan.where}"
    parts = [
        *_head(title, result),
        *_tiles(result),
        *(f'<p class="note">{_text(text)}</p>' for text in warnings(outcome)),
        *_errors(outcome),
        *(_comparison(comparison) if comparison else ()),
        *_drawings(outcome, comparison),
        "<h2>Latencies</h2>",
        *_percentiles(outcome),
        "<h2>Where and how</h2>",
        *_table((), _facts(result)),
        "</body></html>\n",
    ]
    return "\n".join(parts)


def _head(title: str, result: Result) -> Iterator[str]:
    plan = result.outcome.plan
    yield '<!doctype html><html lang="en"><head><meta charset="utf-8">'
    yield '<meta name="viewport" content="width=device-width">'
    yield f"<title>{_text(title)}</title><style>{_STYLE}</style></head><body>"
    yield f"<h1>{_text(title)}</h1>"
    yield _time(result)
    yield f"<p><code>{_text(sent(plan)[:_MOST_REQUEST])}</code><br>{_text(described(plan))}</p>"
    if result.outcome.was_interrupted:
        yield f'<p class="note">interrupted after {result.outcome.tally.seconds:.1f} s</p>'


def _time(result: Result) -> str:
    return f'<p class="quiet">{_text(result.time.replace("T", " "))}</p>'


def _tiles(result: Result) -> Iterator[str]:
    tally = result.outcome.tally
    found = tally.percentiles(PERCENTS)
    yield '<div class="tiles">'
    yield _tile(per_second(tally), "requests/s")
    yield _tile(f"{tally.requests:,}", "good replies")
    yield _tile(f"{tally.failed:,}", "errors", "bad" if tally.errors else "good")
    for percent in (50.0, 99.0):
        yield _tile(f"{ms(found[percent])} ms", f"p{percent:g}")
    yield _tile(f"{ms(tally.most)} ms", "max")
    yield "</div>"


def _tile(value: str, name: str, look: str = "") -> str:
    return f'<div><b class="{look}">{_text(value)}</b>{_text(name)}</div>'


def _errors(outcome: Outcome) -> Iterator[str]:
    tally = outcome.tally
    if not tally.errors:
        return
    yield "<h2>Errors</h2>"
    rows = [
        (kind, f"{times:,}", tally.first_errors.get(kind, ""), HINTS.get(kind, ""))
        for kind, times in tally.errors.most_common()
    ]
    yield from _table(("kind", "times", "the first one", "what may help"), rows)


def _comparison(comparison: Comparison) -> Iterator[str]:
    yield "<h2>Compared with the earlier one</h2>"
    yield _time(comparison.earlier)
    rows = [
        (
            row.name,
            shown(row.before),
            shown(row.now),
            "" if row.ratio is None else f"{row.ratio:.2f}",
        )
        for row in comparison.rows
    ]
    yield from _table(("figure", "earlier", "now", "ratio"), rows)
    for look, texts in (("bad", comparison.worse), ("note", comparison.notes)):
        yield from (f'<p class="{look}">{_text(text)}</p>' for text in texts)
    if not comparison.worse:
        yield '<p class="good">not worse</p>'


def _drawings(outcome: Outcome, comparison: Comparison | None) -> Iterator[str]:
    if not outcome.tally.timed:
        return
    earlier = None if comparison is None else comparison.earlier.outcome
    for title, svg in plots(outcome, earlier):
        yield f"<h2>{_text(title)}</h2>{svg}"


def _percentiles(outcome: Outcome) -> Iterator[str]:
    tally = outcome.tally
    found = tally.percentiles((25.0, 75.0, 95.0, 99.99, *PERCENTS))
    named = [(f"{percent:g} %", found[percent]) for percent in sorted(found)]
    rows = [
        (name, ms(value)) for name, value in [("min", tally.least), *named, ("max", tally.most)]
    ]
    return _table(("part of the replies", "came within (ms)"), rows)


def _facts(result: Result) -> list[tuple[str, ...]]:
    plan, tally = result.outcome.plan, result.outcome.tally
    cost = tally.cpu_seconds / max(1, tally.requests + tally.failed) * 1e6
    return [
        ("measured", f"{tally.seconds:.2f} s"),
        ("clients, processes", f"{plan.clients}, {plan.processes}"),
        ("ramp, warm-up, timeout", f"{plan.ramp:g} s, {plan.warm_up:g} s, {plan.timeout:g} s"),
        ("received", f"{tally.bytes_in:,} bytes"),
        ("the load itself was busy", f"{result.outcome.busiest:.0%}, {cost:.0f} us per request"),
        ("replies after the end", f"{tally.late:,}"),
        *result.machine.items(),
    ]


def _table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    rows = list(rows)
    looks = [_look(column) for column in zip(*rows, strict=True)]
    yield "<table>"
    if heads:
        yield _row("th", heads, looks)
    for row in rows:
        yield _row("td", row, looks)
    yield "</table>"


def _look(column: tuple[str, ...]) -> str:
    """Return how a column is set: numbers stand at its right."""
    numbers = [text.replace(",", "").replace(".", "", 1) for text in column if text]
    return ' class="number"' if all(number.isdigit() for number in numbers) else ""


def _row(tag: str, row: tuple[str, ...], looks: list[str]) -> str:
    cells = zip(row, looks, strict=True)
    return f"<tr>{''.join(f'<{tag}{look}>{_text(text)}</{tag}>' for text, look in cells)}</tr>"


def _text(text: str) -> str:
    return escape(harmless(text))
