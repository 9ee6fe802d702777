"""How does a thread call the commands of a server?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..exceptions import ReplyLost, ReplyTimeout
from .batch import Batch, Call, Terms, catalogue_of, discovery, discovery_lost, is_stale
from .caller import Caller
from .proxy import Commands
from .remote import Catalogue


def catalogue(caller: Caller, terms: Terms, refresh: bool = False) -> Catalogue:
    """Return what the server says of itself, asking it only once.

    Raises:
        LabUtilsError: It does not say anything.
        OSError: It cannot be reached.
    """
    known = caller.catalogue
    if known is None or refresh:
        conversation = discovery(caller.traits, terms.max_reply)
        try:
            caller.run(conversation, terms.timeout)
        except ReplyTimeout:
            raise
        except ReplyLost as error:
            raise discovery_lost(caller.name, error) from error
        known = caller.catalogue = catalogue_of(conversation, caller.name)
    return known


def call_all(
    caller: Caller, terms: Terms, calls: Sequence[Call], return_exceptions: bool = False
) -> list[Any]:
    """Call commands, one after another, over one connection; return their results in order."""
    known = caller.catalogue
    if is_stale(known, calls):
        known = catalogue(caller, terms, refresh=True)
    assert known is not None, "it would be stale"
    batch = Batch(known, calls, caller.traits, terms)
    conversation = batch.conversation
    try:
        caller.run(conversation, terms.timeout)
    except OSError as error:
        if not conversation.has_begun:
            raise
        conversation.give_up(error, caller.name)
    if batch.found_unknown:
        caller.catalogue = None
    return batch.results(caller.name, return_exceptions)


def commands(caller: Caller, terms: Terms) -> Commands:
    """Return the commands of the server as functions."""

    def call(command: str, *args: Any, **kwargs: Any) -> Any:
        return call_all(caller, terms, [Call(command, args, kwargs)])[0]

    def known(refresh: bool) -> Catalogue:
        return catalogue(caller, terms, refresh)

    return Commands(caller.name, call, known)
