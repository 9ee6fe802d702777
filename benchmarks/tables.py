"""How are results shown?"""

from __future__ import annotations

import sys
from importlib.util import find_spec

HEAD = ["question", "contestant", "median", "spread", "unit", "ratio to the others", "bar"]


def show(lines: list[list[str]]) -> None:
    """Print a table of results, with rich if it is installed; what missed its bar is red."""
    if find_spec("rich"):
        from rich.console import Console
        from rich.table import Table

        table = Table(*HEAD)
        for line in lines:
            table.add_row(*line, style="red" if "MISSED" in line[-1] else None)
        Console(width=None if sys.stdout.isatty() else 140).print(table)
        return
    widths = [max(map(len, column)) for column in zip(HEAD, *lines, strict=True)]
    for line in [HEAD, *lines]:
        print("  ".join(map(str.ljust, line, widths)).rstrip())
