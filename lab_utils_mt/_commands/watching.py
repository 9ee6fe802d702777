"""Who is told of a poller's readings, of which, and in which form?

Nothing here waits, and nothing here knows a socket: whoever sends takes what there is.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import json
import logging
import math
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timezone
from typing import Any

import msgspec

from .._wire.text import Dialect, quote
from .readings import Reading
from .results import is_finite
from .signature import InvalidArgument
from .telling import unknown
from .trouble import Trouble

logger = logging.getLogger("lab_utils_mt.pollers")

WAITING = 100
"""Most readings that wait for one client; of more, the oldest are left out."""

_EARLY = 0.1  # of a period: a reading may come this much before its time
_NUMBERS = (int, float)
_MOST = sys.float_info.max


# --- form ----------------------------------------------------------------------------------


def _moment(time: datetime) -> str:
    return time.astimezone(timezone.utc).replace(tzinfo=None).isoformat("T", "microseconds") + "Z"


def _text_value(value: Any) -> str:
    if isinstance(value, datetime):
        return _moment(value)
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value) if isinstance(value, _NUMBERS) else quote(str(value))


def _text_line(reading: Reading) -> tuple[bytes, bytes]:
    if reading.error is not None:
        words = ["error=" + json.dumps(reading.error)]  # what does not print is escaped
    else:
        words = [f"{quote(key)}={_text_value(value)}" for key, value in reading.values.items()]
    line = " ".join([f"@{reading.name}", _moment(reading.time), *words])
    return line.encode(), b"\n"


def _json_line(reading: Reading) -> tuple[bytes, bytes]:
    params: dict[str, Any] = {"name": reading.name, "time": _moment(reading.time)}
    if reading.error is not None:
        params["error"] = reading.error
    else:
        params["values"] = reading.values
    document = {"jsonrpc": "2.0", "method": "watch", "params": {**params, "missed": 0}}
    return msgspec.json.encode(document).removesuffix(b"0}}"), b"}}\n"


_FORMS = {Dialect.TEXT: _text_line, Dialect.JSON_RPC: _json_line}


class Push:
    """A reading on its way to those who watch: encoded once for each dialect, if anybody asks.

    Args:
        reading: The reading.

    Attributes:
        is_finite: Whether JSON can say all its numbers.
    """

    def __init__(self, reading: Reading) -> None:
        self.reading = reading
        self.is_finite = is_finite(reading.values)
        self._lines: dict[Dialect, tuple[bytes, bytes]] = {}

    def line(self, dialect: Dialect, missed: int) -> bytes:
        """Return it as one line."""
        known = self._lines.get(dialect)
        if known is None:
            known = self._lines[dialect] = _FORMS[dialect](self.reading)
        head, tail = known
        if dialect is Dialect.JSON_RPC:
            return b"%b%d%b" % (head, missed, tail)
        return b"%b missed=%d%b" % (head, missed, tail) if missed else head + tail


# --- choice --------------------------------------------------------------------------------


def has_changed(old: Mapping[str, Any], new: Mapping[str, Any], least: float) -> bool:
    """Tell whether a number differs by ``least`` or more, or anything else at all."""
    return old.keys() != new.keys() or any(
        _differs(old[name], value, least) for name, value in new.items()
    )


def _differs(old: Any, new: Any, least: float) -> bool:
    if old == new or (old != old and new != new):  # NaN stays NaN  # noqa: PLR0124
        return False
    if _is_finite(old) and _is_finite(new):
        return bool(abs(new - old) >= least)
    return True


def _is_finite(value: Any) -> bool:
    return isinstance(value, _NUMBERS) and not isinstance(value, bool) and math.isfinite(value)


@dataclasses.dataclass(frozen=True)
class Wish:
    """Which readings somebody wants.

    Attributes:
        every: One in so many seconds; None for all.
        on_change: Only if a number has changed by so much since the last one, or anything else at
            all; None for all.

    Raises:
        InvalidArgument: Nobody can want that; names the attribute.
    """

    every: float | None = None
    on_change: float | None = None

    def __post_init__(self) -> None:
        if self.every is not None and self.on_change is not None:
            raise InvalidArgument("every and on_change exclude each other: give one of them")
        # A client's 10**400 is a number, but there is no time and no change of that size.
        if self.every is not None and not 0 < self.every <= _MOST:
            raise InvalidArgument(
                f"every must be a number of seconds > 0, not {self.every!r:.30}", "every"
            )
        if self.on_change is not None and not 0 <= self.on_change <= _MOST:
            raise InvalidArgument(
                f"on_change must be a number >= 0, not {self.on_change!r:.30}", "on_change"
            )


class Watch:
    """One client's wish for the readings of one poller, and what waits for it.

    Its hub's lock guards all of it.

    Args:
        hub: Where it came from.
        name: The poller's.
        wish: Which readings.
        dialect: In which form.
        wake: Called when something waits; must not wait itself.
    """

    def __init__(
        self, hub: Hub, name: str, wish: Wish, dialect: Dialect, wake: Callable[[], None]
    ) -> None:
        self.name = name
        self.wake = wake
        self._hub = hub
        self._wish = wish
        self._dialect = dialect
        self._waiting: collections.deque[Push] = collections.deque()
        self._missed = 0  # since the last one that was taken
        self._last: Reading | None = None
        self._due = -math.inf

    def take(self) -> bytes:
        """Return the lines of all that waits; none if nothing does."""
        with self._hub.lock:
            pushes, missed = list(self._waiting), self._missed
            self._waiting.clear()
            self._missed = 0
        lines = [
            push.line(self._dialect, 0 if number else missed) for number, push in enumerate(pushes)
        ]
        if self._dialect is Dialect.JSON_RPC:
            self._hub.tell_of_null(self.name, [push.is_finite for push in pushes])
        return b"".join(lines)

    def cancel(self) -> None:
        """Want no more."""
        self._hub.cancel(self)
        with self._hub.lock:
            self._waiting.clear()

    def offer(self, push: Push) -> bool:
        """Let a reading wait for the client, if it wants it. The hub's lock is held."""
        if not self._wants(push.reading):
            return False
        if len(self._waiting) == WAITING:
            self._waiting.popleft()
            self._missed += 1
        self._waiting.append(push)
        self._last = push.reading
        return True

    def _wants(self, reading: Reading) -> bool:
        last, wish = self._last, self._wish
        if last is None or last.error is not None or reading.error is not None:
            self._due = reading.at + (wish.every or 0.0)
            return True
        if wish.every is not None:
            if reading.at < self._due - _EARLY * wish.every:
                return False
            self._due += wish.every
            if self._due < reading.at:  # there was nothing for a while
                self._due = reading.at + wish.every
        return wish.on_change is None or has_changed(last.values, reading.values, wish.on_change)


