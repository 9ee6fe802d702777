"""How does a contestant's server run? ``python -m benchmarks.peers MODULE:ATTRIBUTE PORT [JSON]``.

It ends with the process that started it, however that one ends: its standard input is closed then.
"""

from __future__ import annotations

import json
import os
import sys
import threading

from benchmarks.house.peer import find


def _end_with_parent() -> None:
    # Not sys.stdin: a buffered reader that is stuck in a read keeps the interpreter from its end.
    while os.read(0, 1024):
        pass
    os._exit(0)


def main() -> None:
    """Serve until the end."""
    threading.Thread(target=_end_with_parent, name="end-with-parent", daemon=True).start()
    where, port, *options = sys.argv[1:]
    find(where).serve(int(port), json.loads(options[0]) if options else {})


if __name__ == "__main__":
    main()
