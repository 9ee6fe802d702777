"""Was this reply a good one, and what is the name of what went wrong?"""

from __future__ import annotations

import errno
import json

from .plan import Plan

ERROR_REPLY = "Error! reply"
CLOSED = "closed"
TWICE = "the server sent more than one reply to a request"
UNASKED = "the server sent a line that answers no request: a greeting, or a second reply"
_FAILURE = b"Error! "
_REFUSALS = ("server full", "not authorised", "shutting down")
_ERROR_MEMBER = b'"error"'
_MOST_EXAMPLE = 400  # bytes

_KINDS: dict[int, str] = {
    errno.ECONNREFUSED: "refused",
    errno.ECONNRESET: "reset",
    errno.ECONNABORTED: "reset",
    errno.EPIPE: "reset",
    errno.ETIMEDOUT: "timeout",
    errno.EADDRNOTAVAIL: "no free local port",
    errno.EMFILE: "too many open files",
    errno.ENFILE: "too many open files",
    errno.ENETUNREACH: "unreachable",
    errno.EHOSTUNREACH: "unreachable",
}


def kind_of(error: OSError) -> str:
    """Return what a failure of the network is called."""
    return _KINDS.get(error.errno or 0, "network error")


class Judge:
    """Tells good replies from bad ones.

    Args:
        plan: What is sent, and what a good reply begins with.

    Attributes:
        strange: A reply that begins with one of these needs a closer look.
        good: A reply that does not begin with this needs a closer look.
        suspect: A reply that has this in it needs a closer look; None if there is no such thing.
    """

    def __init__(self, plan: Plan) -> None:
        marks = (b"#", _FAILURE, plan.skip_prefix)
        self.strange = tuple(mark for mark in marks if mark)
        self.good = plan.ok or b""
        is_json = plan.request.lstrip()[:1] in {b"{", b"["}
        self.suspect = _ERROR_MEMBER if is_json else None

    def complaint(self, reply: bytes) -> tuple[str, str] | None:
        """Return kind and text of the failure that a reply tells of; None if it is good."""
        if reply.startswith(_FAILURE):
            return refusal(reply) or (ERROR_REPLY, _text(reply))
        if self.suspect and self.suspect in reply and _is_json_error(reply):
            return "JSON-RPC error", _text(reply)
        if not reply.startswith(self.good):
            return "wrong reply", _text(reply)
        return None


def is_refusal(kind: str) -> bool:
    """Tell whether the server said so to the whole connection, which it closes."""
    return kind in _REFUSALS


def refusal(line: bytes) -> tuple[str, str] | None:
    """Return kind and text if a line, asked for or not, tells that the connection is refused."""
    begins = line.removeprefix(_FAILURE) if line.startswith(_FAILURE) else b""
    kind = next((kind for kind in _REFUSALS if begins.startswith(kind.encode())), None)
    return (kind, _text(line)) if kind else None


def _is_json_error(reply: bytes) -> bool:
    try:
        document = json.loads(reply)
    except (ValueError, RecursionError):
        return False
    answers = document if isinstance(document, list) else [document]
    # JSON-RPC 1.0 has "error": null in a good answer, and "result": null in a bad one.
    return any(isinstance(one, dict) and one.get("error") is not None for one in answers)


def _text(reply: bytes) -> str:
    return reply[:_MOST_EXAMPLE].decode("utf-8", "replace").strip()
