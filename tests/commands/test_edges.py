"""Where a command meets something that looks like its server's own affair."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from typing import Annotated, Any

import numpy as np
import pytest
from daemons import Line, serving

from lab_utils_mt._wire.text import MAX_WORDS
from lab_utils_mt.commands import Meta, Request, command, poll
from lab_utils_mt.exceptions import DeviceBusy, MessageError, ShuttingDown
from lab_utils_mt.socket_comm import Server


class BusyWithCode(DeviceBusy):
    """A lab's own, with an attribute of a name that we use."""

    code = 0


class Edges(Server):
    """A server whose commands talk to other servers."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.kept: list[Request] = []
        super().__init__(*args, **kwargs)

    def create_parser(self) -> None:
        super().create_parser()
        pick = self.sp.add_parser("pick")
        pick.add_argument("one", type=int, choices=range(100_000))
        pick.set_defaults(func=self.pick, which="pick")
        words = self.sp.add_parser("words")
        words.add_argument("words", nargs="*")
        words.set_defaults(func=self.pick, which="words")

    def pick(self) -> None:
        self.reply = "picked"

    @command
    def other_stops(self) -> None:
        raise ShuttingDown("the pump's server shuts down")

    @command
    def other_refuses(self) -> None:
        raise MessageError("the pump's server knows no such command")

    @command
    def other_is_busy(self) -> None:
        error = BusyWithCode(
            "busy", device="pump", command="flush", client="1.2.3.4:5", seconds=3.0
        )
        error.code = 7
        raise error

    @command
    def mean(self) -> float:
        return np.float64(1e-5)

    @command
    def objects(self) -> np.ndarray:
        return np.array([object()])

    @command
    def keep(self, request: Request) -> str:
        self.kept.append(request)
        request.progress(0.5, "half")
        return "kept"

    @command
    def flagged(self, *, fast: Annotated[bool, Meta(description="quick")] = False) -> bool:
        return fast

    @command
    def say(self, text: str) -> str:
        return text


@pytest.fixture
def line(pid_file: str) -> Iterator[Line]:
    """Return a connection to such a server."""
    with serving(Edges(pid_file_name=pid_file, port=0)) as server, Line(server) as connection:
        yield connection


def rpc(line: Line, method: str, *params: Any) -> Any:
    """Call a method; return its response."""
    request = {"jsonrpc": "2.0", "method": method, "params": list(params), "id": 1}
    return json.loads(line.ask(json.dumps(request)))


def test_another_server_that_stops_does_not_stop_this_one(line: Line) -> None:
    """Its error is a command's like any other; the connection stays."""
    assert line.ask("other_stops") == "Error! ShuttingDown: the pump's server shuts down"
    error = rpc(line, "other_stops")["error"]
    assert (error["code"], error["data"]) == (-32000, {"type": "ShuttingDown"})
    assert line.ask("ping") == "pong"


def test_another_server_that_refuses_is_no_typing_error(line: Line) -> None:
    """No manual, in either dialect."""
    text = "the pump's server knows no such command"
    assert line.ask("other_refuses") == f"Error! MessageError: {text}"
    error = rpc(line, "other_refuses")["error"]
    assert (error["code"], error["message"]) == (-32000, text)


def test_a_labs_own_device_busy_travels(line: Line) -> None:
    """Whatever else it holds."""
    error = rpc(line, "other_is_busy")["error"]
    assert error["code"] == -32001
    assert error["data"]["client"] == "1.2.3.4:5"
    assert "code" not in error["data"]


def test_numbers_of_numpy_read_like_others(line: Line) -> None:
    """np.float64 is what np.mean() returns."""
    assert line.ask("mean") == "1e-05"
    assert rpc(line, "mean")["result"] == 1e-5


def test_an_array_of_objects_is_refused_in_both_dialects(line: Line) -> None:
    """As bytes it would be addresses."""
    assert line.ask("objects") == "Error! TypeError: ndarray of object cannot be sent"
    assert "object cannot be sent" in rpc(line, "objects")["error"]["message"]


def test_a_kept_request_is_silent_after_its_reply(line: Line) -> None:
    """Else the next reply would be preceded by the progress of another command."""
    progress = rpc(line, "keep")
    assert progress["method"] == "rpc.progress"
    assert json.loads(line.line())["result"] == "kept"


def test_a_kept_request_reports_nothing(pid_file: str) -> None:
    """The method may have given it to a thread."""
    with serving(Edges(pid_file_name=pid_file, port=0)) as server, Line(server) as line:
        assert line.ask("keep") == "kept"
        rpc(line, "keep")
        assert json.loads(line.line())["result"] == "kept"
        for request in server.kept:
            request.progress(0.9, "late")
        assert line.ask("ping") == "pong"


def test_errors_are_not_longer_in_json(line: Line) -> None:
    """argparse lists all choices."""
    assert len(json.dumps(rpc(line, "pick", "-1"))) < 10_000


def test_words_are_counted_in_json_too(line: Line) -> None:
    """argparse takes quadratic time for some."""
    error = rpc(line, "words", *["-a"] * MAX_WORDS)["error"]
    assert (error["code"], error["data"]["parameter"]) == (-32602, "words")
    assert rpc(line, "words", *["a"] * (MAX_WORDS - 1))["result"] == "picked"


def test_a_flag_may_have_a_description(line: Line) -> None:
    """It stays a flag."""
    assert line.ask("flagged --fast") == "true"
    assert line.ask("flagged --no-fast") == "false"
    assert line.ask("flagged") == "false"


def test_how_a_text_may_begin_with_a_dash_is_said(line: Line) -> None:
    """Such a word looks like an option."""
    line.send(b"say -x\n")
    assert b"-- stands before texts that begin with -" in line.file.read(200)


def test_blanks_are_those_of_the_protocol(line: Line) -> None:
    """An em space is no blank, so the line is not empty, and has a reply."""
    line.send("\u2003\n".encode())
    assert line.line().startswith(b"#")


def test_two_decorators_are_one_too_many() -> None:
    """The upper one would be lost."""
    with pytest.raises(TypeError, match="both: it is a command or a poller already"):

        class Both(Server):
            """A server."""

            @command
            @poll(every=1.0)
            def both(self) -> float:
                return 1.0


def test_the_wait_for_the_turn_is_not_the_wait_for_the_device(pid_file: str) -> None:
    """With serial_commands, the time for the device begins when the turn has come."""

    class Serial(Server):
        """Runs one command at a time."""

        serial_commands = True
        left: float | None = None

        @command
        def block(self, seconds: float) -> None:
            self.blocks.set()
            time.sleep(seconds)

        @command(device="stage", timeout=60.0)
        def move(self, request: Request) -> None:
            self.left = request.remaining()

    server = Serial(pid_file_name=pid_file, port=0)
    server.blocks = threading.Event()
    with serving(server), Line(server) as first, Line(server) as second:
        first.send(b"block 0.5\n")
        assert server.blocks.wait(20)
        assert second.ask("move") == "OK"
        assert server.left is not None
        assert server.left > 59.7
