"""Commands that do what nobody expects harm nobody else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from daemons import Line, serving, wait_until

from lab_utils_mt.commands import command
from lab_utils_mt.exceptions import CommandFailed
from lab_utils_mt.socket_comm import Server


class Speechless(Exception):
    """An error without a text."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


class Odd(Server):
    """A server with odd commands."""

    left = False

    @command
    def speechless(self) -> None:
        raise Speechless

    @command
    def unable(self) -> None:
        raise CommandFailed("no sample is mounted")

    @command
    def one(self) -> int:
        return 1

    @command(name="quit")
    def leave(self) -> str:
        self.left = True
        return "bye"


def rpc(line: Line, document: Any) -> Any:
    """Send a document and return the one that comes back."""
    return json.loads(line.ask(json.dumps(document)))


def request(method: str, number: int = 1) -> dict[str, Any]:
    """Return a request without params."""
    return {"jsonrpc": "2.0", "method": method, "id": number}


@pytest.fixture
def odd(pid_file: str) -> Any:
    """Return such a server that is running."""
    with serving(Odd(pid_file_name=pid_file, port=0)) as server:
        yield server


def test_an_error_whose_text_cannot_be_had_is_a_reply(odd: Odd) -> None:
    """In both dialects, and the connection goes on."""
    with Line(odd) as line:
        assert line.ask("speechless") == "Error! Speechless: (RuntimeError in its own text)"
        error = rpc(line, request("speechless"))["error"]
        assert error["data"]["type"] == "Speechless"
        assert line.ask("one") == "1"


def test_a_command_may_say_that_it_cannot(odd: Odd, caplog: pytest.LogCaptureFixture) -> None:
    """Its words are the reply; nothing is wrong with the program, so there is no traceback."""
    with Line(odd) as line:
        assert line.ask("unable") == "Error! no sample is mounted"
        error = rpc(line, request("unable"))["error"]
    assert (error["code"], error["message"]) == (-32000, "no sample is mounted")
    assert error["data"] == {"type": "CommandFailed"}
    assert [record.exc_info for record in caplog.records] == [None, None]


@pytest.mark.parametrize("way", ["text", "rpc"])
def test_a_typed_quit_stops_the_server(way: str, pid_file: str) -> None:
    """As one in the style of 0.5.x does."""
    with serving(Odd(pid_file_name=pid_file, port=0)) as server:
        with Line(server) as line:
            if way == "text":
                assert line.ask("quit") == "bye"
            else:
                assert rpc(line, request("quit"))["result"] == "bye"
            assert line.rest() == b""
        wait_until(lambda: not Path(pid_file).exists() or server.quit_flag)
        assert server.left


def test_a_batch_has_an_end(odd: Odd) -> None:
    """A line of 64 KiB could ask for tens of thousands of errors."""
    with Line(odd) as line:
        assert len(rpc(line, [request("one", n) for n in range(1000)])) == 1000
        error = rpc(line, [1] * 1001)["error"]
        assert (error["code"], error["data"]["text"]) == (
            -32600,
            "1001 requests; at most 1000 in a batch",
        )


@pytest.mark.parametrize("name", ["logger", "socket", "parser", "close", "quit", "database"])
def test_what_every_server_has_cannot_be_a_command(name: str) -> None:
    """It would break the server, and at night."""

    def method(self: Any) -> None:
        """Do something."""

    method.__name__ = name
    with pytest.raises(TypeError, match=f"class Broken, method {name}: every server has"):
        type("Broken", (Server,), {name: command(method)})


def test_a_client_names_no_devices(pid_file: str) -> None:
    """A flat parser's argument may be called so."""

    class Flat(Server):
        """A server with one command."""

        def create_parser(self) -> None:
            super().create_parser()
            del self.parser._actions[:]
            self.parser.add_argument("device")
            self.parser.set_defaults(func=self.answer, which="answer")

        def answer(self) -> None:
            self.reply = "; ".join(self._repertoire.devices.status())

    with serving(Flat(pid_file_name=pid_file, port=0)) as server, Line(server) as line:
        assert line.ask("magnet") == ""
