"""Watching from end to end, over real sockets: what is asked, and what comes."""

from __future__ import annotations

import itertools
import json
import logging
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from daemons import Line, serving, wait_until
from serving.fridge import EVERY, Fridge, hub_of, missed_of, number_of, poller_of, request, status

from lab_utils_mt.commands import command
from lab_utils_mt.socket_comm import Server


@pytest.fixture
def fridge(pid_file: str) -> Iterator[Fridge]:
    """Return a server that is running."""
    with serving(Fridge(pid_file_name=pid_file, port=0)) as server:
        yield server
        server.gate.set()


def test_text_form(fridge: Fridge) -> None:
    """The answer first, then the newest reading, then one line for each."""
    wait_until(lambda: next(fridge.numbers) > 3)
    with Line(fridge) as client:
        assert client.ask("watch sensor") == "watching sensor"
        first, second = client.line(), client.line()
        assert first.startswith(b"@sensor 2")
        assert first.split()[1].endswith(b"Z")
        assert number_of(second) > number_of(first)
        assert b"missed" not in first + second


def test_json_form(fridge: Fridge) -> None:
    """Notifications without an id, after the response."""
    with Line(fridge) as client:
        client.send(request("watch", 7, name="once"))
        assert json.loads(client.line()) == {
            "jsonrpc": "2.0", "id": 7, "result": {"watching": "once"}
        }  # fmt: skip
        push = json.loads(client.line())
        assert push["method"] == "watch"
        assert push["params"].pop("time").endswith("Z")
        assert push["params"] == {"name": "once", "values": {"once": 4.2}, "missed": 0}


def test_positional_params_and_a_batch(fridge: Fridge) -> None:
    """As for any method."""
    with Line(fridge) as client:
        watch = {"jsonrpc": "2.0", "method": "watch", "params": ["sensor", None, 0.5], "id": 1}
        client.send(json.dumps([watch]).encode() + b"\n")
        assert json.loads(client.line())[0]["result"] == {"watching": "sensor"}
        assert json.loads(client.line())["params"]["name"] == "sensor"


@pytest.mark.parametrize(
    ("params", "parameter", "text"),
    [
        ({"name": "senso"}, "name", "did you mean sensor"),
        ({}, "name", "the name of a poller"),
        ({"name": "sensor", "every": "1"}, "every", "a number"),
        ({"name": "sensor", "every": 0}, "every", "every must be"),
        ({"name": "sensor", "every": 10**400}, "every", "every must be a number of seconds > 0"),
        ({"name": "sensor", "on_change": -1}, "on_change", "on_change must be"),
        ({"name": "sensor", "every": 1, "on_change": 1}, None, "exclude each other"),
        ({"name": "sensor", "evry": 1}, None, "did you mean every"),
    ],
)
def test_wrong_params_are_explained(
    fridge: Fridge, params: dict[str, Any], parameter: str | None, text: str
) -> None:
    """With the code for them."""
    with Line(fridge) as client:
        client.send(request("watch", 1, **params))
        error = json.loads(client.line())["error"]
    assert error["code"] == -32602
    assert error["data"] == {"type": "InvalidParams", "parameter": parameter}
    assert text in error["message"]


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("watch senso", "there is no poller 'senso': did you mean sensor?"),
        ("watch sensor --every 0", "every must be a number of seconds > 0"),
        ("watch sensor --every 1_0", "'1_0' is not a number"),
        ("watch sensor --on-change nan", "'nan' is not a number"),
        ("watch sensor --every 1 --on-change 1", "exclude each other"),
        ("unwatch sensor", "sensor is not watched on this connection"),
        ("unwatch senso", "did you mean sensor"),
    ],
)
def test_wrong_words_are_explained(fridge: Fridge, words: str, text: str) -> None:
    """In one error, and the connection lives."""
    with Line(fridge) as client:
        client.send(words.encode() + b"\nping\n")
        block = client.line()
        while not (line := client.line()).startswith(b"pong"):
            block += line
    assert b"Error! " in block
    assert text in block.decode()


def test_the_document_tells_of_both(fridge: Fridge) -> None:
    """Methods with their parameters, and what can be watched."""
    with Line(fridge) as client:
        client.send(request("rpc.discover", 1))
        document = json.loads(client.line())["result"]
    (watch,) = [one for one in document["methods"] if one["name"] == "watch"]
    assert [one["name"] for one in watch["params"]] == ["name", "every", "on_change"]
    assert [one["name"] for one in document["x-pollers"]] == ["sensor", "once"]


def test_every_and_on_change(fridge: Fridge) -> None:
    """Leave readings out, and that is not called missing them."""
    with Line(fridge) as often, Line(fridge) as seldom:
        often.ask("watch sensor --on-change 10")
        seldom.ask(f"watch sensor --every {20 * EVERY}")
        jumps = [number_of(often.line()) for _ in range(4)]
        seldom.line()
        lines = [seldom.line() for _ in range(3)]
    assert min(b - a for a, b in itertools.pairwise(jumps)) >= 10
    assert min(number_of(b) - number_of(a) for a, b in itertools.pairwise(lines)) >= 5
    assert not any(map(missed_of, lines))


