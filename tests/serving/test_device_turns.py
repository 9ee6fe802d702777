"""Commands of one device run one at a time, over real sockets."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from daemons import Line, serving, wait_until

from lab_utils_mt.commands import Request, command
from lab_utils_mt.socket_comm import Server


class Bench(Server):
    """Two instruments; a command holds one until the test opens the gate."""

    device_timeout = 20.0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.gate = threading.Event()
        self.begun = threading.Semaphore(0)
        self.running = 0
        self.most_running = 0
        super().__init__(*args, **kwargs)

    def wait_for_gate(self) -> None:
        """Hold what is held until the test goes on."""
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        self.begun.release()
        self.gate.wait(20)
        self.running -= 1

    @command(device="stage")
    def scan(self) -> str:
        """Take long."""
        self.wait_for_gate()
        return "scanned"

    @command(device="stage", timeout=0.2)
    def peek(self) -> str:
        """Have no patience."""
        return "peeked"

    @command(device="stage")
    def where(self) -> str:
        """Have patience."""
        return "here"

    @command(device="heater")
    def heat(self) -> str:
        """Use another device."""
        return "hot"

    @command(device=("heater", "stage"), timeout=0.0)
    def both(self, request: Request) -> str:
        """Use both."""
        return f"{request.remaining()}"

    def create_parser(self) -> None:
        super().create_parser()
        old = self.sp.add_parser("old")
        old.set_defaults(func=self.old, which="old", device="stage")
        named = self.sp.add_parser("named")
        named.add_argument("device", nargs="?", default="camera")
        named.set_defaults(func=self.named, which="named", device="stage")
        free = self.sp.add_parser("free")
        free.add_argument("device")
        free.set_defaults(func=self.free, which="free")

    def old(self) -> None:
        self.wait_for_gate()
        self.reply = "old"

    def named(self) -> None:
        self.reply = f"named {self.namespace.device}"

    def free(self) -> None:
        self.reply = f"free {self.namespace.device}"


@pytest.fixture
def bench(pid_file: str) -> Iterator[Bench]:
    """Return a server that runs."""
    with serving(Bench(pid_file_name=pid_file, port=0)) as server:
        yield server
        server.gate.set()


def began(bench: Bench) -> None:
    """Wait until a command holds its device."""
    assert bench.begun.acquire(timeout=20)


def status_of(bench: Bench) -> str:
    """Return the status; nobody waits for that."""
    with Line(bench) as line:
        status = json.loads(line.ask('{"jsonrpc": "2.0", "method": "status", "id": 1}'))["result"]
    return str(status)


def test_a_long_command_delays_no_command_of_another_device(bench: Bench) -> None:
    """Nor one without a device, nor those that every server has."""
    with Line(bench) as long, Line(bench) as other:
        long.send(b"scan\n")
        began(bench)
        for _ in range(50):
            assert other.ask("heat") == "hot"
            assert other.ask("free stage") == "free stage"
            assert other.ask("ping") == "pong"
        other.send(b"status\nhelp\n")
        assert other.line().startswith(b"#")
        assert bench.running == 1
        bench.gate.set()
        assert long.line() == b"scanned\n"


@pytest.mark.parametrize("holder", ["scan", "old"])
def test_a_command_waits_for_its_device(bench: Bench, holder: str) -> None:
    """Whether it is typed or of 0.5.x, and whoever has it."""
    with Line(bench) as long, Line(bench) as text, Line(bench) as rpc:
        long.send(f"{holder}\n".encode())
        began(bench)
        text.send(b"where\n")
        wait_until(lambda: "1 waiting" in status_of(bench))
        rpc.send(b'{"jsonrpc": "2.0", "method": "named", "id": 1}\n')
        wait_until(lambda: "2 waiting" in status_of(bench))
        bench.gate.set()
        assert text.line() == b"here\n"
        assert json.loads(rpc.line())["result"].startswith("named")


@pytest.mark.parametrize("dialect", ["text", "JSON-RPC"])
def test_who_waits_too_long_is_told_for_whom(bench: Bench, dialect: str) -> None:
    """In both dialects."""
    with Line(bench) as long, Line(bench) as other:
        long.send(b"scan\n")
        began(bench)
        address = "{}:{}".format(*long.sock.getsockname())
        if dialect == "text":
            reply = other.ask("peek")
            assert reply.startswith("Error! DeviceBusy: device 'stage' is busy: 'scan' of ")
            assert address in reply
        else:
            error = json.loads(other.ask('{"jsonrpc": "2.0", "method": "peek", "id": 1}'))["error"]
            assert error["code"] == -32001
            data = error["data"]
            assert (data["type"], data["device"]) == ("DeviceBusy", "stage")
            assert (data["command"], data["client"]) == ("scan", address)
            assert 0.1 < data["waited"] <= data["seconds"] < 20
        bench.gate.set()


def test_the_status_shows_holder_and_queue(bench: Bench) -> None:
    """To anybody who asks."""
    with Line(bench) as long, Line(bench) as next_one:
        long.send(b"scan\n")
        began(bench)
        next_one.send(b"where\n")
        wait_until(lambda: "1 waiting" in status_of(bench))
        status = status_of(bench)
        bench.gate.set()

    assert "devices: 1 of 2 in use" in status
    holder = "  stage: 'scan' of {}:{} for 0.".format(*long_address(status))
    assert holder in status
    assert "1 waiting, next 'where' of 127.0.0.1:" in status


def long_address(status: str) -> tuple[str, str]:
    """Return whom the status names as the holder."""
    holder = next(line for line in status.splitlines() if line.startswith("  stage: "))
    host, _, port = holder.split(" of ")[1].split(" for ")[0].rpartition(":")
    return host, port


@pytest.mark.parametrize("words", ["named", "named camera"])
def test_an_argument_called_device_is_an_argument(bench: Bench, words: str) -> None:
    """The device is what set_defaults() says, whatever a client sends."""
    with Line(bench) as long, Line(bench) as other:
        long.send(b"scan\n")
        began(bench)
        other.send(f"{words}\n".encode())
        wait_until(lambda: "1 waiting" in status_of(bench))
        assert "camera:" not in status_of(bench)
        bench.gate.set()
        assert other.line().startswith(b"named ")


def test_an_option_before_the_command_does_not_open_a_way_round(pid_file: str) -> None:
    """The command takes its device all the same."""

    class Verbose(Bench):
        def create_parser(self) -> None:
            super().create_parser()
            self.parser.add_argument("--verbose", action="store_true")

    with (
        serving(Verbose(pid_file_name=pid_file, port=0)) as bench,
        Line(bench) as long,
        Line(bench) as other,
    ):
        long.send(b"scan\n")
        began(bench)
        assert other.ask("--verbose peek").startswith("Error! DeviceBusy")
        bench.gate.set()


def test_two_servers_of_one_class_share_nothing(pid_file: str) -> None:
    """Each has its own instruments."""
    second = Bench(pid_file_name=f"{pid_file}.2", port=0)
    with (
        serving(Bench(pid_file_name=pid_file, port=0)) as one,
        serving(second) as two,
        Line(one) as at_one,
        Line(two) as at_two,
    ):
        at_one.send(b"scan\n")
        began(one)
        assert at_two.ask("peek") == "peeked"
        assert float(at_two.ask("both")) == 0.0
        one.gate.set()


def test_serial_commands_run_one_at_a_time_whatever_their_device(pid_file: str) -> None:
    """The built-in ones do not wait."""

    class Serial(Bench):
        serial_commands = True

    with (
        serving(Serial(pid_file_name=pid_file, port=0)) as bench,
        Line(bench) as long,
        Line(bench) as other,
    ):
        long.send(b"scan\n")
        began(bench)
        other.send(b"heat\n")
        wait_until(lambda: "1 waiting" in status_of(bench))
        bench.gate.set()
        assert other.line() == b"hot\n"
        assert bench.most_running == 1


def test_the_stop_refuses_those_who_wait(pid_file: str) -> None:
    """And lets those who run come to their end."""
    with (
        serving(Bench(pid_file_name=pid_file, port=0)) as bench,
        Line(bench) as long,
        Line(bench) as other,
    ):
        long.send(b"scan\n")
        began(bench)
        other.send(b"where\n")
        wait_until(lambda: "1 waiting" in status_of(bench))
        stop = threading.Thread(target=bench.close)
        stop.start()
        assert other.line() == b"Error! shutting down\n"
        assert bench.running == 1
        bench.gate.set()
        assert long.line() == b"scanned\n"
        stop.join()
