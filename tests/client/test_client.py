"""A client that many threads share, and servers that come and go."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from daemons import TIMEOUT, Stage, serving, wait_until
from systems import needs_fork

from lab_utils_mt.socket_comm import (
    Client,
    ConfigError,
    MessageError,
    ReplyLost,
    ReplyTimeout,
    quote,
)


@contextlib.contextmanager
def peer(*conversations: Callable[[socket.socket], None]) -> Iterator[int]:
    """Run a server that treats its clients, one after another, as told; yields its port."""
    errors: list[BaseException] = []

    def serve(listener: socket.socket) -> None:
        try:
            for converse in conversations:
                sock, _ = listener.accept()
                sock.settimeout(TIMEOUT)
                with sock:
                    converse(sock)
        except BaseException as error:  # shown below, in the test's thread
            errors.append(error)
            raise

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(TIMEOUT)
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        yield listener.getsockname()[1]
        thread.join(TIMEOUT)
    assert errors == []


def answers(*replies: bytes) -> Callable[[socket.socket], None]:
    """Converse by reading a request and sending the bytes, for each of them; then close."""

    def converse(sock: socket.socket) -> None:
        for reply in replies:
            assert sock.recv(4096)
            sock.sendall(reply)

    return converse


def test_a_client_keeps_its_connection(stage: Stage) -> None:
    """And replies of any form arrive whole."""
    with Client(host="127.0.0.1", port=stage.port) as client:
        for text in ("one", "two\nlines", "#3 is text", "", "Ω → ✓", "a\r", "x" * 20_000):
            assert client.send_message(f"echo {quote(text)}") == text
        assert client.query_bytes("blob") == bytes(range(256))
        assert len(client.send_message("long")) == 20_000_000
    assert stage._client_registry.snapshot()[1].accepted == 1


def test_32_threads_share_a_client_and_never_get_anothers_reply(stage: Stage) -> None:
    """Replies of different length and form."""
    wrong: list[object] = []

    def talk(number: int) -> None:
        for turn in range(40):
            text = f"{number}.{turn}" + "\n" * (turn % 2)
            reply = client.send_message(f"echo {quote(text)}")
            if reply != text:
                wrong.append((text, reply))

    with Client(host="127.0.0.1", port=stage.port, timeout=TIMEOUT) as client:
        threads = [threading.Thread(target=talk, args=(n,)) for n in range(32)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(2 * TIMEOUT)

    assert wrong == []
    assert len(stage.executed) == 32 * 40


def test_a_slow_command_does_not_hold_up_other_threads(stage: Stage) -> None:
    """Each exchange has a connection of its own."""
    with Client(host="127.0.0.1", port=stage.port) as client:
        slow = threading.Thread(target=client.send_message, args=("hold",))
        slow.start()
        assert stage.waiting.acquire(timeout=TIMEOUT)
        assert client.send_message("ping") == "pong"
        stage.gate.set()
        slow.join(TIMEOUT)


@pytest.mark.parametrize(
    ("message", "fault"),
    [("", "empty"), ("  ", "empty"), ("a\nb", r"U\+000A"), ("say \x1b", r"U\+001B")],
)
def test_what_cannot_be_a_line_is_refused(stage: Stage, message: str, fault: str) -> None:
    """Before anything is sent: it would become two requests, or none."""
    client = Client(host="127.0.0.1", port=stage.port)
    with pytest.raises(MessageError, match=fault):
        client.send_message(message)
    assert stage._client_registry.snapshot()[1].accepted == 0


def test_no_server_is_an_error_at_once() -> None:
    """It says where the client looked."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(ConnectionRefusedError, match=f"127.0.0.1:{port}: .*is it running"):
        Client(host="127.0.0.1", port=port).send_message("ping")


def test_a_client_finds_a_server_that_was_restarted(pid_file: str) -> None:
    """Also if it comes back only after a while."""
    with serving(Stage(pid_file_name=pid_file, port=0)) as stage:
        client = Client(host="127.0.0.1", port=stage.port, timeout=TIMEOUT)
        assert client.send_message("ping") == "pong"

    replies: list[str] = []
    asking = threading.Thread(target=lambda: replies.append(client.send_message("ping")))
    asking.start()
    time.sleep(0.3)
    with serving(Stage(pid_file_name=pid_file, host="127.0.0.1", port=stage.port)):
        asking.join(TIMEOUT)
        assert replies == ["pong"]
        client.close()


def test_a_lost_reply_is_not_asked_for_again() -> None:
    """The command may have run."""
    with peer(answers(b"pong\n"), answers()) as port:
        client = Client(host="127.0.0.1", port=port)
        assert client.send_message("ping") == "pong"
        with pytest.raises(ReplyLost, match="may or may not have been executed"):
            client.send_message("move 1")


