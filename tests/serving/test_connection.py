"""One client, and whatever it may send, over a real socket."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import ssl
import sys
import threading
import time

import pytest
from daemons import TIMEOUT, Line, Stage, serving, wait_until


def test_a_line_is_answered_with_a_line(stage: Stage) -> None:
    """And the connection stays open for the next."""
    with Line(stage) as client:
        assert client.ask("echo one") == "one"
        assert client.ask("echo {two  words} --times 2") == "two  words two  words"
        assert client.ask("ping") == "pong"


def test_connections_are_prompt_and_notice_dead_peers(stage: Stage) -> None:
    """Whether the system hands the listener's options down or not."""
    with Line(stage) as client:
        assert client.ask("ping") == "pong"
        sock = stage._client_registry.snapshot()[0][0].sock
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        if sys.platform == "win32":
            assert sock.gettimeout()  # the server looks up, and counts the time by itself
        else:
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, 16).strip(b"\0")
        if sys.platform == "linux":
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 30
        assert sock.getblocking()


def test_bytes_one_by_one_make_the_same_request(stage: Stage) -> None:
    """As from a terminal that sends each key."""
    with Line(stage) as client:
        for byte in "echo Ωµ\r\n".encode():
            client.send(bytes([byte]))
            time.sleep(0.001)
        assert client.line() == "Ωµ\n".encode()


def test_a_request_may_come_in_two_packets(stage: Stage) -> None:
    """Also with the cut inside a character, and a pause after the first line."""
    with Line(stage) as client:
        assert client.ask("ping") == "pong"
        data = "echo Ω\n".encode()
        client.send(data[:6])
        time.sleep(3 * 0.05)  # longer than unterminated_pause, which is over by then
        client.send(data[6:])
        assert client.line() == "Ω\n".encode()


def test_joined_requests_are_answered_in_their_order(stage: Stage) -> None:
    """Pipelining; empty lines are passed over."""
    with Line(stage) as client:
        client.send(b"echo 1\n\r\n  \necho 2\r\nsleep 0.05\necho 3\n")
        assert [client.line() for _ in range(4)] == [b"1\n", b"2\n", b"slept 0.05\n", b"3\n"]


def test_a_message_without_newline_is_answered_as_0_5_did(stage: Stage) -> None:
    """The raw reply, then the end of the stream."""
    with Line(stage) as client:
        client.send(b"echo {old client}")
        assert client.rest() == b"old client"


def test_half_closing_ends_a_first_message(stage: Stage) -> None:
    """``printf ping | nc -N host port``."""
    with Line(stage) as client:
        client.send(b"p")
        time.sleep(0.02)
        client.send(b"ing")
        client.sock.shutdown(socket.SHUT_WR)
        assert client.rest() == b"pong"


def test_half_closing_after_lines_gets_all_replies(stage: Stage) -> None:
    """``printf 'ping\\nping\\n' | nc -N host port``."""
    with Line(stage) as client:
        client.send(b"ping\nsleep 0.05\nping\n")
        client.sock.shutdown(socket.SHUT_WR)
        assert client.rest() == b"pong\nslept 0.05\npong\n"


def test_a_last_line_without_newline_is_not_executed(stage: Stage) -> None:
    """It may be half of what was meant; the client is told."""
    with Line(stage) as client:
        client.send(b"echo whole\necho hal")
        client.sock.shutdown(socket.SHUT_WR)
        assert client.rest() == b"whole\nError! the last line has no newline and was not executed\n"
    assert stage.executed == ["echo whole"]


def test_pause_zero_answers_an_unterminated_message_at_once(pid_file: str) -> None:
    """As 0.5.x did; what comes in the first packet is the message."""
    server = Stage(pid_file_name=pid_file, port=0)
    server.unterminated_pause = 0.0
    with serving(server), Line(server) as client:
        client.send(b"ping")
        assert client.rest() == b"pong"


def test_pause_off_waits_for_the_newline(pid_file: str) -> None:
    """For labs whose clients all send lines: half a line is never a command."""
    server = Stage(pid_file_name=pid_file, port=0)
    server.unterminated_pause = None
    with serving(server):
        with Line(server) as client:
            client.send(b"echo 10")
            time.sleep(3 * 0.05)
            client.send(b"0\n")
            assert client.line() == b"100\n"
        with Line(server) as client:
            client.send(b"echo 10")
            client.sock.shutdown(socket.SHUT_WR)
            assert b"was not executed" in client.rest()
    assert server.executed == ["echo 100"]


