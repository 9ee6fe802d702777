"""Whatever line comes, a connection lives, and each reply is what the protocol says."""

from __future__ import annotations

import enum
import json
import logging
import os
import threading
import unicodedata
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import pytest
from daemons import Line, serving
from lines import Generator

from lab_utils_mt.commands import Meta, Request, Unit, command
from lab_utils_mt.socket_comm import Server

REQUESTS = 100_000
CONNECTIONS = 4

KELVIN = Annotated[float, Meta(ge=0, le=300), Unit("K")]


class Mode(enum.Enum):
    """How."""

    FAST = 1
    SLOW = 2


class Lab(Server):
    """A server with typed commands and one of 0.5.x."""

    @command(device="heater")
    def heat(self, kelvin: KELVIN, *, ramp: float = 0.0, fast: bool = False) -> float:
        return kelvin + ramp

    @command
    def mode(self, mode: Mode = Mode.FAST, *, number: int | None = None) -> list[Any]:
        return [mode, number]

    @command
    def names(self, names: list[str], *, how: Literal["a", 5] = "a") -> dict[str, Any]:
        return dict.fromkeys(names, how)

    @command(device=("heater", "stage"))
    def echo(self, text: str, request: Request) -> str:
        self.reply = "not this"
        return text

    @command
    def lost(self) -> float:
        return float("nan")

    @command
    def fail(self, text: str = "it failed") -> None:
        raise ValueError(text)

    @command
    def unsendable(self) -> Any:
        return object()

    def create_parser(self) -> None:
        super().create_parser()
        old = self.sp.add_parser("old", description="is old")
        old.add_argument("x", type=int)
        old.add_argument("--y", type=float, default=0)
        old.set_defaults(func=self.old, which="old", device="stage")

    def old(self) -> None:
        self.reply = f"old {self.namespace.x}"


# --- what the protocol says of them: a model of its own ----------------------------------------

NOTHING, INVALID = object(), object()


def number(text: str) -> float:
    """Return a float; what none can hold is not taken."""
    value = float(text)
    if value in {float("inf"), float("-inf")}:
        raise ValueError(text)
    return value


def refuse(text: str) -> Any:
    """Refuse what is not JSON, though Python takes it."""
    raise ValueError(text)


def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object; of a name that comes twice, both values are looked at."""
    json.dumps(pairs, ensure_ascii=False).encode()
    return dict(pairs)


def parsed(line: str) -> Any:
    """Return a document, or INVALID."""
    try:
        document = json.loads(
            line, parse_float=number, parse_constant=refuse, object_pairs_hook=members
        )
        json.dumps(document, ensure_ascii=False).encode()  # no lone surrogates
    except (ValueError, RecursionError):
        return INVALID
    return document


def expected_id(request: Any) -> Any:
    """Return the id that the response must have; NOTHING if there must be none."""
    if not isinstance(request, dict):
        return None
    given = request.get("id", NOTHING)
    has_id = given is NOTHING or given is None or type(given) in {int, float, str}
    is_request = (
        request.get("jsonrpc") == "2.0"
        and isinstance(request.get("method"), str)
        and isinstance(request.get("params", []), list | dict)
        and has_id
    )
    if is_request:
        return given
    return None if given is NOTHING or not has_id else given


def is_json(line: str) -> bool:
    """Tell a line's dialect as section 1 of the protocol does."""
    return line[:1] == "[" or (line[:1] == "{" and line[1:].lstrip(" \t")[:1] == '"')


def same_id(one: Any, other: Any) -> bool:
    """Compare ids; 1 is not 1.0 and not true."""
    return type(one) is type(other) and bool(one == other)


def check_response(response: Any, wanted: Any) -> None:
    """See that a response is one, by section 5 of the specification."""
    assert response["jsonrpc"] == "2.0"
    assert same_id(response["id"], wanted)
    if "result" in response:
        assert set(response) == {"jsonrpc", "result", "id"}
        return
    assert set(response) == {"jsonrpc", "error", "id"}
    error = response["error"]
    assert set(error) == {"code", "message", "data"}
    assert type(error["code"]) is int
    assert error["code"] in {-32700, -32600, -32601, -32602} or -32099 <= error["code"] <= -32000
    assert isinstance(error["message"], str)
    assert isinstance(error["data"]["type"], str)


