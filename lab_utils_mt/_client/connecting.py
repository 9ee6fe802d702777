"""How often, and with which words, does a client try to reach its server?"""

from __future__ import annotations

import random

from ..exceptions import ReplyLost, ReplyTimeout

CONNECT_TIMEOUT = 10.0  # s
REPEATS = 3
_FIRST_DELAY, _LONGEST_DELAY = 0.05, 1.0


class Pauses:
    """Growing pauses between attempts, jittered so that clients do not knock in step."""

    def __init__(self) -> None:
        self._delay = _FIRST_DELAY

    def next(self) -> float:
        """Return the seconds until the next attempt."""
        pause = self._delay * random.uniform(0.5, 1.0)  # noqa: S311  (no secret)
        self._delay = min(2 * self._delay, _LONGEST_DELAY)
        return pause


def name_of(host: str, port: int) -> str:
    """Return ``host:port``, for messages."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def unreachable(name: str, error: Exception) -> OSError:
    """Return the error that says which server cannot be reached."""
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    text = f"cannot reach a server at {name}: {reason}; is it running?"
    if isinstance(error, TimeoutError):
        return TimeoutError(text)
    number = getattr(error, "errno", None)
    # OSError makes the right subclass of the number, such as ConnectionRefusedError.
    return OSError(text) if number is None else OSError(number, text)


def lost_reply(name: str, error: OSError) -> ReplyLost:
    """Return the error that says that a reply did not come."""
    fate = "the command may or may not have been executed"
    if isinstance(error, TimeoutError):
        return ReplyTimeout(f"{name}: no reply in time; {fate}")
    return ReplyLost(f"{name}: no reply: {error}; {fate}")