def test_a_message_too_long_is_refused_and_the_client_learns_it(stage: Stage) -> None:
    """Even if it goes on sending: its unread bytes must not reset our last words."""
    with Line(stage) as client:
        client.send(b"echo " + b"x" * stage.max_message)
        client.send(b"y" * 100_000)
        assert client.rest() == b"Error! message longer than 65536 bytes\n"
    assert stage.executed == []


def test_the_longest_message_passes(stage: Stage) -> None:
    """Exactly ``max_message`` bytes."""
    with Line(stage) as client:
        words = "x" * (stage.max_message - 5)
        assert client.ask(f"echo {words}") == words


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        (b"echo \xff\xfe\n", b"not UTF-8"),
        (b"echo \x1b[31m\n", b"U+001B"),
        (b"echo a\0b\n", b"U+0000"),
        (b"echo \xc2\x9b31m\n", b"U+009B"),
        (b"echo\rping\n", b"U+000D"),
    ],
)
def test_bytes_that_are_no_text_end_the_connection(stage: Stage, line: bytes, fault: bytes) -> None:
    """And nothing behind them is executed."""
    with Line(stage) as client:
        client.send(b"echo before\n" + line + b"echo after\n")
        before, error = client.line(), client.rest()
        assert before == b"before\n"
        assert error.startswith(b"Error! ")
        assert fault in error
    assert stage.executed == ["echo before"]


@pytest.mark.parametrize("step", [1, 3, 1000])
@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /quit HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nquit\n",
        b"\r\nOPTIONS * HTTP/1.1\r\n\r\nquit\n",
        b"CONNECT x:1 HTTP/1.1\r\n\r\n",
    ],
)
def test_http_is_closed_unanswered(
    stage: Stage, data: bytes, step: int, caplog: pytest.LogCaptureFixture
) -> None:
    """A web page must not move hardware; one log line, no traceback."""
    with Line(stage) as client:
        try:
            for at in range(0, len(data), step):
                client.send(data[at : at + step])
        except ConnectionError:
            pass  # it was closed while we were still sending
        assert client.rest() == b""
    with Line(stage) as client:
        assert client.ask("echo alive") == "alive"
    assert stage.executed == ["echo alive"]
    warnings = [r for r in caplog.records if r.levelno >= logging.WARNING]
    assert [r.getMessage().partition(" ")[2] for r in warnings] == [
        "speaks HTTP: disconnected unanswered (0 more since the last warning)"
    ]


def test_a_host_header_as_a_later_line_closes(stage: Stage) -> None:
    """Before the next line runs."""
    with Line(stage) as client:
        client.send(b"echo one\nHost: x\necho two\n")
        assert client.rest() in {b"one\n", b""}
    assert stage.executed == ["echo one"]


def test_a_tls_client_is_closed_unanswered(stage: Stage) -> None:
    """With a real TLS library."""
    context = ssl.create_default_context()
    with Line(stage) as client, pytest.raises((ssl.SSLError, ConnectionError)):
        context.wrap_socket(client.sock.dup(), server_hostname="localhost")
    with Line(stage) as client:
        assert client.ask("ping") == "pong"


