"""What do the results look like? Drawn with matplotlib, to be read at the width of a README."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FuncFormatter, NullLocator

from benchmarks.house.question import Plot, Question, fits
from benchmarks.house.results import Measured, Results
from benchmarks.house.servers import CONTESTANTS, peer
from benchmarks.house.verdict import is_limited
from benchmarks.house.words import heading, number

# Okabe and Ito's palette, which colour-blind readers can tell apart, without its yellow, which is
# too pale for a line: the orange is ours. Markers tell lines apart in black and white.
SHADES = ("#E69F00", "#D55E00", "#F6C667", "#9A3B00", "#5C2500")  # all ours
FURTHER = (
    *("#0072B2", "#009E73", "#CC79A7", "#56B4E9", "#7A5FA8", "#8C6D31", "#6E6E6E", "#000000"),
    *("#00A6A6", "#B5174B", "#7F8C00", "#1F3A93"),  # no contestant has one of these
)
MARKERS = "osD^vP*X<>h"
STYLE = {
    "font.size": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E3E3E3",
    "axes.edgecolor": "#8A8A8A",
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "svg.hashsalt": "lab_utils_mt",  # the same results give the same file
}
WIDTH = 8.4  # inches


def draw(question: Question, plot: Plot, results: Results, folder: Path) -> list[Path]:
    """Draw a plot as PNG and SVG; return the files, none if there is nothing to draw."""
    cases = [
        case
        for case in results.cases
        if fits(case.labels, plot.only) and plot.x in case.labels and case.values(plot.figure)
    ]
    if not cases:
        return []
    with mpl.rc_context(STYLE):
        figure = (_bars if plot.kind == "bars" else _lines)(plot, cases)
        figure.axes[0].set_title(plot.title or question.text, loc="left", fontweight="bold", pad=12)
        _footnote(figure, cases, results)
        return _save(figure, folder, f"{question.name}-{plot.name or plot.figure}")


def _save(figure: Figure, folder: Path, name: str) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    png, svg = folder / f"{name}.png", folder / f"{name}.svg"
    figure.savefig(png, dpi=130, metadata={"Software": None})
    figure.savefig(svg, metadata={"Date": None})
    return [png, svg]


def _footnote(figure: Figure, cases: Sequence[Measured], results: Results) -> None:
    machine = results.header["machine"]
    note = f"{machine['cpu']}, {machine['cores']} cores, {machine['python']}; "
    note += "medians of the rounds, spread from lowest to highest"
    if any(map(is_limited, cases)):
        note += "; hollow or hatched: limited by the load"
    figure.supxlabel(note, x=0.01, ha="left", fontsize=8, color="#6E6E6E")


def _figure(height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    return figure, figure.subplots()


def _lines(plot: Plot, cases: Sequence[Measured]) -> Figure:
    figure, axes = _figure(4.6)
    groups = _groups(cases, plot.line)
    palette = colours(groups)
    for place, (name, members) in enumerate(groups.items()):
        members.sort(key=lambda case: case.labels[plot.x])
        _line(axes, plot, members, (name, palette[name], MARKERS[place % len(MARKERS)]))
    axes.set_xlabel(plot.x_label or plot.x.replace("_", " "))
    axes.set_ylabel(plot.y_label or heading(plot.figure))
    _scales(axes, plot, sorted({case.labels[plot.x] for case in cases}))
    if len(groups) > 1:
        _legend(axes)
    return figure


def _line(axes: Axes, plot: Plot, cases: Sequence[Measured], look: tuple[str, str, str]) -> None:
    name, colour, marker = look
    is_ours = name in {"lab_utils_mt", ""}
    size = 8 if is_ours else 6
    x = [case.labels[plot.x] for case in cases]
    low, middle, high = zip(*(case.spread(plot.figure) for case in cases), strict=True)
    if is_ours:
        axes.fill_between(x, low, high, color=colour, alpha=0.2, linewidth=0)
    else:
        axes.vlines(x, low, high, color=colour, linewidth=1.2, alpha=0.6)
    axes.plot(
        x,
        middle,
        color=colour,
        label=name,
        marker=marker,
        markersize=size,
        linewidth=3.2 if is_ours else 1.5,
        linestyle="--" if "argparse" in name else "-",
        zorder=5 if is_ours else 3,
    )
    hollow = [place for place, case in enumerate(cases) if is_limited(case)]
    for at in hollow:
        axes.plot(x[at], middle[at], marker, ms=size, color=colour, mfc="white", zorder=6)


def _scales(axes: Axes, plot: Plot, ticks: Sequence[Any]) -> None:
    if plot.log_x:
        axes.set_xscale("log")
        axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
        axes.xaxis.set_minor_locator(NullLocator())
    if plot.log_y:
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: number(value)))


def _legend(axes: Axes) -> None:
    """Name the lines in the order of their right ends, as the eye meets them."""
    lines = [line for line in axes.lines if not str(line.get_label()).startswith("_")]
    lines.sort(key=lambda line: -float(line.get_ydata()[-1]))  # type: ignore[index]
    axes.legend(
        handles=lines, loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize=10
    )


def _bars(plot: Plot, cases: Sequence[Measured]) -> Figure:
    groups = _groups(cases, plot.line)
    values = list(dict.fromkeys(case.labels[plot.x] for case in cases))
    thick = 0.8 / len(groups)
    palette = colours(_bar_name(case, plot) for case in cases)
    figure, axes = _figure(1.6 + max(0.34 * len(values) * len(groups), 0.42 * len(values)))
    for place, (name, members) in enumerate(groups.items()):
        for case in members:
            y = values.index(case.labels[plot.x]) + (place + 0.5) * thick - 0.4
            _bar(axes, plot.figure, case, y, thick, palette[_bar_name(case, plot)])
        axes.barh([0], [0], color=palette[_bar_name(members[0], plot)], label=name)
    axes.set_yticks(range(len(values)), [_tick(plot, value) for value in values])
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.set_xlabel(plot.y_label or heading(plot.figure))
    if plot.log_y:
        axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: number(value)))
    axes.margins(x=0.12)
    if len(groups) > 1:
        axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize=10)
    return figure


def _bar(axes: Axes, figure: str, case: Measured, y: float, thick: float, colour: str) -> None:
    low, middle, high = case.spread(figure)
    axes.barh(
        y,
        middle,
        height=0.9 * thick,
        color=colour,
        hatch="///" if is_limited(case) else None,
        edgecolor="white",
    )
    _whisker(axes, y, low, middle, high)
    axes.annotate(
        number(middle),
        (high, y),
        xytext=(5, 0),
        textcoords="offset points",
        va="center",
        fontsize=9,
        color="#404040",
    )


def _whisker(axes: Axes, y: float, low: float, middle: float, high: float) -> None:
    axes.errorbar(
        middle,
        y,
        xerr=[[middle - low], [high - middle]],
        ecolor="#404040",
        elinewidth=1.2,
        capsize=2.5,
        path_effects=[withStroke(linewidth=3, foreground="white")],
    )


def _bar_name(case: Measured, plot: Plot) -> str:
    """Return what gives a bar its colour: its group's label, or who was measured."""
    return str(case.labels.get(plot.line or "server", case.labels[plot.x]))


def _tick(plot: Plot, value: Any) -> str:
    if isinstance(value, str):
        return value
    words = plot.x_label or plot.x.replace("_", " ")
    return f"{value:,} {words.removesuffix('s') if value == 1 else words}"


def _groups(cases: Sequence[Measured], label: str | None) -> Mapping[str, list[Measured]]:
    groups: dict[str, list[Measured]] = {}
    for case in cases:
        groups.setdefault(str(case.labels.get(label, "")) if label else "", []).append(case)
    return groups


def colours(names: Iterable[str]) -> dict[str, str]:
    """Return a colour for each name of a plot, none twice.

    Contestants have their own. Of the rest those with our name have a shade of ours; the others
    have it only where nobody has our name: all of such a plot is ours.
    """
    names = list(dict.fromkeys(names))
    own = {name: peer(name).colour for name in CONTESTANTS if name in names}
    found = {name: colour for name, colour in own.items() if colour}
    all_ours = not any(map(_is_ours, names))
    for name in names:
        if name not in found:
            palette = SHADES if all_ours or _is_ours(name) else FURTHER
            found[name] = next((one for one in palette if one not in found.values()), palette[-1])
    return found


def _is_ours(name: str) -> bool:
    return not name or name.startswith("lab_utils_mt")
