"""What does the manual of a server say?

argparse prints the help of one parser, never that of its commands.
"""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Iterator

_WIDTH = 96
_COLUMN = 20


def manual_of(parser: argparse.ArgumentParser) -> str:
    """Return the help of a parser and of all its commands as one text."""
    parts = ["DAEMON HELP", parser.description or "", _usage(parser), ""]
    parts += _argument_lines(parser, 0)
    parts += ["Commands:", *_command_lines(parser, 4), ""]
    if parser.epilog:
        parts.append(parser.epilog)
    return "\n".join(parts).rstrip() + "\n"


def command_manual(name: str, parser: argparse.ArgumentParser) -> str:
    """Return what the manual says of one command."""
    return "\n".join([_usage(parser), *_one_command(name, parser, 0)]) + "\n"


def _usage(parser: argparse.ArgumentParser) -> str:
    try:
        return " ".join(parser.format_usage().split())
    except (AssertionError, KeyError, TypeError, ValueError):  # odd metavars
        return f"usage: {parser.prog} ..."


def _command_lines(parser: argparse.ArgumentParser, indent: int) -> Iterator[str]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            helps = {choice.dest: choice.help for choice in action._choices_actions}
            for name, command in action.choices.items():
                yield from _one_command(name, command, indent, helps.get(name))


def _one_command(
    name: str, command: argparse.ArgumentParser, indent: int, summary: str | None = None
) -> Iterator[str]:
    yield from _entry(name, command.description or summary or "", indent)
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
    help_text = _expanded(parser, action)
    notes = []
    if action.choices is not None:
        notes.append("one of " + ", ".join(str(choice) for choice in action.choices))
    shown = action.default is not None and action.default is not argparse.SUPPRESS
    if shown and action.nargs != 0 and "%(default)" not in (action.help or ""):
        notes.append(f"default {action.default}")
    return " ".join([help_text, f"({'; '.join(notes)})" if notes else ""]).strip()


def _expanded(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    """Return the help with its ``%(default)s`` and the like filled in, as argparse does."""
    if not action.help:
        return ""
    values = {**vars(action), "prog": parser.prog}
    values = {name: value for name, value in values.items() if value is not argparse.SUPPRESS}
    if action.choices is not None:
        values["choices"] = ", ".join(str(choice) for choice in action.choices)
    try:
        return action.help % values
    except (KeyError, TypeError, ValueError):  # a lone %, which argparse would not print at all
        return action.help
