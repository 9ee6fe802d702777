"""What a subclass does in the standard library's hooks does not make the server deaf."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from daemons import TIMEOUT, Line, Stage, refuse_connection_threads, serving, wait_until
from leaks import open_sockets
from systems import needs_fork


class Hooked(Stage):
    """Calls ``fault``, once it is set, when a client comes."""

    fault: Any = None
    where = "process_request"

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Let everybody in."""
        self._fall("verify_request", request)
        return True

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve, and then do something."""
        super().process_request(request, client_address)
        self._fall("process_request", request)

    def _fall(self, where: str, request: Any) -> None:
        if self.fault is not None and where == self.where:
            self.fault(request)


def leave(_: Any) -> None:
    """End the thread."""
    raise SystemExit


def fail(_: Any) -> None:
    """Have a bug."""
    raise RuntimeError("a bug in the hook")


@pytest.mark.parametrize("where", ["verify_request", "process_request"])
@pytest.mark.parametrize("fault", [leave, fail])
def test_a_hook_that_raises_costs_its_client_only(pid_file: str, where: str, fault: Any) -> None:
    """Nothing of the client is left, and the next one is served."""
    with serving(Hooked(pid_file_name=pid_file, port=0)) as stage:
        stage.where, stage.fault = where, fault
        for _ in range(3):
            with Line(stage) as client, contextlib.suppress(OSError):
                assert client.rest() == b""
        stage.fault = None
        with Line(stage) as client:
            assert client.ask("ping") == "pong"
        wait_until(lambda: not stage._client_registry.snapshot()[0], "the end of all clients")


@pytest.mark.parametrize("fault", [fail, lambda request: request.close()])
def test_a_hook_cannot_take_a_refused_client_from_the_loop(pid_file: str, fault: Any) -> None:
    """It closes the connection while the loop sees it off: each client still reads why."""
    stage = Hooked(pid_file_name=pid_file, port=0)
    stage.max_clients = 1
    with serving(stage), Line(stage) as client:
        assert client.ask("ping") == "pong"
        stage.fault = fault
        for _ in range(20):
            with Line(stage) as refused:
                assert refused.rest() == b"Error! server full (1 clients)\n"


def test_the_last_thread_that_waits_goes_on_if_no_other_can_be_had(
    pid_file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its hook has just raised, and the system has no more threads."""
    with serving(Hooked(pid_file_name=pid_file, port=0)) as stage:
        wait_until(lambda: len(stage._client_threads) == 1, "a thread that waits for clients")
        stage.where, stage.fault = "verify_request", leave
        refuse_connection_threads(monkeypatch)
        with Line(stage) as client:
            assert client.rest() == b""
        monkeypatch.undo()
        stage.fault = None
        with Line(stage) as client:
            assert client.ask("ping") == "pong"


