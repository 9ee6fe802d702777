"""How does PyTango take part? A device server without database; its own client."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from benchmarks.house.peer import Peer, installed

# Else a pool of 100 threads serves as soon as there are 55 connections.
THREADS = [
    *("-ORBmaxServerThreadPoolSize", "2048"),
    *("-ORBthreadPerConnectionUpperLimit", "100000"),
    *("-ORBthreadPerConnectionLowerLimit", "90000"),
]
ENDPOINT = "giop:tcp:127.0.0.1:{port}"


def serve(port: int, _options: dict[str, Any]) -> None:
    """Run a device with a command; calls of many clients may overlap in it, as in ours."""
    from tango import SerialModel, Util
    from tango.server import Device, command, run

    class Echo(Device):
        @command(dtype_in=str, dtype_out=str)
        def echo(self, text: str) -> str:
            return text

    def overlap() -> None:
        Util.instance().set_serial_model(SerialModel.NO_SYNC)

    arguments = ["Echo", "bench", "-nodb", "-dlist", "bench/echo/1"]
    arguments += ["-ORBendPoint", ENDPOINT.format(port=port), *THREADS]
    run((Echo,), args=arguments, post_init_callback=overlap)


@contextlib.contextmanager
def connect(port: int) -> Iterator[Callable[[], object]]:
    """Make a proxy of the device."""
    from tango import CmdArgType, DevFailed, DeviceData, DeviceProxy

    proxy = DeviceProxy(f"tango://127.0.0.1:{port}/bench/echo/1#dbase=no")
    proxy.set_timeout_millis(30_000)

    argument = DeviceData()  # with a mere str the client asks for the type, each time
    argument.insert(CmdArgType.DevString, "hello")

    def echo() -> object:
        try:
            return proxy.command_inout("echo", argument)
        except DevFailed:  # while many connect, some are not given the time that it takes
            return proxy.command_inout("echo", argument)

    yield echo


PEER = Peer(
    name="PyTango",
    version=installed("pytango"),
    settings="no database, SerialModel.NO_SYNC, a thread for each client, DeviceData kept",
    serve=serve,
    connect=connect,
    colour="#7A5FA8",
)
