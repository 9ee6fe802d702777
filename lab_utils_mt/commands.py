"""How is a method made a command?

:func:`command` makes a command of a method with type hints, :func:`poll` calls one again and
again; :class:`Meta` and :func:`Unit` say ranges and units, and a parameter annotated
:class:`Request` tells a command of its request::

    class Cryostat(Server):
        @command(device="heater", timeout=30)
        def heat(self, kelvin: Annotated[float, Meta(ge=0, le=300), Unit("K")]) -> float:
            \"\"\"Set the target temperature.\"\"\"
"""

from __future__ import annotations

from msgspec import Meta

from ._commands.declaring import command, poll
from ._commands.kinds import Unit
from ._commands.request import Request

__all__ = ["Meta", "Request", "Unit", "command", "poll"]
