"""How does a contestant's server run? ``python -m benchmarks.peers MODULE:ATTRIBUTE PORT [JSON]``.

It ends with the process that started it, whose end closes its standard input.
"""

from __future__ import annotations

import json
import sys

from benchmarks.house.parent import end_with_parent
from benchmarks.house.peer import find


def main() -> None:
    """Serve until the end."""
    end_with_parent()
    where, port, *options = sys.argv[1:]
    find(where).serve(int(port), json.loads(options[0]) if options else {})


if __name__ == "__main__":
    main()
