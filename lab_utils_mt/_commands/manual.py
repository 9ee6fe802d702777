"""What does the manual of a server say?

argparse prints the help of one parser, never that of its commands. Whatever odd arguments a parser
may have, the manual is printed: it goes out with every error.
"""

from __future__ import annotations

import argparse
import itertools
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

_WIDTH = 96
_COLUMN = 20
_MOST_CHOICES = 20
_LONGEST_USAGE = 2000


def manual_of(parser: argparse.ArgumentParser) -> str:
    """Return the help of a parser and of all its commands as one text."""
    parts = ["DAEMON HELP", _filled_in(parser.description, parser), _usage(parser), ""]
    parts += _argument_lines(parser, 0)
    parts += ["Commands:", *_command_lines(parser, 4), ""]
    if parser.epilog:
        parts.append(_filled_in(parser.epilog, parser))
    return "\n".join(parts).rstrip() + "\n"


def command_manual(name: str, parser: argparse.ArgumentParser) -> str:
    """Return what the manual says of one command."""
    return "\n".join([_usage(parser), *_one_command([name], parser, 0, None)]) + "\n"


def _usage(parser: argparse.ArgumentParser) -> str:
    try:
        usage = " ".join(parser.format_usage().split())
    except Exception:  # noqa: BLE001  (odd metavars, formatters, choices: argparse fails on many)
        usage = ""
    return usage if 0 < len(usage) < _LONGEST_USAGE else f"usage: {parser.prog} ..."


def _command_lines(parser: argparse.ArgumentParser, indent: int) -> Iterator[str]:
    for action in parser._actions:
        if not isinstance(action, argparse._SubParsersAction):
            continue
        helps = {choice.dest: choice.help for choice in action._choices_actions}
        for names, command in _with_aliases(action.choices):
            if helps.get(names[0]) != argparse.SUPPRESS:
                yield from _one_command(names, command, indent, helps.get(names[0]))


def _with_aliases(
    commands: Mapping[str, argparse.ArgumentParser],
) -> Iterator[tuple[list[str], argparse.ArgumentParser]]:
    names: dict[int, list[str]] = {}
    for name, command in commands.items():
        names.setdefault(id(command), []).append(name)
    for group in names.values():
        yield group, commands[group[0]]


def _one_command(
    names: list[str], command: argparse.ArgumentParser, indent: int, summary: str | None
) -> Iterator[str]:
    text = _filled_in(command.description or summary, command)
    term = ", ".join(names)
    formatter = command.formatter_class
    if isinstance(formatter, type) and issubclass(formatter, argparse.RawDescriptionHelpFormatter):
        yield " " * indent + term
        yield textwrap.indent(textwrap.dedent(text).strip("\n"), " " * (indent + 4))
    else:
        yield from _entry(term, text, indent)
    yield from _argument_lines(command, indent + 4)
    yield from _command_lines(command, indent + 4)


def _argument_lines(parser: argparse.ArgumentParser, indent: int) -> Iterator[str]:
    for action in parser._actions:
        hidden = action.help == argparse.SUPPRESS
        if not hidden and not isinstance(action, argparse._SubParsersAction):
            yield from _entry(_signature(action), _explanation(parser, action), indent)


def _entry(term: str, text: str, indent: int) -> Iterator[str]:
    """Yield ``term`` with its text in a column, wrapped."""
    left = " " * indent + term.ljust(_COLUMN) + "  "
    wrapped = textwrap.wrap(" ".join(text.split()), max(40, _WIDTH - len(left)))
    yield (left + (wrapped[0] if wrapped else "")).rstrip()
    for line in wrapped[1:]:
        yield " " * len(left) + line


def _signature(action: argparse.Action) -> str:
    value = _value_name(action)
    if not action.option_strings:
        return f"[{value}]" if action.nargs in ("?", "*", argparse.REMAINDER) else value
    names = ", ".join(action.option_strings)
    text = names if action.nargs == 0 else f"{names} {value}"
    return text if action.required else f"[{text}]"


def _value_name(action: argparse.Action) -> str:
    name = action.metavar or (action.dest.upper() if action.option_strings else action.dest)
    name = " ".join(name) if isinstance(name, tuple) else name
    if isinstance(action.nargs, int) and not isinstance(action.metavar, tuple):
        return " ".join([name] * action.nargs)
    return f"{name} ..." if action.nargs in ("*", "+", argparse.REMAINDER) else name


def _explanation(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    choices = _listed(action.choices)
    values = {**vars(action), "choices": choices, "type": getattr(action.type, "__name__", None)}
    help_text = _filled_in(action.help, parser, values)
    notes = [f"one of {choices}"] if choices else []
    default = action.default
    known = default is not None and default is not argparse.SUPPRESS and str(default) != ""
    if known and action.nargs != 0 and "%(default)" not in (action.help or ""):
        notes.append(f"default {default}")
    return " ".join([help_text, f"({'; '.join(notes)})" if notes else ""]).strip()


def _listed(choices: Iterable[Any] | None) -> str:
    if choices is None:
        return ""
    try:
        first = [str(one) for one in itertools.islice(choices, _MOST_CHOICES + 1)]
    except Exception:  # noqa: BLE001  (they need no more than "in")
        return ""
    return ", ".join(first[:_MOST_CHOICES]) + (", ..." if len(first) > _MOST_CHOICES else "")


def _filled_in(
    text: str | None, parser: argparse.ArgumentParser, values: Mapping[str, Any] | None = None
) -> str:
    """Return a text with its ``%(prog)s``, ``%(default)s`` and the like filled in."""
    if not text or "%" not in text:
        return text or ""
    if values is None and "%(prog)" not in text and "%%" not in text:
        return text
    try:
        return text % {**(values or {}), "prog": parser.prog}
    except (KeyError, TypeError, ValueError):  # a lone %, on which argparse would fail
        return text
