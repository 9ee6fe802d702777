"""What does the docstring of a command say?"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from types import FunctionType


@dataclasses.dataclass(frozen=True)
class Docstring:
    """A docstring in its parts; all texts may be empty.

    Attributes:
        summary: Its first line.
        description: What follows.
        parameters: What it says of each parameter.
        returns: What it says of the result.
    """

    summary: str
    description: str
    parameters: Mapping[str, str]
    returns: str

    @classmethod
    def of(cls, function: FunctionType) -> Docstring:
        """Read a docstring in the style of Google, NumPy, Sphinx or Epydoc."""
        if not function.__doc__:
            return cls("", "", {}, "")
        import docstring_parser  # noqa: PLC0415  (only where there are typed commands)

        found = docstring_parser.parse(function.__doc__)
        return cls(
            _one_line(found.short_description),
            (found.long_description or "").strip(),
            {one.arg_name: _one_line(one.description) for one in found.params},
            _one_line(found.returns.description if found.returns else ""),
        )


def _one_line(text: str | None) -> str:
    return " ".join((text or "").split())
