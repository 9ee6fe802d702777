"""How a server stops: in order, in time, and only once."""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from daemons import TIMEOUT, Line, Stage, serving, wait_until
from systems import needs_fork


def in_thread(target: object, name: str = "test") -> threading.Thread:
    """Start a thread."""
    thread = threading.Thread(target=target, name=name)  # type: ignore[arg-type]
    thread.start()
    return thread


def test_quit_answers_and_stops(pid_file: str) -> None:
    """The reply comes first; then everything is gone."""
    stage = Stage(pid_file_name=pid_file, port=0)
    with stage:
        thread = in_thread(stage.start_daemon)
        with Line(stage) as client:
            assert client.ask("quit") == "Goodbye!"
            assert client.rest() == b""
        thread.join(TIMEOUT)
    assert not thread.is_alive()
    assert not Path(pid_file).exists()
    with pytest.raises(ConnectionRefusedError):
        Line(stage)


def test_idle_clients_get_the_end_of_their_stream(stage: Stage) -> None:
    """And do not hold the server up."""
    with Line(stage) as idle, Line(stage) as used:
        assert used.ask("ping") == "pong"
        began = time.monotonic()
        stage.close()
        assert time.monotonic() - began < stage.stop_timeout
        assert idle.rest() == used.rest() == b""


