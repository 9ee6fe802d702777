"""One port, one server; and what a user reads if that cannot be."""

from __future__ import annotations

import errno
import socket
import sys

import pytest
from daemons import Line, Stage, serving


def test_no_other_program_can_listen_on_the_port(stage: Stage) -> None:
    """Not even one that asks to share it, as Windows would let it."""
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with pytest.raises(OSError, match=r"."):
            other.bind(("127.0.0.1", stage.port))
    with Line(stage) as client:
        assert client.ask("ping") == "pong"


def test_the_port_is_asked_for_in_the_way_of_the_system(stage: Stage) -> None:
    """For itself alone on Windows; elsewhere again within the minute after a stop."""

    def has(option: int) -> bool:
        return bool(stage.socket.getsockopt(socket.SOL_SOCKET, option))

    if sys.platform == "win32":
        assert not stage.allow_reuse_address
        assert has(socket.SO_EXCLUSIVEADDRUSE)
        assert not has(socket.SO_REUSEADDR)
    else:
        assert has(socket.SO_REUSEADDR)


def test_a_restart_gets_the_same_port_at_once(pid_file: str) -> None:
    """Although connections of the old server have not been forgotten yet."""
    port = 0
    for _ in range(3):
        server = Stage(pid_file_name=pid_file, host="127.0.0.1", port=port)
        with serving(server), Line(server) as client:
            assert client.ask("ping") == "pong"
            port = server.port
            server.close()
            assert client.rest() == b""


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.EADDRINUSE, "stop the other program, or choose another port"),
        (errno.EADDRNOTAVAIL, "check the address"),
        # Windows says so of a port that another program has for itself alone.
        (
            errno.EACCES,
            "stop the other program" if sys.platform == "win32" else "check the address",
        ),
    ],
)
def test_a_port_that_cannot_be_had_is_explained(pid_file: str, number: int, advice: str) -> None:
    """With what to do."""

    class Refused(Stage):
        def server_bind(self) -> None:
            raise OSError(number, "no")

    stage = Refused(pid_file_name=pid_file, host="127.0.0.1", port=1507)
    with pytest.raises(OSError, match=f"cannot listen on 127.0.0.1:1507: no; {advice}"):
        stage.start_daemon()
