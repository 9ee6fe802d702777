"""JSON-RPC beyond the examples of its specification."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from daemons import Line, serving, wait_until

from lab_utils_mt.commands import Request, command
from lab_utils_mt.exceptions import DeviceBusy
from lab_utils_mt.socket_comm import Server


class OtherBusy(DeviceBusy):
    """A lab's own."""


class Lab(Server):
    """A server whose commands do odd things."""

    finished = 0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.gate = threading.Event()
        self.gate.set()
        super().__init__(*args, **kwargs)

    @command
    def by_attribute(self) -> None:
        self.reply = "by attribute"

    @command
    def nothing(self) -> None: ...

    @command
    def echo(self, value: str) -> str:
        return value

    @command
    def fail(self, how: str) -> Any:
        raise {"busy": OtherBusy("busy", device="x"), "exit": SystemExit(3)}.get(
            how, ValueError(how)
        )

    @command
    def odd(self, how: str) -> Any:
        return {"nan": [1.0, math.nan], "object": object(), "surrogate": "\ud800"}[how]

    @command
    def long(self, request: Request) -> int:
        for part in range(100):
            request.progress(part / 100, "on its way")
            self.gate.wait(20)
        self.finished += 1
        return self.finished

    def create_parser(self) -> None:
        super().create_parser()
        old = self.sp.add_parser("old", add_help=True, description="is old")
        old.add_argument("x", type=int)
        old.set_defaults(func=self.old, which="old")

    def old(self) -> None:
        self.reply = f"old {self.namespace.x}"


@pytest.fixture
def server(pid_file: str) -> Iterator[Lab]:
    """Return a server that runs."""
    with serving(Lab(pid_file_name=pid_file, port=0)) as server:
        yield server


@pytest.fixture
def line(server: Lab) -> Iterator[Line]:
    """Return a connection."""
    with Line(server) as line:
        yield line


def call(method: str, *params: Any, **more: Any) -> dict[str, Any]:
    """Return a request."""
    return {"jsonrpc": "2.0", "method": method, "params": params, "id": 1, **more}


def ask(line: Line, request: Any) -> Any:
    """Send a document and return the next one."""
    return json.loads(line.ask(json.dumps(request)))


def test_a_request_of_a_batch_does_not_get_the_reply_of_another(line: Line) -> None:
    """What the one before has left is its own."""
    batch = [call(name) for name in ("by_attribute", "nothing", "by_attribute", "ping", "nothing")]

    found = [one["result"] for one in ask(line, batch)]
    assert found == ["by attribute", None, "by attribute", "pong", None]


def test_the_help_of_a_command_of_05x_is_its_result(line: Line) -> None:
    """It is what was asked for."""
    assert "is old" in ask(line, call("old", "--help"))["result"]
    assert ask(line, call("old", "3"))["result"] == "old 3"
    assert ask(line, call("old", words=3))["error"]["code"] == -32602


@pytest.mark.parametrize(
    ("method", "how", "code", "kind"),
    [
        ("fail", "busy", -32001, "OtherBusy"),
        ("fail", "exit", -32000, "SystemExit"),
        ("fail", "x", -32000, "ValueError"),
        ("odd", "object", -32000, "TypeError"),
        ("odd", "surrogate", -32000, "UnicodeEncodeError"),
    ],
)
def test_whatever_a_command_does_the_answer_is_json_rpc(
    line: Line, method: str, how: str, code: int, kind: str
) -> None:
    """With the class of the error."""
    error = ask(line, call(method, how))["error"]

    assert (error["code"], error["data"]["type"]) == (code, kind)
    assert line.ask("ping") == "pong"


def test_what_json_has_not_travels_as_null(line: Line, caplog: pytest.LogCaptureFixture) -> None:
    """With a warning in the log, once."""
    for _ in range(3):
        assert ask(line, call("odd", "nan"))["result"] == [1.0, None]

    assert [r.getMessage() for r in caplog.records if "null" in r.getMessage()] == [
        "command 'odd': NaN or infinity is sent as null"
    ]


@pytest.mark.parametrize("number", [0, -1, 2.5, "", "é\u2028", None, 10**40, 1e300])
def test_the_id_comes_back_as_it_was(line: Line, number: Any) -> None:
    """Whatever an id may be."""
    response = ask(line, call("echo", "a", id=number))

    assert (response["id"], type(response["id"])) == (number, type(number))
    assert response["result"] == "a"


def test_a_notification_has_no_progress(line: Line) -> None:
    """There is no id to tell it for, and it is not told for another."""
    notification = {"jsonrpc": "2.0", "method": "long"}
    line.send(
        json.dumps([call("long", id="first"), notification, call("nothing")]).encode() + b"\n"
    )

    told = [json.loads(line.line()) for _ in range(101)]
    assert {one["params"]["id"] for one in told[:-1]} == {"first"}
    assert [one["id"] for one in told[-1]] == ["first", 1]


def test_a_command_goes_on_when_its_client_is_gone(server: Lab) -> None:
    """What it does to an instrument is not to end half way."""
    server.gate.clear()
    with Line(server) as line:
        line.send(json.dumps(call("long")).encode() + b"\n")
        line.line()
        line.vanish()
    assert not server.finished
    server.gate.set()

    wait_until(lambda: server.finished)
    assert server.finished == 1, "once, and to its end"
