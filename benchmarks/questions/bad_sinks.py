"""Are commands slowed by a mail server, Slack or an alarm manager that is in trouble?

A server in a process of its own logs a warning in each command; a client in another asks it, one
command after the other. Its sink leads to a peer that is down, deaf, slow or resetting; besides,
there is the same server without it, and one whose peer is well (and takes its share of the
processor). What counts is the median time of a command. When it is measured, the sink's queue is
full.

Uses the peers of the tests: the extra ``test``, in a source folder.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.house.peer import MissingPeer
from benchmarks.house.percentile import told_of
from benchmarks.house.question import Bar, Case, Plot, Size
from benchmarks.house.servers import ROOT, free_port

NONE, WELL = "no such sink", "well"
FAULTS = ("down", "deaf", "slow", "reset")
SINKS = ("mail", "Slack", "alarms")
ENOUGH = 200  # records that may wait: in trouble, the queue is full soon
TESTS = ROOT / "tests"
NEEDED = ("aiosmtpd", "trustme", "pytest")  # by the peers of the tests
LONGEST = 120.0  # s that a process may take


def cases(size: Size) -> list[Case]:
    """Measure a server without the sink, and with each sink in each state of its peer."""
    kinds = [(NONE, NONE), *((sink, state) for sink in SINKS for state in (WELL, *FAULTS))]
    if size.is_smoke:
        kinds = [(NONE, NONE), *((sink, FAULTS[-1]) for sink in SINKS)]
    return [
        Case({"sink": sink, "peer": state}, partial(measure, sink, state, size))
        for sink, state in kinds
    ]


BARS = [
    Bar(
        f"a command takes at most 1.1 of what it takes without the sink: {sink}, {state}",
        figure="p50_ms",
        of={"sink": sink, "peer": state},
        against={"sink": NONE},
        at_most=1.1,
    )
    for sink in SINKS
    for state in FAULTS
]
PLOTS = [
    Plot(
        "p50_ms",
        x="peer",
        line="sink",
        title="A command that logs, its sink in trouble",
        y_label="median, ms",
        kind="bars",
    )
]


def measure(sink: str, state: str, size: Size) -> dict[str, float]:
    """Run the server with its sink, and the client."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
        text = "[ConsoleLogger]\n"
        if sink != NONE:
            port, section = peers()[sink]
            text += section.format(port=stack.enter_context(through_proxy(port, state)))
        ini = folder / "logging.ini"
        ini.write_text(text, encoding="utf-8")
        return ask_server(ini, size.seconds)


@contextlib.contextmanager
def through_proxy(port: int, state: str) -> Iterator[int]:
    """Give a port that leads to the peer, which is in this state."""
    if str(TESTS) not in sys.path:
        sys.path.append(str(TESTS))
    from logs.tcp_proxy import OPEN, TcpProxy

    with TcpProxy(port, OPEN if state == WELL else state) as proxy:
        yield proxy.port


def ask_server(ini: Path, seconds: float) -> dict[str, float]:
    """Return what a client sees of a server that logs as the file says."""
    command = [sys.executable, "-W", "ignore", "-m", __name__]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [*command, "serve", str(ini)], cwd=ROOT, stdin=pipe, stdout=pipe, text=True
    ) as process:
        assert process.stdout is not None
        try:
            port = process.stdout.readline().strip()
            # The console's records must not fill the pipe.
            threading.Thread(target=process.stdout.read, daemon=True).start()
            done = subprocess.run(
                [*command, "ask", port, str(seconds)],
                cwd=ROOT,
                stdout=pipe,
                check=True,
                timeout=LONGEST,
            )
        finally:
            process.kill()
    found: dict[str, float] = json.loads(done.stdout)
    return found


# --- the process of the peers, which are well ----------------------------------------------------


