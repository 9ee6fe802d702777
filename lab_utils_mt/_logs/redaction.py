"""Which parts of a text must nobody read?

Secrets that a program of this package was given are remembered here, and written as ``***`` by
every sink, wherever they turn up: in the text of a library's exception, in a line of a user's.
So is what looks like a secret of the kinds that labs have: Slack's tokens and webhook addresses,
passwords in addresses and connection strings.
"""

from __future__ import annotations

import base64
import json
import re
import threading
import urllib.parse

HIDDEN = "***"
_LEAST = 4  # characters; hiding shorter ones would make holes in every other text

_KINDS = re.compile(
    r"""xox[a-z](?:\.xox[a-z])?-[\w-]+ | xapp-[\w-]+             # Slack: tokens
    | (?<=hooks\.slack\.com/) (?:services|workflows|triggers)/\S+ # Slack: webhooks
    | (?<=://) [^\s/:@]* : [^\s/]+ (?=@)                          # user:password@host
    | (?i: (?<=password=) | (?<=passwd=) | (?<=password\ =\ )) (?:'[^']*' | [^\s,;)'"]+)
    """,
    re.VERBOSE,
)

# Guards the change of _known; it is only ever replaced, so that reading needs no lock.
_lock = threading.RLock()
_secrets: frozenset[str] = frozenset()
_known: re.Pattern[str] | None = None


def hide(secret: str) -> None:
    """Remember a secret: from now on no sink writes it, in none of its usual disguises.

    Args:
        secret: A password, token or webhook address. One of fewer than 4 characters cannot be
            hidden where others write it; this package itself never writes any.
    """
    global _secrets, _known  # noqa: PLW0603  (the process has one memory of its secrets)
    forms = {form for form in _disguises(secret) if len(form) >= _LEAST}
    with _lock:
        _secrets |= forms
        if _secrets:  # the longest first: one may be part of another
            longest_first = sorted(_secrets, key=len, reverse=True)
            _known = re.compile("|".join(map(re.escape, longest_first)))


def _disguises(secret: str) -> set[str]:
    in_base64 = base64.b64encode(secret.encode("utf-8", "replace")).decode("ascii")
    return {
        secret,
        in_base64,
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        repr(secret)[1:-1],
        urllib.parse.quote(secret, safe="", errors="replace"),
        urllib.parse.quote_plus(secret, errors="replace"),
    }


def redact(text: str) -> str:
    """Return the text with ``***`` for everything that must not be read."""
    if _known is not None:
        text = _known.sub(HIDDEN, text)
    if _may_be_one(text):
        text = _KINDS.sub(HIDDEN, text)
    return text


def _may_be_one(text: str) -> bool:
    # A tenth of the time that the pattern takes, and nearly every text has none of these.
    return (
        "xox" in text
        or "xapp-" in text
        or "://" in text
        or "assw" in text
        or "ASSW" in text
        or "hooks.slack" in text
    )
