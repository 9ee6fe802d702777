"""Which exchanges does it take to call the commands of a server?

Each function here is a plan: a generator of the exchanges that are to be carried, one after
another, which returns their result. ``Caller.follow()`` and ``AsyncCaller.follow()`` carry them
out.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any, Protocol, TypeVar

from ..exceptions import ReplyLost, ReplyTimeout
from .batch import Batch, Call, Terms, catalogue_of, discovery, discovery_lost, is_stale
from .exchange import Exchange, ServerTraits
from .remote import Catalogue

_T = TypeVar("_T")
Plan = Generator[Exchange, None, _T]


class Carrier(Protocol):
    """What a plan knows of the one who follows it."""

    catalogue: Catalogue | None
    traits: ServerTraits

    @property
    def name(self) -> str:
        """``host:port``, for messages."""


def catalogue(caller: Carrier, terms: Terms, refresh: bool = False) -> Plan[Catalogue]:
    """Return what the server says of itself, asking it only once.

    Raises:
        LabUtilsError: It does not say anything.
        OSError: It cannot be reached.
    """
    known = caller.catalogue
    if known is None or refresh:
        conversation = discovery(caller.traits, terms.max_reply)
        try:
            yield conversation
        except ReplyTimeout:
            raise
        except ReplyLost as error:
            raise discovery_lost(caller.name, error) from error
        known = caller.catalogue = catalogue_of(conversation, caller.name)
    return known


def call_all(
    caller: Carrier, terms: Terms, calls: Sequence[Call], return_exceptions: bool = False
) -> Plan[list[Any]]:
    """Call commands, one after another, over one connection; return their results in order."""
    known = caller.catalogue
    if is_stale(known, calls):
        known = yield from catalogue(caller, terms, refresh=True)
    assert known is not None, "it would be stale"
    batch = Batch(known, calls, caller.traits, terms)
    conversation = batch.conversation
    try:
        yield conversation
    except OSError as error:
        if not conversation.has_begun:
            raise
        conversation.give_up(error, caller.name)
    if batch.found_unknown:
        caller.catalogue = None
    return batch.results(caller.name, return_exceptions)
