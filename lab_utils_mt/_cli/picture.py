"""How did the temperatures of the cryostat run? A picture tells it at a glance."""

from __future__ import annotations

from pathlib import Path

from .._replacing import replacing, require_place
from ..exceptions import LabUtilsError

# Okabe and Ito's colours, told apart also by the colour-blind; and markers for grey printers.
_LOOKS = [("#D55E00", "o"), ("#0072B2", "s"), ("#009E73", "^"), ("#CC79A7", "D"), ("#000000", "v")]


def check_output(path: Path) -> None:
    """Make sure that a picture can be written, before hours of work.

    Raises:
        LabUtilsError: It cannot; the text says why.
    """
    if path.suffix.lower() != ".png":  # none, too, for "" and ".png"
        raise LabUtilsError("--output names no picture: write it as in --output cold.png")
    if path.exists() and not path.is_file():
        raise LabUtilsError(f"cannot write {path}: it is there, and not a file")
    if not path.parent.is_dir():
        raise LabUtilsError(f"cannot write {path}: there is no folder {path.parent}")
    require_place(path)


def draw(
    path: Path, readings: dict[str, tuple[list[float], list[float]]], title: str, note: str
) -> None:
    """Write the picture; whoever looks at the file sees the old one or the whole new one.

    Args:
        path: Where to write it.
        readings: Seconds and kelvin for each stage.
        title: What is to be seen.
        note: What the reader should know about the time.

    Raises:
        LabUtilsError: It cannot be written.
    """
    with replacing(path) as new:
        _save(new, readings, title, note)


def _save(
    file: Path, readings: dict[str, tuple[list[float], list[float]]], title: str, note: str
) -> None:
    from matplotlib.figure import Figure  # noqa: PLC0415  (slow, and needed only at the end)
    from matplotlib.ticker import FuncFormatter  # noqa: PLC0415

    figure = Figure(figsize=(10, 6), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    for number, (stage, (seconds, kelvin)) in enumerate(_warmest_first(readings)):
        colour, marker = _LOOKS[number % len(_LOOKS)]
        label = f"{stage}: {kelvin[-1]:.3g} K at the end"
        axes.plot(seconds, kelvin, marker, color=colour, markersize=2.5, alpha=0.6, label=label)
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set(xlabel=f"time since the first reading (s){note}", ylabel="temperature (K)")
    axes.margins(x=0.01)
    axes.grid(which="major", alpha=0.4)
    axes.set_title(title, fontsize="medium")
    axes.legend(markerscale=3, loc="lower left")  # where a cooling cryostat never is
    figure.savefig(file, format="png")


def _warmest_first(
    readings: dict[str, tuple[list[float], list[float]]],
) -> list[tuple[str, tuple[list[float], list[float]]]]:
    return sorted(readings.items(), key=lambda item: item[1][1][-1], reverse=True)
