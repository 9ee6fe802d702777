"""What does an ini file say, and may it?

A room declares its settings as a frozen dataclass whose fields are made by :func:`setting`. The
same declaration checks what comes from a file, from an argument and from a subclass attribute.
"""

from __future__ import annotations

import configparser
import dataclasses
import math
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, get_type_hints

from .exceptions import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

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
    cast: Callable[[str], Any] | None = None,
) -> Any:
    """Declare a field of a settings dataclass.

    Args:
        default: Value when nobody says otherwise.
        least: Smallest allowed number.
        most: Largest allowed number.
        choices: The allowed words, separated by blanks.
        secret: Its value is never shown: it may hold a password.
        cast: What reads the text of a file, if the field's type does not say; raises ValueError
            with words that follow "is".
    """
    words = tuple(choices.split())
    allowed = {"least": least, "most": most, "choices": words, "secret": secret, "cast": cast}
    return dataclasses.field(default=default, metadata=allowed)


def string_to_bool(s: str) -> bool:
    """Tell whether a text means yes: ``true``, ``1``, ``t``, ``y``, ``yes`` or ``on``.

    Args:
        s: Any text, in capitals or not; everything else means no.
    """
    return s.lower() in _TRUE


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
    if string_to_bool(text):
        return True
    if text.lower() in _FALSE:
        return False
    raise ValueError("neither yes nor no")


def _lines(text: str) -> tuple[str, ...]:
    return tuple(line.strip() for line in text.splitlines() if line.strip())


def _number_or_off(text: str) -> float | None:
    return None if text.lower() == "off" else _number(text)


def _integer_or_off(text: str) -> int | None:
    return None if text.lower() == "off" else _integer(text)


class _Kind(NamedTuple):
    """How values of one type are written, and which Python types will do for them."""

    cast: Callable[[str], Any]
    types: tuple[Any, ...]
    name: str


