"""How replies travel: every payload arrives as it left."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab_utils_mt._wire.replies import ReplyReader, encode_reply


def read(stream: bytes, sizes: list[int]) -> ReplyReader:
    """Feed a stream in pieces."""
    reader, at = ReplyReader(), 0
    while at < len(stream):
        size = sizes[at % len(sizes)]
        reader.receive_data(stream[at : at + size])
        at += size
    return reader


@given(
    st.one_of(st.binary(max_size=300), st.text(max_size=300)),
    st.lists(st.integers(1, 40), min_size=1, max_size=9),
)
def test_any_payload_arrives_as_it_left(payload: str | bytes, sizes: list[int]) -> None:
    """Whatever the network does to the bytes."""
    reader = read(encode_reply(payload), sizes)

    assert reader.reply == (payload if isinstance(payload, bytes) else payload.encode())
    assert not reader.has_surplus


@pytest.mark.parametrize(
    ("payload", "stream"),
    [
        ("at 3.5 mm", b"at 3.5 mm\n"),
        ("", b"\n"),
        ("two\nlines", b"#19two\nlines\n"),
        ("#1 is a number", b"#214#1 is a number\n"),
        ("# is none", b"# is none\n"),
        (b"\x00\n", b"#12\x00\n\n"),
        (b"", b"#10\n"),
    ],
)
def test_the_form_of_a_reply(payload: str | bytes, stream: bytes) -> None:
    """A line of text is a line; everything else is an IEEE 488.2 block."""
    assert encode_reply(payload) == stream


def test_a_lone_surrogate_cannot_be_sent() -> None:
    """The caller must say something else."""
    with pytest.raises(UnicodeEncodeError):
        encode_reply("\ud800")


def test_text_without_newline_is_all_that_an_old_server_sends() -> None:
    """0.5.x closes after it."""
    reader = read(b"Goodbye!", [3])

    assert reader.reply is None
    assert reader.raw == b"Goodbye!"
    assert not reader.is_cut_block


def test_what_follows_a_line_tells_an_old_server() -> None:
    """Its reply has lines, and all of it is there."""
    reader = read(b"one\ntwo\nthree", [100])

    assert (reader.reply, reader.has_surplus) == (b"one", True)
    assert reader.raw == b"one\ntwo\nthree"


def test_a_block_that_is_cut_off_is_noticed() -> None:
    """Half an answer is worse than none."""
    reader = read(b"#3100abc", [100])

    assert reader.reply is None
    assert reader.is_cut_block


@pytest.mark.parametrize("text", [b"#5 is broken", b"#1234 units", b"#15hello world", b"#", b"#0"])
@pytest.mark.parametrize("size", [1, 100])
def test_what_only_looks_like_a_block_is_text(text: bytes, size: int) -> None:
    """An old server may begin a reply so."""
    reader = read(text, [size])
    assert reader.raw == text
    assert not reader.is_cut_block
    reader.receive_data(b"\n")
    assert reader.reply == text


def test_a_long_line_is_searched_once() -> None:
    """Not anew with each packet: 20 MB would take minutes."""
    reader = ReplyReader()
    for _ in range(20_000):
        reader.receive_data(b"x" * 1000)
    reader.receive_data(b"\n")
    assert reader.reply is not None
    assert len(reader.reply) == 20_000_000
