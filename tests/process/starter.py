"""A server that starts when it is told: ``starter.py PACKAGE_FOLDER``, then one order a line.

``acquire PATH TIME`` waits until the monotonic clock says TIME and answers ``won`` or
``lost: TEXT``; ``release`` answers ``released``.
"""

import sys
import time

sys.path.insert(0, sys.argv[1])

from lab_utils_mt._process.pid_lock import PidLock
from lab_utils_mt.exceptions import LockError


def try_to_start(path, moment):
    lock = PidLock(path)
    time.sleep(max(0.0, moment - time.monotonic()))
    try:
        lock.acquire()
    except LockError as error:
        return lock, f"lost: {error}"
    return lock, "won"


def main():
    lock = None
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for line in sys.stdin:
        order = line.rstrip("\n").split("\t")
        if order[0] == "acquire":
            lock, answer = try_to_start(order[1], float(order[2]))
        else:
            lock.release()
            answer = "released"
        sys.stdout.write(f"{answer}\n")
        sys.stdout.flush()


main()
