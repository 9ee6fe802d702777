"""Which words may come next in a command, and what do they mean?

All is told by the OpenRPC document of the server; without one, nothing is suggested.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from ..socket_comm import quote

_WORDS = re.compile(r"[^ \t]+")
_UNFINISHED = re.compile(r'["{]')  # a word with blanks in it is written by hand
_NEGATIVE = re.compile(r"-[0-9.]")
_TYPES = {
    "number": "number",
    "integer": "integer",
    "string": "text",
    "boolean": "true or false",
    "array": "list",
    "object": "object",
}

Json = Mapping[str, Any]


class Suggestion(NamedTuple):
    """A word that may come next.

    Attributes:
        word: The word.
        meaning: What it means, in a line.
    """

    word: str
    meaning: str = ""


@dataclasses.dataclass(frozen=True)
class Parameter:
    """One argument of a command.

    Attributes:
        name: Its name.
        is_option: Whether it is given as ``--name``.
        required: Whether it must be given.
        schema: What it takes.
        text: What it means.
    """

    name: str
    is_option: bool
    required: bool
    schema: Json
    text: str

    @property
    def is_flag(self) -> bool:
        """Whether it is ``--name`` or ``--no-name``."""
        return self.is_option and self.schema.get("type") == "boolean"

    @property
    def is_list(self) -> bool:
        """Whether several words may be given."""
        return any(one.get("type") == "array" for one in _alternatives(self.schema))

    @property
    def option(self) -> str:
        """How it is given, if it is an option."""
        return "--" + self.name.replace("_", "-")

    @property
    def choices(self) -> list[str]:
        """What it may be, if that can be told."""
        schemas = [*_alternatives(self.schema)]
        items = [one["items"] for one in schemas if isinstance(one.get("items"), Mapping)]
        found: dict[str, None] = {}
        for schema in [*schemas, *items]:
            if schema.get("type") == "boolean":
                found.update({"true": None, "false": None})
            constant = [schema["const"]] if "const" in schema else []
            found.update((_word(one), None) for one in [*schema.get("enum", ()), *constant])
        return list(found)

    @property
    def meaning(self) -> str:
        """Type, range, unit, default and text, in a line."""
        facts = [told(self.schema)]
        default = self.schema.get("default")
        if not self.required and default not in (None, "", []):
            facts.append(f"default {_word(default)}")
        return ": ".join(filter(None, [", ".join(filter(None, facts)), self.text]))


def _alternatives(schema: Json) -> Iterator[Json]:
    choices = schema.get("anyOf")
    yield from choices or [schema]


def _word(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) or value is None else str(value)


def told(schema: Json) -> str:
    """Return type, range and unit of a value: ``number, 0 to 300 K``."""
    parts = []
    for one in _alternatives(schema):
        if one.get("type") == "null":
            parts.append("none")
            continue
        if "enum" in one:
            parts.append("one of " + ", ".join(map(_word, one["enum"])))
            continue
        kind = one.get("format") or _TYPES.get(str(one.get("type")), "")
        limits = _range(one)
        unit = one.get("x-unit") or schema.get("x-unit") or ""
        parts.append(
            " ".join(filter(None, [f"{kind}," if kind and limits else kind, limits, unit]))
        )
    return " or ".join(filter(None, parts))


def _range(schema: Json) -> str:
    least, most = schema.get("minimum"), schema.get("maximum")
    if least is not None and most is not None:
        return f"{least} to {most}"
    names = {
        "minimum": "at least",
        "exclusiveMinimum": "above",
        "maximum": "at most",
        "exclusiveMaximum": "below",
    }
    return " and ".join(f"{text} {schema[key]}" for key, text in names.items() if key in schema)


@dataclasses.dataclass(frozen=True)
class Command:
    """A command of the server, or of the shell itself.

    Attributes:
        name: Its name.
        summary: What it does.
        parameters: Its arguments, in their order.
    """

    name: str
    summary: str
    parameters: tuple[Parameter, ...] = ()

    @classmethod
    def of(cls, method: Json) -> Command:
        """Read what the document says of a method."""
        params = [] if method.get("x-old-style") else method.get("params", [])
        return cls(
            str(method["name"]),
            str(method.get("summary") or ""),
            tuple(_parameter(one) for one in params),
        )

    def suggest(self, words: list[str], begun: str) -> Iterable[Suggestion]:
        """Return what may follow the words after the command, and begins with ``begun``."""
        place = self._place(words)
        if place.awaited is not None and place.awaited.is_option and not begun.startswith("-"):
            yield from _values(place.awaited)
            if not place.is_satisfied:
                return
        elif place.awaited is not None and not begun.startswith("-"):
            yield from _values(place.awaited)
        if begun.startswith("-") or place.awaited is None or not place.awaited.required:
            for one in place.options:
                yield Suggestion(one.option, one.meaning)
                if one.is_flag:
                    yield Suggestion("--no" + one.option[1:], one.meaning)

    def awaited(self, words: list[str]) -> Parameter | None:
        """Return the parameter that the next word belongs to."""
        return self._place(words).awaited

    def _place(self, words: list[str]) -> _Place:
        left = [one for one in self.parameters if not one.is_option]
        options = {one.option: one for one in self.parameters if one.is_option}
        flags = {"--no" + one.option[1:]: one for one in options.values() if one.is_flag}
        given, current, satisfied = set[str](), None, True
        for word in words:
            option = options.get(word) or flags.get(word)
            if option is not None:
                given.add(option.option)
                current, satisfied = (None, True) if option.is_flag else (option, False)
            elif current is not None:
                current, satisfied = (current, True) if current.is_list else (None, True)
            elif left and not left[0].is_list and not _is_option(word):
                left.pop(0)
        return _Place(
            current or (left[0] if left else None),
            satisfied,
            [one for one in options.values() if one.option not in given],
        )


class _Place(NamedTuple):
    """Where in a command somebody is: see :meth:`Command.suggest`."""

    awaited: Parameter | None
    is_satisfied: bool  # not so for an option that has no value yet
    options: list[Parameter]  # those not given so far


def _is_option(word: str) -> bool:
    return word.startswith("-") and not _NEGATIVE.match(word)


def _parameter(param: Json) -> Parameter:
    required = bool(param.get("required"))
    # Where a server does not say it: what may be left out is rarely positional.
    is_option = bool(param.get("x-keyword-only", not required))
    text = " ".join(str(param.get("description") or "").split())
    return Parameter(str(param["name"]), is_option, required, param.get("schema", {}), text)


def _values(parameter: Parameter) -> Iterator[Suggestion]:
    return (Suggestion(quote(one), parameter.name) for one in parameter.choices)


class Vocabulary:
    """What can be said to a server.

    Args:
        document: What ``rpc.discover`` told; empty if the server does not know it.
        own: What the shell itself understands, with summaries.
    """

    def __init__(self, document: Json, own: Mapping[str, str]) -> None:
        methods = [one for one in document.get("methods", ()) if isinstance(one, Mapping)]
        commands = [Command.of(one) for one in methods if "name" in one]
        commands += [Command(name, summary) for name, summary in own.items()]
        self._commands = {one.name: one for one in commands} if methods else {}
        self.title = str(document.get("info", {}).get("title") or "")
        #: The schemas of the readings of each poller.
        self.pollers: dict[str, Json] = {
            str(one["name"]): one.get("schema", {}) for one in document.get("x-pollers", ())
        }
        self.watches = bool(self.pollers) and any(
            one.get("name") == "watch" and not one.get("x-old-style") for one in methods
        )

    def suggest(self, text: str) -> list[Suggestion]:
        """Return what may stand where ``text`` ends, in place of its last word."""
        if _UNFINISHED.search(text):
            return []
        words = _WORDS.findall(text)
        begun = "" if _ends_a_word(text) else words.pop()
        found = [*self._following(words, begun)]
        return [one for one in found if one.word.startswith(begun) and one.word != begun]

    def _following(self, words: list[str], begun: str) -> Iterable[Suggestion]:
        if not words:
            return [Suggestion(one.name, one.summary) for one in self._commands.values()]
        if words == ["help"]:
            return [Suggestion(one.name, one.summary) for one in self._commands.values()]
        command = self._commands.get(words[0])
        return () if command is None else command.suggest(words[1:], begun)

    def hint(self, text: str) -> str:
        """Return what is expected where ``text`` ends, in a line."""
        words = _WORDS.findall(text)
        command = self._commands.get(words[0]) if words else None
        if command is None:
            return ""
        before = words[1:] if _ends_a_word(text) else words[1:-1]
        awaited = command.awaited(before) if len(words) > 1 or _ends_a_word(text) else None
        if awaited is None:
            return f"{command.name}: {command.summary}".rstrip(": ")
        return f"{awaited.option if awaited.is_option else awaited.name}: {awaited.meaning}"


def _ends_a_word(text: str) -> bool:
    return not text or text[-1] in " \t"