def test_a_close_request_that_raises_makes_nobody_deaf(
    pid_file: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Not even if the system has no more threads at that moment."""

    class Closing(Hooked):
        def close_request(self, request: Any) -> None:
            super().close_request(request)
            self._fall("close_request", request)

    stage = Closing(pid_file_name=pid_file, port=0)
    stage.max_clients = 1
    with serving(stage):
        wait_until(lambda: len(stage._client_threads) == 1, "a thread that waits for clients")
        stage.where, stage.fault = "close_request", fail
        stage.verify_request = lambda *_: False  # type: ignore[method-assign]
        refuse_connection_threads(monkeypatch)
        with Line(stage) as client:
            assert client.rest() == b""
        wait_until(lambda: "hooks for the end of a connection failed" in caplog.text, "the log")
        monkeypatch.undo()
        stage.fault = None
        del stage.verify_request  # type: ignore[method-assign]
        with Line(stage) as client:
            assert client.ask("ping") == "pong"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_hook_that_is_cancelled_keeps_no_place(pid_file: str) -> None:
    """The exception ends a thread, and with it its client; others have room."""

    def cancel(_: Any) -> None:
        raise asyncio.CancelledError

    stage = Hooked(pid_file_name=pid_file, port=0)
    stage.max_clients = 1
    with serving(stage):
        stage.fault = cancel
        for _ in range(3):
            with Line(stage) as client, contextlib.suppress(OSError):
                assert client.rest() == b""
        stage.fault = None
        with Line(stage) as client:
            assert client.ask("ping") == "pong"


def test_a_hook_that_closes_a_client_says_so_once(
    pid_file: str, caplog: pytest.LogCaptureFixture
) -> None:
    """That its thread finds it gone is no error."""
    with caplog.at_level(logging.ERROR):
        with serving(Hooked(pid_file_name=pid_file, port=0)) as stage:
            stage.fault = stage.shutdown_request  # while its thread begins to serve it
            for _ in range(10):
                with Line(stage) as client, contextlib.suppress(OSError):
                    client.rest()
            stage.fault = None
        assert caplog.messages == []


def test_a_quit_of_05x_that_closes_the_listener_ends_well(pid_file: str) -> None:
    """``start_daemon()`` returns, as it did there."""

    class Old(Stage):
        def quit(self) -> None:
            super().quit()
            self.sock.close()

    with serving(Old(pid_file_name=pid_file, port=0)) as stage, Line(stage) as client:
        assert client.ask("quit") == "Goodbye!"


def test_a_listener_that_was_closed_is_told(
    pid_file: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A server that hears nobody says why, and does not spin."""
    with serving(Stage(pid_file_name=pid_file, port=0)) as stage, caplog.at_level(logging.ERROR):
        with Line(stage) as client:
            assert client.ask("ping") == "pong"
        stage.socket.close()
        wait_until(lambda: "clients have to wait" in caplog.text, "a line in the log")


def test_strangers_whose_handshake_fails_hold_nobody_up(pid_file: str) -> None:
    """Each of them would cost a tenth of a second, as if the server were at a limit."""

    class Picky(Stage):
        def get_request(self) -> Any:
            sock, address = self.socket.accept()
            if sock.recv(1) != b"!":
                sock.close()
                raise ConnectionResetError(errno.ECONNRESET, "the handshake failed")
            return sock, address

    with serving(Picky(pid_file_name=pid_file, port=0)) as stage:
        began = time.monotonic()
        for _ in range(200):
            with Line(stage) as stranger, contextlib.suppress(OSError):
                stranger.send(b"?")
                stranger.rest()
        with Line(stage) as client:
            client.send(b"!")
            assert client.ask("ping") == "pong"
        assert time.monotonic() - began < 10  # 20 s and more with such a pause


def test_a_default_timeout_of_the_program_is_not_the_clients(pid_file: str) -> None:
    """What somebody sets for the programs' own sockets does not disconnect idle clients."""
    before = socket.getdefaulttimeout()
    with serving(Stage(pid_file_name=pid_file, port=0)) as stage:
        try:
            socket.setdefaulttimeout(0.2)
            with Line(stage) as first:
                assert first.ask("ping") == "pong"
                time.sleep(0.6)
                assert first.ask("ping") == "pong"
        finally:
            socket.setdefaulttimeout(before)


def test_without_a_first_thread_nothing_is_left(
    pid_file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``serve_forever()`` says why, and may be called again."""

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with Stage(pid_file_name=pid_file, port=0) as stage:
        monkeypatch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="can't start"):
            stage.serve_forever()
        monkeypatch.undo()
        with serving(stage), Line(stage) as client:
            assert client.ask("ping") == "pong"


class Own(Stage):
    """Accepts by itself, as TLS would."""

    is_broken = False
    calls = 0

    def get_request(self) -> Any:
        """Accept, or fail."""
        self.calls += 1
        if self.is_broken:
            raise ValueError("a bug in the hook")
        return self.socket.accept()


def test_a_client_of_an_own_get_request_may_be_idle(pid_file: str) -> None:
    """It does not inherit how long the listener waits."""
    with serving(Own(pid_file_name=pid_file, port=0)) as stage:
        wait_until(lambda: stage.calls > 0, "somebody who waits for clients")
        with Line(stage) as client:
            assert client.ask("ping") == "pong"
            time.sleep(1.2)  # the listener looks up twice meanwhile
            assert client.ask("ping") == "pong"


def test_a_get_request_that_fails_is_not_called_without_pause(
    pid_file: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Each failure is logged, some times a second at most; then all goes on."""
    with serving(Own(pid_file_name=pid_file, port=0)) as stage, caplog.at_level(logging.ERROR):
        with Line(stage) as client:
            assert client.ask("ping") == "pong"
        stage.is_broken, stage.calls = True, 0
        wait_until(lambda: stage.calls > 1, "a failure")
        began, calls = time.monotonic(), stage.calls
        time.sleep(0.5)
        assert stage.calls - calls <= 4 * (1 + (time.monotonic() - began) / 0.1)
        stage.is_broken = False
        with Line(stage) as client:
            assert client.ask("ping") == "pong"
    assert "no client can be taken in" in caplog.text


def test_handle_request_after_the_loop_closes_whom_it_refuses(pid_file: str) -> None:
    """There is nobody any more to see them off."""
    stage = Stage(pid_file_name=pid_file, port=0)
    stage.max_clients = 1
    with stage:
        thread = threading.Thread(target=stage.serve_forever)
        thread.start()
        with Line(stage) as client:
            assert client.ask("ping") == "pong"
            stage.shutdown()
            thread.join(TIMEOUT)
            before = open_sockets()
            for _ in range(10):
                with Line(stage) as refused:
                    stage.handle_request()
                    refused.rest()
            assert not open_sockets() - before


def test_a_stop_that_was_noticed_cannot_be_taken_back(pid_file: str) -> None:
    """The listener is gone: the loop ends instead of serving nobody."""
    with Stage(pid_file_name=pid_file, port=0) as stage:
        thread = threading.Thread(target=stage.serve_forever)
        thread.start()
        with Line(stage) as client:
            assert client.ask("ping") == "pong"
        stage.quit_flag = True
        thread.join(TIMEOUT)
        stage.quit_flag = False
        assert stage.quit_flag
        stage.serve_forever()  # returns


def test_a_client_that_a_hook_held_up_does_not_hold_up_the_stop(pid_file: str) -> None:
    """It gets the end of its stream though it came after all others had theirs."""
    stage = Hooked(pid_file_name=pid_file, port=0)
    stage.stop_timeout = TIMEOUT
    entered, gate = threading.Event(), threading.Event()

    def hold(_: Any) -> None:
        entered.set()
        gate.wait(TIMEOUT)

    with serving(stage), Line(stage) as busy:
        busy.send(b"hold\n")
        assert stage.waiting.acquire(timeout=TIMEOUT)
        stage.where, stage.fault = "verify_request", hold
        with Line(stage) as late:
            assert entered.wait(TIMEOUT)
            closing = threading.Thread(target=stage.close)
            closing.start()
            wait_until(lambda: stage.is_stopping, "the stop")
            gate.set()
            assert late.rest() == b""
            stage.gate.set()
            closing.join(TIMEOUT / 2)  # stop_timeout is longer
            assert not closing.is_alive()


def test_a_daemon_may_have_a_loop_and_hooks_of_its_own(pid_file: str) -> None:
    """Such names are common."""

    class Lab(Stage):
        def __init__(self, **more: Any) -> None:
            super().__init__(**more)
            self._hooks: list[str] = []
            self._ran = threading.Event()
            threading.Thread(target=self._loop).start()

        def _loop(self) -> None:
            self._ran.set()

    with serving(Lab(pid_file_name=pid_file, port=0)) as stage, Line(stage) as client:
        assert client.ask("ping") == "pong"
        assert stage._ran.wait(TIMEOUT)


@pytest.fixture
def forking(pid_file: str) -> Iterator[tuple[Stage, threading.Event]]:
    """A server whose ``service_actions()`` forks when told to; the child leaves at once."""
    parent, want = os.getpid(), threading.Event()

    class Forking(Stage):
        def service_actions(self) -> None:
            if want.is_set():
                want.clear()
                child = os.fork()
                if child == 0:
                    raise SystemExit
                os.waitpid(child, 0)

    stage = Forking(pid_file_name=pid_file, port=0)

    def serve() -> None:
        try:
            stage.serve_forever(0.05)
        finally:
            if os.getpid() != parent:
                os._exit(0)

    with stage:
        thread = threading.Thread(target=serve)
        thread.start()
        yield stage, want
        stage.close()
        thread.join(TIMEOUT)


@needs_fork
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # it forks with threads
def test_a_child_that_leaves_the_loop_leaves_the_listener_alone(
    forking: tuple[Stage, threading.Event],
) -> None:
    """It is the parent's as well."""
    stage, want = forking
    with Line(stage) as client:
        assert client.ask("ping") == "pong"
    want.set()
    wait_until(lambda: not want.is_set(), "the fork")
    assert stage.socket.getblocking()
    with Line(stage) as client:
        assert client.ask("ping") == "pong"
    cpu = time.process_time()
    time.sleep(1.0)
    assert time.process_time() - cpu < 0.5  # it would spin
