"""Servers that say what no server of this package says."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

import pytest
from client.json_peers import Cryostat, Peer, peer
from daemons import TIMEOUT, serving

from lab_utils_mt._client.conversation import Conversation, Request
from lab_utils_mt._client.exchange import ServerTraits
from lab_utils_mt._client.faults import exception_of
from lab_utils_mt.exceptions import CommandFailed, MessageError
from lab_utils_mt.socket_comm import AsyncClient, Client, ConnectionClosed


@pytest.mark.parametrize(
    "params",
    [{"id": []}, {"id": {}}, {"id": "ID", "fraction": "x"}, {"id": "ID", "fraction": [1]}],
)
def test_a_report_that_makes_no_sense_is_none(params: dict[str, Any]) -> None:
    """The call goes on, and nobody is told."""
    told: list[object] = []

    def confuse(server: Peer) -> None:
        server.describe("get")
        number = server.ask()["id"]
        given = {key: number if value == "ID" else value for key, value in params.items()}
        server.send(method="rpc.progress", params=given)
        server.send(id=number, result="done")

    with peer(confuse) as port:
        client = Client(host="127.0.0.1", port=port, timeout=TIMEOUT)
        with client.using(on_progress=lambda *report: told.append(report)) as listening:
            assert listening.call("get") == "done"
    assert told == []


def test_an_error_without_a_proper_code_is_a_failed_command() -> None:
    """Whatever stands there."""
    assert type(exception_of({"code": [], "message": "no"})) is CommandFailed


@pytest.mark.parametrize(
    "document",
    [
        {"methods": None},
        {"methods": [{"name": []}]},
        {"components": None, "methods": []},
        {"methods": [{"name": "get", "params": [{}]}, {"name": "put", "result": None}]},
        {"x-pollers": [{}]},
    ],
)
def test_a_description_that_cannot_be_understood_is_told(document: dict[str, Any]) -> None:
    """As an error that says so."""

    def describe(server: Peer) -> None:
        server.send(id=server.ask()["id"], result=document)

    refused = pytest.raises(MessageError, match="cannot be understood")
    with peer(describe) as port, refused:
        Client(host="127.0.0.1", port=port, timeout=TIMEOUT).call("get")


@pytest.mark.parametrize("names", [["step-size"], ["x", "x"]])
def test_names_that_python_cannot_have_are_no_obstacle(names: list[str]) -> None:
    """The function takes anything; the server knows better."""

    def serve(server: Peer) -> None:
        params = [{"name": name, "schema": {}} for name in names]
        methods = [{"name": "get", "params": params}]
        server.send(id=server.ask()["id"], result={"methods": methods})
        server.answer()

    with peer(serve) as port, Client(host="127.0.0.1", port=port, timeout=TIMEOUT) as client:
        function = client.commands.get
        assert str(inspect.signature(function)) == "(*args, **kwargs)"
        assert function(*names) == "get"


def test_max_reply_is_not_for_the_description_of_the_commands(pid_file: str) -> None:
    """It is longer than many a reply."""
    with serving(Cryostat(pid_file_name=pid_file, host="127.0.0.1", port=0)) as server:
        client = Client(host="127.0.0.1", port=server.port, timeout=TIMEOUT, max_reply=1000)
        assert client.call("grow", "a", 500) == "a" * 500
        with pytest.raises(ConnectionClosed, match="longer than 1000 bytes"):
            client.call("grow", "a", 5000)
        client.close()


def test_what_may_have_run_on_an_earlier_connection_is_not_called_left_out() -> None:
    """Also if only some of it could be sent again."""
    big = "x" * 200_000
    requests = [Request("get", lambda: [big], True) for _ in range(3)]
    conversation = Conversation(requests, ServerTraits())
    conversation.begin(has_replied=False)
    while conversation.fill() or conversation.outgoing:  # all of it is on its way
        conversation.outgoing.clear()
    conversation.begin(has_replied=False)
    conversation.fill()
    lost = ConnectionResetError("lost")
    conversation.give_up(lost, "server")
    assert conversation.outcomes == [lost] * 3


async def _ask_both(ports: tuple[int, int]) -> list[str]:
    async with AsyncClient(host="127.0.0.1", port=ports[0], timeout=TIMEOUT) as client:
        replies = [await client.call("get")]
        client.port = ports[1]
        return [*replies, await client.call("get")]


def test_an_async_client_follows_its_port() -> None:
    """As a client does."""

    def first(server: Peer) -> None:
        server.describe("get").answer("first")

    def second(server: Peer) -> None:
        server.describe("get").answer("second")

    with peer(first) as one, peer(second) as other:
        assert asyncio.run(_ask_both((one, other))) == ["first", "second"]


def test_what_cannot_be_asked_of_a_poller_is_refused() -> None:
    """Before anything is sent: NaN would mean nothing, so all readings."""
    client = Client(host="127.0.0.1", port=1)
    with pytest.raises(MessageError, match="watch: every is nan"):
        client.watch("sensor", every=float("nan"))
    with pytest.raises(MessageError, match="the name of a poller is a str"):
        client.watch(["sensor"])  # type: ignore[arg-type]
