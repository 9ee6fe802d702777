"""Which word belongs to which parameter?

:func:`add_arguments` tells argparse, which knows all forms. :func:`assign` does the same for plain
words at a fraction of the time; where it is not sure, it leaves them to argparse.
"""

from __future__ import annotations

import argparse
import enum
import re
from collections.abc import Mapping

from .parser import ArgumentParser
from .quick import Unsure
from .signature import InvalidArgument, Parameter, Signature, Values, too_many
from .telling import shown, unknown

Words = dict[str, str | list[str] | bool]

_NEGATIVE = re.compile(r"-(\d|\.\d|inf$|nan$)", re.IGNORECASE | re.ASCII)
_LONG_OPTION = re.compile(r"--[^= ]+")
_SHORT_OPTION = re.compile(r"-[^- ][^ ]*")
_PREFIX = "parameter "  # so that none is called like the defaults 'func' and 'which'


class WordPlan:
    """Assigns the words of a text command to the parameters of its signature.

    Args:
        signature: The parameters.
    """

    def __init__(self, signature: Signature) -> None:
        parameters = signature.parameters.values()
        self._positional = [one for one in parameters if not one.is_option]
        self._names = [one.name for one in self._positional]
        self._plain = all(one.kind.item is None for one in parameters)
        self._readers = [
            (place, one.name, one.kind.quick_word or _unsure)
            for place, one in enumerate(self._positional, 1)
        ]
        if any(one.required and one.is_option for one in parameters):
            self._readers = [(1, "", _unsure)]
        self._size = 1 + len(self._readers)
        self._options = {one.option: one for one in parameters if one.is_option}
        self._flags = {
            word: (one.name, value)
            for one in self._options.values()
            if one.is_flag
            for word, value in ((one.option, True), ("--no" + one.option[1:], False))
        }

    def read_plain(self, words: list[str]) -> Values | None:
        """Return the arguments that the plainest of words say: one for each positional parameter.

        None means that :meth:`assign` must look at them.

        Args:
            words: The command's name, and what follows it.
        """
        if len(words) != self._size:
            return None
        values = {}
        try:
            for place, name, read in self._readers:
                values[name] = read(words[place])
        except Unsure:
            return None
        return values

    def assign(self, words: list[str]) -> Words | None:
        """Assign words, or return None if argparse must: for lists, ``--name=value``, ``--``.

        Raises:
            InvalidArgument: There are too many, or an option is unknown.
        """
        if not self._plain:
            return None
        found: Words = {}
        given: list[str] = []
        rest = iter(words)
        for word in rest:
            if word[:1] != "-" or _NEGATIVE.match(word):
                given.append(word)
            elif word in self._flags:
                name, value = self._flags[word]
                found[name] = value
            else:
                value_word = self._option_value(word, next(rest, None))
                if value_word is None:
                    return None
                found[self._options[word].name] = value_word
        if len(given) > len(self._positional):
            raise InvalidArgument(too_many(len(given), self._names))
        found.update(zip(self._names, given, strict=False))
        return found

    def _option_value(self, word: str, value: str | None) -> str | None:
        if word in self._options:
            plain = value is not None and (value[:1] != "-" or _NEGATIVE.match(value))
            return value if plain and value else None
        if _LONG_OPTION.fullmatch(word):
            names = [*self._options, *(flag for flag in self._flags if flag not in self._options)]
            raise InvalidArgument(unknown("option", word, names))
        if _SHORT_OPTION.fullmatch(word):
            text = f"there is no option {shown(word)}; -- stands before texts that begin with -"
            raise InvalidArgument(text)
        return None

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Give an argparse parser the same parameters."""
        parser._negative_number_matcher = _NEGATIVE  # argparse's own knows no exponent
        for one in (*self._positional, *self._options.values()):
            text = _explanation(one)
            if one.is_flag:
                parser.add_argument(
                    one.option,
                    action=_Flag,
                    dest=_PREFIX + one.name,
                    default=argparse.SUPPRESS,
                    help=text,
                )
            else:
                names = [one.option] if one.is_option else []
                _add_value(parser, one, names, text)


class _Flag(argparse.BooleanOptionalAction):
    """``--fast`` or ``--no-fast``, also for a parameter that is called ``no_fast`` itself."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: object,
        option_string: str | None = None,
    ) -> None:
        """Keep which of both it was; argparse takes all that begins with ``--no-`` for False."""
        setattr(namespace, self.dest, option_string == self.option_strings[0])


def _unsure(_: str) -> None:
    raise Unsure


def words_of(namespace: argparse.Namespace) -> Words:
    """Return what argparse has assigned."""
    size = len(_PREFIX)
    return {
        name[size:]: value for name, value in vars(namespace).items() if name.startswith(_PREFIX)
    }


def _add_value(parser: ArgumentParser, one: Parameter, names: list[str], text: str) -> None:
    if one.kind.item is not None:
        nargs: str | None = "+" if one.required else "*"
    else:
        nargs = None if one.is_option or one.required else "?"
    more: Mapping[str, object] = {"required": one.required} if one.is_option else {}
    parser.add_argument(
        *(names or [_PREFIX + one.name]),
        metavar=one.name.upper() if one.is_option else one.name,
        nargs=nargs,
        default=argparse.SUPPRESS,
        help=text,
        **({"dest": _PREFIX + one.name, **more} if one.is_option else {}),  # type: ignore[arg-type]
    )


def _explanation(one: Parameter) -> str:
    parts = [] if one.is_flag else [one.kind.expectation]
    if not one.required:
        parts.append(f"default {_default(one.default)}")
    text = f"{one.text} ({'; '.join(parts)})".strip()
    return text.replace("%", "%%")


def _default(value: object) -> str:
    if isinstance(value, enum.Enum):
        return value.value if isinstance(value.value, str) else value.name
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)
