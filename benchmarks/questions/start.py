"""How soon after its start has a server answered its first request?

A fresh process runs a whole program, the shortest that serves ``echo``, with its bytecode compiled
as after an installation. The clock runs from its start to the first reply; a client tries to
connect every millisecond. A peer with a protocol of its own is asked with its own client, which is
loaded before. A round is the median of some starts.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from functools import partial
from pathlib import Path

from benchmarks.house.parent import end_with_parent
from benchmarks.house.peer import Peer
from benchmarks.house.question import Bar, Case, Plot, Size
from benchmarks.house.servers import ROOT, StartFailed, answers, environment_of, free_port, peer

LONGEST = 60.0  # s that a start may take
STARTS = 5
ROUND = f"{STARTS} starts"

TYPED = '''
import sys
from lab_utils_mt.commands import command
from lab_utils_mt.socket_comm import Server

class Echo(Server):
    @command
    def echo(self, text: str) -> str:
        """Send a word back."""
        return text

Echo(host="127.0.0.1", port=int(sys.argv[1]), pid_file_name="echo.pid").start_daemon()
'''
PARSED = """
import sys
from {package}.socket_comm import Server

class Echo(Server):
    def create_parser(self):
        super().create_parser()
        echo = self.sp.add_parser("echo", description="sends a word back")
        echo.add_argument("text", help="the word")
        echo.set_defaults(func=self.echo, which="echo")

    def echo(self):
        self.reply = self.namespace.text

Echo(host="127.0.0.1", port=int(sys.argv[1]), pid_file_name="echo.pid").start_daemon()
"""
BARE = """
import socketserver, sys

class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            self.wfile.write(line.partition(b" ")[2])

socketserver.ThreadingTCPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""
RPYC = """
import sys
import rpyc
from rpyc.utils.server import ThreadedServer

class Echo(rpyc.Service):
    def exposed_echo(self, text):
        return text

ThreadedServer(Echo, hostname="127.0.0.1", port=int(sys.argv[1])).start()
"""
PYRO5 = """
import sys
import Pyro5.api

@Pyro5.api.expose
class Echo:
    def echo(self, text):
        return text

with Pyro5.api.Daemon(host="127.0.0.1", port=int(sys.argv[1])) as daemon:
    daemon.register(Echo(), objectId="echo")
    daemon.requestLoop()
"""
AIOKATCP = """
import asyncio, sys
import aiokatcp

class Server(aiokatcp.DeviceServer):
    VERSION = BUILD_STATE = "echo-1.0"

    async def request_echo(self, ctx, text: str) -> str:
        '''Send a word back.'''
        return text

async def main():
    server = Server("127.0.0.1", int(sys.argv[1]))
    await server.start()
    await server.join()

asyncio.run(main())
"""
QMI = """
import sys, threading
from qmi.core.config_defs import CfgContext, CfgQmi
from qmi.core.context import QMI_Context
from qmi.core.rpc import QMI_RpcObject, rpc_method

class Echo(QMI_RpcObject):
    @rpc_method
    def echo(self, text):
        return text

own = CfgContext(host="127.0.0.1", tcp_server_port=int(sys.argv[1]))
context = QMI_Context("srv", CfgQmi(contexts={"srv": own}))
context.start()
context.make_rpc_object("echo", Echo)
threading.Event().wait()
"""
PYTANGO = """
import sys
from tango.server import Device, command, run

class Echo(Device):
    @command(dtype_in=str, dtype_out=str)
    def echo(self, text):
        return text

endpoint = "giop:tcp:127.0.0.1:" + sys.argv[1]
run((Echo,), args=["Echo", "bench", "-nodb", "-dlist", "bench/echo/1", "-ORBendPoint", endpoint])
"""
FRAPPY = """
import os, pathlib, sys
from frappy.core import Command, Module, StringType

class Echo(Module):
    @Command(argument=StringType(), result=StringType())
    def echo(self, text):
        '''Send a word back.'''
        return text

if __name__ == "__main__":
    for kind in ("CONFDIR", "LOGDIR", "PIDDIR"):
        os.environ["FRAPPY_" + kind] = "."
    from frappy.lib import generalConfig
    from frappy.logging import logger
    from frappy.server import Server

    node = 'Node("bench.example", "echo node", "tcp://%s")\\n' % sys.argv[1]
    file = pathlib.Path("echo_cfg.py")
    file.write_text(node + 'Mod("echo", "echo.Echo", "echo module")\\n')
    generalConfig.init()
    logger.init("warning")
    Server("echo", logger.log, cfgfiles=[str(file)]).run()
"""
PROGRAMS = {
    "lab_utils_mt": TYPED,
    "lab_utils_mt, argparse": PARSED.format(package="lab_utils_mt"),
    "lab_utils 0.5.4": PARSED.format(package="lab_utils"),
    "ThreadingTCPServer": BARE,
    "rpyc": RPYC,
    "Pyro5": PYRO5,
    "frappy": FRAPPY,
    "aiokatcp": AIOKATCP,
    "QMI": QMI,
    "PyTango": PYTANGO,
}


