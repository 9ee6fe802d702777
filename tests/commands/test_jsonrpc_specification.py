"""The examples of https://www.jsonrpc.org/specification, section 7, word for word."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from daemons import Line, serving

from lab_utils_mt.commands import command
from lab_utils_mt.socket_comm import Server


class Example(Server):
    """What the specification calls."""

    @command
    def subtract(self, minuend: int, subtrahend: int) -> int:
        """Subtract."""
        return minuend - subtrahend

    @command
    def update(self, numbers: list[int]) -> None:
        """Take a notification."""

    @command(name="sum")
    def add(self, a: int, b: int, c: int) -> int:
        """Add."""
        return a + b + c

    @command
    def notify_hello(self, number: int) -> None:
        """Take a notification."""

    @command
    def notify_sum(self, a: int, b: int, c: int) -> None:
        """Take a notification."""

    @command
    def get_data(self) -> list[str | int]:
        """Return data."""
        return ["hello", 5]


# The specification breaks long documents into several lines; here a line is a document.
EXCHANGES = {
    "positional parameters": (
        '{"jsonrpc": "2.0", "method": "subtract", "params": [42, 23], "id": 1}',
        '{"jsonrpc": "2.0", "result": 19, "id": 1}',
    ),
    "positional parameters, the other way round": (
        '{"jsonrpc": "2.0", "method": "subtract", "params": [23, 42], "id": 2}',
        '{"jsonrpc": "2.0", "result": -19, "id": 2}',
    ),
    "named parameters": (
        (
            '{"jsonrpc": "2.0", "method": "subtract",'
            ' "params": {"subtrahend": 23, "minuend": 42}, "id": 3}'
        ),
        '{"jsonrpc": "2.0", "result": 19, "id": 3}',
    ),
    "named parameters, the other way round": (
        (
            '{"jsonrpc": "2.0", "method": "subtract",'
            ' "params": {"minuend": 42, "subtrahend": 23}, "id": 4}'
        ),
        '{"jsonrpc": "2.0", "result": 19, "id": 4}',
    ),
    "a notification": ('{"jsonrpc": "2.0", "method": "update", "params": [1,2,3,4,5]}', ""),
    "a notification of no method": ('{"jsonrpc": "2.0", "method": "foobar"}', ""),
    "a method that is not there": (
        '{"jsonrpc": "2.0", "method": "foobar", "id": "1"}',
        '{"jsonrpc": "2.0", "error": {"code": -32601, "message": "Method not found"}, "id": "1"}',
    ),
    "invalid JSON": (
        '{"jsonrpc": "2.0", "method": "foobar, "params": "bar", "baz]',
        '{"jsonrpc": "2.0", "error": {"code": -32700, "message": "Parse error"}, "id": null}',
    ),
    "an invalid request": (
        '{"jsonrpc": "2.0", "method": 1, "params": "bar"}',
        '{"jsonrpc": "2.0", "error": {"code": -32600, "message": "Invalid Request"}, "id": null}',
    ),
    "a batch of invalid JSON": (
        (
            '[ {"jsonrpc": "2.0", "method": "sum", "params": [1,2,4], "id": "1"},'
            ' {"jsonrpc": "2.0", "method" ]'
        ),
        '{"jsonrpc": "2.0", "error": {"code": -32700, "message": "Parse error"}, "id": null}',
    ),
    "an empty array": (
        "[]",
        '{"jsonrpc": "2.0", "error": {"code": -32600, "message": "Invalid Request"}, "id": null}',
    ),
    "an invalid batch that is not empty": (
        "[1]",
        (
            '[ {"jsonrpc": "2.0", "error": {"code": -32600, "message": "Invalid Request"},'
            ' "id": null} ]'
        ),
    ),
    "an invalid batch": (
        "[1,2,3]",
        (
            '[ {"jsonrpc": "2.0", "error": {"code": -32600, "message": "Invalid Request"},'
            ' "id": null},'
            ' {"jsonrpc": "2.0", "error": {"code": -32600, "message": "Invalid Request"},'
            ' "id": null},'
            ' {"jsonrpc": "2.0", "error": {"code": -32600, "message": "Invalid Request"},'
            ' "id": null}'
            " ]"
        ),
    ),
    "a batch": (
        (
            '[ {"jsonrpc": "2.0", "method": "sum", "params": [1,2,4], "id": "1"},'
            ' {"jsonrpc": "2.0", "method": "notify_hello", "params": [7]},'
            ' {"jsonrpc": "2.0", "method": "subtract", "params": [42,23], "id": "2"},'
            ' {"foo": "boo"},'
            ' {"jsonrpc": "2.0", "method": "foo.get", "params": {"name": "myself"}, "id": "5"},'
            ' {"jsonrpc": "2.0", "method": "get_data", "id": "9"} ]'
        ),
        (
            '[ {"jsonrpc": "2.0", "result": 7, "id": "1"},'
            ' {"jsonrpc": "2.0", "result": 19, "id": "2"},'
            ' {"jsonrpc": "2.0", "error": {"code": -32600, "message": "Invalid Request"},'
            ' "id": null},'
            ' {"jsonrpc": "2.0", "error": {"code": -32601, "message": "Method not found"},'
            ' "id": "5"},'
            ' {"jsonrpc": "2.0", "result": ["hello", 5], "id": "9"} ]'
        ),
    ),
    "a batch of notifications": (
        (
            '[ {"jsonrpc": "2.0", "method": "notify_sum", "params": [1,2,4]},'
            ' {"jsonrpc": "2.0", "method": "notify_hello", "params": [7]} ]'
        ),
        "",
    ),
}


@pytest.fixture
def line(pid_file: str) -> Iterator[Line]:
    """Return a connection to the example."""
    with serving(Example(pid_file_name=pid_file, port=0)) as server, Line(server) as line:
        yield line


def without_data(response: dict[str, Any]) -> dict[str, Any]:
    """Return a response without what the specification lets a server add to an error."""
    if "error" not in response:
        return response
    assert set(response["error"]) == {"code", "message", "data"}
    error = {key: value for key, value in response["error"].items() if key != "data"}
    return {**response, "error": error}


def assert_equal(line: bytes, expected: str) -> None:
    """Compare a reply with the specification's; a batch is answered in any order."""
    found, wanted = json.loads(line), json.loads(expected)
    if not isinstance(wanted, list):
        assert without_data(found) == wanted
        return
    assert isinstance(found, list)
    assert sorted(map(json.dumps, map(without_data, found))) == sorted(map(json.dumps, wanted))


