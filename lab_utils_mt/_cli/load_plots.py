"""How do the figures of a load look? Drawings that stand in a page, in its colours."""

from __future__ import annotations

import io
import itertools
import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from .._load.fleet import Outcome
from .._load.tally import Second, Tally

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Each stands for a colour of the page, which has others in the dark. No drawing uses them itself.
_INK, _GRID, _FIRST, _SECOND = "#010203", "#010204", "#010205", "#010206"
_THIRD, _BAD = "#010207", "#010208"
_VARIABLES = {
    _INK: "var(--ink)",
    _GRID: "var(--grid)",
    _FIRST: "var(--first)",
    _SECOND: "var(--second)",
    _THIRD: "var(--third)",
    _BAD: "var(--bad)",
}
_SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "axes.edgecolor": _GRID,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "grid.color": _GRID,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
_NO_METADATA = dict.fromkeys(("Creator", "Date", "Format", "Type"))
_NINES = 5  # 99.999 %
_MOST_POINTS = 600
_ID = re.compile(r'(id="|href="#|url\(#)')
_NAMESPACE = re.compile(r' xmlns(:xlink)?="[^"]*"')

Pairs = list[tuple[float, float]]


def plots(outcome: Outcome, earlier: Outcome | None) -> Iterator[tuple[str, str]]:
    """Yield title and SVG of each drawing.

    Args:
        outcome: What was seen.
        earlier: What was seen before, to be drawn beside it.
    """
    yield "Latency by percentile", _svg("p", lambda axes: _draw_percentiles(axes, outcome, earlier))
    if outcome.tally.timeline:
        yield "Latency over time", _svg("l", lambda axes: _draw_latencies(axes, outcome))
        yield "Throughput over time", _svg("t", lambda axes: _draw_rates(axes, outcome, earlier))


def _svg(name: str, draw: Callable[[Axes], None]) -> str:
    from matplotlib import rc_context  # noqa: PLC0415  (slow, and needed only at the end)
    from matplotlib.backends.backend_svg import FigureCanvasSVG  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    file = io.StringIO()
    with rc_context(_SETTINGS | {"svg.hashsalt": name}):
        figure = Figure(figsize=(8, 3.6), layout="constrained")
        axes = figure.add_subplot()
        draw(axes)
        axes.grid(linewidth=0.6)
        handles, _ = axes.get_legend_handles_labels()
        if len(handles) > 1:
            figure.legend(loc="outside upper right", ncols=len(handles))
        FigureCanvasSVG(figure)
        figure.savefig(file, format="svg", metadata=_NO_METADATA)
    return _inline(file.getvalue(), name)


def _inline(text: str, name: str) -> str:
    """Return a drawing that can stand beside others in a page."""
    text = _NAMESPACE.sub("", text[text.index("<svg") :])
    text = _ID.sub(lambda found: f"{found[0]}{name}-", text)
    for colour, variable in _VARIABLES.items():
        text = text.replace(colour, variable)
    return text


def _draw_percentiles(axes: Axes, outcome: Outcome, earlier: Outcome | None) -> None:
    if earlier is not None:
        _line(axes, _curve(earlier.tally), _SECOND, "earlier", linestyle="--")
    points = _curve(outcome.tally)
    _line(axes, points, _FIRST, "now")
    axes.set_xscale("log")
    axes.set_yscale("log")
    _plain_numbers(axes.yaxis)
    nines = [10.0**n for n in range(_NINES + 1) if 10**n <= max(10.0, *(x for x, _ in points))]
    axes.set_xticks(nines, [_percent(x) for x in nines], minor=False)
    axes.xaxis.set_minor_locator(_no_ticks())
    axes.set(xlabel="part of the replies that came no later", ylabel="latency (ms)")


def _percent(nines: float) -> str:
    return f"{100 * (1 - 1 / nines):.7g} %"


def _curve(tally: Tally) -> Pairs:
    """Return 1/(1 - part) and the latency in ms that this part of the replies did not exceed."""
    points, seen = [(1.0, tally.least * 1e3)], 0
    for latency, times in tally.distribution():
        seen += times
        left = tally.timed - seen
        points.append((tally.timed / left if left else tally.timed, latency * 1e3))
    return _thinned(points)


def _draw_latencies(axes: Axes, outcome: Outcome) -> None:
    seconds = [second for second in _bins(outcome.tally) if second.counts]
    for colour, label, part in (
        (_THIRD, "max", "max"),
        (_SECOND, "p99", "p99"),
        (_FIRST, "p50", "p50"),
    ):
        points = [(one.second + one.seconds / 2, getattr(one, part) * 1e3) for one in seconds]
        _line(axes, points, colour, label, marker="o", markersize=3)
    axes.set_yscale("log")
    _plain_numbers(axes.yaxis)
    axes.set(xlabel="time (s)", ylabel="latency (ms)")
    axes.set_xlim(0, outcome.tally.seconds)


def _draw_rates(axes: Axes, outcome: Outcome, earlier: Outcome | None) -> None:
    seconds = _bins(outcome.tally)
    middles = [one.second + one.seconds / 2 for one in seconds]
    if earlier is not None:
        before = [
            (one.second + one.seconds / 2, one.requests_per_second) for one in _bins(earlier.tally)
        ]
        _line(axes, before, _SECOND, "earlier", linestyle="--")
    rates = [one.requests_per_second for one in seconds]
    _line(
        axes,
        list(zip(middles, rates, strict=True)),
        _FIRST,
        "good replies",
        marker="o",
        markersize=3,
    )
    if outcome.tally.errors:
        errors = [one.errors / one.seconds if one.seconds else 0.0 for one in seconds]
        _line(axes, list(zip(middles, errors, strict=True)), _BAD, "errors", marker="x")
    if outcome.plan.rate is not None:
        axes.axhline(outcome.plan.rate, color=_INK, linestyle=":", linewidth=1, label="intended")
    axes.set(xlabel="time (s)", ylabel="per second")
    axes.set_ylim(bottom=0)
    axes.set_xlim(0, outcome.tally.seconds)


def _bins(tally: Tally) -> list[Second]:
    """Return the time line, of not too many points: some seconds are taken together."""
    step = max(1, -(-len(tally.timeline) // _MOST_POINTS))
    return [
        _together(tally.timeline[first : first + step])
        for first in range(0, len(tally.timeline), step)
    ]


def _together(seconds: list[Second]) -> Second:
    whole = Second(seconds[0].second, 0.0)
    for second in seconds:
        whole.extend(second)
    return whole


def _thinned(points: Pairs) -> Pairs:
    step = -(-len(points) // _MOST_POINTS)
    return (
        points if step <= 1 else [*itertools.islice(points, 0, len(points) - 1, step), points[-1]]
    )


def _line(axes: Axes, points: Pairs, colour: str, label: str, **look: Any) -> None:
    axes.plot([x for x, _ in points], [y for _, y in points], color=colour, label=label, **look)


def _plain_numbers(axis: Any) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator  # noqa: PLC0415

    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(FuncFormatter(lambda *_: ""))
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0), numticks=8))


def _no_ticks() -> Any:
    from matplotlib.ticker import NullLocator  # noqa: PLC0415

    return NullLocator()
