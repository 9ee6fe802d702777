"""More clients, files or threads than there can be."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import subprocess
import sys
import textwrap
import threading
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from daemons import TIMEOUT, Line, Stage, refuse_connection_threads, serving, wait_until


def test_one_client_too_many_is_told_so_at_once(pid_file: str) -> None:
    """Without a thread, and nobody else notices."""
    server = Stage(pid_file_name=pid_file, port=0)
    server.max_clients = 3
    with serving(server), contextlib.ExitStack() as stack:
        clients = [stack.enter_context(Line(server)) for _ in range(3)]
        assert [c.ask("ping") for c in clients] == ["pong"] * 3
        threads = threading.active_count()
        for _ in range(100):
            with Line(server) as extra:
                extra.send(b"echo {never read}\n")
                assert extra.rest() == b"Error! server full (3 clients)\n"
        assert threading.active_count() == threads
        assert [c.ask("ping") for c in clients] == ["pong"] * 3
        assert "clients: 3 of 3, peak 3, accepted 3, refused 100" in status(clients[0])
    assert server.executed == []


def status(client: Line) -> str:
    """Return the status text."""
    client.send(b"status\n")
    head = client.file.read(2)
    size = int(client.file.read(int(head[1:2])))
    return client.file.read(size + 1).decode()


def test_a_place_is_free_again_when_a_client_leaves(pid_file: str) -> None:
    """Whether it says goodbye or not."""
    server = Stage(pid_file_name=pid_file, port=0)
    server.max_clients = 1
    with serving(server):
        for _ in range(5):
            client = Line(server)
            assert client.ask("ping") == "pong"
            client.vanish()
            wait_until(lambda: not server._client_registry.snapshot()[0], "the end of the client")


def test_a_place_is_free_before_the_client_learns_that_it_left(pid_file: str) -> None:
    """So that the next one is not refused by a hair."""
    server = Stage(pid_file_name=pid_file, port=0)
    server.max_clients = 1
    with serving(server):
        for _ in range(200):
            with Line(server) as client:
                client.send(b"ping\n")
                client.sock.shutdown(socket.SHUT_WR)
                assert client.rest() == b"pong\n"


def test_a_burst_of_clients_is_refused_politely(pid_file: str) -> None:
    """All at once, each with a request that is never read."""
    server = Stage(pid_file_name=pid_file, port=0)
    server.max_clients = 2
    with (
        serving(server),
        Line(server) as old,
        Line(server) as older,
        contextlib.ExitStack() as all_,
    ):
        assert [old.ask("ping"), older.ask("ping")] == ["pong", "pong"]
        crowd = [all_.enter_context(Line(server)) for _ in range(400)]
        for client in crowd:
            with contextlib.suppress(ConnectionError):
                client.send(b"echo never\n" * 3)
        refusals = [client.rest() for client in crowd]
        assert refusals == [b"Error! server full (2 clients)\n"] * 400
        assert old.ask("ping") == "pong"
    assert server.executed == []


def test_threads_are_used_again(stage: Stage) -> None:
    """One after another, many clients need few threads."""
    for _ in range(50):
        with Line(stage) as client:
            assert client.ask("ping") == "pong"
    assert len(stage._client_threads) < 10


@contextlib.contextmanager
def stock_server() -> Iterator[socketserver.ThreadingTCPServer]:
    """Run the standard library's server, for comparison."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            for line in self.rfile:
                self.wfile.write(line)

    class Stock(socketserver.ThreadingTCPServer):
        daemon_threads = True
        block_on_close = False

    with Stock(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join(TIMEOUT)


EXHAUSTION = """
    import contextlib, logging, resource, socket, sys, threading, time
    sys.path[:0] = {path!r}
    from daemons import Line, Stage, serving
    from test_limits import stock_server

    records = []

    class Note(logging.Handler):
        def emit(self, record):
            records.append(record.getMessage())

    logging.getLogger().addHandler(Note())
    stage = Stage(port=0, pid_file_name={pid_file!r})
    server = stage if {ours!r} else None
    with serving(stage) if {ours!r} else stock_server() as server:
        port = server.server_address[1]
        socket.create_connection(("127.0.0.1", port)).close()
        clients = [socket.create_connection(("127.0.0.1", port), 5) for _ in range(8)]
        time.sleep(0.1)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        spare = [socket.socket() for _ in range(12)]
        resource.setrlimit(resource.RLIMIT_NOFILE, (spare[-1].fileno() + 1, hard))
        for sock in spare[:7]:
            sock.close()
        # Seven numbers are free: for three clients, their other ends, and one client more.
        waiting = []
        for _ in range(6):
            try:
                sock = socket.socket()
            except OSError:
                break
            sock.connect(("127.0.0.1", port))
            waiting.append(sock)
            time.sleep(0.02)
        cpu, clock = time.process_time(), time.monotonic()
        time.sleep(1.5)
        load = (time.process_time() - cpu) / (time.monotonic() - clock)
        lines = len([r for r in records if "clients have to wait" in r])
        for sock in spare[7:]:
            sock.close()
        served = 0
        began = time.monotonic()
        for sock in waiting:
            sock.settimeout(10)
            sock.sendall(b"ping\\n")
            served += sock.recv(10) in (b"pong\\n", b"ping\\n")
        took = time.monotonic() - began
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for sock in clients + waiting:
            sock.close()
    print(load, lines, served, len(waiting), took)
"""


def run_exhaustion(tmp_path: Path, *, ours: bool) -> tuple[float, int, int, int, float]:
    """Let a server run out of file descriptors, in a process of its own."""
    path = [str(Path(__file__).parents[1]), str(Path(__file__).parent)]
    code = EXHAUSTION.format(path=path, pid_file=str(tmp_path / "x.pid"), ours=ours)
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    load, lines, served, waiting, took = done.stdout.split()
    return float(load), int(lines), int(served), int(waiting), float(took)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no RLIMIT_NOFILE")
def test_out_of_file_descriptors_the_server_waits_quietly(tmp_path: Path) -> None:
    """No spinning, at most a log line per second, and service again once some are free."""
    load, lines, served, waiting, took = run_exhaustion(tmp_path, ours=True)

    assert waiting >= 2
    assert served == waiting
    assert 1 <= lines <= 3
    assert load < 0.1  # the stock server burns all that it gets of a core
    assert took < 5  # half a second is usual


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no RLIMIT_NOFILE")
def test_the_stock_server_spins_when_out_of_file_descriptors(tmp_path: Path) -> None:
    """The fault that the pause in accept_failed() exists for."""
    load, _, _, waiting, _ = run_exhaustion(tmp_path, ours=False)

    assert waiting >= 2
    assert load > 0.1


def test_a_client_without_a_thread_is_refused_and_the_server_lives(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system has no more threads; the one thing here that cannot be had for real."""
    wait_until(lambda: len(stage._client_threads) == 1, "a thread that waits for clients")
    refuse_connection_threads(monkeypatch)
    with Line(stage) as client:
        expected = b"Error! server has no thread left (can't start new thread)\n"
        assert client.rest() == expected
    monkeypatch.undo()

    with Line(stage) as client:
        assert client.ask("ping") == "pong"
        assert "accepted 1, refused 1" in status(client)


def test_64_clients_wait_for_their_commands_together(stage: Stage) -> None:
    """They do not queue up behind each other (the figure is in benchmarks/)."""
    barrier = threading.Barrier(64)
    answers: list[str] = []

    def visit() -> None:
        with Line(stage) as client:
            barrier.wait(TIMEOUT)
            answers.append(client.ask("sleep 0.3"))

    threads = [threading.Thread(target=visit) for _ in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT)

    assert answers == ["slept 0.3"] * 64
    assert stage.most_running > 32


def test_memory_for_input_is_bounded(stage: Stage) -> None:
    """A flood without newline is cut at ``max_message``."""
    chunk = b"x" * 1_000_000
    tracemalloc.start()
    for _ in range(4):
        with Line(stage) as client, contextlib.suppress(ConnectionError):
            client.sock.settimeout(5)
            for _ in range(30):
                client.send(chunk)
    with Line(stage) as client:
        assert client.ask("ping") == "pong"
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10_000_000


def test_clients_come_and_go_while_others_work(stage: Stage) -> None:
    """200 of them, in bursts, some with a reset."""
    failures: list[object] = []

    def visit(number: int) -> None:
        try:
            client = Line(stage)
            answer = client.ask(f"echo {number}")
            client.vanish() if number % 3 else client.close()
            if answer != str(number):
                failures.append((number, answer))
        except OSError as error:
            failures.append(error)

    threads = [threading.Thread(target=visit, args=(n,)) for n in range(200)]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT)

    assert failures == []
    assert time.monotonic() - began < TIMEOUT
    wait_until(lambda: not stage._client_registry.snapshot()[0], "the end of all connections")
    assert isinstance(stage.socket, socket.socket)