def test_foreign_protocols_are_logged_once_a_minute(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    """A port scanner must not fill the disk."""
    for _ in range(50):
        with Line(stage) as client:
            client.send(b"GET / HTTP/1.0\r\n\r\n")
            assert client.rest() == b""
    assert len([r for r in caplog.records if "speaks HTTP" in r.getMessage()]) == 1


def test_a_reply_of_several_lines_is_a_block(stage: Stage) -> None:
    """IEEE 488.2, as pyvisa, MATLAB and LabVIEW read it."""
    with Line(stage) as client:
        client.send(b'echo "two\\nlines"\nblob\n')
        assert client.line() + client.line() == b"#19two\nlines\n"
        assert client.file.read(5 + 256 + 1) == b"#3256" + bytes(range(256)) + b"\n"


@pytest.mark.parametrize("how", ["raise", "exit", "abort"])
def test_a_failing_command_fails_alone(stage: Stage, how: str) -> None:
    """The client gets one line, and its connection goes on."""
    with Line(stage) as client:
        assert client.ask(f"fail {how}").startswith("Error! ")
        assert client.ask("ping") == "pong"


def test_a_reply_that_is_not_text_is_an_error(stage: Stage) -> None:
    """A lone surrogate cannot be sent."""
    with Line(stage) as client:
        answer = client.ask("echo " + json.dumps("\ud800"))
        assert answer.startswith("Error! UnicodeEncodeError")
        assert client.ask("ping") == "pong"


def test_json_rpc_is_told_apart(stage: Stage) -> None:
    """And a text command in braces is none."""
    with Line(stage) as client:
        request = '{"jsonrpc": "2.0", "method": "echo", "params": ["a", "b c"], "id": 1}'
        assert json.loads(client.ask(request)) == {"jsonrpc": "2.0", "result": "a b c", "id": 1}
        assert client.ask("{echo} {b c}") == "b c"


def test_a_reset_is_an_ordinary_end(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """Within a line, a command or a reply: no traceback, nobody else notices."""
    for data in (b"", b"echo ha", b"sleep 0.05\n", b"long\n", b"echo 1\necho 2\necho 3\n"):
        client = Line(stage)
        client.send(data)
        client.vanish()
    with Line(stage) as client:
        assert client.ask("ping") == "pong"
    wait_until(lambda: not stage._client_registry.snapshot()[0], "the end of the connections")
    assert [r for r in caplog.records if r.levelno >= logging.ERROR] == []


def test_a_silent_client_harms_nobody(stage: Stage) -> None:
    """It may stay for ever, unless ``idle_timeout`` is set."""
    with Line(stage), Line(stage) as client:
        assert client.ask("ping") == "pong"


def test_a_silent_client_is_disconnected_after_idle_timeout(pid_file: str) -> None:
    """Before its first request and after it."""
    server = Stage(pid_file_name=pid_file, port=0)
    server.idle_timeout = 0.1
    with serving(server), Line(server) as silent, Line(server) as client:
        assert client.ask("ping") == "pong"
        assert silent.rest() == b""
        assert client.rest() == b""


def test_a_line_must_be_complete_in_time(pid_file: str) -> None:
    """One byte now and then does not hold a place for ever."""
    server = Stage(pid_file_name=pid_file, port=0)
    server.line_timeout = 0.2
    with serving(server), Line(server) as slow:
        deadline = time.monotonic() + TIMEOUT
        try:
            while time.monotonic() < deadline:
                slow.send(b"x")
                time.sleep(0.01)
        except ConnectionError:
            pass
        else:
            pytest.fail("the slow sender was never disconnected")
    assert server.executed == []


def test_a_client_that_never_reads_is_disconnected(
    pid_file: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Its thread is free again; the others were never held up."""
    server = Stage(pid_file_name=pid_file, port=0)
    server.send_timeout = 0.3
    with serving(server), Line(server) as mute, Line(server) as client:
        mute.send(b"long\nlong\n")
        assert client.ask("ping") == "pong"
        wait_until(
            lambda: len(server._client_registry.snapshot()[0]) == 1, "the end of the mute client"
        )
        assert client.ask("ping") == "pong"
    assert [r for r in caplog.records if "takes no replies" in r.getMessage()]


def test_a_steady_stream_is_not_cut_by_the_line_timeout(pid_file: str) -> None:
    """Though each packet ends within a line."""
    server = Stage(pid_file_name=pid_file, port=0)
    server.line_timeout = 0.3
    with serving(server), Line(server) as client:
        client.send(b"echo")
        for _ in range(20):
            time.sleep(0.03)
            client.send(b" x\necho")
            assert client.line() == b"x\n"


def test_a_handler_may_raise_anything(pid_file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even what ends its thread: asyncio's cancellation, for example."""
    ended: list[object] = []
    monkeypatch.setattr(threading, "excepthook", ended.append)

    class Cancelled(Stage):
        def echo(self) -> None:
            raise asyncio.CancelledError("too late")

    with serving(Cancelled(pid_file_name=pid_file, port=0)) as server:
        with Line(server) as client:
            client.send(b"echo\n")
            assert client.rest() == b"Error! CancelledError: too late\n"
        with Line(server) as client:
            assert client.ask("ping") == "pong"
    assert len(ended) == 1


def test_other_delimiters_can_be_chosen(pid_file: str) -> None:
    """As 0.5.x lets a daemon do."""
    server = Stage(pid_file_name=pid_file, port=0)
    server.delimiter_left, server.delimiter_right = "<", ">"
    with serving(server), Line(server) as client:
        assert client.ask("echo <two  words> {three") == "two  words {three"


@pytest.mark.parametrize(
    ("data", "reply"),
    [
        (b"caf\xe9", b"Error! byte 4 of the message is not UTF-8"),
        (b"\r\nGET / HTTP/1.1", b""),
        (b"nonsense", b"Error! there is no command 'nonsense'"),
    ],
)
def test_errors_to_an_old_client_have_no_newline_either(
    stage: Stage, data: bytes, reply: bytes
) -> None:
    """It takes all bytes up to the end of the stream."""
    with Line(stage) as client:
        client.send(data)
        answer = client.rest()
        assert answer.startswith(reply)
        assert b"\n" not in answer or b"DAEMON HELP" in answer
        assert bool(answer) == bool(reply)
