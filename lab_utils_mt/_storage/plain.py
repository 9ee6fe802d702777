"""Which text did a caller really give?

A subclass of str may print as another text than the one that it is: what is checked, and then put
together, must be one and the same.
"""

from __future__ import annotations

from typing import Any


def plain(given: Any) -> Any:
    """Return a text as nothing but a str; anything else as it is."""
    return str.__str__(given) if isinstance(given, str) else given
