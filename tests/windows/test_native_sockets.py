"""A port of Windows belongs to one server."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from daemons import Stage

if not hasattr(socket, "SO_EXCLUSIVEADDRUSE"):
    pytest.skip("only Windows has exclusive addresses", allow_module_level=True)
EXCLUSIVE: int = socket.SO_EXCLUSIVEADDRUSE


def test_the_listening_socket_is_exclusive(stage: Stage) -> None:
    """The option itself, for Wine refuses a second server anyway."""
    assert stage.socket.getsockopt(socket.SOL_SOCKET, EXCLUSIVE) == 1
    assert stage.socket.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR) == 0
    assert not stage.allow_reuse_address
    assert not getattr(stage, "allow_reuse_port", False)


def test_nobody_can_share_its_port(stage: Stage) -> None:
    """Not even a program that allows it."""
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with pytest.raises(OSError, match=r"10013|10048"):
            other.bind(("127.0.0.1", stage.port))


def test_a_second_server_is_told_what_to_do(stage: Stage, tmp_path: Path) -> None:
    """The message names the port."""
    second = Stage(pid_file_name=str(tmp_path / "other.pid"), port=stage.port)
    try:
        with pytest.raises(OSError, match=rf"cannot listen on \S+:{stage.port}: ") as refusal:
            second.start_daemon()
    finally:
        second.close()
    assert "stop the other program, or choose another port" in str(refusal.value)


def test_its_port_is_free_again_at_once(tmp_path: Path) -> None:
    """Without an option, although connections of the old server still linger."""
    from daemons import Line, serving

    path = str(tmp_path / "server.pid")
    with serving(Stage(pid_file_name=path, port=0)) as first, Line(first) as line:
        assert line.ask("echo here") == "here"
        port = first.port
    with serving(Stage(pid_file_name=path, port=port)) as second, Line(second) as line:
        assert line.ask("echo here") == "here"
