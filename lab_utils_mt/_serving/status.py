"""What does a server say of its clients?"""

from __future__ import annotations

from .._commands.telling import age, shown
from .registry import ClientRecord, Counts


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
    text += f", running {shown(client.command)} for {age(now - client.command_since)}"
    return f"{text}, {client.progress}" if client.progress else text
