"""How does a client say what it wants to watch?"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from .._wire.text import Dialect
from ..exceptions import MessageError
from .parser import ArgumentParser
from .request import CurrentRequest
from .signature import InvalidArgument, too_many
from .telling import unknown
from .watching import Hub, Wish

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_SUMMARIES = {
    "watch": "Send a poller's readings as notifications.",
    "unwatch": "Send a poller's readings no more.",
}
_PARAMETERS = {"watch": ("name", "every", "on_change"), "unwatch": ("name",)}
_TEXTS = {
    "name": "The poller.",
    "every": "One reading in so many seconds; null for all.",
    "on_change": "A reading if a number has changed by so much, or anything else; null for all.",
}


def _number(text: str) -> float:
    if not _NUMBER.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number")
    return float(text)


class WatchCommands:
    """``watch NAME [--every S | --on-change D]`` and ``unwatch NAME``, in both dialects.

    Args:
        hub: Where the readings are.
        request: Where the words are and the reply goes, and the connection that is to watch.
    """

    def __init__(self, hub: Hub, request: CurrentRequest) -> None:
        self._hub = hub
        self._request = request
        #: What answers them in JSON-RPC.
        self.methods: dict[str, Callable[[Any], Any]] = {}

    # --- text ------------------------------------------------------------------------------

    def add_to(self, commands: argparse._SubParsersAction[ArgumentParser]) -> None:
        """Add those that the user has not."""
        if "watch" not in commands.choices:
            self._add_watch(commands)
            self.methods["watch"] = self.watch_by_params
        if "unwatch" not in commands.choices:
            unwatch = commands.add_parser("unwatch", description="sends its readings no more")
            unwatch.add_argument("name", help="the poller")
            unwatch.set_defaults(func=self.unwatch, which="unwatch")
            self.methods["unwatch"] = self.unwatch_by_params

    def _add_watch(self, commands: argparse._SubParsersAction[ArgumentParser]) -> None:
        names = ", ".join(self._hub.names)
        watch = commands.add_parser(
            "watch",
            description="sends a poller's readings as they come, one line for each",
            allow_abbrev=False,
        )
        watch.add_argument("name", help=f"the poller: {names}".replace("%", "%%"))
        watch.add_argument("--every", type=_number, metavar="S", help="one in so many seconds")
        watch.add_argument(
            "--on-change", type=_number, metavar="D", help="if a number has changed by so much"
        )
        watch.set_defaults(func=self.watch, which="watch")

    @property
    def handlers(self) -> tuple[Callable[[], object], ...]:
        """What answers them."""
        return (self.watch, self.unwatch)

    def watch(self) -> None:
        """Begin."""
        words: Any = self._request.record.namespace
        self._begin(words.name, Wish(words.every, words.on_change), Dialect.TEXT)
        self._request.record.reply = f"watching {words.name}"

    def unwatch(self) -> None:
        """End."""
        words: Any = self._request.record.namespace
        self._end(words.name)
        self._request.record.reply = f"not watching {words.name}"

    # --- JSON-RPC --------------------------------------------------------------------------

    def watch_by_params(self, params: Any) -> dict[str, str]:
        """Begin.

        Raises:
            InvalidArgument: The params are wrong.
        """
        values = _values("watch", params)
        for name in ("every", "on_change"):
            value = values.get(name)
            if isinstance(value, bool) or not isinstance(value, int | float | None):
                raise InvalidArgument(f"argument {name}: a number is expected", name)
        try:
            wish = Wish(values.get("every"), values.get("on_change"))
            self._begin(values["name"], wish, Dialect.JSON_RPC)
        except InvalidArgument:
            raise
        except MessageError as error:
            raise InvalidArgument(str(error)) from None
        return {"watching": values["name"]}

    def unwatch_by_params(self, params: Any) -> dict[str, str]:
        """End.

        Raises:
            InvalidArgument: The params are wrong.
        """
        name = _values("unwatch", params)["name"]
        try:
            self._end(name)
        except MessageError as error:
            raise InvalidArgument(str(error), "name") from None
        return {"unwatched": name}

    def descriptions(self, methods: Iterable[str]) -> list[dict[str, Any]]:
        """Return what the OpenRPC document says of methods of these names."""
        number = {"anyOf": [{"type": "number"}, {"type": "null"}], "default": None}
        schemas = {
            "name": {"type": "string", "enum": self._hub.names},
            "every": {**number, "x-unit": "s"},
            "on_change": number,
        }
        return [
            {
                "name": method,
                "summary": _SUMMARIES[method],
                "paramStructure": "either",
                "params": [
                    {
                        "name": name,
                        "description": _TEXTS[name],
                        "required": name == "name",
                        "schema": schemas[name],
                    }
                    for name in _PARAMETERS[method]
                ],
                "result": {"name": "result", "schema": {"type": "object"}},
                "x-idempotent": False,
            }
            for method in methods
        ]

    # --- both ------------------------------------------------------------------------------

    def _begin(self, name: str, wish: Wish, dialect: Dialect) -> None:
        audience = self._request.record.audience
        if audience is None:
            raise MessageError("only a client of the server can watch")
        audience.watch(self._hub, name, wish, dialect)

    def _end(self, name: str) -> None:
        audience = self._request.record.audience
        if name not in self._hub.names:
            raise MessageError(unknown("poller", name, self._hub.names))
        if audience is None or not audience.unwatch(name):
            raise MessageError(f"{name} is not watched on this connection")


def _values(method: str, params: Any) -> Mapping[str, Any]:
    names = _PARAMETERS[method]
    if isinstance(params, list):
        if len(params) > len(names):
            raise InvalidArgument(too_many(len(params), names))
        params = dict(zip(names, params, strict=False))
    for name in params:
        if name not in names:
            raise InvalidArgument(unknown("argument", name, names))
    if not isinstance(params.get("name"), str):
        raise InvalidArgument("argument name: the name of a poller is expected", "name")
    return dict(params)
