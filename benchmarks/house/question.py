"""What is a question, and which ones are there?

A question is a module in ``benchmarks/questions``. Its docstring's first line is the question, the
rest tells how it is measured; ``cases(size)`` returns what is measured, ``BARS`` what must be
reached, ``PLOTS`` what is drawn. ``ROUND`` says how much a round of a case is, in the full size;
without it, it is ``size.seconds``.
"""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

Label = str | int | float
T = TypeVar("T")


@dataclass(frozen=True)
class Size:
    """How much is measured: ``smoke`` shows that all works, ``full`` is worth reading."""

    name: str
    rounds: int
    seconds: float  # of one measurement

    @property
    def is_smoke(self) -> bool:
        """Whether the figures will be thrown away."""
        return self.name == "smoke"

    def pick(self, full: T, smoke: T) -> T:
        """Return what belongs to this size."""
        return smoke if self.is_smoke else full


SMOKE = Size("smoke", 1, 0.3)
FULL = Size("full", 5, 2.0)


@dataclass(frozen=True)
class Case:
    """One point of a question.

    ``measure()`` is one round: it starts what it needs in fresh processes and returns figures by
    name; the name ends with the unit (``requests_per_s``, ``p99_ms``).
    """

    labels: Mapping[str, Label]
    measure: Callable[[], Mapping[str, float]]

    def __str__(self) -> str:
        return ", ".join(
            value if isinstance(value, str) else f"{value} {name.removesuffix('s' * (value == 1))}"
            for name, value in self.labels.items()
        )


@dataclass(frozen=True)
class Bar:
    """What a figure must reach, by itself or beside another case's.

    Args:
        text: For the reader.
        figure: Which figure.
        of: Labels of the case that must reach it; a tuple or list stands for any of its values:
            each of these cases must reach it, so the worst is compared.
        against: Labels of the case to divide by; if several fit, the best of them (for
            ``at_least`` the one with the highest median, for ``at_most`` with the lowest).
            None: the figure itself is compared.
        at_least: The ratio, or the figure, must not be lower.
        at_most: It must not be higher. Exactly one of both.
        against_figure: If another figure of ``against`` is meant.
    """

    text: str
    figure: str
    of: Mapping[str, Any]
    against: Mapping[str, Any] | None = None
    at_least: float | None = None
    at_most: float | None = None
    against_figure: str | None = None

    def __post_init__(self) -> None:
        if (self.at_least is None) == (self.at_most is None):
            raise ValueError(f"bar {self.text!r} needs at_least or at_most, one of them")

    def is_met(self, value: float) -> bool:
        """Tell whether a median reaches it."""
        if self.at_least is not None:
            return value >= self.at_least
        return self.at_most is not None and value <= self.at_most


@dataclass(frozen=True)
class Plot:
    """A figure drawn over a label.

    Args:
        figure: Which figure; by convention its name ends with the unit.
        x: The label along the axis.
        line: The label that tells the lines, or the bars of a group, apart; None: one line.
        title: Empty: the question.
        y_label: With its unit.
        x_label: Empty: the label's name.
        log_x: Whether the axis is logarithmic.
        log_y: Whether the axis is logarithmic.
        kind: ``lines`` or ``bars``.
        only: Labels that a case must have to be drawn.
        name: Of the file, behind the question's; empty: the figure's.
    """

    figure: str
    x: str
    line: str | None = "server"
    title: str = ""
    y_label: str = ""
    x_label: str = ""
    log_x: bool = False
    log_y: bool = False
    kind: str = "lines"
    only: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    name: str = ""


@dataclass(frozen=True)
class Question:
    """A loaded question.

    Attributes:
        name: Its module's.
        text: The question itself.
        about: How it is measured, in Markdown.
        a_round: How much a round of a case is; empty: the size's seconds.
    """

    name: str
    text: str
    about: str
    a_round: str
    cases: Callable[[Size], Sequence[Case]]
    bars: Sequence[Bar]
    plots: Sequence[Plot]


def fits(labels: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Tell whether a case has the labels; a wanted tuple or list stands for any of its values."""
    for name, value in wanted.items():
        allowed = value if isinstance(value, tuple | list) else (value,)
        if labels.get(name) not in allowed:
            return False
    return True


def names() -> list[str]:
    """Return the names of all questions."""
    package = importlib.import_module("benchmarks.questions")
    return sorted(module.name for module in pkgutil.iter_modules(package.__path__))


def load(name: str) -> Question:
    """Load a question by its name."""
    module = importlib.import_module(f"benchmarks.questions.{name}")
    text, _, about = (module.__doc__ or name).strip().partition("\n")
    return Question(
        name,
        text,
        about.strip().replace("``", "`"),
        getattr(module, "ROUND", ""),
        module.cases,
        getattr(module, "BARS", ()),
        getattr(module, "PLOTS", ()),
    )