def test_a_client_that_got_its_reply_just_before_the_stop_is_idle(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stop comes between the reply and the note that the command has ended."""
    registry, replied = stage._client_registry, threading.Event()
    end = registry.end

    def late_end(*arguments: Any) -> None:
        replied.wait(TIMEOUT)
        end(*arguments)

    monkeypatch.setattr(registry, "end", late_end)
    stage.stop_timeout = TIMEOUT
    with Line(stage) as client:
        assert client.ask("ping") == "pong"
        closing = in_thread(stage.close)
        wait_until(lambda: registry.is_stopping)
        replied.set()
        closing.join(TIMEOUT / 2)
        assert not closing.is_alive()
        assert client.rest() == b""


def test_a_running_command_answers_before_the_server_stops(stage: Stage) -> None:
    """It has ``stop_timeout`` seconds, and the stop does not last longer than the command."""
    stage.stop_timeout = TIMEOUT
    with Line(stage) as client:
        client.send(b"hold\n")
        assert stage.waiting.acquire(timeout=TIMEOUT)
        closing = in_thread(stage.close)
        wait_until(lambda: stage.quit_flag)
        stage.gate.set()
        assert client.line() == b"held\n"
        closing.join(TIMEOUT / 2)
        assert not closing.is_alive()


def test_what_still_waits_is_refused_not_executed(stage: Stage) -> None:
    """Requests that were sent behind a running command."""
    with Line(stage) as client:
        client.send(b"hold\necho never\n")
        assert stage.waiting.acquire(timeout=TIMEOUT)
        closing = in_thread(stage.close)
        wait_until(lambda: stage._client_registry.is_stopping)
        stage.gate.set()
        assert client.rest() == b"held\nError! shutting down\n"
        closing.join(TIMEOUT)
    assert stage.executed == []


def test_after_quit_nothing_behind_it_is_executed(stage: Stage) -> None:
    """Not even from the same client."""
    with Line(stage) as client:
        client.send(b"quit\necho never\n")
        assert client.rest() == b"Goodbye!\n"
    assert stage.executed == []


def test_a_command_that_hangs_is_cut_and_named(
    pid_file: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The stop is bounded."""
    stage = Stage(pid_file_name=pid_file, port=0)
    stage.stop_timeout = 0.2
    with serving(stage), Line(stage) as client:
        client.send(b"hold\n")
        assert stage.waiting.acquire(timeout=TIMEOUT)
        stage.close()
        assert client.rest() == b""
        named = [r.getMessage() for r in caplog.records if r.levelno == logging.ERROR]
        assert len(named) == 1
        assert "in 'hold' for 0." in named[0]
        stage.gate.set()


def test_a_client_that_never_reads_is_cut(pid_file: str) -> None:
    """Its thread is stuck in sending."""
    stage = Stage(pid_file_name=pid_file, port=0)
    stage.stop_timeout = 0.2
    with serving(stage), Line(stage) as mute:
        mute.send(b"long\n")
        wait_until(lambda: stage._client_registry.snapshot()[1].requests == 1)
        stage.close()
        assert len(mute.rest()) < 20_000_000


def test_the_stock_server_waits_for_an_idle_client_for_ever() -> None:
    """The fault that the registry exists for."""
    code = """
import socket, socketserver, threading
server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), socketserver.StreamRequestHandler)
server.RequestHandlerClass.handle = lambda self: self.rfile.readline()
threading.Thread(target=server.serve_forever, daemon=True).start()
client = socket.create_connection(server.server_address)
while len(threading.enumerate()) < 3:
    pass
server.shutdown()
print("closing", flush=True)
server.server_close()
print("closed", flush=True)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == b"closing"
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(1.0)
        process.kill()


def test_quit_stops_even_if_its_client_is_gone(pid_file: str) -> None:
    """Its clean-up has run, so there is no way back."""

    class Slow(Stage):
        def quit(self) -> None:
            self.waiting.release()
            self.gate.wait(TIMEOUT)
            self.reply = "x" * 10_000_000

    stage = Slow(pid_file_name=pid_file, port=0)
    with stage:
        thread = in_thread(stage.start_daemon)
        client = Line(stage)
        client.send(b"quit\n")
        assert stage.waiting.acquire(timeout=TIMEOUT)
        client.vanish()
        stage.gate.set()
        thread.join(TIMEOUT)
        assert not thread.is_alive()


def test_a_serial_command_does_not_run_after_the_stop(pid_file: str) -> None:
    """Others wait for their turn behind one that hangs."""

    class Careful(Stage):
        serial_commands = True
        stop_timeout = 0.2

    stage = Careful(pid_file_name=pid_file, port=0)
    with serving(stage):
        first, others = Line(stage), [Line(stage) for _ in range(3)]
        first.send(b"hold\n")
        assert stage.waiting.acquire(timeout=TIMEOUT)
        for other in others:
            other.send(b"echo late\n")
        wait_until(lambda: stage._client_registry.snapshot()[1].requests == 4)
        stage.close()
        stage.gate.set()
        wait_until(lambda: len(stage._client_threads) == 0, "the end of all threads")
        for client in (first, *others):
            client.close()
    assert stage.executed == []


def test_close_may_be_called_again_within_itself(pid_file: str) -> None:
    """By a signal handler that the thread runs meanwhile."""
    stage = Stage(pid_file_name=pid_file, port=0)
    registry_stop = stage._client_registry.stop

    def interrupted() -> None:
        stage.close()
        registry_stop()

    stage._client_registry.stop = interrupted  # type: ignore[method-assign]
    stage.close()
    assert not Path(pid_file).exists()


def test_a_second_start_does_not_harm_the_first(stage: Stage) -> None:
    """It is refused."""
    wait_until(lambda: stage._life._loop)
    with pytest.raises(RuntimeError, match="running already"):
        stage.start_daemon()
    with Line(stage) as client:
        assert client.ask("ping") == "pong"


def test_the_standard_librarys_way_to_close_frees_everything(pid_file: str) -> None:
    """``shutdown()``, then ``server_close()``."""
    stage = Stage(pid_file_name=pid_file, port=0)
    thread = in_thread(stage.serve_forever)
    wait_until(lambda: stage.address)
    stage.shutdown()
    stage.server_close()
    thread.join(TIMEOUT)
    assert not Path(pid_file).exists()


def test_with_may_stand_around_a_server_that_serves_already(pid_file: str) -> None:
    """As in the standard library."""
    stage = Stage(pid_file_name=pid_file, port=0)
    thread = in_thread(stage.serve_forever)
    wait_until(lambda: stage._life._loop)
    with stage, Line(stage) as client:
        assert client.ask("ping") == "pong"
    thread.join(TIMEOUT)
    assert not thread.is_alive()
    assert not Path(pid_file).exists()


def test_shutdown_in_the_serving_thread_does_not_wait_for_itself(pid_file: str) -> None:
    """A hook or a signal handler may call it."""

    class Short(Stage):
        def service_actions(self) -> None:
            self.shutdown()

    with Short(pid_file_name=pid_file, port=0) as stage:
        thread = in_thread(stage.serve_forever)
        Line(stage).close()
        thread.join(TIMEOUT)
        assert not thread.is_alive()


def test_who_begins_to_serve_during_the_close_is_waited_for(pid_file: str) -> None:
    """Else it would serve with what is being closed."""
    stage = Stage(pid_file_name=pid_file, port=0)
    life = stage._life
    end_loop, claimed = life.end_loop, []

    def late() -> None:
        end_loop()
        if not claimed:
            claimed.append(life.claim_loop())
            threading.Timer(0.1, life.release_loop).start()

    life.end_loop = late  # type: ignore[method-assign]
    stage.close()
    assert len(claimed) == 1
    with pytest.raises(OSError, match="was closed"):
        life.claim_loop()


@needs_fork
def test_a_forked_child_cannot_close_its_parents_server(stage: Stage) -> None:
    """And does not hang when it tries."""
    child = os.fork()
    if not child:
        stage.close()
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    with Line(stage) as client:
        assert client.ask("ping") == "pong"


def test_handle_request_serves_one_client(pid_file: str) -> None:
    """The standard library's way without a loop."""
    stage = Stage(pid_file_name=pid_file, port=0)
    stage.max_clients = 1
    with stage, Line(stage) as client, Line(stage) as refused:
        stage.handle_request()
        assert client.ask("ping") == "pong"
        stage.handle_request()
        assert refused.rest() == b"Error! server full (1 clients)\n"


def test_the_hooks_of_the_standard_library_work(pid_file: str) -> None:
    """``verify_request`` turns clients away, ``service_actions`` runs now and then."""

    class Hooked(Stage):
        actions = 0

        def verify_request(self, request: object, client_address: object) -> bool:
            if self.actions > 1000:
                raise RuntimeError("a bug in the hook")
            return self.max_clients > 1

        def service_actions(self) -> None:
            self.actions += 1

    with serving(Hooked(pid_file_name=pid_file, port=0)) as stage:
        with Line(stage) as client:
            assert client.ask("ping") == "pong"
        stage.max_clients = 1
        with Line(stage) as client:
            assert client.rest() == b""
        stage.max_clients, stage.actions = 2, 10_000
        with Line(stage) as client:
            assert client.rest() == b""
        stage.actions = 0
        with Line(stage) as client:
            assert client.ask("ping") == "pong"
        wait_until(lambda: stage.actions > 0, "a call of service_actions()")


def test_close_may_be_called_often_and_by_anybody(stage: Stage) -> None:
    """By many threads at once, again, and by a command."""
    threads = [in_thread(stage.close) for _ in range(8)]
    for thread in threads:
        thread.join(TIMEOUT)
        assert not thread.is_alive()
    stage.close()
    with pytest.raises(OSError, match="was closed"):
        stage.serve_forever()


def test_a_command_may_close_the_server(pid_file: str) -> None:
    """It does not wait for itself."""

    class Suicidal(Stage):
        def echo(self) -> None:
            self.close()
            self.reply = "closing"

    stage = Suicidal(pid_file_name=pid_file, port=0)
    with stage:
        thread = in_thread(stage.start_daemon)
        with Line(stage) as client:
            assert client.ask("echo x") == "closing"
        thread.join(TIMEOUT)
        assert not thread.is_alive()


def test_shutdown_ends_the_loop_and_serving_can_go_on(stage: Stage) -> None:
    """As in ``socketserver``: connections live on, the port stays bound."""
    with Line(stage) as client:
        assert client.ask("ping") == "pong"
        stage.shutdown()
        assert client.ask("ping") == "pong"
        thread = in_thread(stage.serve_forever)
        with Line(stage) as second:
            assert second.ask("ping") == "pong"
        stage.shutdown()
        thread.join(TIMEOUT)
        assert not thread.is_alive()


def test_shutdown_before_the_loop_ends_it(pid_file: str) -> None:
    """The thread that serves may not have come so far."""
    with Stage(pid_file_name=pid_file, port=0) as stage:
        stage.shutdown()
        stage.serve_forever()
        assert not stage.quit_flag


def test_a_second_loop_is_refused(stage: Stage) -> None:
    """One server, one loop."""
    wait_until(lambda: stage._life._loop)
    with pytest.raises(RuntimeError, match="running already"):
        stage.serve_forever()


def test_quit_flag_stops_the_server(pid_file: str) -> None:
    """Code for 0.5.x sets it itself."""
    stage = Stage(pid_file_name=pid_file, port=0)
    with stage:
        thread = in_thread(stage.start_daemon)
        assert stage.quit_flag is False
        stage.quit_flag = True
        thread.join(TIMEOUT)
        assert not thread.is_alive()


def test_a_failed_start_frees_everything(pid_file: str) -> None:
    """The port is taken."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        stage = Stage(pid_file_name=pid_file, host="127.0.0.1", port=port)
        with pytest.raises(OSError, match=f"cannot listen on 127.0.0.1:{port}: ") as caught:
            stage.start_daemon()
        assert "stop the other program" in str(caught.value)
        assert pid_file in str(caught.value)
        assert str(os.getpid()) in str(caught.value)
        assert not Path(pid_file).exists()
        stage.close()
        with (
            pytest.raises(OSError, match="cannot listen"),
            Stage(pid_file_name=pid_file, host="127.0.0.1", port=port),
        ):
            pass
        assert not Path(pid_file).exists()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the second bind() fails already")
def test_a_port_that_is_taken_between_bind_and_listen_is_told_as_well(pid_file: str) -> None:
    """Two servers may bind one port as long as neither listens."""

    class Outrun(Stage):
        def server_bind(self) -> None:
            super().server_bind()
            other.listen()

    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", 0))
        port = other.getsockname()[1]
        stage = Outrun(pid_file_name=pid_file, host="127.0.0.1", port=port)
        with pytest.raises(OSError, match=f"cannot listen on 127.0.0.1:{port}: Address already"):
            stage.start_daemon()
        assert stage.address is None


def test_a_server_that_was_never_started_closes(pid_file: str) -> None:
    """It has the PID file and a socket."""
    Stage(pid_file_name=pid_file, port=0).close()

    assert not Path(pid_file).exists()


DAEMON = """
import os, signal, sys, threading
sys.path[:0] = {path!r}
from daemons import Stage

def listen():
    while data := os.read(0, 1):
        signal.raise_signal(data[0])

threading.Thread(target=listen, daemon=True).start()

class Noisy(Stage):
    def sleep(self):
        super().sleep()
        print("slept", flush=True)

    def quit(self):
        print("cleaning up", flush=True)
        super().quit()

stage = Noisy(port=0, pid_file_name={pid_file!r})
stage.stop_timeout = 10.0
with stage:
    print(stage.port, flush=True)
    stage.start_daemon()
print("ended", flush=True)
"""


class Daemon:
    """A server in a process of its own."""

    def __init__(self, pid_file: str) -> None:
        path = [str(Path(__file__).parents[1])]
        code = DAEMON.format(path=path, pid_file=pid_file)
        self.process = subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())

    def signal(self, signum: signal.Signals) -> None:
        """Send it a signal; on Windows, where only a console can, it does that itself."""
        if sys.platform != "win32":
            self.process.send_signal(signum)
            return
        assert self.process.stdin is not None
        os.write(self.process.stdin.fileno(), bytes([signum]))

    def ended(self) -> tuple[int, str, str]:
        """Return exit status and output."""
        out, err = self.process.communicate(timeout=TIMEOUT)  # also closes its input
        return self.process.returncode, out, err


SIGNALS = [signal.SIGINT, signal.SIGTERM]
if sys.platform == "win32":
    SIGNALS.append(signal.SIGBREAK)


@pytest.mark.parametrize("signum", SIGNALS)
def test_a_signal_cleans_up_and_stops(pid_file: str, signum: signal.Signals) -> None:
    """With a client connected; exit status 0, ``quit()`` called once, no PID file left."""
    daemon = Daemon(pid_file)
    with Line(daemon) as client:  # type: ignore[arg-type]
        assert client.ask("ping") == "pong"
        daemon.signal(signum)
        assert client.rest() == b""
    assert daemon.ended() == (0, "cleaning up\nended\n", "")
    assert not Path(pid_file).exists()


def test_a_second_signal_cuts_what_still_runs(pid_file: str) -> None:
    """Instead of waiting for ``stop_timeout``, 10 s here."""
    daemon = Daemon(pid_file)
    with Line(daemon) as client, Line(daemon) as idle:  # type: ignore[arg-type]
        client.send(b"sleep 8\n")
        assert idle.ask("ping") == "pong"
        began = time.monotonic()
        daemon.signal(signal.SIGTERM)
        assert idle.rest() == b""  # the first one has been heard
        daemon.signal(signal.SIGTERM)
        status, out, err = daemon.ended()
    assert time.monotonic() - began < 6
    assert (status, out) == (0, "cleaning up\nended\n")
    assert "sleep 8" in err


def test_a_signal_cleans_up_after_the_last_command(pid_file: str) -> None:
    """quit() may close the instrument that the command still uses."""
    daemon = Daemon(pid_file)
    with Line(daemon) as client, Line(daemon) as idle:  # type: ignore[arg-type]
        client.send(b"sleep 0.5\n")
        assert idle.ask("ping") == "pong"
        daemon.signal(signal.SIGTERM)
        assert client.line() == b"slept 0.5\n"
        assert daemon.ended() == (0, "slept\ncleaning up\nended\n", "")


def test_after_a_kill_the_next_start_succeeds(pid_file: str) -> None:
    """Nothing that a dead server leaves is in the way."""
    daemon = Daemon(pid_file)
    daemon.process.kill()
    daemon.ended()
    assert Path(pid_file).exists()

    with serving(Stage(pid_file_name=pid_file, port=0)) as stage, Line(stage) as client:
        assert client.ask("ping") == "pong"
