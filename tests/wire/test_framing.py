"""Where a request ends, whatever the network does to it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab_utils_mt._wire.framing import LineReader, MessageTooLong


def lines_of(reader: LineReader) -> list[bytes]:
    """Take all lines that are complete."""
    found = []
    while (line := reader.next_line()) is not None:
        found.append(line)
    return found


@given(st.binary(max_size=300), st.lists(st.integers(1, 50), min_size=1, max_size=20))
def test_any_split_gives_the_same_lines(stream: bytes, sizes: list[int]) -> None:
    """The network may cut a stream anywhere."""
    whole = LineReader()
    whole.receive_data(stream)
    expected = lines_of(whole)

    split, got, at = LineReader(), [], 0
    while at < len(stream):
        size = sizes[at % len(sizes)]
        split.receive_data(stream[at : at + size])
        got += lines_of(split)
        at += size

    assert got == expected
    assert split.take_rest() == whole.take_rest()


@pytest.mark.parametrize("stream", [b"a\nb\r\n\nc", b"a\r\nb\n\r\nc"])
def test_lines_end_with_newline_and_perhaps_return(stream: bytes) -> None:
    """Both line ends are understood, in one stream too."""
    reader = LineReader()
    reader.receive_data(stream)

    assert lines_of(reader) == [b"a", b"b", b""]
    assert reader.is_partial


@pytest.mark.parametrize("end", [b"", b"\n"])
def test_a_line_one_byte_too_long_is_refused(end: bytes) -> None:
    """The limit holds whether or not the end of the line has come."""
    reader = LineReader(max_size=10)
    reader.receive_data(b"x" * 11 + end)

    with pytest.raises(MessageTooLong, match="longer than 10 bytes"):
        reader.next_line()


def test_a_line_of_exactly_the_limit_passes() -> None:
    """The newline does not count."""
    reader = LineReader(max_size=10)
    reader.receive_data(b"x" * 10 + b"\n")

    assert reader.next_line() == b"x" * 10


def test_the_first_bytes_may_be_a_whole_message() -> None:
    """A 0.5.x client sends no newline."""
    reader = LineReader()
    reader.receive_data(b"status")

    assert reader.next_line() is None
    assert reader.may_be_unterminated
    assert reader.take_at_end() == b"status"
    assert not reader.is_partial


def test_a_single_first_byte_is_somebody_typing() -> None:
    """Windows' telnet sends each key by itself; a pause says nothing then."""
    reader = LineReader()
    reader.receive_data(b"s")
    reader.receive_data(b"tatus")

    assert not reader.may_be_unterminated
    assert reader.take_at_end() == b"status"


def test_a_rest_after_a_line_is_no_message() -> None:
    """``move 10`` may be what arrived of ``move 100``."""
    reader = LineReader()
    reader.receive_data(b"ping\nmove 10")

    assert lines_of(reader) == [b"ping"]
    assert not reader.may_be_unterminated
    assert reader.take_at_end() is None
