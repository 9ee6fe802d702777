"""What does a contestant have to say about itself?"""

from __future__ import annotations

import importlib
import importlib.metadata
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any


class MissingPeer(Exception):
    """A contestant cannot be had here; the text says why and what to do."""


@dataclass(frozen=True)
class Wire:
    """How a line protocol is spoken: what is sent, and which line answers it."""

    request: bytes  # with its newline
    ok: bytes  # how the reply must begin
    skip_prefix: bytes = b""  # lines that are no replies
    greeting: int = 0  # lines that come before the first request


@dataclass(frozen=True)
class Peer:
    """A contestant.

    Args:
        name: As the tables show it.
        version: Tells its version, or raises MissingPeer.
        settings: How it was set up, for the reader: the comparison must be fair.
        serve: Runs the server on 127.0.0.1 until the process is killed, by (port, options).
        wire: Of a line protocol; the load engine speaks it.
        connect: Of a protocol of its own: a context manager, by (port), that
            connects one client with the peer's own library and gives a function that makes one echo
            request and returns its reply. It is entered and left in the thread that uses it.
        folder: Gives a folder to put on the import path.
        environment: Variables for the processes of server and clients.
        colour: Of its lines and bars; empty: one that nobody else in a plot has.
    """

    name: str
    version: Callable[[], str]
    settings: str
    serve: Callable[[int, dict[str, Any]], None]
    wire: Wire | None = None
    connect: Callable[[int], AbstractContextManager[Callable[[], object]]] | None = None
    folder: Callable[[], str] | None = None
    environment: Mapping[str, str] | None = None
    colour: str = ""


def installed(distribution: str) -> Callable[[], str]:
    """Return a function that tells the version of an installed distribution.

    The function raises :class:`MissingPeer` if it is not installed.
    """

    def version() -> str:
        try:
            return importlib.metadata.version(distribution)
        except importlib.metadata.PackageNotFoundError:
            raise MissingPeer(
                f"{distribution} is not installed: python -m pip install '.[bench]'"
            ) from None

    return version


def find(where: str) -> Peer:
    """Return the contestant at ``module:ATTRIBUTE``."""
    module, _, attribute = where.partition(":")
    peer = getattr(importlib.import_module(module), attribute or "PEER")
    if not isinstance(peer, Peer):
        raise TypeError(f"{where} is no Peer")
    return peer
