"""What one process of a load sees of real servers, good and bad."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from multiprocessing.pool import ThreadPool
from typing import Any

import pytest
from daemons import Stage, serving, wait_until
from scripted import Scripted, answering, reset, scripted
from systems import WINDOWS, WINE

from lab_utils_mt._load import driver
from lab_utils_mt._load.driver import drive, find
from lab_utils_mt._load.plan import Plan
from lab_utils_mt._load.poller import SelectorPoller, make_poller
from lab_utils_mt._load.tally import Second, Tally
from lab_utils_mt.exceptions import LabUtilsError

REQUEST = b"echo hello\n"
SECONDS = 1.0 if WINDOWS else 0.2  # of a load; there, threads and connections take long


def load(port: int, **options: Any) -> Tally:
    """Put some load on a port."""
    return drive(Plan("127.0.0.1", port, **({"request": REQUEST, "seconds": SECONDS} | options)))


@pytest.fixture(params=[make_poller, SelectorPoller])
def any_poller(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Use both ways to wait for sockets."""
    monkeypatch.setattr(driver, "make_poller", request.param)


@pytest.mark.usefixtures("any_poller")
@pytest.mark.parametrize("clients", [1, 64])
def test_the_server_counts_the_same(stage: Stage, clients: int) -> None:
    """What was sent has been answered, and is in the figures, also what was late."""
    tally = load(stage.port, clients=clients)
    assert tally.requests == len(stage.executed) > clients
    assert not tally.errors
    assert 0 < tally.late <= clients
    assert tally.bytes_in == 6 * tally.requests
    assert 0 < tally.least <= tally.percentile(50) <= tally.percentile(99) <= tally.most
    assert SECONDS <= tally.seconds < 10
    assert tally.cpu_seconds > 0


@pytest.mark.usefixtures("any_poller")
def test_a_connection_for_each_request(stage: Stage) -> None:
    """Each request opens one."""
    tally = load(stage.port, clients=4, reconnect=True)
    assert tally.requests == len(stage.executed) > 4
    assert not tally.errors


def test_a_message_without_a_newline(stage: Stage) -> None:
    """As clients of lab_utils 0.5.x send it; the reply ends with the stream."""
    tally = load(stage.port, request=b"echo hello", clients=4, reconnect=True, terminated=False)
    assert tally.requests == len(stage.executed) >= 4
    assert tally.bytes_in == 5 * tally.requests
    assert not tally.errors


@pytest.mark.parametrize(
    "command", [b"blob\n", b"help\n", b'{"jsonrpc":"2.0","id":1,"method":"ping"}\n']
)
def test_replies_of_all_kinds(stage: Stage, command: bytes) -> None:
    """Blocks of bytes, long texts, JSON-RPC."""
    tally = load(stage.port, request=command, clients=2)
    assert tally.requests > 2
    assert not tally.errors


def test_replies_of_many_megabytes(stage: Stage) -> None:
    """All of it is read before the next request."""
    tally = load(stage.port, request=b"long\n")
    assert not tally.errors
    assert tally.bytes_in == tally.requests * 20_000_001


def test_a_failed_command_is_an_error_and_no_latency(stage: Stage) -> None:
    """With the first reply as the example; the connection stays."""
    tally = load(stage.port, request=b"fail no_such_way\n")
    assert tally.requests == tally.histogram.get_total_count() == 0
    assert set(tally.errors) == {"Error! reply"}
    assert tally.first_errors["Error! reply"].startswith("Error! ")
    assert tally.errors["Error! reply"] > 5


def test_a_json_error_is_an_error(stage: Stage) -> None:
    """And only a real one: the word may stand in a result."""
    line = b'{"jsonrpc":"2.0","id":1,"method":"nonsense"}\n'
    assert set(load(stage.port, request=line).errors) == {"JSON-RPC error"}
    reply = b'{"jsonrpc":"2.0","id":1,"result":{"error":"none"}}\n'
    with scripted(answering(reply)) as server:
        tally = load(server.port, request=line)
    assert tally.requests == server.requests > 0
    assert not tally.errors


class Small(Stage):
    """A server for two clients."""

    max_clients = 2


def test_a_full_server_is_told_as_such(pid_file: str) -> None:
    """Those who got in go on; the others try again, but not all the time."""
    with serving(Small(pid_file_name=pid_file, port=0)) as server:
        tally = load(server.port, clients=4, seconds=0.5)
    assert tally.requests > 10
    assert set(tally.errors) == {"server full"}
    assert 2 <= tally.errors["server full"] <= 20
    assert tally.first_errors["server full"] == "Error! server full (2 clients)"


