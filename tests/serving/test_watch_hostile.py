"""Readings, errors and wishes that try to hurt who watches, who polls, or who reads a terminal."""

from __future__ import annotations

import contextlib
import json
import logging
import threading
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from daemons import TIMEOUT, Line, serving, wait_until
from serving.fridge import EVERY, Fridge, hub_of, request, status

from lab_utils_mt._commands.devices import Holder
from lab_utils_mt.commands import poll
from lab_utils_mt.socket_comm import Server

NASTY = "\x1b[2J\x9b31m\u202ecba\x7f\u2028\ud800\nnext"


class Odd(Server):
    """Returns what a test gives it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.returned: Any = 1.0
        self.closes = False
        self.gate = threading.Event()
        self.gate.set()
        super().__init__(*args, **kwargs)

    @poll(every=EVERY)
    def sensor(self) -> Any:
        self.gate.wait(TIMEOUT)
        if self.closes:
            self.close()
        if isinstance(self.returned, BaseException):
            raise self.returned
        return self.returned


@pytest.fixture
def odd(pid_file: str) -> Iterator[Odd]:
    """Return a server that is running."""
    with serving(Odd(pid_file_name=pid_file, port=0)) as server:
        yield server
        server.gate.set()


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what was logged of pollers."""
    return [one.getMessage() for one in caplog.records if one.name == "lab_utils_mt.pollers"]


def test_nan_is_null_in_json_and_told_once(odd: Odd, caplog: pytest.LogCaptureFixture) -> None:
    """And stays nan in text, which can say it."""
    odd.returned = {"a": float("nan"), "b": float("-inf")}
    with Line(odd) as json_client, Line(odd) as another, Line(odd) as text_client:
        text_client.ask("watch sensor")
        while not text_client.line().endswith(b" a=nan b=-inf\n"):
            pass
        assert not warnings_of(caplog)
        for client in (json_client, another):
            client.send(request("watch", 1, name="sensor"))
            client.line()
        for _ in range(20):
            another.line()
            push = json.loads(json_client.line(), parse_constant=pytest.fail)
            assert push["params"]["values"] == {"a": None, "b": None}
    assert warnings_of(caplog) == [
        "poller sensor: NaN or infinity is sent as null to JSON-RPC clients"
    ]


@pytest.mark.parametrize("every", [10**400, 10**308])
def test_a_wish_of_any_size_hurts_nobody(odd: Odd, every: int) -> None:
    """Also before the first reading: the poller would have met it, for all clients."""
    odd.gate.clear()
    with Line(odd) as good, Line(odd) as bad:
        hub_of(odd)._newest.clear()
        good.ask("watch sensor")
        bad.send(request("watch", 1, name="sensor", every=every))
        bad.line()
        odd.gate.set()
        for _ in range(5):
            assert good.line().startswith(b"@sensor ")


def test_errors_cannot_drive_a_terminal(odd: Odd, caplog: pytest.LogCaptureFixture) -> None:
    """Not in what is pushed, not in the status, not in the log."""
    odd.returned = OSError(NASTY)
    with Line(odd) as client:
        client.ask("watch sensor")
        while b" error=" not in (line := client.line()):
            pass
        assert line.isascii()
        assert line[:-1].decode().isprintable()
        wait_until(lambda: "failing" in status(odd))
        shown = status(odd).splitlines()
    (poller,) = [one for one in shown if one.startswith("  sensor: ")]
    assert poller.isprintable()
    assert all(text.isprintable() for text in warnings_of(caplog))


def test_texts_and_columns_cannot_break_a_line(odd: Odd) -> None:
    """Lines stay lines, in either form."""
    nasty = NASTY.replace("\ud800", "")
    odd.returned = {nasty: nasty, "a b=": 1}
    with Line(odd) as text, Line(odd) as rpc:
        text.ask("watch sensor")
        while b"next" not in (line := text.line()):
            pass
        assert line.isascii()
        assert line[:-1].decode().isprintable()
        rpc.send(request("watch", 1, name="sensor"))
        rpc.line()
        assert json.loads(rpc.line())["params"]["values"] == odd.returned


def _eastern(moment: datetime) -> datetime:
    return moment.replace(tzinfo=timezone(timedelta(hours=5)))