def check_json(line: str, read: Any) -> None:
    """Read the reply to a line, if there must be one, and see that it is what it must be."""
    document = parsed(line)
    if document is INVALID or not isinstance(document, list) or not document:
        wanted = None if document is INVALID else expected_id(document)
        if wanted is NOTHING:
            return
        response = json.loads(read(), parse_constant=refuse)
        check_response(response, wanted)
        if document is INVALID:
            assert response["error"]["code"] == -32700
        return
    ids = [one for one in map(expected_id, document) if one is not NOTHING]
    if ids:
        responses = json.loads(read(), parse_constant=refuse)
        assert len(responses) == len(ids)
        for response, wanted in zip(responses, ids, strict=True):
            check_response(response, wanted)


def check_text(line: Line) -> None:
    """Read a line or a block of section 3 of the protocol."""
    first = line.line()
    assert first.endswith(b"\n"), "the connection has ended"
    if first[:1] == b"#" and first[1:2].isdigit():
        digits = int(first[1:2])
        size = int(first[2 : 2 + digits])
        rest = size + 1 - (len(first) - 2 - digits)
        block = first[2 + digits :] + (line.file.read(rest) if rest > 0 else b"")
        assert len(block) == size + 1
        assert block.endswith(b"\n")
        assert b"\n" in block[:-1] or block[:1] == b"#" or block[-2:-1] == b"\r"
        block[:-1].decode()
    else:
        first.decode()


def check(line: Line, text: str) -> None:
    """Read what must come for a line."""
    if is_json(text):
        check_json(text, line.line)
    elif text.strip(" \t"):  # other white space is text
        check_text(line)


# --- the tests -----------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Keep no log records: there would be 100,000."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture
def server(pid_file: str) -> Iterator[Lab]:
    """Return a server that runs."""
    with serving(Lab(pid_file_name=pid_file, port=0)) as server:
        yield server


def converse(server: Lab, seed: int, count: int, failures: list[str]) -> None:
    """Send generated lines over one connection, and check what comes back."""
    generator = Generator(seed)
    text = ""
    try:
        with Line(server) as line:
            while count > 0:
                chunk = generator.chunk()
                count -= len(chunk)
                line.send("\n".join([*chunk, "ping\n"]).encode())
                for text in chunk:
                    check(line, text)
                assert line.line() == b"pong\n"
    except Exception as error:
        failures.append(f"seed {seed}, after {text[:500]!r}: {error!r}")


@pytest.mark.timeout(300)
def test_no_line_of_either_dialect_kills_a_connection(server: Lab) -> None:
    """100,000 of them; LAB_UTILS_MT_TEST_SEED chooses others."""
    seed = int(os.environ.get("LAB_UTILS_MT_TEST_SEED", "5"))
    failures: list[str] = []
    threads = [
        threading.Thread(
            target=converse,
            args=(server, seed * 1000 + n, REQUESTS // CONNECTIONS, failures),
        )
        for n in range(CONNECTIONS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []


def test_a_line_that_is_none_ends_its_connection(server: Lab) -> None:
    """With one line of explanation, or none for a browser; what follows it is not run."""
    generator = Generator(7)
    for _ in range(150):
        deadly = generator.deadly()
        with Line(server) as line:
            line.send(b"ping\n" + deadly + b"\nnames after\n")
            first, *rest = line.rest().split(b"\n")
        assert first == b"pong"
        assert rest[0].startswith(b"Error! ") is (deadly[:5] != b"Host:")
        assert len(rest) <= 2
        assert b"after" not in b"".join(rest)


def test_the_generated_lines_hold_no_control_characters() -> None:
    """Or they would have to end the connection."""
    generator = Generator(5)
    lines = [generator.line() for _ in range(20_000)]

    assert not [
        line for line in lines for c in line if c != "\t" and unicodedata.category(c) == "Cc"
    ]
    assert sum(map(is_json, lines)) > 10_000
    assert sum(parsed(line) is INVALID for line in lines if is_json(line)) > 2_000
