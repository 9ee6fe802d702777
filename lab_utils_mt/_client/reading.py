"""What does a poller tell those who watch it?"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Mapping
from typing import Any


@dataclasses.dataclass(frozen=True)
class Reading:
    """One reading of a poller; ``reading["kelvin"]`` is one of its values."""

    name: str  #: The poller.
    time: datetime.datetime  #: When it was read, by the server's clock; with its time zone.
    values: Mapping[str, Any]  #: What was read; empty if that failed.
    missed: int = 0  #: Readings left out since the last one, because this client was too slow.
    error: str | None = None  #: Why reading failed; told once, when it begins to fail.

    def __getitem__(self, name: str) -> Any:
        """Return one value.

        Raises:
            KeyError: The reading has no such value.
        """
        return self.values[name]