def closing(_: Scripted, client: socket.socket) -> None:
    client.recv(100)


def resetting(_: Scripted, client: socket.socket) -> None:
    client.recv(100)
    reset(client)


def cutting(_: Scripted, client: socket.socket) -> None:
    client.recv(100)
    client.sendall(b"hel")


def cutting_a_block(_: Scripted, client: socket.socket) -> None:
    client.recv(100)
    client.sendall(b"#210hel")


def talking(_: Scripted, client: socket.socket) -> None:
    client.recv(100)
    client.sendall(b"one\ntwo\n")
    client.recv(100)


def silent(server: Scripted, client: socket.socket) -> None:
    server.over.wait()


@pytest.mark.parametrize(
    ("serve", "kind"),
    [
        (closing, "closed"),
        (resetting, "closed" if WINE else "reset"),  # Wine says goodbye first
        (cutting, "cut off"),
        (cutting_a_block, "cut off"),
        (talking, "surplus"),
        (silent, "timeout"),
    ],
)
def test_what_goes_wrong_has_a_name(
    serve: Callable[[Scripted, socket.socket], None], kind: str
) -> None:
    """And an example; a client begins again with a new connection."""
    with scripted(serve) as server:
        timeout = 0.1 if serve is silent else 20.0
        tally = load(server.port, clients=3, timeout=timeout, seconds=0.4)
    assert set(tally.errors) == {kind}
    assert tally.first_errors[kind]
    assert tally.requests == 0
    assert server.connections > 3


def test_nobody_listens() -> None:
    """Refused; and not tried a thousand times a second."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    tally = load(port, clients=2, seconds=0.2)
    assert set(tally.errors) == {"refused"}
    assert tally.errors["refused"] <= 8


def test_garbage_is_read_as_lines() -> None:
    """With ``ok``, what does not begin as it should is an error."""
    with scripted(answering(bytes(range(11, 256)) + b"\n")) as server:
        assert not load(server.port).errors
        assert set(load(server.port, ok=b"hello").errors) == {"wrong reply"}


def test_a_reply_in_pieces() -> None:
    """Byte by byte, a line and a block."""

    def serve(server: Scripted, client: socket.socket) -> None:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in server.lines(client):
            for byte in b"#13a\nb\n":
                client.sendall(bytes([byte]))

    with scripted(serve) as server:
        tally = load(server.port, clients=2)
    assert tally.requests == server.requests > 0
    assert not tally.errors
    assert tally.bytes_in == 7 * tally.requests


def test_greetings_and_what_nobody_asked_for() -> None:
    """Are no replies, before, between and after them."""

    def serve(server: Scripted, client: socket.socket) -> None:
        client.sendall(b"welcome\nto this server\n@push 0\n")
        for number, _ in enumerate(server.lines(client)):
            client.sendall(b"sh 2\nhello\n" if number % 2 else b"@push 1\nhello\n@pu")

    with scripted(serve) as server:
        tally = load(server.port, greeting=2, skip_prefix=b"@", clients=2)
    assert tally.requests == server.requests > 2
    assert not tally.errors


def test_an_old_server_with_reconnect() -> None:
    """It sends text without a newline, of several lines even, and closes."""

    def serve(server: Scripted, client: socket.socket) -> None:
        if client.recv(100):
            client.sendall(b"usage:\nread it")

    with scripted(serve) as server:
        tally = load(server.port, reconnect=True)
    assert tally.requests > 3
    assert not tally.errors


def test_requests_larger_than_the_buffers() -> None:
    """They are sent in parts while the server is slow to read."""
    request = b"x" * 8_000_000 + b"\n"
    with scripted(answering(b"ok\n")) as server:
        tally = load(server.port, request=request)
    assert tally.requests == server.requests > 0
    assert not tally.errors


def test_a_rate_is_kept(stage: Stage) -> None:
    """Requests come evenly, and all of them."""
    tally = load(stage.port, clients=8, rate=200.0, seconds=0.5)
    assert tally.requests == len(stage.executed)
    assert tally.requests == pytest.approx(100, abs=10)


@pytest.mark.parametrize("reconnect", [False, True])
def test_a_rate_out_of_reach_is_told(reconnect: bool) -> None:
    """What was due and not sent is counted, and latencies count from when requests were due."""

    def serve(server: Scripted, client: socket.socket) -> None:
        for _ in server.lines(client):
            time.sleep(0.02)
            client.sendall(b"hello\n")

    with scripted(serve) as server:
        tally = load(server.port, rate=500.0, seconds=0.5, reconnect=reconnect)
    assert tally.requests < 100
    assert tally.unsent + tally.requests == pytest.approx(250, abs=10)
    assert tally.most > 0.3


class Stalling:
    """Answers at once, but for one second of three."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    def __call__(self, server: Scripted, client: socket.socket) -> None:
        for _ in server.lines(client):
            passed = time.monotonic() - self._began
            if 1.0 <= passed < 2.0:
                server.over.wait(2.0 - passed)
            client.sendall(b"hello\n")


