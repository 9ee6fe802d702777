"""Can a text forge an event or drive a terminal?"""

import logging
import sys

import pytest

from lab_utils_mt._logs.line import LineFormatter, escape

RAW = [*map(chr, range(32)), *map(chr, range(127, 160)), "\u2028", "\u2029", "\u061c", "\u200b",
       "\u200e", "\u200f", *map(chr, range(0x202A, 0x202F)), *map(chr, range(0x2066, 0x206A)),
       "\ufeff", "\ud800", "\U000e0041"]  # fmt: skip


def make_record(message, *args, level=logging.INFO, **extra):
    """A record as a logger makes it."""
    record = logging.LogRecord("n", level, "p.py", 1, message, args, extra.pop("exc_info", None))
    vars(record).update(extra)
    return record


def error_info(text):
    """The exc_info of a ValueError."""
    try:
        raise ValueError(text)  # noqa: TRY301
    except ValueError:
        return sys.exc_info()


@pytest.mark.parametrize("raw", RAW, ids=lambda raw: f"U+{ord(raw):04X}")
def test_no_raw_control_character_gets_out(raw):
    """Not from the message, its arguments, an attribute, the level's name or an exception."""
    formatter = LineFormatter("%(client)s %(threadName)s %(message)s")
    record = make_record(
        f"a{raw}b %s", raw, client=raw, threadName=raw, levelname=raw, exc_info=error_info(raw)
    )
    out = formatter.format(record)
    first, *rest = out.split("\n")
    assert all(line.isprintable() for line in (first, *rest))
    assert all(line.startswith("  | ") for line in rest)
    assert raw in logging.Formatter("%(message)s").format(record)  # the stock one lets it out


def test_text_of_all_languages_stays_readable():
    """Only what does not print is changed."""
    text = "µm Ω → ✓ Grüße 温度 Температура C:\\temp\\new"
    assert escape(text) == text
    assert escape("a\x1b[2J\r\nb\t\u202e") == "a\\x1b[2J\\r\\nb\\t\\u202e"


def test_a_message_cannot_forge_a_line():
    """One event, one line."""
    out = LineFormatter("%(message)s").format(make_record("hi %s", "\nERROR    forged"))
    assert out == "INFO     hi \\nERROR    forged"


def test_a_traceback_keeps_its_lines_but_begins_no_event():
    """Also where the exception's own text tries."""
    record = make_record("failed", exc_info=error_info("x\nERROR    forged\x1b[2J"))
    record.stack_info = "Stack:\n  here"
    lines = LineFormatter("%(message)s").format(record).split("\n")
    assert lines[0] == "INFO     failed"
    assert lines[1] == "  | Traceback (most recent call last):"
    assert "  | ValueError: x" in lines
    assert "  | ERROR    forged\\x1b[2J" in lines
    assert lines[-1] == "  |   here"


def test_an_object_in_a_field_cannot_forge_a_line():
    """Its text is only known when the line is made."""

    class Hostile:
        def __str__(self):
            return "\nERROR    forged"

    out = LineFormatter("%(client)s").format(make_record("x", client=Hostile()))
    assert out == "INFO     \n  | ERROR    forged"


def test_the_record_is_not_changed():
    """The other handlers get it as it was; the stock formatter leaves its results in it."""
    record = make_record("a\n%s", "b", exc_info=error_info("x"))
    before = dict(vars(record))
    LineFormatter("%(asctime)s %(message)s").format(record)
    assert vars(record) == before
    logging.Formatter("%(asctime)s %(message)s").format(record)
    assert vars(record) != before


def test_a_percent_sign_in_a_finished_message_is_just_one():
    """Formatting happens once."""
    assert LineFormatter("%(message)s").format(make_record("%s", "100 %s")) == "INFO     100 %s"


@pytest.mark.parametrize(
    ("style", "layout"), [("%", "%(message)s"), ("{", "{message}"), ("$", "$message")]
)
def test_all_three_styles_work(style, layout):
    """As in the standard library."""
    formatter = LineFormatter(layout, style=style)
    assert formatter.format(make_record("{x} %d", 1)) == "INFO     {x} 1"


def test_level_names_take_nine_columns():
    """A longer one is still apart from the text."""
    formatter = LineFormatter("%(message)s")
    assert formatter.format(make_record("x", level=logging.CRITICAL)) == "CRITICAL x"
    assert formatter.format(make_record("x", levelname="VERYSEVERE")) == "VERYSEVERE x"
