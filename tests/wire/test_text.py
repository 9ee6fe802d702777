"""What a line says, and which lines are refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab_utils_mt._wire.foreign import foreign_line, foreign_opening
from lab_utils_mt._wire.text import decode_line, is_json_rpc, quote, refuse_controls, split
from lab_utils_mt.exceptions import MessageError


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", []),
        ("  status\t", ["status"]),
        ("move  --to   3", ["move", "--to", "3"]),
        ("name {MY APP} --date {2020 10}", ["name", "MY APP", "--date", "2020 10"]),
        ('{"a" and \\}', ['"a" and \\']),
        ("set {}", ["set", ""]),
        ('say "two words" "\\u03a9 \\"x\\"\\n"', ["say", "two words", 'Ω "x"\n']),
        ('say ""', ["say", ""]),
        ("a{b} c}d", ["a{b}", "c}d"]),
        ('5"', ['5"']),
        ("a\u00a0b", ["a\u00a0b"]),
    ],
)
def test_words(text: str, words: list[str]) -> None:
    """Blanks separate; braces and quotes keep together."""
    assert split(text) == words


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("say {open", "no } closes the { at character 5"),
        ('say "open', "quoted word at character 5"),
        ('say "a\\q"', "quoted word at character 5"),
        ("say {a}b", "blank is missing before character 8"),
        ('say "a"b', "blank is missing before character 8"),
    ],
)
def test_a_word_that_is_not_closed_is_refused(text: str, fault: str) -> None:
    """The error says where."""
    with pytest.raises(MessageError, match=fault):
        split(text)


@given(st.text())
def test_quote_makes_one_word_of_any_text(text: str) -> None:
    """And one that may stand in a line."""
    word = quote(text)

    refuse_controls(word)
    assert split(f"say {word} {word}") == ["say", text, text]
    assert decode_line(word.encode()) == word


def test_quote_leaves_a_plain_word_alone() -> None:
    """Messages stay readable."""
    assert quote("20.5e-3") == "20.5e-3"


@given(st.text(st.characters(exclude_categories=["Cc", "Cs"])))
def test_text_without_controls_passes(text: str) -> None:
    """Any language is welcome."""
    assert decode_line(text.encode()) == text


@given(
    st.text(st.characters(exclude_categories=["Cs"])),
    st.characters(categories=["Cc"], exclude_characters="\t"),
    st.text(st.characters(exclude_categories=["Cs"])),
)
def test_any_control_character_but_tab_is_refused(before: str, control: str, after: str) -> None:
    """C0, DEL and C1 can drive a terminal that shows the log."""
    with pytest.raises(MessageError, match=r"control character U\+"):
        decode_line((before + control + after).encode())


@pytest.mark.parametrize("line", [b"\xff\xfb\x1f", b"caf\xe9", b"a\xc0\xafb", b"\xed\xa0\x80"])
def test_bytes_that_are_not_utf8_are_refused(line: bytes) -> None:
    """Latin-1, telnet negotiation, overlong forms and surrogates."""
    with pytest.raises(MessageError, match="not UTF-8"):
        decode_line(line)


@pytest.mark.parametrize(
    ("text", "is_json"),
    [
        ("status", False),
        ("{a b} c", False),
        ('{"jsonrpc": "2.0"}', True),
        ('{ \t"id": 1}', True),
        ("[1, 2]", True),
        ("{}", False),
    ],
)
def test_the_dialect_is_told_by_how_a_line_begins(text: str, is_json: bool) -> None:
    """Protocol, section 1."""
    assert is_json_rpc(text) is is_json


@pytest.mark.parametrize(
    ("data", "protocol"),
    [
        (b"GET / HTTP/1.1", "HTTP"),
        (b"POST /", "HTTP"),
        (b"\x16\x03\x01\x02\x00", "TLS"),
        (b"get the temperature", None),
        (b"GETTING", None),
    ],
)
def test_browsers_and_tls_clients_are_recognised(data: bytes, protocol: str | None) -> None:
    """By the first bytes."""
    assert foreign_opening(data) == protocol


def test_a_host_header_is_recognised_anywhere() -> None:
    """In whatever case."""
    assert foreign_line(b"hOST: example.org", is_first=False) == "HTTP"
    assert foreign_line(b"hostname", is_first=True) is None


def test_a_method_counts_in_the_first_line_only() -> None:
    """A lab may have a command called GET; it cannot be the first."""
    assert foreign_line(b"GET /", is_first=True) == "HTTP"
    assert foreign_line(b"GET /", is_first=False) is None
