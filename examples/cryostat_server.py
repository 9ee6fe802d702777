"""A cryostat daemon to copy: many clients at once, every reading kept in PostgreSQL.

Run it with: python cryostat_server.py --embedded
"""

import argparse
import random
import sys

import psycopg2

from lab_utils_mt.custom_logging import configure_logging
from lab_utils_mt.database import Database, DataType, EmbeddedPostgres
from lab_utils_mt.exceptions import LabUtilsError
from lab_utils_mt.socket_comm import Server


class Cryostat(Server):
    """Reads the thermometer of a cryostat, and heats it."""

    kelvin, warmest = 4.2, 300.0

    def create_parser(self):
        super().create_parser()
        self.sp.add_parser("read", description="reads").set_defaults(func=self.read, which="read")
        heat = self.sp.add_parser("heat", description="heats, or lets cool")
        heat.add_argument("kelvin", type=float, help="to which temperature, 0 to 300 K")
        heat.set_defaults(func=self.heat, which="heat")

    def read(self):
        kelvin = random.gauss(self.kelvin, 0.01)  # your thermometer
        if self.database:
            self.database.new_entry("cryostat", ["kelvin"], [kelvin])  # returns when it is stored
        self.reply = f"{kelvin:.3f} K"

    def heat(self):
        if not 0 <= self.namespace.kelvin <= self.warmest:
            raise ValueError(f"the cryostat goes from 0 to {self.warmest} K")  # an error reply
        self.kelvin = self.namespace.kelvin  # your heater
        self.reply = f"going to {self.kelvin:g} K"


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--config", help="settings, as in server.ini")
parser.add_argument("--dsn", help='your PostgreSQL, as in --dsn "host=lab dbname=cryo user=me"')
parser.add_argument("--embedded", action="store_true", help="one of its own, in ./cryostat-data")
parser.add_argument("--logging", help="where the log goes, as in logging.ini; default: here")
options = parser.parse_args()
try:
    configure_logging(options.logging, logger_name="cryostat")
    dsn = EmbeddedPostgres("cryostat-data").start().dsn if options.embedded else options.dsn
    database = Database(dsn=dsn) if dsn else None
    if database:
        database.connect()
        database.create_timescale_db("cryostat", if_not_exists=True)
        database.new_column("cryostat", "kelvin", DataType.double)
    Cryostat(options.config, database=database).start_daemon()
except (LabUtilsError, psycopg2.Error, OSError, KeyboardInterrupt) as error:
    sys.exit(f"cryostat_server: {str(error).strip() or 'stopped'}")
