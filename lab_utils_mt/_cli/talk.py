"""What does the shell say to the server, and what if the server is gone?"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

from .._wire.text import split
from ..exceptions import LabUtilsError
from ..socket_comm import ArgumentParser, Client
from .reaching import FAILURE, Place, seconds
from .vocabulary import Vocabulary

OWN = {"exit": "leaves the shell; the server goes on"}
"""What the shell itself understands."""

_DISCOVERY_TAKES = 5.0  # s, at most


@dataclasses.dataclass(frozen=True)
class Wish:
    """What somebody wants to watch."""

    name: str
    every: float | None
    on_change: float | None


class Talk:
    """The server's side of a shell. Ctrl-C ends what it waits for, not the talk.

    Args:
        place: Where the server is.
        timeout: Seconds for a reply; None: until somebody presses Ctrl-C.

    Attributes:
        vocabulary: What can be said.
    """

    def __init__(self, place: Place, timeout: float | None) -> None:
        self.client = Client(host=place.host, port=place.port, timeout=timeout)
        self.name = f"{place.host}:{place.port}"
        self.vocabulary = Vocabulary({}, OWN)
        self._document: dict[str, Any] = {}
        self._was_gone = False

    def learn(self) -> None:
        """Ask the server what can be said to it.

        Raises:
            OSError: It cannot be reached.
        """
        try:
            document = self.client.using(timeout=_DISCOVERY_TAKES).discover()
        except LabUtilsError:  # it has no rpc.discover, as in 0.5.x, or no time for it
            document = {}
        self._was_gone = False
        if document is not self._document:
            self._document, self.vocabulary = document, Vocabulary(document, OWN)

    def ask(self, line: str) -> bytes:
        """Return the reply to a line.

        Raises:
            LabUtilsError: It cannot be sent, or the reply was lost.
            OSError: The server cannot be reached.
        """
        try:
            reply = self.client.query_bytes(line)
        except OSError:
            self._was_gone = True
            raise
        if self._was_gone or self._document:  # the client knows whether it must ask again
            with contextlib.suppress(OSError):  # the reply has come; what is wrong shows next time
                self.learn()
        return reply

    def wish(self, line: str) -> Wish | None:
        """Return what a line wants to watch; None if it is for the server.

        Raises:
            MessageError: It cannot be understood.
        """
        if not self.vocabulary.watches or line.split(None, 1)[0] != "watch":
            return None
        found = _watch_parser().parse_args(split(line)[1:])
        return Wish(found.name, found.every, found.on_change)

    def readings(self, wish: Wish) -> Iterator[str]:
        """Watch: return lines as they come, until the generator is closed.

        Raises:
            LabUtilsError: The server refuses.
            OSError: It cannot be reached.
        """
        units = self._units(wish.name)
        with self.client.watch(wish.name, wish.every, wish.on_change) as watch:
            for one in watch:
                time = one.time.astimezone().isoformat(" ", "milliseconds")[:23]
                values = [f"{key}={value}{units(key)}" for key, value in one.values.items()]
                error = [] if one.error is None else [f"{FAILURE}{one.error}"]
                missed = [f"missed={one.missed}"] if one.missed else []
                yield "  ".join([time, *values, *error, *missed])

    def _units(self, poller: str) -> Callable[[str], str]:
        schema = self.vocabulary.pollers.get(poller, {})
        columns = schema.get("properties", {})

        def unit(column: str) -> str:
            found = columns.get(column, schema).get("x-unit")
            return f" {found}" if found else ""

        return unit

    def close(self) -> None:
        """Hang up."""
        self.client.close()


def _watch_parser() -> ArgumentParser:
    parser = ArgumentParser(prog="watch", allow_abbrev=False)
    parser.add_argument("name")
    parser.add_argument("--every", type=seconds)
    parser.add_argument("--on-change", type=_difference)
    return parser


def _difference(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
