"""How does a daemon answer for a cryostat, and keep every reading?

A reading is in the database before its client has it: what was answered was stored.
"""

from __future__ import annotations

import argparse
import itertools
import threading
import time
from datetime import datetime, timezone

from .. import database as db
from ..socket_comm import Server
from .cryostat import HOTTEST, make_stages

COLUMNS = {
    "stage": db.DataType.string,
    "client": db.DataType.int,
    "number": db.DataType.long,
    "kelvin": db.DataType.double,
}
_COOLING = 60.0  # K/min


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

    def create_parser(self) -> None:
        """Add the commands of a cryostat."""
        super().create_parser()
        read = self.sp.add_parser("read", description="reads a thermometer and stores the reading")
        read.add_argument("stage", choices=list(self.stages), help="which one")
        read.add_argument("client", nargs="?", type=int, default=0, help="who reads")
        read.add_argument("number", nargs="?", type=int, help="the client's number of the reading")
        read.set_defaults(func=self.read, which="read")
        move = self.sp.add_parser("set", description="moves a set point at once")
        self._add_target(move)
        move.set_defaults(func=self.set, which="set")
        ramp = self.sp.add_parser("ramp", description="moves a set point slowly")
        self._add_target(ramp)
        ramp.add_argument("rate", type=_rate, help="how fast, in K/min")
        ramp.set_defaults(func=self.ramp, which="ramp")

    def _add_target(self, command: argparse.ArgumentParser) -> None:
        command.add_argument("stage", choices=list(self.stages), help="which one")
        command.add_argument("kelvin", type=_kelvin, help=f"in K, above 0, at most {HOTTEST:g}")

    def read(self) -> None:
        """Store a reading, then reply with it."""
        stage = self.stages[self.namespace.stage]
        client, number = self.namespace.client, self.namespace.number
        if number is None:
            number = next(self._numbers)
        # When it was read; the database would take the time of its insertion, which may be later.
        moment = datetime.now(timezone.utc)
        kelvin = stage.read(self.now())
        self.store(moment, stage.name, client, number, kelvin)
        self.reply = f"{stage.name} {kelvin:.5g} K, reading {number} of client {client}"

    def store(self, moment: datetime, stage: str, client: int, number: int, kelvin: float) -> None:
        """Return when the reading is in the database."""
        row = [moment, stage, client, number, kelvin]
        assert self.database is not None
        self.database.new_entry(self.table, ["time", *COLUMNS], row)
        with self._count_lock:
            self.stored += 1

    def set(self) -> None:
        """Move a set point at once."""
        name, kelvin = self.namespace.stage, self.namespace.kelvin
        self.stages[name].set(self.now(), kelvin)
        self.reply = f"{name} goes to {kelvin:g} K"

    def ramp(self) -> None:
        """Move a set point slowly."""
        name, kelvin, rate = self.namespace.stage, self.namespace.kelvin, self.namespace.rate
        self.stages[name].ramp(self.now(), kelvin, rate)
        self.reply = f"{name} goes to {kelvin:g} K at {rate:g} K/min"


def _kelvin(text: str) -> float:
    kelvin = _number(text)
    if not 0.0 < kelvin <= HOTTEST:
        raise argparse.ArgumentTypeError(f"{text} K is not above 0 and at most {HOTTEST:g} K")
    return kelvin


def _rate(text: str) -> float:
    rate = _number(text)
    if not 0.0 < rate < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} K/min is not above 0")
    return rate


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
