"""A daemon on Windows, and clients on Linux that do what clients do."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

import pytest
from daemon_there import PROGRAM, Daemon
from daemons import wait_until
from wine import World, windows_path

pytestmark = pytest.mark.timeout(300)  # it takes longer to start a process there
CROWD = 200


def test_two_hundred_clients_at_once(daemon: Daemon) -> None:
    """All are connected before the first one speaks, and each gets its own reply."""
    with contextlib.ExitStack() as stack:
        lines = [stack.enter_context(daemon.line()) for _ in range(CROWD)]
        for number, line in enumerate(lines):
            line.send(f"echo n{number}\n".encode())
        replies = [line.line().decode().strip() for line in lines]
        assert replies == [f"n{number}" for number in range(CROWD)]
        assert lines[0].ask("echo again") == "again"
        assert f"clients: {CROWD + 1} of " in daemon.status()


def test_resets_at_any_moment_are_ordinary_ends(daemon: Daemon) -> None:
    """In half a line, in a command and in a reply: no traceback, and nobody else notices."""
    with daemon.line() as witness:
        for beginning in (b"echo hal", b"hold 0.2\n", b"blob 3000\n", b"") * 25:
            line = daemon.line()
            line.send(beginning)
            line.vanish()
        assert witness.ask("echo here") == "here"
        wait_until(lambda: "clients: 2 of" in daemon.status(), "the end of all that were reset")
    assert "Traceback" not in daemon.text
    assert "ERROR" not in daemon.text


def test_a_reset_in_the_middle_of_a_reply_is_an_ordinary_end(daemon: Daemon) -> None:
    """The reply is longer than any buffer, and a part of it was read."""
    for _ in range(10):
        line = daemon.line()
        line.send(b"blob 3000\n")
        assert len(line.sock.recv(1000)) > 0
        line.vanish()
    assert daemon.ask("echo here") == "here"
    assert "Traceback" not in daemon.text


def test_half_lines_are_put_together(daemon: Daemon) -> None:
    """Of many clients in turns, byte by byte, in the middle of a character too."""
    message = "echo Ω→✓\n".encode()
    with contextlib.ExitStack() as stack:
        lines = [stack.enter_context(daemon.line()) for _ in range(20)]
        for position in range(len(message)):
            for line in lines:
                line.send(message[position : position + 1])
        assert [line.line().decode().strip() for line in lines] == ["Ω→✓"] * len(lines)


def test_a_half_line_before_the_end_is_no_fault(daemon: Daemon) -> None:
    """Its sender left in an orderly way."""
    for _ in range(20):
        with daemon.line() as line:
            line.send(b"echo hal")
    assert daemon.ask("echo here") == "here"
    assert "Traceback" not in daemon.text


def refused(world: World, pid_file: Path, port: int = 0) -> str:
    """Return why a second daemon does not start; it must not."""
    words = [windows_path(PROGRAM), windows_path(pid_file), str(port)]
    status, text = world.run(words)
    assert status == 1, text
    return text


def test_a_second_daemon_with_the_same_pid_file_is_refused(world: World, daemon: Daemon) -> None:
    """It names the first one, which does not notice."""
    owner = daemon.pid_file.read_text(encoding="utf-8").strip()
    assert re.fullmatch(r"\d+;\S+", owner)

    text = refused(world, daemon.pid_file)

    assert f"is held by {owner}: stop that server first" in text
    assert daemon.pid_file.read_text(encoding="utf-8").strip() == owner
    assert daemon.ask("echo here") == "here"


def test_a_second_daemon_with_the_same_port_is_refused(
    world: World, daemon: Daemon, tmp_path: Path
) -> None:
    """The message says which port, and what to do; no PID file stays."""
    other = tmp_path / "other.pid"

    text = refused(world, other, daemon.port)

    assert re.search(rf"cannot listen on (?:localhost|127\.0\.0\.1):{daemon.port}: ", text)
    assert "stop the other program, or choose another port" in text
    assert not other.exists()
    assert daemon.ask("echo here") == "here"


def test_a_killed_daemon_can_be_started_again(world: World, tmp_path: Path) -> None:
    """What it left does not keep the next one away, and is replaced."""
    pid_file = tmp_path / "bench.pid"
    first = Daemon(world, pid_file)
    assert first.ask("echo here") == "here"
    first.close()
    left = pid_file.read_text(encoding="utf-8")

    second = Daemon(world, pid_file)
    try:
        assert pid_file.read_text(encoding="utf-8") != left
        assert second.stop() == 0
    finally:
        second.close()
    assert not pid_file.exists()
