"""Has something that failed been told of already, and is it over?"""

from __future__ import annotations

import time

_APART = 60.0  # s between two reports of what comes and goes


class Trouble:
    """Tells when something begins to fail from its repetitions. For one thread; others may read.

    What comes and goes is told of once a minute.

    Attributes:
        reason: Why it fails; None while it works.
        times: How often it has failed since it last worked.
    """

    def __init__(self) -> None:
        self.reason: str | None = None
        self.times = 0
        self._since = 0.0
        self._is_told = False
        self._not_before = float("-inf")

    @property
    def lasts(self) -> float:
        """Seconds since it began."""
        return time.monotonic() - self._since

    def failed(self, reason: str) -> bool:
        """Note a failure; return whether it should be told."""
        now = time.monotonic()
        if self.reason is None:
            self._since, self.times, self._is_told = now, 0, False
        self.reason = reason
        self.times += 1
        if self._is_told or now < self._not_before:
            return False
        self._is_told, self._not_before = True, now + _APART
        return True

    def mended(self) -> bool:
        """Note that it works; return whether people should be told that it works again."""
        was_told = self.reason is not None and self._is_told
        self.reason = None
        return was_told


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def explained(error: BaseException, limit: int = 500) -> str:
    """Return class and text of an exception in one printable line, not too long."""
    try:
        text = " ".join(str(error).split())[:limit]
        text = "".join(one if one.isprintable() else _escape(one) for one in text)
    except Exception:  # noqa: BLE001  (an exception's own code may do anything)
        text = ""
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