@pytest.mark.parametrize(
    "returned", [{"a\ud800": 1.0}, {"t": _eastern(datetime.min)}, {"n": 10**400}, {1: 2.0}]
)
def test_what_cannot_be_sent_is_the_pollers_fault(odd: Odd, returned: Any) -> None:
    """Its watchers are told, and not cut; they get the next good reading."""
    with Line(odd) as text, Line(odd) as rpc:
        text.ask("watch sensor")
        rpc.send(request("watch", 1, name="sensor"))
        odd.returned = returned
        for client in (text, rpc):
            while b"error" not in client.line():
                pass
        odd.returned = 2.5
        assert text.line().endswith(b" sensor=2.5\n")
        assert json.loads(rpc.line())["params"]["values"] == {"sensor": 2.5}


def test_times_are_utc_in_both_forms(odd: Odd) -> None:
    """Whatever zone they come in, early ones too."""
    odd.returned = {"t": _eastern(datetime(800, 1, 1, 12))}
    with Line(odd) as text, Line(odd) as rpc:
        text.ask("watch sensor")
        while b" t=" not in (line := text.line()):
            pass
        assert line.endswith(b" t=0800-01-01T07:00:00.000000Z\n")
        rpc.send(request("watch", 1, name="sensor"))
        rpc.line()
        assert json.loads(rpc.line())["params"]["values"] == {"t": "0800-01-01T07:00:00Z"}


def test_what_a_method_changes_later_is_not_sent(odd: Odd) -> None:
    """A reading is what it was."""
    values: dict[str, Any] = {"n": 0}
    odd.returned = values
    with Line(odd) as client:
        client.ask("watch sensor")
        while b" n=0" not in client.line():
            pass
        hub = hub_of(odd)
        odd.gate.clear()
        wait_until(lambda: not any(one._waiting for one in hub._watches["sensor"]))
        newest = hub.newest("sensor")
        assert newest is not None
        values["n"] = object()
        assert newest.values == {"n": 0}


def test_a_poller_may_close_the_server(pid_file: str) -> None:
    """As a command may: it asks, and does not wait for itself."""
    server = Odd(pid_file_name=pid_file, port=0)
    thread = threading.Thread(target=server.start_daemon, name="daemon")
    thread.start()
    wait_until(lambda: server.address)
    began = time.process_time()
    server.closes = True
    thread.join(TIMEOUT)
    assert not thread.is_alive()
    assert time.process_time() - began < server.stop_timeout / 2, "it span while it waited"


def test_the_status_tells_who_has_the_device(pid_file: str) -> None:
    """A poller that gets nothing for an hour is not ok."""

    class Held(Fridge):
        @poll(every=EVERY, device="valve")
        def pressure(self) -> float:
            return 1.0

    with contextlib.ExitStack() as stack:
        server = stack.enter_context(serving(Held(pid_file_name=pid_file, port=0)))
        with server._repertoire.devices.hold(("valve",), Holder("ramp", "somebody"), None):
            text = "in use by 'ramp' of somebody"
            wait_until(lambda: f"device 'valve' is {text}" in status(server))
        wait_until(lambda: text not in status(server))


def test_a_thousand_watches_of_one_client_are_one(odd: Odd) -> None:
    """With replies and readings whole, and one sender."""
    with Line(odd) as client:
        client.ask("ping")
        threads = threading.active_count()
        client.send(b"watch sensor\n" * 1000 + b"ping\n")
        replies = 0
        while (line := client.line()) != b"pong\n":
            assert line == b"watching sensor\n" or line.startswith(b"@sensor ")
            replies += line == b"watching sensor\n"
        assert replies == 1000
        assert len(hub_of(odd)) == 1
        assert threading.active_count() <= threads + 1


def test_a_poller_that_ended_says_so(
    odd: Odd, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Even if by the one exception that no thread survives."""
    caplog.set_level(logging.DEBUG)
    ended: list[object] = []
    monkeypatch.setattr(threading, "excepthook", ended.append)
    odd.returned = KeyboardInterrupt()
    wait_until(lambda: ended)
    wait_until(lambda: "stopped for" in status(odd))