def require_tests() -> None:
    """Raise MissingPeer unless the tests and what they need are there."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing or not TESTS.is_dir():
        what = f"{', '.join(missing)} not installed" if missing else "the tests are not here"
        raise MissingPeer(f"{what}: python -m pip install '.[test]' in a source folder")


@functools.cache
def peers() -> dict[str, tuple[int, str]]:
    """Return the port of each peer, and the section that leads a sink to {port}.

    Their process lives as long as this one.

    Raises:
        MissingPeer: What the tests need is not installed.
    """
    require_tests()
    command = [sys.executable, "-W", "ignore", "-m", __name__, "peers"]
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe)
    atexit.register(process.communicate)  # before it speaks: it must find somebody who listens
    assert process.stdout is not None
    told = process.stdout.readline()
    if not told:
        process.communicate()
        raise RuntimeError("the peers of the tests do not start; their error is above")
    found: dict[str, tuple[int, str]] = json.loads(told)
    return found


def be_peers() -> None:
    """Run all of them until the standard input ends."""
    import logs.peers

    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
        makers = {"mail": mail_peer, "Slack": slack_peer, "alarms": alarm_peer}
        told = {sink: make(logs.peers, folder, stack) for sink, make in makers.items()}
        print(json.dumps(told), flush=True)
        sys.stdin.read()


COMMON = f"active = yes\ntimeout = 1\ncapacity = {ENOUGH}\n"


def mail_peer(peers: Any, folder: Path, stack: contextlib.ExitStack) -> tuple[int, str]:
    """Run a mail server."""
    from canaries import PASSWORD, USER

    credentials = folder / "credentials"
    credentials.write_text(f"{USER}\n{PASSWORD}\n", encoding="utf-8")
    credentials.chmod(0o600)
    mail = stack.enter_context(peers.MailServer())
    return mail.port, (
        f"[MailHandler]\n{COMMON}mail_host = 127.0.0.1\nport = {{port}}\n"
        f"credentials_file = {credentials}\nca_file = {peers.ca_file(folder)}\n"
        "sender = a@b.org\nrecipients = c@d.org\ninterval = 1\n"
    )


def slack_peer(peers: Any, folder: Path, stack: contextlib.ExitStack) -> tuple[int, str]:
    """Run what looks like Slack."""
    from canaries import TOKEN

    token = folder / "token"
    token.write_text(TOKEN, encoding="utf-8")
    token.chmod(0o600)
    slack = stack.enter_context(peers.SlackServer())
    url = slack.url().replace(str(slack.port), "{port}")
    return slack.port, (
        f"[SlackLogger]\n{COMMON}api_file = {token}\nchannel = c\napi_url = {url}\n"
    )


def alarm_peer(_: Any, folder: Path, stack: contextlib.ExitStack) -> tuple[int, str]:
    """Run the alarm manager of the examples, in a process of its own."""
    port, ini = free_port(), folder / "manager.ini"
    ini.write_text(
        f"[Overall]\nport = {port}\npid_file_name = {folder / 'manager.pid'}\n", encoding="utf-8"
    )
    program = ROOT / "examples" / "alarm_manager.py"
    process = subprocess.Popen(
        [sys.executable, str(program), "--config", str(ini)],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    stack.callback(process.wait, 20)
    stack.callback(process.kill)
    return port, f"[AlarmLogger]\n{COMMON}host = 127.0.0.1\nport = {{port}}\n"


# --- the processes of server and client ---------------------------------------------------------


def serve(ini: str) -> None:
    """Be the server: print the port, serve until killed."""
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
    pid_file = str(Path(ini).with_name("bench.pid"))  # in a folder of the process that kills this
    with Instrument(host="127.0.0.1", port=0, pid_file_name=pid_file) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        print(server.port, flush=True)
        sys.stdin.read()


def ask(port: int, seconds: float) -> None:
    """Be the client: fill the queue, then ask for some time, and print what was seen."""
    from lab_utils_mt.socket_comm import Client

    times = []
    with Client(host="127.0.0.1", port=port, timeout=20) as client:
        warm_until = time.perf_counter() + max(0.3, seconds / 2)
        asked = 0
        while asked < 2 * ENOUGH or time.perf_counter() < warm_until:
            client.send_message("read")
            asked += 1
        end = time.perf_counter() + seconds
        while (begin := time.perf_counter()) < end:
            reply = client.send_message("read")
            times.append(time.perf_counter() - begin)
            if reply != "4.2":
                raise SystemExit(f"wrong reply: {reply!r}")
    print(json.dumps(told_of(times)))


if __name__ == "__main__":
    sys.path.insert(0, str(TESTS))
    if sys.argv[1] == "peers":
        be_peers()
    elif sys.argv[1] == "serve":
        serve(sys.argv[2])
    else:
        ask(int(sys.argv[2]), float(sys.argv[3]))