_KINDS: dict[Any, _Kind] = {
    str: _Kind(str, (str,), "str"),
    int: _Kind(_integer, (int,), "int"),
    float: _Kind(_number, (int, float), "a number"),
    bool: _Kind(_truth, (bool,), "bool"),
    tuple[str, ...]: _Kind(_lines, (tuple,), "a tuple of texts"),
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
    if value is None or isinstance(value, (bool, tuple)):
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
        ConfigError: Values have the wrong type or lie outside their range; names ``source``, and
            of each one key and value, unless that is secret.
    """
    _refuse(source, _faults(settings_class, values))


def _faults(settings_class: type, values: Mapping[str, Any]) -> Iterator[str]:
    kinds = get_type_hints(settings_class)
    for field in dataclasses.fields(settings_class):
        if field.name in values:
            fault = _fault(field, _KINDS[kinds[field.name]], values[field.name])
            if fault:
                shown = "" if field.metadata["secret"] else f" = {values[field.name]!r}"
                yield f"{field.name}{shown} {fault}"


def _refuse(source: str, faults: Iterable[str]) -> None:
    """Tell all faults at once, so that they are mended in one go; go on if there are none."""
    told = "; ".join(faults)
    if told:
        raise ConfigError(f"{source}: {told}")


def full_path(path: str) -> Path:
    """Return the absolute path that somebody means; a leading ``~`` is the home folder.

    Raises:
        ConfigError: There is no such home folder, or no file could be called that.
    """
    from pathlib import Path  # noqa: PLC0415  (most programs name no file)

    try:
        if b"\0" not in _encoded(path):
            return Path(path).expanduser().absolute()
        fault = "it holds NUL"
    except UnicodeEncodeError:
        fault = "it holds a lone surrogate"
    except (RuntimeError, ValueError, OSError) as error:  # ~nobody; the working folder is deleted
        fault = str(error)
    raise ConfigError(f"cannot read {str(path)!a}: {fault}")


def _encoded(path: str) -> bytes:
    # On Windows, fsencode() takes lone surrogates, which no message could show.
    return path.encode() if sys.platform == "win32" else os.fsencode(path)


class IniFile:
    """An ini file, read and understood as far as its grammar goes.

    Args:
        path: The file; ``~`` is expanded.

    Raises:
        ConfigError: It cannot be read, or is no ini file.
    """

    def __init__(self, path: str) -> None:
        file_path = full_path(path)
        self.path = str(file_path)
        # A % in a path is just a %. No section can be called "": none is inherited by the others.
        self._parser = configparser.ConfigParser(interpolation=None, default_section="")
        vars(self._parser)["optionxform"] = str  # names of loggers are keys, too
        try:
            # parser.read() would pass over a missing file; -sig: Windows editors write a BOM.
            with file_path.open(encoding="utf-8-sig") as file:
                self._parser.read_file(file, source=self.path)
        except OSError as error:
            raise ConfigError(f"cannot read {self.path}: {error.strerror or error}") from error
        except UnicodeDecodeError:
            fault = "it is not UTF-8 text"
            raise ConfigError(f"{self.path} is not a valid ini file: {fault}") from None
        except configparser.Error as error:
            # Not from error, which quotes the line: it may hold a password.
            fault = _lines_of(error)
            raise ConfigError(f"{self.path} is not a valid ini file: {fault}") from None

    @property
    def sections(self) -> list[str]:
        """The sections' names, in their order."""
        return self._parser.sections()

    def where(self, section: str) -> str:
        """Return the words that tell where a section is."""
        return f"{self.path}, section [{section}]"

    def keys(self, section: str) -> dict[str, str]:
        """Return a section's keys, as they are written, and texts; none if it is missing."""
        return dict(self._parser[section]) if self._parser.has_section(section) else {}

    def _lower(self, section: str) -> dict[str, str]:
        texts: dict[str, str] = {}
        for key, text in self.keys(section).items():
            if key.lower() in texts:
                raise ConfigError(f"{self.where(section)}: {key!r} is there twice")
            texts[key.lower()] = text
        return texts

    def truth(self, section: str, key: str, default: bool) -> bool:
        """Return yes or no, without a look at the section's other keys.

        Raises:
            ConfigError: The value is neither.
        """
        text = self._lower(section).get(key)
        try:
            return default if text is None else _truth(text)
        except ValueError as error:
            raise ConfigError(f"{self.where(section)}: {key} = {text!r} is {error}") from None

    def read(
        self, section: str, settings_class: type, required: tuple[str, ...] = ()
    ) -> dict[str, Any]:
        """Return the keys of a section that are set, cast and checked; see :func:`read_section`."""
        if not self._parser.has_section(section):
            meant = _nearest(section, self.sections)
            advice = f" (is it [{meant}]?)" if meant else ""
            raise ConfigError(f"{self.path}: section [{section}] is missing{advice}")
        texts = self._lower(section)
        names = [field.name for field in dataclasses.fields(settings_class)]
        # A misspelt key comes first: it may be the one that is missing.
        faults = [_unknown(key, names) for key in texts if key not in names]
        faults += [f"key {key!r} is missing" for key in required if key not in texts]
        values = _cast(settings_class, texts, faults)
        _refuse(self.where(section), [*faults, *_faults(settings_class, values)])
        return values


def _cast(settings_class: type, texts: Mapping[str, str], faults: list[str]) -> dict[str, Any]:
    """Return the values of known keys; add to the faults which texts are none."""
    fields = {field.name: field for field in dataclasses.fields(settings_class)}
    kinds = get_type_hints(settings_class)
    values: dict[str, Any] = {}
    for key in filter(fields.__contains__, texts):
        try:
            values[key] = (fields[key].metadata["cast"] or _KINDS[kinds[key]].cast)(texts[key])
        except ValueError as error:
            faults.append(f"{key} = {texts[key]!r} is {error}")
    return values


def _unknown(key: str, known: Iterable[str]) -> str:
    meant = _nearest(key, known)
    if meant:
        return f"unknown key {key!r} (is it {meant!r}?)"
    return (
        f"unknown key {key!r}; known are {', '.join(sorted(known))}"
        " (keys of your own belong in a section of their own)"
    )


def _nearest(word: str, known: Iterable[str]) -> str | None:
    """Return what somebody may have meant who has written a word that is not known."""
    import difflib  # noqa: PLC0415  (most files have no such fault)

    names = {name.casefold(): name for name in known}
    found = difflib.get_close_matches(word.casefold(), names, 1)
    return names[found[0]] if found else None


def _lines_of(error: configparser.Error) -> str:
    numbers = [number for number, _ in getattr(error, "errors", [])]
    numbers = numbers or [getattr(error, "lineno", "unknown")]
    text = ", ".join(map(str, numbers))
    if isinstance(error, (configparser.DuplicateOptionError, configparser.DuplicateSectionError)):
        return f"line {text} repeats a key or a section"
    return f"look at line {text}: write key = value, below a [section]"


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
        ConfigError: The file cannot be read, the section is missing, keys are unknown or missing,
            or values are not allowed; names file, section, and all such keys.
    """
    return IniFile(path).read(section, settings_class, required)
