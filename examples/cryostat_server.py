"""A cryostat daemon to copy: many clients at once, every reading kept in PostgreSQL.

Run it with: python cryostat_server.py --embedded
"""

import argparse
import random
from typing import Annotated

import psycopg2

from lab_utils_mt.commands import Meta, Unit, command, poll
from lab_utils_mt.custom_logging import configure_logging
from lab_utils_mt.database import Database, DataType, EmbeddedPostgres
from lab_utils_mt.exceptions import LabUtilsError
from lab_utils_mt.socket_comm import Server


class Cryostat(Server):
    """Reads the thermometer of a cryostat, and heats it."""

    kelvin = 4.2

    @poll(every=1.0, device="thermometer")  # for those who watch it; table="..." records it, too
    def sensor(self) -> Annotated[float, Unit("K")]:
        return random.gauss(self.kelvin, 0.01)  # your thermometer

    @command(device="thermometer")
    def read(self) -> str:
        """Read the temperature."""
        kelvin = self.sensor()
        if self.database:
            self.database.new_entry("cryostat", ["kelvin"], [kelvin])  # returns when it is stored
        return f"{kelvin:.3f} K"

    @command
    def heat(self, kelvin: Annotated[float, Meta(ge=0, le=300), Unit("K")]) -> str:
        """Heat, or let cool, to a temperature."""
        self.kelvin = kelvin  # your heater
        return f"going to {kelvin:g} K"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", help="settings, as in server.ini")
    parser.add_argument("--dsn", help='your PostgreSQL, as in --dsn "host=lab dbname=cryo user=me"')
    parser.add_argument("--embedded", action="store_true", help="its own, in ./cryostat-data")
    parser.add_argument("--logging", help="where the log goes, as in logging.ini; default: here")
    options = parser.parse_args()
    try:
        configure_logging(options.logging, logger_name="cryostat")
        dsn = EmbeddedPostgres("cryostat-data").start().dsn if options.embedded else options.dsn
        if database := Database(dsn=dsn) if dsn else None:
            database.connect()
            database.create_timescale_db("cryostat", if_not_exists=True)
            database.new_column("cryostat", "kelvin", DataType.double)
        Cryostat(options.config, database=database).start_daemon()
    except (LabUtilsError, psycopg2.Error, OSError, KeyboardInterrupt) as error:
        raise SystemExit(f"cryostat_server: {str(error).strip() or 'stopped'}") from None
