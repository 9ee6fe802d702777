"""Servers and clients that the tests share: real ones, over real sockets."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from lab_utils_mt.socket_comm import Server

TIMEOUT = 20.0  # seconds; only a hang lasts longer


def wait_until(condition: Callable[[], Any], what: str = "the condition") -> None:
    """Return once ``condition()`` holds; fail if it does not in time."""
    deadline = time.monotonic() + TIMEOUT
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come true in {TIMEOUT} s"
        time.sleep(0.005)


class Stage(Server):
    """A stage with a few commands, written as one does for 0.5.x."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.gate = threading.Event()
        self.waiting = threading.Semaphore(0)
        self.running = 0
        self.most_running = 0
        self.executed: list[str] = []
        self.count_lock = threading.Lock()
        super().__init__(*args, **kwargs)

    def create_parser(self) -> None:
        super().create_parser()
        echo = self.sp.add_parser("echo", description="sends its words back")
        echo.add_argument("words", nargs="*", help="any words")
        echo.add_argument("--times", type=int, default=1, help="how often")
        echo.set_defaults(func=self.echo, which="echo")
        sleep = self.sp.add_parser("sleep", description="sleeps, then answers")
        sleep.add_argument("seconds", type=float)
        sleep.set_defaults(func=self.sleep, which="sleep")
        fail = self.sp.add_parser("fail", description="fails")
        fail.add_argument("how", choices=["raise", "exit", "abort"])
        fail.set_defaults(func=self.fail, which="fail")
        for name, method in (("hold", self.hold), ("blob", self.blob), ("long", self.long)):
            self.sp.add_parser(name).set_defaults(func=method, which=name)

    def echo(self) -> None:
        self.executed.append(self.message)
        self.reply = " ".join(self.namespace.words * self.namespace.times)

    def sleep(self) -> None:
        with self.count_lock:
            self.running += 1
            self.most_running = max(self.most_running, self.running)
        time.sleep(self.namespace.seconds)
        with self.count_lock:
            self.running -= 1
        self.reply = f"slept {self.namespace.seconds}"

    def hold(self) -> None:
        """Wait until the test opens the gate."""
        self.waiting.release()
        self.gate.wait(TIMEOUT)
        self.reply = "held"

    def fail(self) -> None:
        if self.namespace.how == "exit":
            raise SystemExit(3)
        if self.namespace.how == "abort":
            raise ConnectionAbortedError("the instrument hung up")
        raise RuntimeError("the motor is stuck")

    def blob(self) -> None:
        self.reply = bytes(range(256))

    def long(self) -> None:
        self.reply = "x" * 20_000_000


AnyServer = TypeVar("AnyServer", bound=Server)


@contextlib.contextmanager
def serving(server: AnyServer) -> Iterator[AnyServer]:
    """Run a server in a thread; close it at the end, and see that nothing is left of it."""
    with server:
        thread = threading.Thread(target=server.serve_forever, name="serving")
        thread.start()
        try:
            yield server
        finally:
            server.close()
            thread.join(TIMEOUT)
    assert not thread.is_alive(), "serve_forever() did not end"
    assert not Path(server.pid_file_name).exists(), "the PID file was left behind"


class Line:
    """A bare client: what netcat or LabVIEW would do."""

    def __init__(self, server: Server) -> None:
        self.sock = socket.create_connection(("127.0.0.1", server.port), timeout=TIMEOUT)
        self.file = self.sock.makefile("rb")

    def send(self, data: bytes) -> None:
        """Send bytes."""
        self.sock.sendall(data)

    def line(self) -> bytes:
        """Return the next line, none at the end of the stream."""
        return self.file.readline()

    def ask(self, text: str) -> str:
        """Send a line and return the line that comes back."""
        self.send(text.encode() + b"\n")
        return self.line().decode().removesuffix("\n")

    def rest(self) -> bytes:
        """Return everything up to the end of the stream; a reset counts as its end."""
        data = b""
        with contextlib.suppress(ConnectionError):
            while chunk := self.file.read1(65536):
                data += chunk
        return data

    def vanish(self) -> None:
        """Close with a reset instead of a goodbye."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self.file.close()
        self.sock.close()

    def __enter__(self) -> Line:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def refuse_connection_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the system have no more threads for connections: what cannot be had for real."""
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if "-conn-" in thread.name:
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
