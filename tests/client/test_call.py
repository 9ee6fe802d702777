"""Calls of typed commands: values, errors, and servers that come and go."""

from __future__ import annotations

import contextlib
import datetime
import math
import pickle
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from client.json_peers import Cryostat, Mode, Peer, is_free, peer
from daemons import TIMEOUT, serving, wait_until
from original import Original

from lab_utils_mt.exceptions import CommandFailed, DeviceBusy
from lab_utils_mt.socket_comm import (
    Client,
    ConnectionClosed,
    MessageError,
    ReplyLost,
    ReplyTimeout,
)


def connect(port: int) -> Client:
    """Return a client of a server that does as it is told."""
    return Client(host="127.0.0.1", port=port, timeout=TIMEOUT)


def test_values_keep_their_types(client: Client) -> None:
    """In both directions, by position and by name."""
    assert client.call("set_temperature", 4.2, ramp=2) == pytest.approx(6.2)
    assert client.call("set_temperature", kelvin=5) == 5.0
    assert client.call("raw") == bytes(range(256))
    assert client.call("now") == datetime.datetime(
        2026, 11, 22, 21, 0, 0, 120000, tzinfo=datetime.timezone.utc
    )
    numbers = client.call("readings")
    assert numbers["a"] == 1.0
    assert math.isnan(numbers["b"])
    assert client.call("choose", "b", many=(1, 2)) == ["b", "1", "2"]


def test_dates_bytes_and_enumerations_can_be_arguments(client: Client) -> None:
    """The server gets them as what they are."""
    at = datetime.datetime(2026, 11, 22, 21, 0, 0, 5)
    told = client.call("when", at, at.date(), b"\0\xff", Mode.WARM)
    assert told == {"at": at.isoformat(), "day": "2026-11-22", "raw": "00ff", "mode": "WARM"}


def test_any_text_arrives(client: Client) -> None:
    """Also what may not stand in a line."""
    for text in ("", "Ω\n\r\t", "\x00\x1f\x7f\x85\x9f\u2028", '{"a": "b"}', "x" * 300_000):
        assert client.call("echo", text) == text


def test_commands_in_the_manner_of_05_can_be_called(client: Client) -> None:
    """With words; the reply is text."""
    assert client.call("move-to", "3") == "at 3"
    assert client.call("move-to", words=["4"]) == "at 4"
    assert client.call("ping") == "pong"
    with pytest.raises(MessageError, match="invalid int value"):
        client.call("move-to", "there")


@pytest.mark.parametrize("value", [math.nan, math.inf, 2**64, {1: 2}, object(), "\ud800", 3j])
def test_what_json_cannot_say_is_refused(client: Client, value: object) -> None:
    """Before it is sent; the client goes on."""
    with pytest.raises(MessageError, match="echo"):
        client.call("echo", value)
    assert client.call("echo", "x") == "x"


def test_a_bad_call_says_what_is_wrong(client: Client) -> None:
    """In the server's words, or before anything is sent."""
    with pytest.raises(MessageError, match=r"kelvin: 400 is not a number from 0 to 300 K"):
        client.call("set_temperature", 400)
    with pytest.raises(MessageError, match="kelvin is given by position and by name"):
        client.call("set_temperature", 4, kelvin=5)
    with pytest.raises(MessageError, match="takes 2 arguments, not 3"):
        client.call("set_temperature", 4, 5, 6, ramp=1)
    with pytest.raises(MessageError, match="did you mean fail"):
        client.call("fial")


@pytest.mark.parametrize(
    ("how", "kind"), [("value", ValueError), ("key", KeyError), ("os", OSError)]
)
def test_the_error_that_the_server_raised_is_raised(
    client: Client, how: str, kind: type[Exception]
) -> None:
    """It is a CommandFailed too, and can be sent on to another process."""
    with pytest.raises(kind, match="no") as caught:
        client.call("fail", how)
    assert isinstance(caught.value, CommandFailed)
    assert type(pickle.loads(pickle.dumps(caught.value))) is type(caught.value)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_an_error_of_this_package_has_its_details(client: Client) -> None:
    """It is no timeout of the reply, though both are TimeoutError."""
    with pytest.raises(DeviceBusy, match="stage is busy") as caught:
        client.call("fail", "busy")
    assert (caught.value.device, caught.value.command, caught.value.seconds) == (
        "stage",
        "move",
        3.5,
    )
    assert not isinstance(caught.value, ReplyTimeout)
    with pytest.raises(CommandFailed, match="StopIteration: no"):
        client.call("fail", "stop")


