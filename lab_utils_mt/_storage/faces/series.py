"""How are long series of readings summed up, thinned out and kept small?"""

from __future__ import annotations

from .connecting import Connecting


class Series(Connecting):
    """What a database can do about readings over time."""
