"""How does somebody who looks, or a file, see what a command is doing?

On a terminal with a moving bar and colour; anywhere else in plain lines, without control codes.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence

Row = tuple[str, int | float | str]


def is_terminal() -> bool:
    """Tell whether the standard output can show something that moves."""
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


class Screen:
    """Plain lines, for a file or a pipe."""

    def __init__(self) -> None:
        self._next_line = 1.0  # second of the work

    def __enter__(self) -> Screen:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def say(self, text: str) -> None:
        """Write a line that stays."""
        print(text, flush=True)

    def phase(self, text: str) -> None:
        """Say what is being done now."""
        self.say(f"{text} ...")

    def progress(self, done: float, seconds: float, figures: str) -> None:
        """Show how far the work is; in plain lines about ten times.

        Args:
            done: Seconds of work that are over.
            seconds: How many there will be.
            figures: What was reached.
        """
        if done >= self._next_line:
            self._next_line = done + max(1.0, seconds / 10)
            self.say(f"  {done:.0f} of {seconds:g} s: {figures}")

    def table(self, rows: Sequence[Row], good: bool) -> None:
        """Show the result, a name and a value per line; ``good`` or bad."""
        width = max(len(name) for name, _ in rows)
        self.say("")
        for name, value in rows:
            self.say(f"{name:<{width}}  {value}")


class LiveScreen(Screen):
    """A terminal."""

    def __init__(self) -> None:
        from rich.console import Console  # noqa: PLC0415  (here and below: an optional package)
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn  # noqa: PLC0415

        self._console = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
        self._progress = Progress(
            SpinnerColumn("line"),
            TextColumn("{task.description}", markup=False),
            BarColumn(20),
            TextColumn("{task.fields[figures]}", markup=False),
            console=self._console,
            transient=True,
        )
        self._task = self._progress.add_task("", total=None, figures="")
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> LiveScreen:
        self._stack.enter_context(self._progress)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def say(self, text: str) -> None:
        """Write a line above what moves."""
        self._progress.console.print(text)

    def phase(self, text: str) -> None:
        """Say what is being done now, beside something that moves."""
        self.say(text)
        self._progress.reset(self._task, total=None, description="", figures="")

    def progress(self, done: float, seconds: float, figures: str) -> None:
        """Show how far the work is."""
        text = f"{done:.0f} of {seconds:g} s"
        self._progress.update(
            self._task, description=text, total=seconds, completed=done, figures=figures
        )

    def table(self, rows: Sequence[Row], good: bool) -> None:
        """Show the result as a table, whose frame is green or red."""
        from rich import box  # noqa: PLC0415
        from rich.table import Table  # noqa: PLC0415

        table = Table(
            show_header=False, box=box.ROUNDED, border_style="green" if good else "bold red"
        )
        table.add_column()
        table.add_column(justify="right")
        for name, value in rows:
            table.add_row(name, f"{value:,}" if isinstance(value, int | float) else value)
        self._progress.console.print(table)


def make_screen() -> Screen:
    """Return what suits the standard output."""
    return LiveScreen() if is_terminal() else Screen()
