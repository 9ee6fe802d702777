"""Is this a browser or a TLS client at the wrong port?

A web page can make any browser send a POST to a port of the local machine, so such bytes must be
noticed before the first command runs.
"""

from __future__ import annotations

_HTTP_METHODS = (b"GET ", b"POST ", b"HEAD ", b"PUT ", b"OPTIONS ", b"CONNECT ")
_TLS_HANDSHAKE = b"\x16\x03"  # RFC 8446, section 5.1: content type handshake, major version 3


LATER_LINES_BEGIN = frozenset(b"Hh")
"""First bytes of lines that :func:`foreign_line` may find foreign on an established connection."""


def foreign_opening(data: bytes) -> str | None:
    """Name the protocol that a connection's first bytes belong to, if it is not ours."""
    if data.startswith(_TLS_HANDSHAKE):
        return "TLS"
    return "HTTP" if data.startswith(_HTTP_METHODS) else None


def foreign_line(line: bytes, is_first: bool) -> str | None:
    """Name the protocol that a line belongs to, if it is not ours."""
    if line[:1] in b"Hh" and line[:5].lower() == b"host:":
        return "HTTP"
    return foreign_opening(line) if is_first else None
