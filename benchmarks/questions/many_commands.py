"""What does a request cost as the commands of a server grow from 1 to 1,000?

One client that stays connected asks, one request at a time, for the command that was added last:
typed, by JSON-RPC, and in the argparse style of 0.5.x. ``server_cpu_us`` is the processor time of
the server process over the requests that it answered. ``growth`` is that with so many commands over
that with one, of two server processes that take turns. Servers and client are all kept on one
processor, so that it does not matter where the system puts them.
"""

from __future__ import annotations

import contextlib
from functools import partial
from typing import Any

from benchmarks.house.peer import Peer, Wire
from benchmarks.house.question import Bar, Case, Plot, Size
from benchmarks.house.servers import serving
from benchmarks.house.turns import Side, in_turns, on_one_processor
from benchmarks.peers.ours import run, version

MODULE = "benchmarks.questions.many_commands"
COUNTS = (1, 100, 1000)
TEXT = b"echo%d hello\n"
JSON = b'{"jsonrpc":"2.0","method":"echo%d","params":["hello"],"id":1}\n'
# Which server, the request, how its reply begins.
STYLES = {
    "typed": ("TYPED", TEXT, b"hello"),
    "JSON-RPC": ("TYPED", JSON, b'{"jsonrpc":"2.0","result":"hello"'),
    "argparse": ("PARSED", TEXT, b"hello"),
}


def serve_typed(port: int, options: dict[str, Any]) -> None:
    """Run ``options["commands"]`` typed commands."""
    from lab_utils_mt.commands import command
    from lab_utils_mt.socket_comm import Server

    def make(number: int) -> Any:
        def echo(_: Any, text: str) -> str:
            """Send a word back."""
            return text

        echo.__name__ = f"echo{number}"
        return command(echo)

    methods = {f"echo{number}": make(number) for number in range(options["commands"])}
    run(type("Typed", (Server,), methods), port, {})


def serve_parsed(port: int, options: dict[str, Any]) -> None:
    """Run ``options["commands"]`` commands in the style of 0.5.x."""
    from lab_utils_mt.socket_comm import Server

    class Parsed(Server):
        def create_parser(self) -> None:
            super().create_parser()
            for number in range(options["commands"]):
                echo = self.sp.add_parser(f"echo{number}", description="sends a word back")
                echo.add_argument("text", help="the word")
                echo.set_defaults(func=self.echo, which="echo")

        def echo(self) -> None:
            self.reply = self.namespace.text

    run(Parsed, port, {})


def peer(style: str, serve: Any) -> Peer:
    """Return a contestant; each has a command ``echo0``."""
    return Peer(
        name=f"lab_utils_mt, {style}",
        version=version,
        settings="as installed",
        serve=serve,
        wire=Wire(TEXT % 0, ok=b"hello"),
    )


TYPED = peer("typed", serve_typed)
PARSED = peer("argparse", serve_parsed)


def cases(size: Size) -> list[Case]:
    """Measure each style with ever more commands."""
    return [
        Case({"style": style, "commands": count}, partial(measure, style, count, size))
        for count in size.pick(COUNTS, COUNTS[-1:])
        for style in STYLES
    ]


BARS = [
    Bar(
        f"{style}: a request costs at most 1.1 with 1,000 commands of what it costs with one",
        figure="growth",
        of={"style": style, "commands": COUNTS[-1]},
        at_most=1.1,
    )
    for style in STYLES
]
PLOTS = [
    Plot(
        "server_cpu_us",
        x="commands",
        line="style",
        title="Cost of a request, with ever more commands",
        y_label="processor time of the server, µs",
        log_x=True,
    )
]


def measure(style: str, count: int, size: Size) -> dict[str, float]:
    """Ask a server with one command and one with so many, in turns."""
    attribute, request, ok = STYLES[style]
    with contextlib.ExitStack() as stack:
        stack.enter_context(on_one_processor())
        sides = []
        for commands in (1, count):
            server = stack.enter_context(serving(f"{MODULE}:{attribute}", commands=commands))
            sides.append(Side(server, 1, request % (commands - 1), ok))
        one, many = in_turns(sides, size.seconds)
    return {**many, "growth": many["server_cpu_us"] / one["server_cpu_us"]}