def test_a_lost_reply_is_asked_for_again_if_that_is_harmless() -> None:
    """The caller says so."""
    with peer(answers(), answers(b"#3100cut"), answers(b"pong\n")) as port:
        client = Client(host="127.0.0.1", port=port)
        assert client.send_message("ping", idempotent=True) == "pong"
        client.close()


def test_half_a_reply_is_lost() -> None:
    """A block that ends early."""
    with peer(answers(b"#3100only this")) as port, pytest.raises(ReplyLost):
        Client(host="127.0.0.1", port=port).send_message("blob")


def test_a_late_reply_does_not_answer_the_next_request() -> None:
    """After a timeout the connection is not used again."""

    def late(sock: socket.socket) -> None:
        assert sock.recv(4096) == b"slow\n"
        with contextlib.suppress(OSError):
            while sock.recv(4096):  # until the client gives up
                pass

    with peer(late, answers(b"pong\n")) as port:
        client = Client(host="127.0.0.1", port=port, timeout=0.3)
        with pytest.raises(ReplyTimeout, match="no reply in time") as caught:
            client.send_message("slow")
        assert isinstance(caught.value, TimeoutError)
        client.timeout = TIMEOUT
        assert client.send_message("ping") == "pong"
        client.close()


def test_a_refusal_arrives_as_a_reply(pid_file: str) -> None:
    """Not as a broken connection."""
    stage = Stage(pid_file_name=pid_file, port=0)
    stage.max_clients = 1
    with serving(stage), Client(host="127.0.0.1", port=stage.port) as first:
        assert first.send_message("ping") == "pong"
        second = Client(host="127.0.0.1", port=stage.port)
        assert second.send_message("ping") == "Error! server full (1 clients)"
        second.close()


def test_an_old_server_closes_after_each_reply() -> None:
    """Replies without newline, with lines, and with a newline at the end."""
    replies = [b"one", b"two\nlines", b"three\nlines\n", b"four"]
    with peer(*(answers(reply) for reply in replies)) as port:
        client = Client(host="127.0.0.1", port=port)
        expected = [reply.decode().removesuffix("\n") for reply in replies]
        assert [client.send_message("x") for _ in replies] == expected


def test_an_old_server_that_ends_its_lines_is_not_asked_on_a_dying_connection() -> None:
    """It closes a moment after its reply, when the next request is already on its way."""

    def dawdle(sock: socket.socket) -> None:
        assert sock.recv(4096)
        sock.sendall(b"ok\n")
        time.sleep(0.005)

    with peer(*[dawdle] * 5) as port:
        client = Client(host="127.0.0.1", port=port)
        assert [client.send_message("x") for _ in range(5)] == ["ok"] * 5
        client.close()


def test_a_first_line_by_an_old_server_may_be_a_whole_segment() -> None:
    """The rest comes a little later."""

    def slowly(sock: socket.socket) -> None:
        assert sock.recv(4096)
        sock.sendall(b"x" * 1447 + b"\n")
        time.sleep(0.005)
        sock.sendall(b"the end")

    with peer(slowly) as port:
        client = Client(host="127.0.0.1", port=port)
        assert client.send_message("x") == "x" * 1447 + "\nthe end"


