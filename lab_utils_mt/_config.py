"""What does an ini file say, and may it?

A room declares its settings as a frozen dataclass whose fields are made by :func:`setting`. The
same declaration checks what comes from a file, from an argument and from a subclass attribute.
"""

from __future__ import annotations

import configparser
import dataclasses
import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, get_type_hints

from .exceptions import ConfigError

_INTEGER = re.compile(r"[+-]?[0-9]{1,18}", re.ASCII)
_TRUE = frozenset({"true", "1", "t", "y", "yes", "on"})
_FALSE = frozenset({"false", "0", "f", "n", "no", "off"})


def setting(
    default: Any,
    *,
    least: float | None = None,
    most: float | None = None,
    choices: str = "",
    secret: bool = False,
) -> Any:
    """Declare a field of a settings dataclass.

    Args:
        default: Value when nobody says otherwise.
        least: Smallest allowed number.
        most: Largest allowed number.
        choices: The allowed words, separated by blanks.
        secret: Its value is never shown: it may hold a password.
    """
    words = tuple(choices.split())
    allowed = {"least": least, "most": most, "choices": words, "secret": secret}
    return dataclasses.field(default=default, metadata=allowed)


def _integer(text: str) -> int:
    # int() would also take 1_000 and full-width digits, which are more likely typing errors.
    if not _INTEGER.fullmatch(text):
        raise ValueError("not a whole number")
    return int(text)


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise ValueError("not a number") from None
    if not math.isfinite(value) or "_" in text:
        raise ValueError("not a finite number")
    return value


def _truth(text: str) -> bool:
    if text.lower() in _TRUE:
        return True
    if text.lower() in _FALSE:
        return False
    raise ValueError("neither yes nor no")


def _number_or_off(text: str) -> float | None:
    return None if text.lower() == "off" else _number(text)


def _integer_or_off(text: str) -> int | None:
    return None if text.lower() == "off" else _integer(text)


@dataclasses.dataclass(frozen=True)
class _Kind:
    """How values of one type are written, and which Python types will do for them."""

    cast: Callable[[str], Any]
    types: tuple[Any, ...]
    name: str


_KINDS: dict[Any, _Kind] = {
    str: _Kind(str, (str,), "str"),
    int: _Kind(_integer, (int,), "int"),
    float: _Kind(_number, (int, float), "a number"),
    bool: _Kind(_truth, (bool,), "bool"),
    int | None: _Kind(_integer_or_off, (int, type(None)), "int or None"),
    float | None: _Kind(_number_or_off, (int, float, type(None)), "a number or None"),
}


def _fault(field: dataclasses.Field[Any], kind: _Kind, value: Any) -> str | None:
    """Say what is wrong with a value, or None."""
    # A bool is an int in Python, but True clients are a mistake.
    if not isinstance(value, kind.types) or (isinstance(value, bool) and bool not in kind.types):
        return f"must be {kind.name}, not {type(value).__name__}"
    if isinstance(value, str):
        return _fault_of_text(value, field.metadata["choices"])
    if value is None or isinstance(value, bool):
        return None
    return _fault_of_number(float(value), field.metadata["least"], field.metadata["most"])


def _fault_of_text(value: str, choices: tuple[str, ...]) -> str | None:
    if choices and value not in choices:
        return f"must be one of {', '.join(choices)}"
    if "\0" in value or any("\ud800" <= char <= "\udfff" for char in value):
        return "must be text without NUL and without lone surrogates"
    return None


def _fault_of_number(value: float, least: float | None, most: float | None) -> str | None:
    if not math.isfinite(value):
        return "must be a finite number"
    if (least is not None and value < least) or (most is not None and value > most):
        return f"must be {_span(least, most)}"
    return None


def _span(least: float | None, most: float | None) -> str:
    if least is None:
        return f"at most {most}"
    return f"at least {least}" if most is None else f"between {least} and {most}"


def check(settings_class: type, values: Mapping[str, Any], source: str = "argument") -> None:
    """Check values against their declarations.

    Raises:
        ConfigError: A value has the wrong type or lies outside its range; names ``source``, key
            and value, unless that is secret.
    """
    kinds = get_type_hints(settings_class)
    for field in dataclasses.fields(settings_class):
        if field.name in values:
            fault = _fault(field, _KINDS[kinds[field.name]], values[field.name])
            if fault:
                shown = "" if field.metadata["secret"] else f" = {values[field.name]!r}"
                raise ConfigError(f"{source}: {field.name}{shown} {fault}")


def _open_ini(path: str) -> tuple[str, configparser.ConfigParser]:
    full = str(Path(path).expanduser().absolute())
    parser = configparser.ConfigParser(interpolation=None)  # a % in a path is just a %
    try:
        # parser.read() would pass over a missing file; -sig: Windows editors write a BOM.
        with Path(full).open(encoding="utf-8-sig") as file:
            parser.read_file(file, source=full)
    except OSError as error:
        raise ConfigError(f"cannot read {full}: {error.strerror or error}") from error
    except UnicodeDecodeError:
        raise ConfigError(f"{full} is not a valid ini file: it is not UTF-8 text") from None
    except configparser.Error as error:
        # Not from error, which quotes the line: it may hold a password.
        raise ConfigError(f"{full} is not a valid ini file: {_lines_of(error)}") from None
    return full, parser


def _lines_of(error: configparser.Error) -> str:
    numbers = [number for number, _ in getattr(error, "errors", [])]
    numbers = numbers or [getattr(error, "lineno", "unknown")]
    text = ", ".join(map(str, numbers))
    if isinstance(error, (configparser.DuplicateOptionError, configparser.DuplicateSectionError)):
        return f"line {text} repeats a key or a section"
    return f"look at line {text}: write key = value, below a [section]"


def _require(parser: configparser.ConfigParser, where: str, section: str, keys: list[str]) -> None:
    for key in keys:
        if key not in parser[section]:
            raise ConfigError(f"{where}: key {key!r} is missing")


def read_section(
    path: str, section: str, settings_class: type, required: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Read one section of an ini file.

    Args:
        path: The file; ``~`` is expanded.
        section: Its section; other sections are left to their owners.
        settings_class: The dataclass that declares the keys.
        required: Keys that must be there.

    Returns:
        The keys that the file sets, cast and checked.

    Raises:
        ConfigError: The file cannot be read, the section is missing, a key is unknown or missing,
            or a value is not allowed; names file, section and key.
    """
    full, parser = _open_ini(path)
    if not parser.has_section(section):
        raise ConfigError(f"{full}: section [{section}] is missing")
    where = f"{full}, section [{section}]"
    _require(parser, where, section, list(required))
    kinds = get_type_hints(settings_class)
    values: dict[str, Any] = {}
    for key, text in parser[section].items():
        if key not in kinds:
            raise ConfigError(
                f"{where}: unknown key {key!r}; known are {', '.join(sorted(kinds))}"
                " (keys of your own belong in a section of their own)"
            )
        try:
            values[key] = _KINDS[kinds[key]].cast(text)
        except ValueError as error:
            raise ConfigError(f"{where}: {key} = {text!r} is {error}") from error
    check(settings_class, values, where)
    return values