def test_progress_is_told_in_the_calling_thread(client: Client) -> None:
    """An error of the callback is the call's; the connection is not used again."""
    told: list[tuple[float, str, str]] = []

    def note(fraction: float, text: str) -> None:
        told.append((fraction, text, threading.current_thread().name))

    here = threading.current_thread().name
    assert client.using(on_progress=note).call("scan", 4) == 4
    assert told == [(n / 4, f"step {n}", here) for n in (1, 2, 3, 4)]
    with pytest.raises(ZeroDivisionError):
        client.using(on_progress=lambda *_: 1 / 0).call("scan", 4)
    assert client.call("scan", 2) == 2


def test_options_are_for_one_client_of_several(client: Client, cryostat: Cryostat) -> None:
    """They share connections; a command may have a parameter called timeout."""
    short = client.using(timeout=0.2)
    assert client.timeout == TIMEOUT
    with pytest.raises(ReplyTimeout, match="may or may not have been executed"):
        short.call("hold")
    cryostat.gate.set()
    assert client.call("echo", "x") == short.call("echo", "x") == "x"
    assert short.using(on_progress=print).timeout == 0.2


def test_16_threads_share_a_client(client: Client) -> None:
    """Each gets its own replies."""
    wrong: list[object] = []

    def talk(number: int) -> None:
        for turn in range(30):
            text = f"{number}.{turn}" * (1 + turn * 50)
            if (reply := client.call("echo", text)) != text:
                wrong.append((text, reply))

    threads = [threading.Thread(target=talk, args=(n,)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(2 * TIMEOUT)
    assert wrong == []


def test_a_server_may_be_restarted_between_calls(pid_file: str) -> None:
    """Also for commands that are not idempotent; the commands are asked for again."""
    with serving(Cryostat(pid_file_name=pid_file, host="127.0.0.1", port=0)) as first:
        client = connect(first.port)
        assert client.call("add", "x") == 1
    with serving(Cryostat(pid_file_name=pid_file, host="127.0.0.1", port=first.port)):
        assert client.call("add", "y") == 1
        client.close()


def test_a_lost_reply_is_asked_for_again_only_if_that_is_harmless() -> None:
    """The server says so of each command."""

    def vanish(server: Peer) -> None:
        server.ask()

    with peer(lambda s: vanish(s.describe("get", idempotent=True)), vanish, Peer.answer) as port:
        assert connect(port).call("get") == "get"
    lost = pytest.raises(ReplyLost, match="may or may not have been executed")
    with peer(lambda s: vanish(s.describe("put"))) as port, lost:
        connect(port).call("put")


@pytest.mark.parametrize(
    "reply",
    [
        b'{"jsonrpc":"2.0","id":-1,"result":1}\n',
        b'{"jsonrpc":"2.0","id":null,"result":1}\n',
        b'{"jsonrpc":"2.0","result":\n',
        b'{"jsonrpc":"2.0"}\n',
        b'{"id":',
        b"",
    ],
)
def test_what_is_no_reply_loses_it(reply: bytes) -> None:
    """Another's id, garbage, half a reply; the next call has a new connection."""

    def spoil(server: Peer) -> None:
        server.describe("put").ask()
        server.sock.sendall(reply)

    with peer(spoil, lambda s: s.describe("put").answer()) as port:
        client = connect(port)
        with pytest.raises(ReplyLost):
            client.call("put")
        assert client.call("put") == "put"
        client.close()


def test_a_connection_with_something_unexpected_is_not_used_again() -> None:
    """What follows the reply, or tells of another request."""

    def chat(server: Peer) -> None:
        request = server.describe("put").ask()
        server.send(method="rpc.progress", params={"id": -5, "fraction": 1})
        server.send(id=request["id"], result="put")
        assert server.file.readline() == b""

    with peer(chat, lambda s: s.answer()) as port:
        client = connect(port)
        assert [client.call("put"), client.call("put")] == ["put", "put"]
        client.close()


def test_silence_ends_in_a_timeout() -> None:
    """The late reply does not answer the next call."""

    def late(server: Peer) -> None:
        server.describe("put").ask()
        with contextlib.suppress(ConnectionError):
            assert server.file.read() == b""

    with peer(late, Peer.answer) as port:
        client = connect(port)
        with pytest.raises(ReplyTimeout):
            client.using(timeout=0.3).call("put")
        assert client.call("put") == "put"
        client.close()


def test_a_reply_can_be_too_long() -> None:
    """If the client says so."""
    with peer(lambda s: s.describe("put").answer("x" * 20_000)) as port:
        client = Client(host="127.0.0.1", port=port, timeout=TIMEOUT, max_reply=10_000)
        with pytest.raises(ReplyLost, match="longer than 10000 bytes"):
            client.call("put")


def test_a_refusal_in_text_is_an_error(pid_file: str) -> None:
    """Nothing was executed."""
    server = Cryostat(pid_file_name=pid_file, host="127.0.0.1", port=0)
    server.max_clients = 1
    with serving(server), connect(server.port) as first:
        assert first.call("echo", "x") == "x"
        with pytest.raises(ConnectionClosed, match=r"server full \(1 clients\)") as caught:
            connect(server.port).call("echo", "y")
        assert not isinstance(caught.value, ReplyLost)
        with pytest.raises(MessageError, match="message longer than 1000000 bytes"):
            first.call("echo", "x" * 5_000_000)
        wait_until(lambda: not server._client_registry.snapshot()[0], "the end of the connection")
        assert first.call("echo", "x") == "x"


def test_a_server_of_05_has_no_typed_commands(original: Original, tmp_path: Path) -> None:
    """The error says what to use instead; then that works."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with original.daemon(port, str(tmp_path / "pid")):
        wait_until(lambda: not is_free(port), "the daemon")
        with Client(host="127.0.0.1", port=port, timeout=TIMEOUT) as client:
            with pytest.raises((MessageError, ConnectionClosed), match="send_message"):
                client.call("move", "1")
            assert client.send_message("move 1").startswith("moved")
            client.send_message("quit")


def test_a_server_without_a_description_can_be_called() -> None:
    """With results as they come."""

    def plain(server: Peer) -> None:
        request = server.ask()
        server.send(id=request["id"], error={"code": -32601, "message": "Method not found"})
        server.answer({"a": None})

    with peer(plain) as port, connect(port) as client:
        assert client.call("put", 1) == {"a": None}


def test_a_call_can_be_cut_from_another_thread(client: Client, cryostat: Cryostat) -> None:
    """It raises at once."""
    errors: list[Exception] = []

    def hold() -> None:
        try:
            client.call("hold_once")
        except OSError as error:
            errors.append(error)

    thread = threading.Thread(target=hold)
    thread.start()
    assert cryostat.waiting.acquire(timeout=TIMEOUT)
    client.cut()
    thread.join(TIMEOUT)
    cryostat.gate.set()
    assert [type(error) for error in errors] == [ReplyLost]


def test_a_server_killed_during_a_call(pid_file: str) -> None:
    """What is idempotent goes to the next one, the other call is lost."""
    results: list[object] = []

    def run(command: str) -> None:
        try:
            results.append(client.call(command))
        except ReplyLost:
            results.append("lost")

    first = Cryostat(pid_file_name=pid_file, host="127.0.0.1", port=0)
    first.stop_timeout = 0.1
    with serving(first):
        client = connect(first.port)
        client.discover()
        threads = [threading.Thread(target=run, args=(c,)) for c in ("hold", "hold_once")]
        for thread in threads:
            thread.start()
            assert first.waiting.acquire(timeout=TIMEOUT)
        first.close()
        first.gate.set()
        second = Cryostat(pid_file_name=pid_file, host="127.0.0.1", port=first.port)
        second.gate.set()
        with serving(second):
            for thread in threads:
                thread.join(TIMEOUT)
            client.close()
    wait_until(lambda: len(results) == 2)
    assert sorted(map(str, results)) == ["held", "lost"]


def test_importing_the_facade_imports_nothing_of_json() -> None:
    """Nor asyncio: that is for those who use it."""
    code = (
        "import sys, lab_utils_mt._client.client;"
        "print([m for m in ('asyncio', 'msgspec', 'numpy', 'difflib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
