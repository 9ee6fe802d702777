"""Does a real Windows PC do what the tests under Wine can only assume?

Take this file and ``real_pc.py`` to a lab's PC where ``lab_utils_mt`` is installed, and run it
there, in an ordinary console and once more in one that was opened "as administrator"::

    python on_a_real_pc.py                  asks two questions in between
    python on_a_real_pc.py --no-questions

It takes some minutes at most, puts back all that it changes, and prints a report: send that back.
The exit status is 1 if something FAILED.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import platform
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterable
from io import FileIO
from pathlib import Path

from real_pc import (
    TIMEOUT,
    WINE,
    Child,
    Skipped,
    answers,
    ask,
    at_console,
    comes_true,
    elevated,
    must,
    outcome,
    port_of,
    say,
    serve,
    tool,
)

import lab_utils_mt
from lab_utils_mt._process import pid_file
from lab_utils_mt.custom_logging import configure_logging, getLogger, unconfigure_logging
from lab_utils_mt.socket_comm import Client

if sys.platform != "win32":
    raise SystemExit("on_a_real_pc.py is for Windows")

import msvcrt

IN_TIME = 2.0  # seconds from Ctrl-C to the end of a daemon
BENCH = "from lab_utils_mt.socket_comm import Server\n\n\nclass Bench(Server):\n    pass\n"


def mandatory_locks(folder: Path) -> Iterable[str]:
    """Nobody else can read or write a locked range, and so not a locked PID file."""
    path = folder / "locked.txt"
    path.write_bytes(b"0123456789")
    cases: tuple[tuple[str, str, int, Callable[[FileIO], object]], ...] = (
        ("read the locked byte", "refused", 5, lambda f: f.read(1)),
        ("write it", "refused", 5, lambda f: f.write(b"x")),
        ("read before it", "done", 0, lambda f: f.read(5)),
        ("read across it", "", 0, lambda f: f.read(10)),
        ("read past the end, where another byte is locked", "", 6, lambda f: f.read(2000)),
    )
    with path.open("r+b", buffering=0) as owner, path.open("r+b", buffering=0) as other:
        for position in (5, 999):
            owner.seek(position)
            msvcrt.locking(owner.fileno(), msvcrt.LK_NBLCK, 1)
        wrong = []
        for what, expected, position, action in cases:
            other.seek(position)
            seen = outcome(functools.partial(action, other))
            yield f"{what}: {seen}"
            if expected and not seen.startswith(expected):
                wrong.append(what)
    if WINE:
        raise Skipped("Wine lets everybody read and write")
    must(not wrong, f"unexpected: {', '.join(wrong)}")


def one_owner(folder: Path) -> Iterable[str]:
    """The PID lock names its owner to others, and a killed owner keeps nobody away."""
    path = folder / "one.pid"
    with Child("lock", path) as first:
        must(first.answer == "won", first.answer)
        owner = path.read_text(encoding="utf-8").strip()
        with Child("lock", path) as second:
            must(f"is held by {owner}" in second.answer, second.answer)
            yield second.answer
    with Child("lock", path) as third:
        must(third.answer == "won", f"after the owner was killed: {third.answer}")


def double_bind(folder: Path) -> Iterable[str]:
    """A port belongs to one server, also if the other one allows to share it."""
    with serve(folder) as first:
        port = port_of(first)
        with serve(folder, port, "b") as second:
            yield second.answer
            must("cannot listen on" in second.answer, "a second server listens")
        with socket.socket() as other:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            seen = outcome(lambda: other.bind(("127.0.0.1", port)))
            yield f"bind with SO_REUSEADDR: {seen}"
            must(seen != "done", "another program can take its clients away")
    with socket.socket() as one, socket.socket() as two:
        for sock in (one, two):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        one.bind(("127.0.0.1", 0))
        one.listen()
        seen = f"{outcome(lambda: two.bind(one.getsockname()))}, {outcome(two.listen)}"
        yield f"two sockets that both have SO_REUSEADDR bind and listen: {seen}"


def localhost(folder: Path) -> Iterable[str]:
    """A connection is made at once, as clients here name the address and not ``localhost``."""
    with serve(folder) as daemon:
        port = port_of(daemon)
        for host in ("127.0.0.1", "localhost"):
            typical = statistics.median(_connect(host, port) for _ in range(10))
            yield f"connect to {host}: {1000 * typical:.1f} ms"
            must(host == "localhost" or typical < 0.2, "127.0.0.1 is slow")
        start = time.perf_counter()
        reply = Client(port=port).send_message("ping")
        seconds = time.perf_counter() - start
        yield f"a Client's first reply, {reply!r}: {1000 * seconds:.1f} ms"
        must(seconds < 0.5, "the Client is slow: does it look up localhost?")
    yield f"a refused connect, to 127.0.0.1: {1000 * _connect('127.0.0.1', port):.1f} ms"


def _connect(host: str, port: int) -> float:
    start = time.perf_counter()
    with contextlib.suppress(ConnectionRefusedError):
        socket.create_connection((host, port), timeout=TIMEOUT).close()
    return time.perf_counter() - start


def replacing(folder: Path) -> Iterable[str]:
    """An open file cannot be replaced; whoever replaces one waits until it is closed."""
    path, new = folder / "read.pid", folder / "new"
    path.write_text("1;somebody\n", encoding="utf-8")
    new.touch()
    with path.open(encoding="utf-8") as reader:
        seen = outcome(lambda: new.replace(path))
        yield f"replace an open file: {seen}"
        must("refused" in seen, "it can be replaced")
        threading.Timer(0.5, reader.close).start()
        pid_file.write(str(path))
    must(pid_file.read(str(path)) == pid_file.this_process(), "the PID file was not replaced")
    refused = 0
    for number in range(300):
        new.write_bytes(os.urandom(100))
        refused += outcome(lambda: new.replace(path)) != "done"
        must(refused < 300, f"nothing can be replaced ({number})")
    yield f"300 files replaced: {refused} refused at first (a virus scanner, an indexer)"


def keys(folder: Path) -> Iterable[str]:
    """Ctrl-Break and Ctrl-C stop a daemon in time and in order."""
    if WINE:
        yield "Ctrl-Break: not sent, for Wine cannot"
    else:
        with serve(folder, flags=subprocess.CREATE_NEW_PROCESS_GROUP) as daemon:
            port_of(daemon)
            yield _stopped("Ctrl-Break", daemon, signal.CTRL_BREAK_EVENT, daemon.process.pid)
    if not at_console():
        raise Skipped("Ctrl-C: this is no console")
    before = signal.signal(signal.SIGINT, lambda *_: None)  # it comes here, too
    try:
        with serve(folder) as daemon:
            port_of(daemon)
            yield _stopped("Ctrl-C", daemon, signal.CTRL_C_EVENT, 0)
    finally:
        signal.signal(signal.SIGINT, before)


def _stopped(name: str, daemon: Child, event: int, group: int) -> str:
    start = time.perf_counter()
    if not ctypes.WinDLL("kernel32").GenerateConsoleCtrlEvent(event, group):
        raise AssertionError(f"{name} cannot be sent: {ctypes.WinError()}")
    status = daemon.process.wait(TIMEOUT)
    seconds = time.perf_counter() - start
    last = daemon.line()
    must(status == 0 and last == "stopped", f"{name}: status {status}, {last!r}")
    must(seconds < IN_TIME, f"{name}: it took {seconds:.2f} s")
    return f"{name}: stopped in order after {seconds:.2f} s"


def colours(_: Path) -> Iterable[str]:
    """Levels are in colour on a console."""
    if not at_console():
        raise Skipped("this is no console")
    configure_logging()
    for level in ("info", "success", "warning", "error", "critical"):
        getattr(getLogger("colours"), level)("\u03a9 \u2192 \u2713")
    unconfigure_logging()
    must(ask("Are the levels above in colour, and the signs an omega, an arrow and a tick?"), "no")
    yield "as a person saw"


def firewall(folder: Path) -> Iterable[str]:
    """A server on 127.0.0.1 raises no dialogue; for others, there must be a rule."""
    rules = tool("netsh", "advfirewall", "firewall", "show", "rule", "name=all", "verbose")[1]
    ours = [rule for rule in rules.split("\n\n") if sys.executable.lower() in rule.lower()]
    yield f"rules for this interpreter: {len(ours)}"
    with serve(folder) as daemon:
        port = port_of(daemon)
        yield (
            "for clients in the network: netsh advfirewall firewall add rule name=lab dir=in"
            f' action=allow protocol=TCP localport={port} program="{sys.executable}"'
        )
        must(not ask("Did a dialogue of the firewall come up just now?"), "it did")


def service(folder: Path) -> Iterable[str]:
    """A native service is installed, started, stopped and removed."""
    if WINE:
        raise Skipped("Wine has no services that last")
    if not elevated():
        raise Skipped("it needs a console that was opened as administrator")
    # LocalService, for example, cannot look into a person's folders.
    shared = Path(os.environ["PROGRAMDATA"]) / folder.name
    shared.mkdir()
    try:
        yield from _lived(shared, "--system")
    finally:
        shutil.rmtree(shared, ignore_errors=True)


def task(folder: Path) -> Iterable[str]:
    """The Task Scheduler does the same for one user."""
    if WINE:
        raise Skipped("Wine has no Task Scheduler")
    yield from _lived(folder)


def _lived(folder: Path, *system: str) -> Iterable[str]:
    name = f"lab_check_{uuid.uuid4().hex[:8]}"
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    (folder / "bench_to_check.py").write_text(BENCH, encoding="utf-8")
    settings = f"[Overall]\nport = {port}\npid_file_name = {folder / 'bench.pid'}\n"
    (folder / "server.ini").write_text(settings, encoding="utf-8")

    def do(step: str, *words: str) -> str:
        start = time.perf_counter()
        command = [sys.executable, "-m", "lab_utils_mt", "service", step, *words, *system]
        status, text = tool(*command)
        must(status == 0, f"service {step}: status {status}, {text}")
        shown = " / ".join(text.splitlines())
        return f"service {step}: {time.perf_counter() - start:.1f} s; {shown}"

    options = ("--config", str(folder / "server.ini"), "--folder", str(folder))
    yield do("install", name, "bench_to_check:Bench", *options)
    try:
        yield do("start", name)
        must(comes_true(lambda: answers(port)), f"it does not answer: {do('logs', name)}")
        yield do("status", name)
        yield do("stop", name)
        must(comes_true(lambda: not answers(port)), "it still answers after the stop")
        must(not (folder / "bench.pid").exists(), "it did not stop in order: its PID file stays")
    finally:
        yield do("remove", name)


def clocks(folder: Path) -> Iterable[str]:
    """What time is measured with, and which names files may have: for our information."""
    start = time.perf_counter()
    for _ in range(20):
        time.sleep(0.001)
    yield f"monotonic clock: {1000 * time.get_clock_info('monotonic').resolution:.3g} ms"
    yield f"sleep(0.001) takes {50 * (time.perf_counter() - start):.2f} ms"
    yield f"a file called a:b: {outcome((folder / 'a:b').touch)}, a file called a: " + str(
        (folder / "a").exists()
    )


CHECKS: dict[str, Callable[[Path], Iterable[str]]] = {
    "mandatory locks": mandatory_locks,
    "one owner of a PID file": one_owner,
    "a port for one server": double_bind,
    "time to connect": localhost,
    "replacing files": replacing,
    "Ctrl-Break and Ctrl-C": keys,
    "colours": colours,
    "firewall": firewall,
    "service": service,
    "Task Scheduler": task,
    "clocks and names": clocks,
}


def examine(check: Callable[[Path], Iterable[str]], folder: Path) -> tuple[str, list[str]]:
    """Make one check; return its verdict and what was seen."""
    seen: list[str] = []
    verdict = "ok"
    try:
        for line in check(folder):
            seen.append(line)  # noqa: PERF402 - what was seen before a failure is of interest, too
    except Skipped as reason:
        verdict = f"skipped: {reason}"
    except Exception as error:
        verdict = f"FAILED: {type(error).__name__}: {error}"
    return verdict, seen


def main() -> int:
    """Make all checks, print the report, and return the exit status."""
    version = f"{platform.platform()}, Python {platform.python_version()}"
    report = [
        f"lab_utils_mt {lab_utils_mt.__version__} on {version}{', Wine' if WINE else ''}",
        f"elevated: {'yes' if elevated() else 'no'}; code page: {sys.stdout.encoding}",
    ]
    failed = 0
    for title, check in CHECKS.items():
        say(f"... {title}")
        with tempfile.TemporaryDirectory(
            prefix="lab_utils_mt_check-", ignore_cleanup_errors=True
        ) as name:
            verdict, seen = examine(check, Path(name).resolve())
        failed += verdict.startswith("FAILED")
        question = re.sub(r"\s+", " ", check.__doc__ or "").strip()
        report += ["", f"{title}: {verdict}", f"    ({question})", *(f"    {one}" for one in seen)]
    report += ["", f"{len(CHECKS)} checks, {failed} FAILED"]
    say("\n========== the report: please send what follows ==========")
    say("\n".join(report).encode("ascii", "backslashreplace").decode("ascii"))
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
