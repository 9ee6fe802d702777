"""Which servers are compared?

Each runs in a process of its own, by ``python contestants.py NAME PORT``, and knows the commands
``echo TEXT`` and ``sleep SECONDS``.
"""

from __future__ import annotations

import contextlib
import os
import socket
import socketserver
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any


def lab_daemon(server_class: Any, port: int) -> None:
    """Run a server of lab_utils or of lab_utils_mt."""

    class Bench(server_class):
        """A server with two commands."""

        def create_parser(self) -> None:
            super().create_parser()
            echo = self.sp.add_parser("echo", description="sends a word back")
            echo.add_argument("text", help="the word")
            echo.set_defaults(func=self.echo, which="echo")
            sleep = self.sp.add_parser("sleep", description="sleeps")
            sleep.add_argument("seconds", type=float, help="how long")
            sleep.set_defaults(func=self.sleep, which="sleep")

        def echo(self) -> None:
            self.reply = self.namespace.text

        def sleep(self) -> None:
            time.sleep(self.namespace.seconds)
            self.reply = "slept"

    with tempfile.TemporaryDirectory() as folder:
        pid_file = str(Path(folder) / "bench.pid")
        Bench(host="127.0.0.1", port=port, pid_file_name=pid_file).start_daemon()


def ours(port: int) -> None:
    """Run lab_utils_mt as it is."""
    from lab_utils_mt.socket_comm import Server

    lab_daemon(Server, port)


def original(port: int) -> None:
    """Run lab_utils 0.5.4."""
    from lab_utils.socket_comm import Server

    lab_daemon(Server, port)


def typed(port: int) -> None:
    """Run lab_utils_mt with typed commands."""
    from lab_utils_mt.commands import Meta, Unit, command
    from lab_utils_mt.socket_comm import Server

    class Typed(Server):
        """A heater."""

        @command
        def echo(self, text: str) -> str:
            """Send a word back."""
            return text

        @command
        def heat(
            self, kelvin: Annotated[float, Meta(ge=0, le=300), Unit("K")], ramp: float
        ) -> float:
            """Set the target temperature."""
            return kelvin + 0 * ramp

        @command(device="heater")
        def heat_alone(
            self, kelvin: Annotated[float, Meta(ge=0, le=300), Unit("K")], ramp: float
        ) -> float:
            """Set it while nobody else does."""
            return kelvin + 0 * ramp

    with tempfile.TemporaryDirectory() as folder:
        pid_file = str(Path(folder) / "bench.pid")
        Typed(host="127.0.0.1", port=port, pid_file_name=pid_file).start_daemon()


def stock(port: int) -> None:
    """Run the standard library's threaded server: a thread per connection, no argparse."""

    class Handler(socketserver.StreamRequestHandler):
        disable_nagle_algorithm = True

        def handle(self) -> None:
            for line in self.rfile:
                command, _, argument = line.rstrip(b"\r\n").partition(b" ")
                if command == b"sleep":
                    time.sleep(float(argument))
                self.wfile.write(argument + b"\n")

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = True
        daemon_threads = True
        request_queue_size = 128

    Server(("127.0.0.1", port), Handler).serve_forever()


CONTESTANTS = {
    "lab_utils_mt": ours,
    "typed": typed,
    "ThreadingTCPServer": stock,
    "lab_utils 0.5.4": original,
}


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@contextlib.contextmanager
def running(name: str, path: str | None = None) -> Iterator[int]:
    """Run a contestant; yield its port once it answers."""
    port = free_port()
    environment = dict(os.environ)
    if path:
        environment["PYTHONPATH"] = os.pathsep.join(
            filter(None, [environment.get("PYTHONPATH"), path])
        )
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", __file__, name, str(port)],
        env=environment,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait_for(port, process)
        yield port
    finally:
        process.terminate()
        process.wait(30)


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 20
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)) as sock:
            sock.sendall(b"echo up\n")
            if sock.recv(10):
                return
        time.sleep(0.05)
    raise SystemExit(f"the server on port {port} did not start")


if __name__ == "__main__":
    CONTESTANTS[sys.argv[1]](int(sys.argv[2]))