def cases(size: Size) -> list[Case]:
    """Measure each contestant that needs no more than a program."""
    return [Case({"server": one}, partial(measure, one, size.pick(STARTS, 1))) for one in PROGRAMS]


BARS = [
    Bar(
        "no later than the original",
        figure="first_reply_ms",
        of={"server": ("lab_utils_mt", "lab_utils_mt, argparse")},
        against={"server": "lab_utils 0.5.4"},
        at_most=1.0,
    )
]
PLOTS = [
    Plot(
        "first_reply_ms",
        x="server",
        line=None,
        title="From the start to the first reply",
        y_label="ms",
        kind="bars",
    )
]


def measure(name: str, starts: int) -> dict[str, float]:
    """Start a server some times, from a process that has nothing else to do."""
    contestant = peer(name)
    contestant.version()  # raises if it is not there
    command = [sys.executable, "-W", "ignore", "-m", __name__, name, str(starts)]
    # The end of its standard input, also if this process is killed, ends it and its server.
    with subprocess.Popen(
        command,
        env=environment_of(contestant),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        watch = threading.Timer(LONGEST * (starts + 1), process.stdin.close)
        watch.start()
        try:
            said = process.stdout.read().splitlines()
        finally:
            watch.cancel()
    if not said:
        raise StartFailed(f"{name} does not start; its error is above")
    return {"first_reply_ms": float(json.loads(said[-1]))}


def start_again_and_again(name: str, starts: int) -> float:
    """Return the median of the milliseconds to the first reply."""
    contestant = peer(name)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name_of_folder:
        folder = Path(name_of_folder)
        (folder / "echo.py").write_text(PROGRAMS[name], encoding="utf-8")
        start_once(contestant, folder)  # compiles, and fills the cache of the disk
        return statistics.median(start_once(contestant, folder) for _ in range(starts))


def start_once(contestant: Peer, folder: Path) -> float:
    """Return the milliseconds from the start of the process to its first reply."""
    port = free_port()
    variables = {**os.environ, "PYTHONPYCACHEPREFIX": str(folder / "compiled")}
    variables.pop("PYTHONDONTWRITEBYTECODE", None)
    command = [sys.executable, "-W", "ignore", str(folder / "echo.py"), str(port)]
    began = time.perf_counter()
    process = subprocess.Popen(
        command,
        env=variables,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    with process:
        try:
            while not has_answered(contestant, port):
                if process.poll() is not None or time.perf_counter() - began > LONGEST:
                    raise SystemExit(f"{contestant.name} does not start")
                time.sleep(0.001)
            return 1000 * (time.perf_counter() - began)
        finally:
            process.kill()


def has_answered(contestant: Peer, port: int) -> bool:
    """Try to get a reply, and check it."""
    with contextlib.suppress(ConnectionRefusedError):
        with socket.create_connection(("127.0.0.1", port)) as sock:
            sock.settimeout(LONGEST)
            if contestant.wire is not None:
                return answers(sock, contestant.wire)
        return has_echo(contestant, port)
    return False


def has_echo(contestant: Peer, port: int) -> bool:
    """Ask with the peer's own client."""
    assert contestant.connect is not None
    try:
        with contestant.connect(port) as call:
            return call() == "hello"
    except Exception:  # noqa: BLE001  # each library has its own for a server that only half runs
        return False


def kill_the_server() -> None:
    """Kill what this process has started; where there are sessions, itself too."""
    if sys.platform != "win32":
        os.killpg(0, signal.SIGKILL)
    import psutil

    for process in psutil.Process().children():
        process.kill()


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    end_with_parent(kill_the_server)
    print(json.dumps(start_again_and_again(sys.argv[1], int(sys.argv[2]))))