@needs_fork
def test_a_child_process_does_not_use_its_parents_connection(stage: Stage) -> None:
    """Two processes on one socket would get each other's replies."""
    code = f"""
import os, sys
sys.path.insert(0, {str(Path.cwd())!r})
from lab_utils_mt.socket_comm import Client
client = Client(host="127.0.0.1", port={stage.port})
assert client.send_message("ping") == "pong"
client._caller._lock.acquire()  # as a thread might that the child does not have
child = os.fork()
if not child:
    ok = client.send_message("echo child") == "child" and len(client._caller._idle) == 1
    os._exit(0 if ok else 1)
client._caller._lock.release()
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert client.send_message("echo parent") == "parent"
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], timeout=TIMEOUT, check=False
    )
    assert done.returncode == 0
    assert stage._client_registry.snapshot()[1].accepted == 2


def test_host_and_port_come_from_the_servers_file(tmp_path: Path, stage: Stage) -> None:
    """Arguments override it."""
    ini = tmp_path / "server.ini"
    ini.write_text(f"[Overall]\nhost = 127.0.0.1\nport = {stage.port}\nmax_clients = 7\n")
    with Client(str(ini)) as client:
        assert client.send_message("ping") == "pong"
        assert repr(client) == f"<Client of 127.0.0.1:{stage.port}>"
    assert Client(str(ini), port=9).port == 9


def test_waiting_for_a_reply_can_be_interrupted_by_closing_the_server(stage: Stage) -> None:
    """The client learns that its reply is lost."""
    stage.stop_timeout = 0.1
    client = Client(host="127.0.0.1", port=stage.port)
    caught: list[BaseException] = []

    def ask() -> None:
        try:
            client.send_message("hold")
        except ReplyLost as error:
            caught.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    assert stage.waiting.acquire(timeout=TIMEOUT)
    stage.close()
    wait_until(lambda: caught, "the end of the call")
    stage.gate.set()
    thread.join(TIMEOUT)


@pytest.mark.parametrize("message", [b"ping", None, 3])
def test_a_message_must_be_text(message: object) -> None:
    """The error says what it is."""
    with pytest.raises(MessageError, match="a message is a str, not"):
        Client().send_message(message)  # type: ignore[arg-type]


def test_a_lone_surrogate_needs_quoting(stage: Stage) -> None:
    """Bytes of a file name that are no text, for example."""
    with Client(host="127.0.0.1", port=stage.port) as client:
        with pytest.raises(MessageError, match="character 3 of the message is a lone surrogate"):
            client.send_message("a \udcff")
        assert client.send_message(f"echo {quote('x')}") == "x"


@pytest.mark.parametrize("timeout", [0, -1.0, float("nan"), float("inf"), 1e9, "5"])
def test_a_timeout_must_be_possible(timeout: object) -> None:
    """Before anything is sent."""
    with pytest.raises(ConfigError, match="argument: timeout"):
        Client(timeout=timeout)  # type: ignore[arg-type]


def test_an_address_that_does_not_answer_is_an_error_in_time() -> None:
    """Its queue of connections is full, so it is silent."""
    with socket.socket() as listener, contextlib.ExitStack() as stack:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            sock = stack.enter_context(socket.socket())
            sock.setblocking(False)
            sock.connect_ex(listener.getsockname())
        port = listener.getsockname()[1]
        with pytest.raises(TimeoutError, match=f"cannot reach a server at 127.0.0.1:{port}: timed"):
            Client(host="127.0.0.1", port=port, timeout=0.3).send_message("ping")


def test_a_name_that_is_no_hosts_is_an_error() -> None:
    """Python itself gives a UnicodeError."""
    with pytest.raises(OSError, match="cannot reach a server at"):
        Client(host="x" * 70, timeout=5).send_message("ping")


def test_a_message_too_long_for_the_server_is_told(stage: Stage) -> None:
    """Though the server stops reading long before its end."""
    with Client(host="127.0.0.1", port=stage.port) as client:
        reply = client.send_message("echo " + "x" * 10_000_000)
        assert reply == "Error! message longer than 65536 bytes"
        assert client.send_message("ping") == "pong"


def test_a_server_that_stops_after_a_long_line_is_no_old_one() -> None:
    """The end of the stream comes where more of a 0.5.x reply would."""
    with peer(answers(b"x" * 1000 + b"\n"), answers(b"pong\n", b"pong\n")) as port:
        client = Client(host="127.0.0.1", port=port, timeout=TIMEOUT)
        assert client.send_message("long") == "x" * 1000
        assert client.send_message("ping") == "pong"
        assert client.send_message("ping") == "pong"
        client.close()


def test_an_old_server_may_be_replaced_by_a_new_one() -> None:
    """On the same port, while the client lives; and back again."""

    def stays(sock: socket.socket) -> None:
        for _ in range(3):
            assert sock.recv(4096)
            sock.sendall(b"new\n")

    with peer(answers(b"old"), stays, answers(b"old\nlines"), answers(b"old")) as port:
        client = Client(host="127.0.0.1", port=port, timeout=TIMEOUT)
        assert [client.send_message("x") for _ in range(4)] == ["old", "new", "new", "new"]
        wait_until(lambda: client._caller._idle[0].is_readable(0), "the end of the new server")
        assert [client.send_message("x") for _ in range(2)] == ["old\nlines", "old"]


def test_a_reply_cut_off_by_a_server_that_keeps_connections_is_lost() -> None:
    """``T = 12.`` is not a reply; the next call starts anew."""
    with peer(answers(b"a\n", b"b\n", b"T = 12."), answers(b"c\n")) as port:
        client = Client(host="127.0.0.1", port=port, timeout=TIMEOUT)
        assert [client.send_message("x") for _ in range(2)] == ["a", "b"]
        with pytest.raises(ReplyLost):
            client.send_message("x")
        assert client.send_message("x") == "c"
        client.close()


@pytest.mark.parametrize("text", ["#1234 units", "#15hello world", "#2 is ready"])
def test_an_old_servers_reply_may_begin_like_a_block(text: str) -> None:
    """It arrives as it was sent."""
    with peer(answers(text.encode()), answers(text.encode() + b"\nand more")) as port:
        client = Client(host="127.0.0.1", port=port, timeout=TIMEOUT)
        assert client.send_message("x") == text
        assert client.send_message("x") == f"{text}\nand more"


def test_after_a_burst_a_client_keeps_few_connections(stage: Stage) -> None:
    """Each one is a place at the server."""
    with Client(host="127.0.0.1", port=stage.port) as client:
        threads = [
            threading.Thread(target=client.send_message, args=("sleep 0.2",)) for _ in range(40)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(TIMEOUT)
        assert stage._client_registry.snapshot()[1].peak > 16
        wait_until(lambda: len(stage._client_registry.snapshot()[0]) <= 16)


def test_a_client_that_is_dropped_closes_its_connections(stage: Stage) -> None:
    """Code for 0.5.x closes nothing."""
    client = Client(host="127.0.0.1", port=stage.port)
    assert client.send_message("ping") == "pong"
    del client
    wait_until(lambda: not stage._client_registry.snapshot()[0], "the end of the connection")


@pytest.mark.parametrize("reply", [b"x" * 20_000, b"x\n" * 10_000, b"#520000" + b"x" * 20_000])
def test_a_reply_can_be_too_long(reply: bytes) -> None:
    """If the client says so: it is cut off, and the next call starts anew."""

    def drown(sock: socket.socket) -> None:
        assert sock.recv(4096)
        with contextlib.suppress(OSError):
            while True:
                sock.sendall(reply)

    with peer(drown, answers(b"y" * 9999 + b"\n")) as port:
        client = Client(host="127.0.0.1", port=port, timeout=TIMEOUT, max_reply=10_000)
        with pytest.raises(ReplyLost, match="longer than 10000 bytes; the command may"):
            client.send_message("x")
        assert client.send_message("x") == "y" * 9999
        client.close()


def test_the_longest_reply_is_checked() -> None:
    """Before anything is sent."""
    with pytest.raises(ConfigError, match="max_reply"):
        Client(max_reply=0)


def test_a_client_can_be_cut_from_another_thread(stage: Stage) -> None:
    """The exchanges in progress raise at once; nothing else can be sent, nothing stays open."""
    errors: list[OSError] = []

    def hold() -> None:
        try:
            client.send_message("hold")
        except OSError as error:
            errors.append(error)

    client = Client(host="127.0.0.1", port=stage.port)
    threads = [threading.Thread(target=hold) for _ in range(4)]
    for thread in threads:
        thread.start()
        assert stage.waiting.acquire(timeout=TIMEOUT)
    assert client.send_message("ping") == "pong"
    client.cut()
    for thread in threads:
        thread.join(TIMEOUT)
    assert [type(error) for error in errors] == [ReplyLost] * 4
    assert "may or may not have been executed" in str(errors[0])
    with pytest.raises(ConnectionAbortedError, match="broken off"):
        client.send_message("ping")
    stage.gate.set()
    wait_until(lambda: not stage._client_registry.snapshot()[0], "the end of the connections")


def test_a_reply_that_is_cut_is_none() -> None:
    """What has come by then could be taken for the whole reply of a 0.5.x server."""
    came = threading.Event()

    def half(sock: socket.socket) -> None:
        assert sock.recv(4096)
        sock.sendall(b"T = 12.")
        came.set()
        assert sock.recv(4096) == b""

    errors: list[Exception] = []

    def ask() -> None:
        try:
            client.send_message("x")
        except ReplyLost as error:
            errors.append(error)

    with peer(half) as port:
        client = Client(host="127.0.0.1", port=port)
        thread = threading.Thread(target=ask)
        thread.start()
        assert came.wait(TIMEOUT)
        client.cut()
        thread.join(TIMEOUT)
    assert len(errors) == 1


def test_close_leaves_exchanges_alone(stage: Stage) -> None:
    """It is for the connections that wait; the client goes on."""
    replies: list[str] = []
    client = Client(host="127.0.0.1", port=stage.port)
    thread = threading.Thread(target=lambda: replies.append(client.send_message("hold")))
    thread.start()
    assert stage.waiting.acquire(timeout=TIMEOUT)
    client.close()
    stage.gate.set()
    thread.join(TIMEOUT)
    assert replies == ["held"]
    assert client.send_message("ping") == "pong"
    client.close()
