"""How does lab_utils_mt take part, with typed commands and in the argparse style of 0.5.x?"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

from benchmarks.house.peer import Peer, Wire

# The rest is what a lab gets without touching a setting.
ROOM = {"max_clients": 2048, "max_backlog": 1024}


def run(server_class: Any, port: int, options: dict[str, Any]) -> None:
    """Run a server with the settings in ``options``; its PID file is in the working folder."""
    for name, value in options.items():
        setattr(server_class, name, value)
    pid_file = str(Path.cwd() / "bench.pid")
    server_class(host="127.0.0.1", port=port, pid_file_name=pid_file).start_daemon()


def typed_server() -> Any:
    """Return a server with typed commands."""
    from lab_utils_mt.commands import Meta, Unit, command
    from lab_utils_mt.socket_comm import Server

    Kelvin = Annotated[float, Meta(ge=0, le=300), Unit("K")]  # noqa: N806

    class Typed(Server):
        """A heater."""

        @command
        def echo(self, text: str) -> str:
            """Send a word back."""
            return text

        @command
        def sleep(self, seconds: float) -> str:
            """Take some time."""
            time.sleep(seconds)
            return "slept"

        @command
        def blob(self, size: int) -> bytes:
            """Send many bytes."""
            return b"x" * size

        @command
        def heat(self, kelvin: Kelvin, ramp: float) -> float:  # type: ignore[valid-type]
            """Set the target temperature."""
            return kelvin + 0 * ramp

        @command(device="heater")
        def heat_alone(self, kelvin: Kelvin, ramp: float) -> float:  # type: ignore[valid-type]
            """Set it while nobody else does."""
            return kelvin + 0 * ramp

    return Typed


def serve_typed(port: int, options: dict[str, Any]) -> None:
    """Run typed commands.

    Args:
        port: To listen on.
        options: Settings of the server; ``commands``: how many further commands it has.
    """
    server = typed_server()
    if more := options.pop("commands", 0):
        server = type("Many", (server,), further_commands(more))
    run(server, port, {**ROOM, **options})


def further_commands(count: int) -> dict[str, Any]:
    """Return ``echo0`` ... for a class body; each sends a word back."""
    from lab_utils_mt.commands import command

    def make(number: int) -> Any:
        def echo(_self: Any, text: str) -> str:
            """Send a word back, too."""
            return text

        echo.__name__ = echo.__qualname__ = f"echo{number}"
        return command(echo)

    return {f"echo{number}": make(number) for number in range(count)}


def argparse_style(server_class: Any) -> Any:
    """Return a server of lab_utils or of lab_utils_mt with commands in the style of 0.5.x."""

    class Parsed(server_class):
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

    return Parsed


def serve_on_one_processor(port: int, options: dict[str, Any]) -> None:
    """Run typed commands, all clients on one processor."""
    serve_typed(port, {"one_processor": True, **options})


def serve_argparse(port: int, options: dict[str, Any]) -> None:
    """Run commands in the style of 0.5.x on lab_utils_mt."""
    from lab_utils_mt.socket_comm import Server

    run(argparse_style(Server), port, {**ROOM, **options})


@contextlib.contextmanager
def connect(port: int) -> Iterator[Callable[[], object]]:
    """Connect with the client of this package."""
    from lab_utils_mt.socket_comm import Client

    with Client(host="127.0.0.1", port=port, timeout=60) as client:

        def echo() -> str:
            reply = client.send_message("echo hello")
            if reply != "hello":
                raise ValueError(f"wrong reply: {reply!r}")
            return reply

        yield echo


def version() -> str:
    """Return the version of this checkout, installed or not."""
    import lab_utils_mt

    return lab_utils_mt.__version__


PEER = Peer(
    name="lab_utils_mt",
    version=version,
    settings="typed commands; as installed, but room for 2048 clients",
    serve=serve_typed,
    wire=Wire(b"echo hello\n", ok=b"hello"),
    colour="#E69F00",
)
ONE_PROCESSOR = Peer(
    name="lab_utils_mt, one_processor",
    version=version,
    settings="typed commands; one_processor = yes, and room for 2048 clients",
    serve=serve_on_one_processor,
    wire=Wire(b"echo hello\n", ok=b"hello"),
    colour="#D55E00",
)
ARGPARSE = Peer(
    name="lab_utils_mt, argparse",
    version=version,
    settings="commands in the style of 0.5.x; as installed, but room for 2048 clients",
    serve=serve_argparse,
    wire=Wire(b"echo hello\n", ok=b"hello"),
    colour="#F6C667",
)
OWN_CLIENT = Peer(
    name="lab_utils_mt, own client",
    version=version,
    settings="the same server, asked by the client of this package instead of on the wire",
    serve=serve_typed,
    connect=connect,
    colour="#9A3B00",
)
