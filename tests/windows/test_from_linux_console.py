"""Somebody presses Ctrl-C at the console of a daemon on Windows."""

from __future__ import annotations

import contextlib
import itertools
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from console import CTRL_C, console
from daemon_there import PROGRAM
from wine import World, windows_path

pytestmark = pytest.mark.timeout(300)  # it takes longer to start a process there
IN_TIME = 2.0  # seconds from the key to the end of the program
TRIES = 3  # the machine may have had something else to do


@contextlib.contextmanager
def visitors(port: int) -> Iterator[None]:
    """Let clients come and go all the time within a ``with`` block."""
    stop = threading.Event()

    def visit() -> None:
        while not stop.is_set():
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port), timeout=5).close()

    thread = threading.Thread(target=visit, name="visitors")
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def stopping(world: World, pid_file: Path, moment: str) -> float:
    """Return how long a daemon takes from Ctrl-C to its end, in seconds."""
    words = [windows_path(PROGRAM), windows_path(pid_file), "0", "0"]
    with contextlib.ExitStack() as stack:
        shown = stack.enter_context(console(world, *words, NO_COLOR="1"))
        port = int(shown.wait_for(r"listening (\d+)\n"))
        if moment == "clients come and go":
            stack.enter_context(visitors(port))
        elif moment != "no client":
            client = socket.create_connection(("127.0.0.1", port), timeout=30)
            stack.callback(client.close)
            if moment == "in a command":
                client.sendall(b"hold 60\n")
                shown.wait_for("holding")
        pressed = time.monotonic()
        shown.type(CTRL_C)
        status = shown.finish()
        seconds = time.monotonic() - pressed
        assert (status, "stopped" in shown.text) == (0, True), shown.text
        assert "Traceback" not in shown.text
    assert not pid_file.exists()
    return seconds


@pytest.mark.parametrize(
    "moment", ["no client", "a silent client", "in a command", "clients come and go"]
)
def test_ctrl_c_stops_a_daemon_in_time(world: World, tmp_path: Path, moment: str) -> None:
    """Wherever it waits; a running command gets no time: ``stop_timeout`` is 0."""
    needed: list[float] = []
    for number in itertools.count(1):
        needed.append(stopping(world, tmp_path / f"{number}.pid", moment))
        if needed[-1] <= IN_TIME:
            break
        assert number < TRIES, f"from Ctrl-C to the end: {needed} s"


def test_a_program_that_does_not_listen_to_ctrl_c_is_found_out(world: World) -> None:
    """The test can fail: a thread's untimed wait lets nobody interrupt the main thread."""
    program = (
        "import socket; s = socket.create_server(('127.0.0.1', 0)); print('waits', flush=True);"
        " s.accept()"
    )
    with console(world, "-c", program) as shown:
        shown.wait_for("waits")
        shown.type(CTRL_C)
        with pytest.raises(AssertionError, match="it does not end"):
            shown.finish(IN_TIME)
