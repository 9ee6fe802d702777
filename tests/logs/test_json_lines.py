"""Is each record one line of JSON, and what was logged?"""

import datetime
import json
import logging
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab_utils_mt._logs import redaction
from lab_utils_mt._logs.json_lines import JsonLinesFormatter

HOSTILE = st.text(
    st.one_of(
        st.characters(),
        st.sampled_from("\x00\x07\x1b\x7f\x85\x9b\u2028\u2029\u202e\u2066\ud800\udc00\ufeff\n\r"),
        st.sampled_from("\\u{}\"'\t"),
    ),
    max_size=40,
) | st.sampled_from(["\x1b]0;title\x07", "\x1b[2J", "\x9b31m", "a\nERROR    forged"])
VALUES = st.recursive(
    HOSTILE | st.integers() | st.floats() | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(HOSTILE, inner, max_size=3),
    max_leaves=8,
)


def make_record(message="hi", *args, exc_info=None, **extra):
    """A record as a logger makes it."""
    record = logging.LogRecord("lab.x", logging.INFO, "/a/p.py", 1, message, args, exc_info, "read")
    vars(record).update(extra)
    return record


def shown(record):
    """Format a record; return what a program reads."""

    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    line = JsonLinesFormatter().format(record)
    assert line.isprintable()
    return json.loads(line, parse_constant=refuse)


def as_read(text):
    """What JSON can say of a text: two lone halves of a character, side by side, are that."""
    return json.loads(json.dumps(text))


def test_the_fields_are_those_of_old_and_some_more():
    """In this order."""
    record = make_record("%.1f K", 4.2, stage="cold")
    found = shown(record)
    assert list(found) == [
        *("asctime", "levelname", "name", "module", "funcName", "message"),
        *("created", "process", "threadName", "stage"),
    ]
    assert found["asctime"] == f"{datetime.datetime.fromtimestamp(int(record.created))}"
    assert found["message"] == "4.2 K"
    assert found["created"] == record.created
    assert (found["module"], found["funcName"], found["stage"]) == ("p", "read", "cold")


@given(text=HOSTILE)
def test_any_text_is_one_harmless_line_and_is_read_back(text):
    """Wherever it stands."""
    found = shown(make_record("%s", text, note=text, threadName=text))
    assert found["message"] == found["note"] == found["threadName"] == as_read(text)


@given(fields=st.dictionaries(HOSTILE.filter(lambda name: not name.startswith("_")), VALUES))
def test_any_fields_are_harmless(fields):
    """Whatever their names and values; a name that a record has already is a record's."""
    taken = {*vars(make_record()), "message", "asctime"}
    fields = {name: value for name, value in fields.items() if name not in taken}
    found = shown(make_record(**{"a": 1} | fields))
    assert {as_read(name) for name in fields} <= set(found)


def test_text_of_all_languages_stays_readable():
    """Only what does not print is changed, and none of it is lost."""
    line = JsonLinesFormatter().format(make_record("µm Ω → ✓ 温度 😀 \U000e0041 \x7f"))
    assert '"µm Ω → ✓ 温度 😀 \\udb40\\udc41 \\u007f"' in line


def test_no_object_is_too_strange():
    """What is no JSON is told as text."""

    class Bad:
        def __str__(self):
            raise RuntimeError

    circle = []
    circle.append(circle)
    found = shown(
        make_record(
            none=None, nan=float("nan"), inf=[float("-inf")], bad=Bad(), circle=circle,
            raw=b"\x00", when=datetime.date(2026, 3, 29), huge=10**5000, deep={"a": {1: {2, 3}}},
        )
    )  # fmt: skip
    assert found["none"] is None
    assert (found["nan"], found["inf"]) == ("nan", ["-inf"])
    assert "Bad" in found["bad"]
    assert found["raw"] == "b'\\x00'"
    assert found["when"] == "2026-03-29"
    assert int(found["huge"], 16) == 10**5000
    assert found["deep"] == {"a": {"1": [2, 3]}}


@pytest.mark.parametrize("created", [float("nan"), float("inf"), 1e30, "yesterday"])
def test_a_record_without_a_time_is_still_shown(created):
    """It may come from elsewhere."""
    found = shown(make_record(created=created))
    assert (found["asctime"], found["message"]) == ("", "hi")


def test_names_that_become_the_same_lose_nothing():
    """Two secrets as names, say."""
    redaction.hide("json-canary-1")
    redaction.hide("json-canary-2")
    found = shown(make_record(note={"json-canary-1": 1, "json-canary-2": 2}))
    assert found["note"] == {"***": 1, "***_": 2}


def test_secrets_are_in_no_value_and_no_name():
    """However deep."""
    redaction.hide('json-"canary"-3')
    secret = 'json-"canary"-3'
    try:
        raise ValueError(secret)  # noqa: TRY301
    except ValueError:
        info = sys.exc_info()
    record = make_record(
        "%s", secret, exc_info=info, a=[{"b": secret}], threadName=secret, **{secret: 1}
    )
    record.stack_info = secret
    text = JsonLinesFormatter().format(record)
    assert "canary" not in text
    assert text.count("***") == 6
    found = shown(make_record('password=abc"def x"', url="http://", x="a@b"))
    assert found["message"] == 'password=*** x"'
    assert (found["url"], found["x"]) == ("http://", "a@b")


def test_fields_that_are_called_like_secrets_are_hidden():
    """However deep; that there is none is shown."""
    found = shown(
        make_record(
            password="hunter2",
            pwd=4711,
            cfg={"token": "abcdef", "apiKey": ["a", "b"], "user": "me", "secret": {"x": 1}},
            secret=None,
            token=False,
            compass=3.5,
        )
    )
    assert (found["password"], found["pwd"]) == ("***", "***")
    assert found["cfg"] == {"token": "***", "apiKey": "***", "user": "me", "secret": "***"}
    assert (found["secret"], found["token"], found["compass"]) == (None, False, 3.5)
    assert shown(make_record(password="hunter2"))["password"] == "***"


def test_traceback_and_stack_are_text():
    """In fields of their own."""
    try:
        raise ValueError("stuck")  # noqa: TRY301
    except ValueError:
        record = make_record(exc_info=sys.exc_info())
    record.stack_info = "Stack:\n  here"
    found = shown(record)
    assert found["exc_info"].startswith("Traceback (most recent call last):\n")
    assert found["exc_info"].endswith("ValueError: stuck")
    assert found["stack_info"] == "Stack:\n  here"


def test_the_record_is_not_changed():
    """The other handlers get it as it was."""
    try:
        raise ValueError("stuck")  # noqa: TRY301
    except ValueError:
        record = make_record("a %s", "b", exc_info=sys.exc_info(), extra_list=[1])
    before = dict(vars(record))
    JsonLinesFormatter().format(record)
    assert vars(record) == before


def test_what_does_not_fit_its_message_is_told():
    """The stock formatter raises, and the record is lost."""
    message = shown(make_record("%d", "stage"))["message"]
    assert message.startswith("%d")
    assert "stage" in message
    with pytest.raises(TypeError):
        logging.Formatter().format(make_record("%d", "stage"))
