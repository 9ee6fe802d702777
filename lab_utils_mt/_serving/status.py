"""What does a server say of its clients?"""

from __future__ import annotations

from .._commands.dispatch import shown
from .registry import ClientRecord, Counts

_MINUTE, _HOUR, _DAY = 60, 3600, 86400  # s
_TENTHS_MATTER = 10  # s


def age(seconds: float) -> str:
    """Return a duration as a person says it: ``0.8 s``, ``12 s``, ``3 min 20 s``."""
    if seconds < _TENTHS_MATTER:
        return f"{seconds:.1f} s"
    whole = int(seconds)
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return f"{whole // _MINUTE} min {whole % _MINUTE} s"
    if whole < _DAY:
        return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE} min"
    return f"{whole // _DAY} d {whole % _DAY // _HOUR} h"


def status_lines(clients: list[ClientRecord], counts: Counts, limit: int, now: float) -> list[str]:
    """Return the status command's lines about clients and requests."""
    visits = f"peak {counts.peak}, accepted {counts.accepted}, refused {counts.refused}"
    return [
        f"requests: {counts.requests}",
        f"errors: {counts.errors}",
        f"clients: {len(clients)} of {limit}, {visits}",
        *(f"  {_line(client, now)}" for client in clients),
    ]


def _line(client: ClientRecord, now: float) -> str:
    text = f"{client.address} for {age(now - client.since)}, {client.requests} requests"
    if client.command is None:
        return text
    return f"{text}, running {shown(client.command)} for {age(now - client.command_since)}"