def test_unwatch_ends_it(fridge: Fridge) -> None:
    """After its reply nothing comes any more; watching again works."""
    with Line(fridge) as client:
        for _ in range(5):
            assert client.ask("watch sensor") == "watching sensor"
            client.line()
            client.send(b"unwatch sensor\n")
            while (line := client.line()) != b"not watching sensor\n":
                assert line.startswith(b"@sensor ")
            for _ in range(3):
                assert client.ask("ping") == "pong"
        wait_until(lambda: len(hub_of(fridge)) == 0)


def test_a_second_watch_takes_the_place_of_the_first(fridge: Fridge) -> None:
    """One poller, one watch for a connection."""
    with Line(fridge) as client:
        client.ask("watch sensor")
        client.send(b"watch sensor --every 1000\n")
        while client.line() != b"watching sensor\n":
            pass
        assert client.line().startswith(b"@sensor")
        assert client.ask("ping") == "pong"
        assert len(hub_of(fridge)) == 1


def test_a_watcher_may_send_commands(fridge: Fridge) -> None:
    """Replies and readings are whole lines, whatever their order."""
    fridge.padding = "x" * 2000
    with Line(fridge) as client:
        client.ask("watch sensor")
        while b" pad=" not in client.line():  # some were read before the padding was wished for
            pass
        replies, numbers = 0, []
        for number in range(300):
            client.send(request("ping", number))
        while replies < 300:
            line = client.line()
            if line.startswith(b"@sensor "):
                assert line.endswith(b" pad=" + b"x" * 2000 + b"\n")
                numbers.append(number_of(line))
            else:
                assert json.loads(line)["id"] == replies
                replies += 1
    assert numbers == sorted(set(numbers))


def test_readings_come_while_a_command_runs(fridge: Fridge) -> None:
    """A command of the same client does not hold them up."""
    with Line(fridge) as client:
        client.ask("watch sensor")
        client.send(b"wait\n")
        assert len([client.line() for _ in range(20)]) == 20
        fridge.gate.set()
        while (line := client.line()) != b"waited\n":
            assert line.startswith(b"@sensor ")


def test_a_failing_poller_is_told_once(fridge: Fridge) -> None:
    """To who watches already, and to who comes later."""
    with Line(fridge) as client, Line(fridge) as later:
        client.ask("watch sensor")
        client.line()
        fridge.fault = OSError('no "answer"')
        while b" error=" not in (line := client.line()):
            pass
        assert line.endswith(b' error="OSError: no \\"answer\\""\n')
        later.send(request("watch", 1, name="sensor"))
        pushes = [json.loads(later.line()) for _ in range(3)][1:]
        assert "values" in pushes[0]["params"]
        assert pushes[1]["params"]["error"] == 'OSError: no "answer"'
        assert "failing for" in status(fridge)
        fridge.fault = None
        assert b" n=" in client.line()


def test_the_status_shows_pollers_and_watches(fridge: Fridge) -> None:
    """With their counts."""
    with Line(fridge) as client:
        client.ask("watch sensor")
        client.line()
        text = status(fridge)
    assert "pollers: 2" in text
    assert f"  sensor: every {EVERY} s, " in text
    assert "watches: 1" in text


def test_a_message_without_newline_cannot_watch(fridge: Fridge) -> None:
    """Its connection ends after the reply."""
    with Line(fridge) as client:
        client.send(b"watch sensor")
        assert client.rest().startswith(b"Error! who watches must end the message with a newline")


def test_a_command_of_the_users_wins(pid_file: str) -> None:
    """As with all that is built in."""

    class Own(Fridge):
        @command
        def watch(self, name: str) -> str:
            return f"my own {name}"

    with serving(Own(pid_file_name=pid_file, port=0)) as server, Line(server) as client:
        assert client.ask("watch sensor") == "my own sensor"
        client.send(request("watch", 1, name="x"))
        assert json.loads(client.line())["result"] == "my own x"


def test_a_server_without_pollers_cannot_be_watched(stage: Server) -> None:
    """It has no such command."""
    with Line(stage) as client:
        client.send(b"watch sensor\nping\n")
        block = client.line() + client.line()
    assert b"there is no command 'watch'" in block


def test_nothing_is_polled_before_the_server_serves(pid_file: str) -> None:
    """Nor after it was closed."""
    server = Fridge(pid_file_name=pid_file, port=0)
    with server:
        assert next(server.numbers) == 0
        assert not [one for one in threading.enumerate() if "fridge-poll" in one.name]


def test_serial_commands_hold_for_pollers(pid_file: str) -> None:
    """A poller that cannot get its turn skips."""

    class Serial(Fridge):
        serial_commands = True

    with serving(Serial(pid_file_name=pid_file, port=0)) as server, Line(server) as client:
        client.send(b"wait\n")
        wait_until(lambda: poller_of(server).counts.skipped > 3)
        server.gate.set()
        assert "ok" in status(server)
        assert client.line() == b"waited\n"
        assert client.ask("watch sensor") == "watching sensor"


def test_the_log_does_not_tell_of_every_reading(
    fridge: Fridge, caplog: pytest.LogCaptureFixture
) -> None:
    """A watched server is a silent one."""
    with caplog.at_level(logging.DEBUG), Line(fridge) as client:
        client.ask("watch sensor")
        for _ in range(20):
            client.line()
        assert len([one for one in caplog.records if "sensor" in one.getMessage()]) <= 2
