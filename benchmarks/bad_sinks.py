"""Are a server's commands slowed by a mail server, Slack or an alarm manager that is in trouble?

A server in a process of its own logs a warning in each command. A client in another asks it, one
command after the other. Its sinks lead to peers that are down, deaf, slow or resetting; besides,
there is the same server without them, and one whose peers are well (and take their share of the
processor). The turns are interleaved; what counts is a command's time.

Uses the peers of the tests: run it in a source folder, with the extra "test".
"""

from __future__ import annotations

import argparse
import contextlib
import json
import operator
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

from tables import show

BAR = 1.1
NONE, WELL = "no such sink", "well"
FAULTS = ("down", "deaf", "slow", "reset")
SINKS = ("mail", "Slack", "alarms")
ENOUGH = 200  # records that may wait: in trouble, the queue is full soon

HERE = Path(__file__).parent


def serve(ini: str) -> None:
    """Be the server: print the port, serve until the input ends."""
    from lab_utils_mt.custom_logging import configure_logging, getLogger
    from lab_utils_mt.socket_comm import Server

    class Instrument(Server):
        """Logs in each command."""

        def create_parser(self) -> None:
            super().create_parser()
            self.sp.add_parser("read").set_defaults(func=self.read, which="read")

        def read(self) -> None:
            getLogger("instrument").warning("the reading %.3f is out of range", 4.2)
            self.reply = "4.2"

    configure_logging(ini)
    with tempfile.TemporaryDirectory() as folder:
        pid_file = str(Path(folder) / "bench.pid")
        with Instrument(host="127.0.0.1", port=0, pid_file_name=pid_file) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            print(server.port, flush=True)
            sys.stdin.read()
            print("\n".join(server._describe()), file=sys.stderr)


@contextlib.contextmanager
def peer(sink: str, folder: Path) -> Iterator[tuple[int, str]]:
    """Give the port of a peer that is well, and the section that leads to {port}."""
    from canaries import PASSWORD, TOKEN, USER
    from logs.peers import MailServer, SlackServer, ca_file

    common = f"active = yes\ntimeout = 1\ncapacity = {ENOUGH}\n"
    if sink == "mail":
        (folder / "credentials").write_text(f"{USER}\n{PASSWORD}\n", encoding="utf-8")
        with MailServer() as mail:
            yield (
                mail.port,
                (
                    f"[MailHandler]\n{common}mail_host = 127.0.0.1\nport = {{port}}\n"
                    f"credentials_file = {folder / 'credentials'}\nca_file = {ca_file(folder)}\n"
                    "sender = a@b.org\nrecipients = c@d.org\ninterval = 1\n"
                ),
            )
    elif sink == "Slack":
        (folder / "token").write_text(TOKEN, encoding="utf-8")
        with SlackServer() as slack:
            url = slack.url().replace(str(slack.port), "{port}")
            yield (
                slack.port,
                (
                    f"[SlackLogger]\n{common}api_file = {folder / 'token'}\nchannel = c\n"
                    f"api_url = {url}\n"
                ),
            )
    else:
        with manager(folder) as port:
            yield port, f"[AlarmLogger]\n{common}host = 127.0.0.1\nport = {{port}}\n"


