"""Servers of JSON-RPC that the tests share: a real one, and one that does as it is told."""

from __future__ import annotations

import contextlib
import datetime
import enum
import json
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Annotated, Any, Literal

from daemons import TIMEOUT

from lab_utils_mt.commands import Meta, Request, Unit, command, poll
from lab_utils_mt.exceptions import DeviceBusy
from lab_utils_mt.socket_comm import Server


class Mode(enum.Enum):
    """How the cryostat runs."""

    COOL = "cool"
    WARM = "warm"


class Cryostat(Server):
    """A cryostat with two stages."""

    max_message = 1_000_000

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.gate = threading.Event()
        self.waiting = threading.Semaphore(0)
        self.kelvin = 4.2
        self.sensor_fails = False
        self.executed: list[str] = []
        super().__init__(*args, **kwargs)

    def create_parser(self) -> None:
        super().create_parser()
        move = self.sp.add_parser("move-to", description="moves, as in 0.5.x")
        move.add_argument("place", type=int)
        move.set_defaults(func=self.move, which="move-to")

    def move(self) -> None:
        self.reply = f"at {self.namespace.place}"

    @command(device="heater", timeout=30)
    def set_temperature(
        self,
        kelvin: Annotated[float, Meta(ge=0, le=300), Unit("K")],
        *,
        ramp: Annotated[float, Meta(ge=0), Unit("K/min")] = 0.0,
    ) -> Annotated[float, Unit("K")]:
        """Set the target temperature.

        The heater follows.

        Args:
            kelvin: Target.
            ramp: Slope; 0 jumps.

        Returns:
            The new target.
        """
        self.kelvin = kelvin + ramp
        return self.kelvin

    @command(idempotent=True)
    def echo(self, text: str) -> str:
        """Return a text."""
        self.executed.append(text)
        return text

    @command
    def add(self, text: str) -> int:
        """Remember a text; return how many there are."""
        self.executed.append(text)
        return len(self.executed)

    @command(idempotent=True)
    def grow(self, text: str, size: int) -> str:
        """Return a text of some size."""
        return text[:1] * size

    @command(idempotent=True)
    def when(
        self, at: datetime.datetime, day: datetime.date, raw: bytes, mode: Mode
    ) -> dict[str, str]:
        """Tell what came."""
        return {"at": at.isoformat(), "day": str(day), "raw": raw.hex(), "mode": mode.name}

    @command(idempotent=True)
    def now(self) -> Annotated[datetime.datetime, Meta(tz=True)]:
        """Return a time."""
        return datetime.datetime(2026, 11, 22, 21, 0, 0, 120000, tzinfo=datetime.timezone.utc)

    @command(idempotent=True)
    def raw(self) -> bytes:
        """Return bytes."""
        return bytes(range(256))

    @command(idempotent=True)
    def readings(self) -> dict[str, float]:
        """Return numbers, one of them missing."""
        return {"a": 1.0, "b": float("nan")}

    @command(idempotent=True)
    def choose(self, how: Literal["a", "b"] = "a", many: list[int] | None = None) -> list[str]:
        """Choose."""
        return [how, *map(str, many or [])]

    @command
    def fail(self, how: str) -> None:
        """Raise an error."""
        if how == "busy":
            raise DeviceBusy("stage is busy", device="stage", command="move", seconds=3.5)
        raise {"value": ValueError, "key": KeyError, "os": OSError, "stop": StopIteration}[how](
            "no"
        )

    @command(idempotent=True)
    def scan(self, steps: int, request: Request) -> int:
        """Report the progress."""
        for step in range(steps):
            request.progress((step + 1) / steps, f"step {step + 1}")
        return steps

    @command(idempotent=True)
    def hold(self) -> str:
        """Wait until the test opens the gate."""
        self.waiting.release()
        self.gate.wait(TIMEOUT)
        return "held"

    @command
    def hold_once(self) -> str:
        """Wait, too; not idempotent."""
        return self.hold()

    @poll(every=0.05)
    def sensor(self) -> dict[str, float]:
        """Read the temperature."""
        if self.sensor_fails:
            raise OSError("the sensor is gone")
        return {"kelvin": self.kelvin, "broken": float("nan")}


def is_free(port: int) -> bool:
    """Tell whether no server listens yet; asks without connecting, for a daemon would count it."""
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


@contextlib.contextmanager
def peer(*conversations: Callable[[Peer], None]) -> Iterator[int]:
    """Run a server that treats its connections, one after another, as told; yields its port."""
    errors: list[BaseException] = []

    def serve(listener: socket.socket) -> None:
        try:
            for converse in conversations:
                sock, _ = listener.accept()
                sock.settimeout(TIMEOUT)
                with sock, sock.makefile("rb") as file:
                    converse(Peer(sock, file))
        except BaseException as error:
            errors.append(error)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(TIMEOUT)
        thread = threading.Thread(target=serve, args=(listener,), name="peer")
        thread.start()
        yield listener.getsockname()[1]
        thread.join(TIMEOUT)
    assert errors == []


class Peer:
    """The server's end of one connection."""

    def __init__(self, sock: socket.socket, file: Any) -> None:
        self.sock, self.file = sock, file

    def ask(self) -> dict[str, Any]:
        """Return the next request."""
        line = self.file.readline()
        assert line.endswith(b"\n"), "the client went away"
        request = json.loads(line)
        assert request["jsonrpc"] == "2.0"
        return request  # type: ignore[no-any-return]

    def send(self, **members: Any) -> None:
        """Send a message."""
        self.sock.sendall(json.dumps({"jsonrpc": "2.0", **members}).encode() + b"\n")

    def describe(self, *methods: str, idempotent: bool = False) -> Peer:
        """Answer ``rpc.discover``."""
        request = self.ask()
        assert request["method"] == "rpc.discover"
        made = [
            {"name": name, "params": [{"name": "x", "schema": {}}], "x-idempotent": idempotent}
            for name in methods
        ]
        self.send(id=request["id"], result={"openrpc": "1.3.2", "methods": made})
        return self

    def answer(self, result: Any = None) -> Peer:
        """Answer a request with its method, or as told."""
        request = self.ask()
        self.send(id=request["id"], result=request["method"] if result is None else result)
        return self