@pytest.mark.parametrize("name", EXCHANGES)
def test_an_example_of_the_specification(line: Line, name: str) -> None:
    """Nothing comes where nothing is to come: the next line is the answer to the ping."""
    request, response = EXCHANGES[name]
    line.send(f"{request}\nping\n".encode())

    if response:
        assert_equal(line.line(), response)
    assert line.line() == b"pong\n"


def test_the_examples_one_behind_the_other_among_text_commands(line: Line) -> None:
    """Replies come in the order of the requests, in each one's dialect."""
    requests = [request for request, _ in EXCHANGES.values()]
    line.send("".join(f"subtract {n} 1\n{one}\n" for n, one in enumerate(requests)).encode())

    for number, (_, response) in enumerate(EXCHANGES.values()):
        assert line.line() == b"%d\n" % (number - 1)
        if response:
            assert_equal(line.line(), response)
    line.send(b"ping\n")
    assert line.line() == b"pong\n"


def test_a_notification_is_carried_out(pid_file: str) -> None:
    """Only its answer is missing."""
    heard: list[int] = []

    class Listening(Server):
        @command
        def hear(self, number: int) -> int:
            heard.append(number)
            return number

    with serving(Listening(pid_file_name=pid_file, port=0)) as server, Line(server) as line:
        line.send(b'{"jsonrpc": "2.0", "method": "hear", "params": [7]}\n')
        assert line.ask("ping") == "pong"

    assert heard == [7]
