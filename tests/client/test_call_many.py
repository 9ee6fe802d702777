"""Many calls over one connection."""

from __future__ import annotations

import math
import time

import pytest
from client.json_peers import Cryostat, Peer, peer
from daemons import TIMEOUT

from lab_utils_mt.exceptions import CommandFailed
from lab_utils_mt.socket_comm import Client, ConnectionClosed, MessageError, ReplyLost


def connect(port: int) -> Client:
    """Return a client of a server that does as it is told."""
    return Client(host="127.0.0.1", port=port, timeout=TIMEOUT)


def test_results_come_in_order(client: Client, cryostat: Cryostat) -> None:
    """Whatever the form of the params; over the connection of the call before."""
    calls = [("echo", ["a"]), ("echo", {"text": "b"}), ("now",), "ping", ("choose", ("b", [1]))]
    results = client.call_many(calls)
    assert [results[0], results[1], results[3], results[4]] == ["a", "b", "pong", ["b", "1"]]
    assert client.call_many([]) == []
    assert cryostat._client_registry.snapshot()[1].accepted == 1


def test_10000_calls_with_100_kb_both_ways_do_not_block(client: Client) -> None:
    """Neither end waits for the other to read; each reply is its call's."""
    text = "x" * 100_000
    for size, count in ((100_000, 300), (1, 10_000)):
        calls = (("echo", [f"{number}{text[:size]}"]) for number in range(count))
        assert client.call_many(calls) == [f"{number}{text[:size]}" for number in range(count)]


def test_an_error_does_not_stop_the_others(client: Client, cryostat: Cryostat) -> None:
    """The first is raised at the end, or all are returned."""
    calls = [("add", ["a"]), ("fail", ["value"]), ("add", [math.nan]), ("add", ["b"]), ("fial",)]
    with pytest.raises(ValueError, match="no") as caught:
        client.call_many(calls)
    assert isinstance(caught.value, CommandFailed)
    assert cryostat.executed == ["a", "b"]
    results = client.call_many(calls, return_exceptions=True)
    kinds = [type(result).__name__ for result in results]
    assert kinds == ["int", "ValueError", "MessageError", "int", "MessageError"]


def test_what_is_no_call_is_refused(client: Client, cryostat: Cryostat) -> None:
    """Before anything is sent."""
    for call in (None, ("add", "text"), ("add", {}, 3), (3, [])):
        with pytest.raises(MessageError, match="call 2 is"):
            client.call_many([("add", ["x"]), call])
    assert cryostat.executed == []


def test_a_lost_connection_ends_what_is_not_idempotent() -> None:
    """Each outcome says whether the command may have run."""

    def some(server: Peer) -> None:
        server.describe("put").answer(1)
        server.ask()

    with peer(some) as port:
        results = connect(port).call_many([("put",)] * 200, return_exceptions=True)
    assert results[0] == 1
    assert isinstance(results[1], ReplyLost)
    assert type(results[-1]) is ConnectionClosed
    assert "was not executed" in str(results[-1])


def test_a_lost_connection_is_made_again_for_what_is_idempotent() -> None:
    """Without asking twice for what was answered."""

    def begin(server: Peer) -> None:
        server.describe("get", idempotent=True).answer(0)
        server.ask()

    def rest(server: Peer) -> None:
        for number in range(1, 100):
            server.answer(number)

    with peer(begin, rest) as port:
        client = connect(port)
        assert client.call_many([("get",)] * 100) == list(range(100))
        client.close()


def test_a_refused_request_ends_the_rest(client: Client) -> None:
    """The server closes after a line that is too long."""
    calls = [("echo", ["a"]), ("echo", ["x" * 3_000_000]), ("echo", ["b"])]
    results = client.call_many(calls, return_exceptions=True)
    assert results[0] == "a"
    assert "message longer than" in str(results[1])
    assert isinstance(results[2], ConnectionClosed)
    assert client.call("echo", "c") == "c"


def test_each_reply_renews_the_timeout() -> None:
    """All together may take longer."""

    def slowly(server: Peer) -> None:
        server.describe("get")
        for number in range(5):
            request = server.ask()
            time.sleep(0.25)
            server.send(id=request["id"], result=number)

    with peer(slowly) as port:
        client = Client(host="127.0.0.1", port=port, timeout=0.8)
        assert client.call_many([("get",)] * 5) == list(range(5))
        client.close()
