"""Which parts of a text must nobody read?

Secrets that a program of this package was given are remembered here, and written as ``***`` by
every sink, wherever they turn up: in the text of a library's exception, in a line of a user's.
So is what looks like a secret of the kinds that labs have: Slack's tokens and webhook addresses,
passwords and tokens in addresses, what follows ``Bearer``, and the value of every key that is
called like a secret: ``password=x``, ``"token": "x"``, ``PGPASSWORD: x``.

When in doubt it is hidden: of ``invalid token: expected a name``, the word after the colon is
lost. What stays is ``none``, ``null``, ``true`` and ``false``; and ``pass``, as filters have it.
"""

from __future__ import annotations

import base64
import html
import json
import re
import threading
import urllib.parse

HIDDEN = "***"
_LEAST = 4  # characters; hiding shorter ones would make holes in every other text

# Each scans a text once, whatever it holds: nothing that fails is looked at again from its middle.
# That a pattern begins with a literal, or with few letters, makes it ten times as fast.
_SLACK = re.compile(
    r"""xox[a-z](?:\.xox[a-z])?-[\w-]+ | xapp-[\w-]+
    | (?P<kept>hooks\.slack(?:-gov)?\.com (?::\d+)? (?:\\?/|%(?:25)*2[Ff])) \S+
    """,
    re.VERBOSE,
)
# user:password@host, and token@host where there are no plain users. A number and a slash after the
# colon are a port, and what follows is a path. A password may hold @ and /, which it should not.
_IN_ADDRESS = re.compile(
    r"""(?P<kept>://)
    (?: [^\s/:@]* : (?!\d{1,5}[/?\#]) [^\s:]* (?: :(?!//) [^\s:]* )*
      | (?: (?<=https://) | (?<=http://) | (?<=HTTPS://) | (?<=HTTP://) ) [^\s/:@?\#]+
    ) (?=@)
    """,
    re.VERBOSE,
)
_BEARER = re.compile(
    r"(?P<kept>[Bb](?:earer|EARER)\s+)(?!(?:tokens?|auth[a-z]*)(?![\w.~+/=-]))[^\s\"',;]+"
)
_VALUE = r"""
    (?:\\?["'])? (?:\s | \\[nrt] | \\xa0){0,20}           # blanks may be escaped already
    [:=]{1,2} >? (?:\s | \\[nrt] | \\xa0)*
  )
  (?! (?i:none|null|true|false) (?:[\s,;)\]}]|\Z) )
  (?:
    [bBrRuU]{0,2} (?P<quote>\\?["'])                      # to the closing quote, or the line's end
      [^"'\\\n]* (?: (?!(?P=quote)) (?:\\[^\n]?|["']) [^"'\\\n]* )* (?:(?P=quote))?
  | (?: (?i:basic|bearer|digest|negotiate|token)\s+ )?
      \S* [^\s,;.)\]}>"'\\]
  )"""
_BY_NAME = re.compile(
    r"""(?P<kept> [PpTtSsAa] (?:
        (?<=[Pp]) (?i: ass(?:word|wd|phrase) | wd )
      | (?<=[Tt]) (?i: oken )
      | (?<=[Ss]) (?i: ecret (?:[_-]?(?:access[_-]?)?key)? )
      | (?<=[Aa]) (?i: pi[_-]?key | uthorization )
    )"""
    + _VALUE,
    re.VERBOSE,
)
_KINDS = (_SLACK, _IN_ADDRESS, _BY_NAME, _BEARER)

_NAME = re.compile(
    r"""(?: pass(?:word|wd|phrase) | pwd | token | authorization | api[_-]?key
    | secret (?:[_-]?(?:access[_-]?)?key)? ) \Z""",
    re.VERBOSE | re.IGNORECASE,
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
    in_addresses = {
        urllib.parse.quote(secret, safe="", errors="replace"),
        urllib.parse.quote(secret, errors="replace"),
        urllib.parse.quote_plus(secret, errors="replace"),
    }
    return in_addresses | {
        secret,
        in_base64,
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        repr(secret)[1:-1],
        html.escape(secret),
        html.escape(secret, quote=False),
        *(re.sub("%[0-9A-F]{2}", lambda code: code[0].lower(), form) for form in in_addresses),
    }


def redact(text: str) -> str:
    """Return the text with ``***`` for everything that must not be read."""
    if _known is not None:
        text = _known.sub(HIDDEN, text)
    if _may_hold_one(text):
        for kind in _KINDS:
            text = kind.sub(_without_secret, text)
    return text


def is_secret_name(name: str) -> bool:
    """Tell whether a key is called like a secret, as ``db_password``, ``apiKey`` or ``token``."""
    return _NAME.search(name) is not None


def _without_secret(found: re.Match[str]) -> str:
    return (found.groupdict().get("kept") or "") + HIDDEN


def _may_hold_one(text: str) -> bool:
    # A tenth of the time that the patterns take, and nearly every text has none of these. Looking
    # for a rare letter takes a quarter of the time of looking for a word that has it.
    low = text.lower()
    return (
        ("/" in low and "://" in low)
        or ("x" in low and ("xox" in low or "xapp-" in low))
        or ("b" in low and "bearer" in low)
        or ("k" in low and ("token" in low or "key" in low or "hooks.slack" in low))
        or ("w" in low and "pwd" in low)
        or ("z" in low and "authorization" in low)
        or (("=" in low or ":" in low) and ("pass" in low or "secret" in low))
    )
