"""What becomes of a mail that a server takes for some recipients, and for others not yet?

Greylisting and full mailboxes are told by a reply that begins with 4. The others have the mail; it
is handed in once more, for those recipients alone, until they have it or hours have passed.
"""

from __future__ import annotations

import dataclasses
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping

from .bounded import Undelivered
from .letters import Letter
from .sink import Refused

MOST = 20  # mails
APART = 60.0  # s between two attempts; greylisting wants some minutes
ROUND = 10.0  # s; then other mails have their turn
LONGEST = 4 * 3600.0  # s after which a recipient is given up

HandIn = Callable[[Letter], Mapping[str, str]]


def is_for_now(words: str) -> bool:
    """Tell whether a server's reply is a refusal that may pass."""
    return words.startswith("4")


@dataclasses.dataclass
class _Waiting:
    """A mail for those who do not have it yet."""

    letter: Letter
    since: float


class Stragglers:
    """Keep mails for recipients who could not get them. For the sink's thread."""

    def __init__(self) -> None:
        self._waiting: deque[_Waiting] = deque()
        self._not_before = 0.0

    def add(self, letter: Letter, refused: Mapping[str, str]) -> Iterator[tuple[str, str]]:
        """Keep a mail for those whose refusal may pass; yield who is given up for want of place."""
        names = tuple(name for name in refused if is_for_now(refused[name]))
        if not names:
            return
        now = time.monotonic()
        if not self._waiting:
            self._not_before = now + APART
        self._waiting.append(_Waiting(dataclasses.replace(letter, recipients=names), now))
        while len(self._waiting) > MOST:
            for name in self._waiting.popleft().letter.recipients:
                yield name, "too many mails wait"

    def due(self) -> float | None:
        """Return the seconds until the next attempt; None if nobody waits."""
        return max(0.0, self._not_before - time.monotonic()) if self._waiting else None

    def serve(self, hand_in: HandIn) -> Iterator[tuple[str, str]]:
        """Hand in what waits, if it is time; yield who is given up, and why."""
        if self.due() != 0.0:
            return
        began = time.monotonic()
        self._not_before = began + APART
        for _ in range(len(self._waiting)):
            if time.monotonic() - began > ROUND:
                return
            one = self._waiting.popleft()
            refused = _attempt(one.letter, hand_in)
            left = tuple(name for name in refused if is_for_now(refused[name]))
            if time.monotonic() - one.since > LONGEST:
                left = ()
            if left:
                one.letter = dataclasses.replace(one.letter, recipients=left)
                self._waiting.append(one)
            yield from ((name, refused[name]) for name in refused if name not in left)


def _attempt(letter: Letter, hand_in: HandIn) -> Mapping[str, str]:
    try:
        return hand_in(letter)
    except Undelivered as error:
        return dict.fromkeys(letter.recipients, f"4xx: {error}")
    except Refused as error:
        return dict.fromkeys(letter.recipients, str(error))
