"""A stage daemon written as for lab_utils 0.5.x: commands and their words are declared by hand.

Run it with: python stage_server.py --port 1508

New servers are shorter with @command, as in cryostat_server.py; both styles may be mixed in one.
"""

import argparse
import sys
import time

from lab_utils_mt.custom_logging import configure_logging
from lab_utils_mt.exceptions import LabUtilsError
from lab_utils_mt.socket_comm import Server

SLOWEST, FASTEST = 0.1, 100.0  # mm/s


class Stage(Server):
    """Moves a stage."""

    position = 0.0  # mm

    def create_parser(self):
        super().create_parser()
        where = self.sp.add_parser("where", description="tells where the stage is")
        where.set_defaults(func=self.where, which="where")
        move = self.sp.add_parser("move", description="moves the stage, returns when it is there")
        move.add_argument("position", type=float, help="where to, 0 to 50 mm")
        move.add_argument("--speed", type=float, default=10.0, help="in mm/s; default: 10")
        # Of the commands of one device, one runs at a time; where answers meanwhile.
        move.set_defaults(func=self.move, which="move", device="stage")

    def where(self):
        self.reply = f"{self.position:.3f} mm"

    def move(self):
        target, speed = self.namespace.position, self.namespace.speed
        if not 0 <= target <= 50:
            raise ValueError("the stage goes from 0 to 50 mm")  # an error reply
        if not SLOWEST <= speed <= FASTEST:
            raise ValueError(f"the stage moves at {SLOWEST} to {FASTEST} mm/s")
        time.sleep(abs(target - self.position) / speed)  # your stage
        self.position = target
        self.reply = f"at {target:.3f} mm"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--config", help="settings, as in server.ini")
    parser.add_argument("--port", type=int, help="default: 1507")
    options = parser.parse_args()
    try:
        configure_logging(logger_name="stage")
        Stage(options.config, port=options.port).start_daemon()
    except (LabUtilsError, OSError, KeyboardInterrupt) as error:
        sys.exit(f"stage_server: {str(error).strip() or 'stopped'}")
