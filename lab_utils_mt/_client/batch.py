"""How do calls become requests, and replies results?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from .._wire.jsonrpc import Response
from ..exceptions import ConnectionClosed, MessageError
from .conversation import Conversation, Outcome, Progress
from .exchange import ServerTraits
from .faults import UNKNOWN_METHOD, exception_of, refused
from .remote import DISCOVER, Catalogue

_MOST_OF_DISCOVERY = 1024 * 1024  # bytes: who wants short replies wants this nevertheless


class Call(NamedTuple):
    """A command and its arguments."""

    command: str
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = {}  # noqa: RUF012  (nobody changes it)


def call_of(command: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call:
    """Return one call.

    Raises:
        MessageError: The command is no text.
    """
    if not isinstance(command, str):
        raise MessageError(f"the name of a command is a str, not {type(command).__name__}")
    return Call(command, args, kwargs)


def calls_of(calls: Iterable[Any]) -> list[Call]:
    """Return what ``call_many()`` was given in one form.

    Raises:
        MessageError: Something is no command with params.
    """
    return [_nth_call(call, place) for place, call in enumerate(calls)]


def _nth_call(call: Any, place: int) -> Call:
    command, params = call, ()
    if isinstance(call, list | tuple) and len(call) in {1, 2}:
        command, params = call[0], (call[1] if len(call) == 2 else ()) or ()  # noqa: PLR2004
    if isinstance(command, str):
        if isinstance(params, Mapping):
            return Call(command, (), dict(params))
        if isinstance(params, list | tuple):
            return Call(command, tuple(params))
    raise MessageError(
        f"call {place + 1} is {type(call).__name__}: give (command, params),"
        " params being a dict, a list, a tuple, or left out"
    )


class Terms(NamedTuple):
    """How a client wants to be served.

    Attributes:
        timeout: Seconds for a reply.
        max_reply: Most bytes of one.
        on_progress: Told of the progress of commands.
    """

    timeout: float | None = None
    max_reply: int | None = None
    on_progress: Progress | None = None


class Batch:
    """Some calls under way.

    Args:
        catalogue: What is known of the server.
        calls: What to call.
        traits: What exchanges have shown of the server.
        terms: How to be served.
    """

    def __init__(
        self, catalogue: Catalogue, calls: Sequence[Call], traits: ServerTraits, terms: Terms
    ) -> None:
        self._commands = [catalogue.command(call.command) for call in calls]
        requests = [
            known.request(call.args, call.kwargs)
            for known, call in zip(self._commands, calls, strict=True)
        ]
        self.conversation = Conversation(requests, traits, terms.max_reply, terms.on_progress)

    @property
    def found_unknown(self) -> bool:
        """Whether the server does not know one of the commands."""
        return any(
            isinstance(outcome, Response)
            and outcome.error is not None
            and outcome.error.get("code") == UNKNOWN_METHOD
            for outcome in self.conversation.outcomes
        )

    def results(self, server: str, return_exceptions: bool) -> list[Any]:
        """Return the results in order.

        Args:
            server: ``host:port``, for messages.
            return_exceptions: Whether errors are among the results; else the first is raised.
        """
        conversation = self.conversation
        if conversation.fault is not None:
            raise conversation.fault
        if conversation.refusal is not None:
            conversation.refuse(refused(server, conversation.refusal), server)
        results = [self._result(place, each) for place, each in enumerate(conversation.outcomes)]
        if not return_exceptions:
            for result in results:
                if isinstance(result, _Raised):
                    raise result.error
        return [result.error if isinstance(result, _Raised) else result for result in results]

    def _result(self, place: int, outcome: Outcome | None) -> Any:
        if outcome is None:
            return _Raised(ConnectionClosed("the exchange ended before this call"))
        if isinstance(outcome, Exception):
            return _Raised(outcome)
        if outcome.error is not None:
            return _Raised(exception_of(outcome.error))
        try:
            return self._commands[place].convert(outcome.result)
        except MessageError as error:
            return _Raised(error)


class _Raised(NamedTuple):
    """An error; a command may return what looks like one."""

    error: Exception


def discovery(traits: ServerTraits, max_reply: int | None) -> Conversation:
    """Return the question what a server can do."""
    limit = None if max_reply is None else max(max_reply, _MOST_OF_DISCOVERY)
    return Conversation([DISCOVER], traits, limit)


def discovery_lost(server: str, error: OSError) -> ConnectionClosed:
    """Return the error for a server that closes when it is asked what it can do.

    Servers of ``lab_utils`` 0.5.x do so if they cannot make their help text.
    """
    return ConnectionClosed(
        f"{server} does not tell its commands: {error.__cause__ or error}; if it is of lab_utils"
        " 0.5.x, it has no typed commands: use send_message()"
    )


def catalogue_of(conversation: Conversation, server: str) -> Catalogue:
    """Return the answer; an empty catalogue if the server speaks JSON-RPC, but tells nothing.

    Raises:
        LabUtilsError: The server refuses.
    """
    if conversation.refusal is not None:
        raise refused(server, conversation.refusal)
    response = conversation.outcomes[0]
    assert isinstance(response, Response), "the conversation is finished"
    if response.error is None and isinstance(response.result, dict):
        return _understood(response.result, server)
    if response.error is not None and response.error.get("code") != UNKNOWN_METHOD:
        raise exception_of(response.error)
    return Catalogue({})


def _understood(document: dict[str, Any], server: str) -> Catalogue:
    try:
        known = Catalogue(document)
        for name in known.methods:
            known.command(name)
    except (AttributeError, KeyError, TypeError) as error:
        text = f"{server} describes its commands in a way that cannot be understood: {error!r}"
        raise MessageError(text) from None
    return known


def is_stale(catalogue: Catalogue | None, calls: Sequence[Call]) -> bool:
    """Whether a catalogue lacks commands that the server may have by now."""
    if catalogue is None:
        return True
    return bool(catalogue.methods) and any(
        call.command not in catalogue and not call.command.startswith("rpc.") for call in calls
    )
