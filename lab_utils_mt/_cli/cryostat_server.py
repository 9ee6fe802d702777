"""How does a daemon answer for a cryostat, and keep every reading?

A reading is in the database before its client has it: what was answered was stored.
"""

from __future__ import annotations

import itertools
import threading
import time
from datetime import datetime, timezone
from typing import Annotated, Literal

from .. import database as db
from ..commands import Meta, Unit, command
from ..socket_comm import Server
from .cryostat import HOTTEST, make_stages

COLUMNS = {
    "stage": db.DataType.string,
    "client": db.DataType.int,
    "number": db.DataType.long,
    "kelvin": db.DataType.double,
}
_COOLING = 60.0  # K/min

StageName = Literal["50K-plate", "4K-plate", "still", "mixing-chamber"]
Kelvin = Annotated[float, Meta(gt=0, le=int(HOTTEST)), Unit("K")]
Rate = Annotated[float, Meta(gt=0), Unit("K/min")]


class Cryostat(Server):
    """A simulated cryostat, warm until :meth:`cool_down`.

    Args:
        database: Where the readings go.
        table: A table with the columns ``time`` and :data:`COLUMNS`.
        speed: Seconds in the cryostat for one second here.
        max_clients: Most clients at a time.
        pid_file_name: Path of the PID file.
        host: Address to listen on.
        port: TCP port; 0 takes a free one.
    """

    def __init__(
        self,
        database: db.Database,
        table: str,
        *,
        speed: float = 1.0,
        max_clients: int = 600,
        pid_file_name: str | None = None,
        host: str | None = None,
        port: int | None = None,
    ) -> None:
        self.table, self.speed = table, speed
        self.max_clients = max_clients
        self.stages = make_stages()
        self.stored = 0
        self._began = time.monotonic()
        self._numbers = itertools.count(1)
        # Guards stored.
        self._count_lock = threading.Lock()
        super().__init__(pid_file_name=pid_file_name, host=host, port=port, database=database)

    def now(self) -> float:
        """Return the seconds in the cryostat since it was made."""
        return (time.monotonic() - self._began) * self.speed

    def cool_down(self) -> None:
        """Let all stages go to their base temperatures."""
        now = self.now()
        for stage in self.stages.values():
            stage.ramp(now, stage.base, _COOLING)

    @command
    def read(self, stage: StageName, client: int = 0, number: int | None = None) -> str:
        """Read a thermometer and store the reading.

        Args:
            stage: Which one.
            client: Who reads.
            number: The client's number of the reading; by default the server counts.
        """
        if number is None:
            number = next(self._numbers)
        # When it was read; the database would take the time of its insertion, which may be later.
        moment = datetime.now(timezone.utc)
        kelvin = self.stages[stage].read(self.now())
        self.store(moment, stage, client, number, kelvin)
        return f"{stage} {kelvin:.5g} K, reading {number} of client {client}"

    def store(self, moment: datetime, stage: str, client: int, number: int, kelvin: float) -> None:
        """Return when the reading is in the database."""
        row = [moment, stage, client, number, kelvin]
        assert self.database is not None
        self.database.new_entry(self.table, ["time", *COLUMNS], row)
        with self._count_lock:
            self.stored += 1

    @command
    def set(self, stage: StageName, kelvin: Kelvin) -> str:
        """Move a set point at once.

        Args:
            stage: Which one.
            kelvin: Where to.
        """
        self.stages[stage].set(self.now(), kelvin)
        return f"{stage} goes to {kelvin:g} K"

    @command
    def ramp(self, stage: StageName, kelvin: Kelvin, rate: Rate) -> str:
        """Move a set point slowly.

        Args:
            stage: Which one.
            kelvin: Where to.
            rate: How fast.
        """
        self.stages[stage].ramp(self.now(), kelvin, rate)
        return f"{stage} goes to {kelvin:g} K at {rate:g} K/min"
