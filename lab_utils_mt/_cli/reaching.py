"""How does somebody at a terminal say which server is meant, and what do they get to see?"""

from __future__ import annotations

import argparse
import contextlib
import re
import sys
from typing import NamedTuple

from .._client.client import Client

FAILURE = "Error! "
"""How the reply to a failed command begins."""

_PORT = re.compile(r"[0-9]{1,9}", re.ASCII)
_MOST_PORT = 65535
_BRACKETED = re.compile(r"\[(?P<host>[^\[\]]+)\](:(?P<port>.*))?", re.DOTALL)
_NUMBER = re.compile(r"[0-9]*\.?[0-9]+|[0-9]+\.", re.ASCII)
_LEAST_SECONDS, _MOST_SECONDS = 0.001, 86_400.0
_FORMS = "write 1507, host, host:1507 or [::1]:1507"


class Place(NamedTuple):
    """Where a server listens."""

    host: str
    port: int


def place(text: str) -> Place:
    """Return what ``1507``, ``:1507``, ``host``, ``host:1507`` or ``[::1]:1507`` means.

    Raises:
        argparse.ArgumentTypeError: It is none of these.
    """
    if text.isdigit():
        return Place(Client.host, _port(text, text))
    if found := _BRACKETED.fullmatch(text):
        host, port = found["host"], found["port"]
    else:
        host, colon, port = text.partition(":")
        port = port if colon else None
        if port is not None and ":" in port:
            raise argparse.ArgumentTypeError(
                f"{text!r}: an IPv6 address stands in brackets, as in [::1]:1507"
            )
    if not (text.isprintable() and (host or port)) or set(host) & set(" /@[]"):
        raise argparse.ArgumentTypeError(f"{text!r} names no server: {_FORMS}")
    return Place(host or Client.host, Client.port if port is None else _port(port, text))


def _port(port: str, text: str) -> int:
    number = int(port) if _PORT.fullmatch(port) else 0
    if not 1 <= number <= _MOST_PORT:
        raise argparse.ArgumentTypeError(f"{text!r} has no port from 1 to {_MOST_PORT}: {_FORMS}")
    return number


def seconds(text: str) -> float:
    """Return a number of seconds.

    Raises:
        argparse.ArgumentTypeError: It is none, or not one that anybody waits for.
    """
    number = float(text) if _NUMBER.fullmatch(text) else 0.0
    if not _LEAST_SECONDS <= number <= _MOST_SECONDS:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a number of seconds from {_LEAST_SECONDS:g} to {_MOST_SECONDS:g}"
        )
    return number


def reason(error: Exception) -> str:
    """Return what went wrong, in one line."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return harmless(" ".join(str(text).split()))


def complain(program: str, error: Exception) -> None:
    """Say what went wrong."""
    print(f"{program}: {reason(error)}", file=sys.stderr, flush=True)


def show(reply: bytes) -> bool:
    """Write a reply to the output, or to the error output if it tells of a failure.

    Text ends with a newline; bytes that are no text come out as they are.

    Returns:
        Whether it tells of no failure.
    """
    failed = reply.startswith(FAILURE.encode())
    stream = sys.stderr if failed else sys.stdout
    text = text_of(reply)
    raw = getattr(stream, "buffer", None)
    if text is None and raw is not None:
        stream.flush()
        raw.write(reply)
        raw.flush()
        return not failed
    shown = reply.decode("utf-8", "replace") if text is None else text
    # A redirected output may have an encoding that lacks a letter of the reply.
    with contextlib.suppress(AttributeError):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    stream.write(shown if shown.endswith("\n") else shown + "\n")
    stream.flush()
    return not failed


def text_of(reply: bytes) -> str | None:
    """Return a reply as text, None if it is bytes."""
    try:
        text = reply.decode("utf-8")
    except UnicodeDecodeError:
        return None
    return None if re.search(r"[\0-\x08\x0e-\x1a\x1c-\x1f]", text) else text


def harmless(text: str) -> str:
    """Return a text of which nothing drives the terminal."""
    return "".join(
        one if one.isprintable() or one in "\n\t" else one.encode("unicode_escape").decode()
        for one in text
    )
