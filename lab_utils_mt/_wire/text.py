"""What does a line of text say: which dialect, which words?"""

from __future__ import annotations

import json
import re
import unicodedata
from enum import Enum

from ..exceptions import MessageError

MAX_WORDS = 1000
"""Most words of a command: argparse takes quadratic time for words that look like options."""

BLANKS = " \t"
_PLAIN_LINE = re.compile(r"[\t\x20-\x7e]*")
_WORD_END = re.compile(r"[ \t]|$")
_PLAIN_WORD = re.compile(r"[A-Za-z0-9_./:+,@%=-]+")
_JSON_BEGINS = ("[", "{")
_JSON_RPC = re.compile(r'\[|\{[ \t]*"')
_json_string = json.JSONDecoder(strict=False).raw_decode  # a TAB may stand in a line


class Dialect(Enum):
    """The languages that share a port."""

    TEXT = "text"
    JSON_RPC = "JSON-RPC"


def is_json_rpc(text: str) -> bool:
    """Tell by how a line begins whether it is JSON-RPC; all others are text."""
    return text[:1] in _JSON_BEGINS and _JSON_RPC.match(text) is not None


def decode_line(line: bytes) -> str:
    """Return the text of a line.

    Raises:
        MessageError: The bytes are not UTF-8, or hold control characters other than TAB.
    """
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise MessageError(f"byte {error.start + 1} of the message is not UTF-8") from None
    if not text.isprintable():
        refuse_controls(text)
    return text


def refuse_controls(text: str) -> None:
    """Let pass what may stand in one line.

    Raises:
        MessageError: There is a control character other than TAB; names it and its place.
    """
    if _PLAIN_LINE.fullmatch(text):
        return
    for place, character in enumerate(text, 1):
        if character != "\t" and unicodedata.category(character) == "Cc":
            raise MessageError(
                f"control character U+{ord(character):04X} at character {place} of the message;"
                " quote() sends any text"
            )


def split(text: str, left: str = "{", right: str = "}") -> list[str]:
    """Cut a text command into its words.

    Blanks separate words. ``{like this}`` is one word, taken literally up to the next ``}``;
    ``"like this"`` is one word too, a JSON string with its escapes.

    Args:
        text: The command.
        left: What may stand instead of ``{``: one character, no blank and no ``"``.
        right: What may stand instead of ``}``.

    Raises:
        MessageError: A brace or quote is not closed, something follows it without a blank, or
            there are more than :data:`MAX_WORDS` words.
    """
    if text.isascii() and text.isprintable() and left not in text and '"' not in text:
        words = text.split()  # at blanks, for there is no other white space
        if len(words) <= MAX_WORDS:
            return words
    words = []
    at = _skip_blanks(text, 0)
    while at < len(text):
        if len(words) == MAX_WORDS:
            raise MessageError(f"more than {MAX_WORDS} words")
        if text[at] == left:
            word, at = _delimited(text, at, right)
        elif text[at] == '"':
            word, at = _quoted(text, at)
        else:
            word, at = _plain(text, at)
        words.append(word)
        at = _skip_blanks(text, at)
    return words


def is_delimiter(character: object) -> bool:
    """Tell whether something may stand instead of a brace."""
    return isinstance(character, str) and len(character) == 1 and character not in BLANKS + '"'


def quote(text: str) -> str:
    """Return ``text`` as one word of a message, so that any text can be sent.

    ``split(quote(text)) == [text]`` for every text.
    """
    return text if _PLAIN_WORD.fullmatch(text) else json.dumps(text)


def _skip_blanks(text: str, at: int) -> int:
    while at < len(text) and text[at] in BLANKS:
        at += 1
    return at


def _plain(text: str, at: int) -> tuple[str, int]:
    end = _WORD_END.search(text, at)
    assert end is not None, "the pattern matches at the end"
    return text[at : end.start()], end.start()


def _delimited(text: str, at: int, right: str) -> tuple[str, int]:
    end = text.find(right, at + 1)
    if end < 0:
        raise MessageError(f"no {right} closes the {text[at]} at character {at + 1}")
    return text[at + 1 : end], _word_ends(text, end + 1)


def _quoted(text: str, at: int) -> tuple[str, int]:
    try:
        word, end = _json_string(text, at)
    except json.JSONDecodeError as error:
        raise MessageError(
            f"the quoted word at character {at + 1} is not a JSON string: {error.msg}"
        ) from None
    return word, _word_ends(text, end)


def _word_ends(text: str, at: int) -> int:
    if at < len(text) and text[at] not in BLANKS:
        raise MessageError(f"a blank is missing before character {at + 1}, {text[at]!r}")
    return at
