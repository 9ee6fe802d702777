"""The client for event loops."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from client.json_peers import Cryostat, Peer, is_free, peer
from daemons import TIMEOUT, Stage, serving, wait_until
from original import Original

from lab_utils_mt.socket_comm import (
    AsyncClient,
    ConnectionClosed,
    MessageError,
    ReplyLost,
    ReplyTimeout,
)


def run(port: int, story: Callable[[AsyncClient], Awaitable[Any]]) -> Any:
    """Run a story with a client; no task may be left."""

    async def main() -> Any:
        before = asyncio.all_tasks()
        async with AsyncClient(host="127.0.0.1", port=port, timeout=TIMEOUT) as client:
            result = await story(client)
        assert asyncio.all_tasks() == before
        return result

    return asyncio.run(asyncio.wait_for(main(), 3 * TIMEOUT))


def test_it_has_the_face_of_the_client(cryostat: Cryostat) -> None:
    """Text, calls, functions, description, options."""

    async def story(client: AsyncClient) -> None:
        assert await client.send_message("ping") == "pong"
        assert await client.call("set_temperature", 4, ramp=1) == 5.0
        assert await client.call("raw") == bytes(range(256))
        assert (await client.discover())["info"]["title"] == "Cryostat"
        assert "kelvin: float" in str(inspect.signature(client.commands.set_temperature))
        assert await client.commands.echo("x") == "x"
        with pytest.raises(AttributeError, match="near to it: echo"):
            client.commands.eco  # noqa: B018
        with pytest.raises(ValueError, match="no"):
            await client.call("fail", "value")
        with pytest.raises(MessageError):
            await client.call("fial")
        told: list[float] = []
        assert await client.using(on_progress=lambda f, _: told.append(f)).call("scan", 4) == 4
        assert told == [0.25, 0.5, 0.75, 1.0]

    run(cryostat.port, story)


def test_replies_of_any_form_arrive_whole(stage: Stage) -> None:
    """As with the other client."""

    async def story(client: AsyncClient) -> None:
        assert await client.send_message("echo x") == "x"
        assert await client.query_bytes("blob") == bytes(range(256))
        assert len(await client.send_message("long")) == 20_000_000

    run(stage.port, story)


def test_many_tasks_share_few_connections(cryostat: Cryostat) -> None:
    """Each gets its own reply; a server's places are not used up."""

    async def story(client: AsyncClient) -> list[str]:
        return await asyncio.gather(*(client.call("echo", f"{n}" * 50) for n in range(500)))

    assert run(cryostat.port, story) == [f"{n}" * 50 for n in range(500)]
    assert cryostat._client_registry.snapshot()[1].peak <= 64


def test_many_large_calls_do_not_block(cryostat: Cryostat) -> None:
    """Neither end waits for the other to read."""

    async def story(client: AsyncClient) -> list[str]:
        return await client.call_many(("echo", [f"{n}" + "x" * 100_000]) for n in range(200))

    assert [reply.rstrip("x") for reply in run(cryostat.port, story)] == [
        str(n) for n in range(200)
    ]


def test_a_cancelled_call_answers_no_other(cryostat: Cryostat) -> None:
    """Its connection is closed."""

    async def story(client: AsyncClient) -> None:
        for command in ("hold", "hold_once"):
            task = asyncio.ensure_future(client.call(command))
            await asyncio.to_thread(cryostat.waiting.acquire, timeout=TIMEOUT)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await client.call("echo", "x") == "x"
        with pytest.raises(ReplyTimeout, match="may or may not"):
            await client.using(timeout=0.3).call("hold")
        cryostat.gate.set()
        assert await client.call("hold") == "held"

    run(cryostat.port, story)


def test_a_lost_reply_is_asked_for_again_only_if_that_is_harmless() -> None:
    """As with the other client."""

    def vanish(server: Peer) -> None:
        server.ask()

    with peer(lambda s: vanish(s.describe("get", idempotent=True)), vanish, Peer.answer) as port:
        assert run(port, lambda client: client.call("get")) == "get"
    with peer(lambda s: vanish(s.describe("put"))) as port, pytest.raises(ReplyLost):
        run(port, lambda client: client.call("put"))


def test_readings_can_be_watched(cryostat: Cryostat) -> None:
    """Until they are enough."""

    async def story(client: AsyncClient) -> int:
        count = 0
        async with client.watch("sensor") as watch:
            async for reading in watch:
                assert reading["kelvin"] == 4.2
                count += 1
                if count == 3:
                    break
        with pytest.raises(MessageError):
            await client.watch("nothing").__anext__()
        return count

    assert run(cryostat.port, story) == 3


def test_a_watch_survives_a_restart(pid_file: str) -> None:
    """And can be ended while it is read."""

    async def story(client: AsyncClient) -> None:
        async with client.watch("sensor") as watch:
            assert (await watch.__anext__())["kelvin"] == 4.2
            await asyncio.to_thread(stack.close)
            stack.enter_context(serving(second))
            async for reading in watch:
                if reading["kelvin"] == 9.0:
                    await watch.close()

    with contextlib.ExitStack() as stack:
        first = Cryostat(pid_file_name=pid_file, host="127.0.0.1", port=0)
        stack.enter_context(serving(first))
        second = Cryostat(pid_file_name=f"{pid_file}2", host="127.0.0.1", port=first.port)
        second.kelvin = 9.0
        run(first.port, story)


def test_a_server_of_05_is_spoken_to(original: Original, tmp_path: Path) -> None:
    """In text."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    async def story(client: AsyncClient) -> None:
        with pytest.raises((MessageError, ConnectionClosed), match="send_message"):
            await client.call("move")
        assert (await client.send_message("move 1")).startswith("moved")
        await client.send_message("quit")

    with original.daemon(port, str(tmp_path / "pid")):
        wait_until(lambda: not is_free(port), "the daemon")
        run(port, story)


def test_no_server_is_an_error() -> None:
    """It says where the client looked."""
    with pytest.raises(OSError, match=r"cannot reach a server at 127\.0\.0\.1:1:"):
        run(1, lambda client: client.call("x"))


def test_the_facade_does_not_import_asyncio() -> None:
    """Those who need it do."""
    code = "import sys, lab_utils_mt.socket_comm; print('asyncio' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
