"""Talks to cryostat_server.py.

python cryostat_client.py read
python cryostat_client.py heat 10
python cryostat_client.py --port 1507 status
python cryostat_client.py --every 2 read          again and again, until Ctrl-C
"""

import argparse
import sys
import time

from lab_utils_mt.exceptions import LabUtilsError
from lab_utils_mt.socket_comm import Client, quote

parser = argparse.ArgumentParser(description=__doc__)
parser.formatter_class = argparse.RawDescriptionHelpFormatter
parser.add_argument("--config", help="the server's settings; host and port are taken from there")
parser.add_argument("--host", help="default: localhost")
parser.add_argument("--port", type=int, help="default: 1507")
parser.add_argument("--every", type=float, metavar="SECONDS", help="ask again and again")
parser.add_argument("words", nargs=argparse.REMAINDER, help="the command; help explains all")
options = parser.parse_args()
if not options.words:
    parser.error("which command? help explains all of them")
if options.every is not None and not 0.01 <= options.every <= 86400:
    parser.error("--every must be from 0.01 to 86400 seconds")

failed = False
try:
    with Client(options.config, options.host, options.port, timeout=30) as client:
        while True:
            reply = client.send_message(" ".join(map(quote, options.words)))
            failed = reply.startswith("Error! ")
            print(reply, flush=True)
            if options.every is None:
                break
            time.sleep(options.every)
except (LabUtilsError, OSError) as error:
    sys.exit(f"cryostat_client: {error}")
except KeyboardInterrupt:
    sys.exit(130)
sys.exit(failed)