def test_a_stalled_server_is_not_flattered() -> None:
    """A closed loop hides a stall of 1 s in 3 s; a rate shows how long people would wait."""
    rate = 40.0 if WINDOWS else 200.0  # that the closed loop beside it leaves time for
    with scripted(Stalling()) as first, scripted(Stalling()) as second, ThreadPool(2) as pool:
        closed, at_rate = pool.starmap(
            lambda port, rate: load(port, clients=2, seconds=3.0, rate=rate),
            [(first.port, None), (second.port, rate)],
        )
    assert closed.most > 0.9
    assert closed.percentile(99) < 0.1
    assert at_rate.percentile(99) > 0.8
    assert at_rate.percentile(90) > 0.5
    assert at_rate.percentile(50) < 0.1


def test_a_stall_at_the_end_counts() -> None:
    """The reply is waited for."""

    def serve(server: Scripted, client: socket.socket) -> None:
        for _ in server.lines(client):
            server.over.wait(0.5)
            client.sendall(b"hello\n")

    with scripted(serve) as server:
        tally = load(server.port, clients=2, seconds=0.2)
    assert (tally.requests, tally.late, tally.requests_per_second) == (2, 2, 0)
    assert tally.least > 0.4
    assert tally.timeline[0].max > 0.4


def test_warm_up_and_ramp() -> None:
    """What comes in the warm-up is not counted; clients come one after another."""
    seconds: list[Second] = []
    with scripted(answering(b"hello\n")) as server:
        plan = Plan("127.0.0.1", server.port, REQUEST, 4, seconds=0.3, ramp=0.4, warm_up=0.3)
        tally = drive(plan, seconds.append)
        assert server.connections == 4
    assert 0 < tally.requests < server.requests
    assert [second.second for second in seconds] == [-1, 0]
    assert seconds[1].requests == tally.requests - tally.late
    assert [second.second for second in tally.timeline] == [0]


def test_seconds_are_told_while_it_goes_on() -> None:
    """They add up to the whole."""
    seconds: list[Second] = []
    with scripted(answering(b"hello\n")) as server:
        plan = Plan("127.0.0.1", server.port, REQUEST, seconds=1.2)
        tally = drive(plan, seconds.append)
    assert [second.second for second in seconds] == [0, 1]
    assert sum(second.requests for second in seconds) == tally.requests - tally.late
    assert sum(second.counts.total() for second in tally.timeline) == tally.requests


def test_it_can_be_stopped() -> None:
    """At once, whatever it waits for; what was measured is returned."""
    stop = threading.Event()
    with scripted(answering(b"hello\n")) as server:
        plan = Plan("127.0.0.1", server.port, REQUEST, seconds=600)
        threads = threading.Thread(
            target=lambda: (wait_until(lambda: server.requests > 9), stop.set())
        )
        threads.start()
        tally = drive(plan, stop=stop)
        threads.join()
    assert tally.requests > 0
    assert 0 < tally.seconds < 60
    assert tally.unsent == 0


def test_a_share_of_the_clients() -> None:
    """Each process has its own."""
    with scripted(answering(b"hello\n")) as server:
        plan = Plan("127.0.0.1", server.port, REQUEST, 5, seconds=0.1, processes=2)
        drive(plan, process=1)
    assert server.connections == 2


def test_a_host_without_address() -> None:
    """Is told by name."""
    with pytest.raises(LabUtilsError, match=r"the host 'no.such.host.invalid' has no address"):
        drive(Plan("no.such.host.invalid", 1507, REQUEST))
    with pytest.raises(LabUtilsError, match="has no address"):
        find(Plan("a" * 70, 1507, REQUEST))


def test_a_host_with_several_addresses() -> None:
    """The one that takes connections is used, and only it."""
    with scripted(answering(b"hello\n")) as server:
        assert not drive(Plan("localhost", server.port, REQUEST, seconds=0.1)).errors


def test_more_clients_than_files() -> None:
    """A clear error before anything is sent."""
    resource = pytest.importorskip("resource", reason="Windows has no RLIMIT_NOFILE")
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY or hard > 90_000:
        pytest.skip("this system has no limit that a load reaches")
    with pytest.raises(LabUtilsError, match="use more processes, or raise the limit"):
        drive(Plan("127.0.0.1", 9, REQUEST, clients=hard))
