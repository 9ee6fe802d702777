"""How is a character written that does not print, where programs may read JSON?"""

from __future__ import annotations

import json


def escape_as_json(text: str, but: str = "") -> str:
    """Write what does not print as JSON does, as in ``\\u2028``; other text may have it, too.

    Args:
        text: JSON, or any other text.
        but: Characters that stay.
    """
    if text.isprintable():
        return text
    for char in set(text):
        if not char.isprintable() and char not in but:
            text = text.replace(char, json.dumps(char)[1:-1])
    return text