# --- distribution --------------------------------------------------------------------------


class Hub:
    """Where pollers leave their readings, and clients find them.

    Args:
        names: The pollers' names.
    """

    def __init__(self, names: Iterable[str] = ()) -> None:
        # Guards what is below, and all fields of all watches.
        self.lock = threading.Lock()
        self._watches: dict[str, list[Watch]] = {name: [] for name in names}
        self._newest: dict[str, Push] = {}
        self._error: dict[str, Push] = {}  # of those that fail
        self._null: dict[str, Trouble] = {name: Trouble() for name in self._watches}

    def __len__(self) -> int:
        """Return how many watches there are."""
        with self.lock:
            return sum(map(len, self._watches.values()))

    @property
    def names(self) -> list[str]:
        """The pollers' names."""
        return list(self._watches)

    def subscribe(self, name: str, wish: Wish, dialect: Dialect, wake: Callable[[], None]) -> Watch:
        """Let a client have a poller's readings; the newest one waits for it already.

        Raises:
            InvalidArgument: There is no such poller; names similar ones.
        """
        if name not in self._watches:
            raise InvalidArgument(unknown("poller", name, self.names), "name")
        watch = Watch(self, name, wish, dialect, wake)
        with self.lock:
            for newest in (self._newest.get(name), self._error.get(name)):
                if newest is not None:
                    watch.offer(newest)
            self._watches[name].append(watch)
        return watch

    def cancel(self, watch: Watch) -> None:
        """Forget a watch; does nothing if it is not there any more."""
        with self.lock, contextlib.suppress(ValueError):
            self._watches[watch.name].remove(watch)

    def newest(self, name: str) -> Reading | None:
        """Return a poller's newest reading that is no failure."""
        with self.lock:
            push = self._newest.get(name)
        return push.reading if push is not None else None

    def tell_of_null(self, name: str, are_finite: Iterable[bool]) -> None:
        """Log when a poller's readings begin to have NaN or infinity, which JSON has not."""
        trouble, is_news = self._null[name], False
        with self.lock:
            for fine in are_finite:
                if fine:
                    trouble.mended()
                else:
                    is_news |= trouble.failed("NaN")
        if is_news:
            logger.warning("poller %s: NaN or infinity is sent as null to JSON-RPC clients", name)

    def publish(self, reading: Reading) -> None:
        """Give a reading to all who want it, and wait for nobody."""
        push = Push(reading)
        with self.lock:
            if reading.error is None:
                self._newest[reading.name] = push
                self._error.pop(reading.name, None)
            else:
                self._error[reading.name] = push
            woken = [watch for watch in self._watches[reading.name] if watch.offer(push)]
        for watch in woken:
            watch.wake()
