"""What does somebody see while a load is on?

On a terminal a table of the last seconds and a bar; anywhere else a line every few seconds.
"""

from __future__ import annotations

import collections
import textwrap
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from .load_summary import BAD, PLAIN, described, ms, sent
from .screen import is_terminal

if TYPE_CHECKING:
    from .._load.fleet import Progress
    from .._load.plan import Plan

_MOST_ROWS = 8
_HEADS = ("s", "requests/s", "p50 ms", "p99 ms", "max ms", "errors")


class LoadScreen:
    """Plain lines, for a file or a pipe.

    Args:
        plan: The load.
        may_be_closed: Whether all goes on if nobody reads on, as after ``| head``.

    Attributes:
        is_closed: Whether nobody reads on.
    """

    def __init__(self, plan: Plan, may_be_closed: bool = False) -> None:
        self._plan, self._may_be_closed = plan, may_be_closed
        self.is_closed = False
        self._next_line = 0.0  # second of the measurement

    def __enter__(self) -> LoadScreen:
        for line in _opening(self._plan):
            self.say(line)
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def say(self, text: str, style: str = PLAIN) -> None:
        """Write a line that stays.

        Raises:
            BrokenPipeError: Nobody reads on, and all shall end.
        """
        if self.is_closed:
            return
        try:
            print(text, flush=True)
        except BrokenPipeError:
            if not self._may_be_closed:
                raise
            self.is_closed = True

    def show(self, progress: Progress) -> None:
        """Tell of a second, if it is time to."""
        done = progress.second.second + 1
        if done >= self._next_line:
            self._next_line = done + max(1.0, self._plan.seconds / 10)
            self.say("  " + ", ".join(_words(progress)))


class LiveLoadScreen(LoadScreen):
    """A terminal."""

    def __init__(self, plan: Plan) -> None:
        from rich.console import Console  # noqa: PLC0415  (here and below: an optional package)
        from rich.live import Live  # noqa: PLC0415

        super().__init__(plan)
        self._console = Console(highlight=False, markup=False, emoji=False)
        self._rows: collections.deque[tuple[str, ...]] = collections.deque(maxlen=_MOST_ROWS)
        self._done, self._what = 0.0, "starting"
        self._live = Live(console=self._console, get_renderable=self._picture, transient=True)

    def __enter__(self) -> LiveLoadScreen:
        super().__enter__()
        self._live.__enter__()
        return self

    def __exit__(self, *details: Any) -> None:
        self._live.__exit__(*details)

    def say(self, text: str, style: str = PLAIN) -> None:
        """Write a line that stays."""
        indent = " " * (len(text) - len(text.lstrip()))
        lines = textwrap.wrap(
            text,
            self._console.width,
            subsequent_indent=indent,
            break_long_words=False,  # a path must stay whole
            break_on_hyphens=False,
        )
        for line in lines or [""]:
            self._console.print(line, style=style or None, soft_wrap=True)

    def show(self, progress: Progress) -> None:
        """Take a second into the table."""
        plan, second = self._plan, progress.second
        self._done = min(plan.seconds, second.second + second.seconds)
        self._what = (
            "warming up" if second.second < 0 else f"{self._done:.0f} of {plan.seconds:g} s"
        )
        if second.second >= 0 and self._done >= plan.seconds - 0.05:
            self._what = "waiting for the last replies"
        self._rows.append(_cells(progress))

    def _picture(self) -> Any:
        from rich import box  # noqa: PLC0415
        from rich.console import Group  # noqa: PLC0415
        from rich.progress_bar import ProgressBar  # noqa: PLC0415
        from rich.table import Table  # noqa: PLC0415

        table = Table(box=box.SIMPLE_HEAD, padding=(0, 1))
        for head in _HEADS:
            table.add_column(head, justify="right", min_width=9)
        for row in self._rows:
            table.add_row(*row, style=BAD if row[-1] != "0" else None)
        bar = Table.grid(padding=(0, 1))
        completed = max(0.0, self._done)
        bar.add_row(ProgressBar(self._plan.seconds, completed, width=30), self._what)
        return Group(table, bar)


def _opening(plan: Plan) -> Iterable[str]:
    yield f"load on {plan.where}: {sent(plan)}"
    yield described(plan)


def _cells(progress: Progress) -> tuple[str, ...]:
    second = progress.second
    times = (ms(second.p50), ms(second.p99), ms(second.max)) if second.counts else ("", "", "")
    rate = f"{second.requests_per_second:,.0f}"
    number = "warm-up" if second.second < 0 else str(second.second + 1)
    return (number, rate, *times, f"{second.errors:,}")


def _words(progress: Progress) -> Iterable[str]:
    number, rate, p50, p99, most, errors = _cells(progress)
    yield number if progress.second.second < 0 else f"second {number}"
    yield f"{rate} requests/s"
    if p50:
        yield f"p50 {p50} ms, p99 {p99} ms, max {most} ms"
    if errors != "0":
        yield f"{errors} error{'s' * (errors != '1')}"


def make_screen(plan: Plan, may_be_closed: bool) -> LoadScreen:
    """Return what suits the standard output."""
    return LiveLoadScreen(plan) if is_terminal() else LoadScreen(plan, may_be_closed)