@contextlib.contextmanager
def manager(folder: Path) -> Iterator[int]:
    """Give the port of an alarm manager, in a process of its own."""
    program = HERE.parent / "examples" / "alarm_manager.py"
    ini = folder / "manager.ini"
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    ini.write_text(
        f"[Overall]\nport = {port}\npid_file_name = {folder / 'manager.pid'}\n", encoding="utf-8"
    )
    command = [sys.executable, str(program), "--config", str(ini)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(200):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.wait(20)


def ask(port: int, seconds: float) -> None:
    """Be the client: ask again and again, print the median and the 99th percentile in ms."""
    from lab_utils_mt.socket_comm import Client

    times = []
    with Client(host="127.0.0.1", port=port, timeout=20) as client:
        end = time.perf_counter() + seconds
        while (begin := time.perf_counter()) < end:
            client.send_message("read")
            times.append(1000 * (time.perf_counter() - begin))
    times.sort()
    print(json.dumps([times[len(times) // 2], times[len(times) * 99 // 100]]))


class Contestant:
    """A server, and what its commands took in each turn: median and 99th percentile, in ms."""

    def __init__(self, name: str, ini: Path) -> None:
        self.name = name
        self.medians: list[float] = []
        self.p99s: list[float] = []
        command = [sys.executable, __file__, "--serve", str(ini)]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self._port = int(self._process.stdout.readline())
        # The console's records must not fill the pipe.
        threading.Thread(target=self._process.stdout.read, daemon=True).start()
        self.turn(1.0)
        self.medians, self.p99s = [], []

    def turn(self, seconds: float) -> None:
        """Let it answer for some time."""
        command = [sys.executable, __file__, "--ask", str(self._port), "--seconds", str(seconds)]
        result = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=120)
        median, p99 = json.loads(result.stdout)
        self.medians.append(median)
        self.p99s.append(p99)

    def end(self) -> list[str]:
        """Send it home; return what it says of its sinks."""
        assert self._process.stdin is not None
        assert self._process.stderr is not None
        self._process.stdin.close()
        said = self._process.stderr.read()
        self._process.wait(20)
        return [line.strip() for line in said.splitlines() if "raised =" in line]


def measure(sink: str, rounds: int, seconds: float) -> tuple[list[Contestant], list[str]]:
    """Let servers with this sink take turns: one for each state of its peer."""
    from logs.tcp_proxy import OPEN, TcpProxy

    said: list[str] = []
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        port, section = stack.enter_context(peer(sink, folder))
        contestants = []
        for state in (NONE, WELL, *FAULTS):
            ini = folder / f"{state}.ini"
            text = "[ConsoleLogger]\n"
            if state != NONE:
                proxy = stack.enter_context(TcpProxy(port, OPEN if state == WELL else state))
                text += section.format(port=proxy.port)
            ini.write_text(text, encoding="utf-8")
            contestants.append(Contestant(f"{sink}: {state}", ini))
        for number in range(rounds):
            for one in contestants if number % 2 else reversed(contestants):
                one.turn(seconds)
        for one in contestants:
            said += [f"{one.name}: {line}" for line in one.end() if "console" not in line]
    return contestants, said


def judge(contestants: list[Contestant]) -> list[list[str]]:
    """Return the table's lines about one sink; all are compared with the server without it."""
    lines = []
    base = contestants[0].medians
    for one in contestants:
        middle = statistics.median(one.medians)
        # In each round by itself: a machine that others use is not the same in all of them.
        ratio = statistics.median(map(operator.truediv, one.medians, base))
        spread = f"{min(one.medians):.3f} to {max(one.medians):.3f}"
        p99 = f"p99 {statistics.median(one.p99s):.2f}"
        asked = not one.name.endswith((NONE, WELL))
        bar = f"<= {BAR}{' MISSED' * (ratio > BAR)}" if asked else ""
        lines.append([one.name, p99, f"{middle:.3f}", spread, "ms", f"{ratio:.2f}", bar])
    return lines


def main() -> None:
    """Measure everything; the exit status is 1 if a bar was missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="default 7")
    parser.add_argument("--seconds", type=float, default=1.0, help="of each turn, default 1")
    parser.add_argument("--ask", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve)
        return
    if options.ask:
        ask(options.ask, options.seconds)
        return
    warnings.filterwarnings("ignore", "Session.login_data")  # of the mail server's library
    sys.path.insert(0, str(HERE.parent / "tests"))
    lines, said = [], []
    for sink in SINKS:
        contestants, words = measure(sink, options.rounds, options.seconds)
        lines += judge(contestants)
        said += words
    show(lines)
    print("\n".join(said))
    sys.exit(any("MISSED" in line[-1] for line in lines))


if __name__ == "__main__":
    main()
