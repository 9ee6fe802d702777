"""Side by side with ``lab_utils`` 0.5.4: its client here, this client there."""

from __future__ import annotations

import ast
import socket
from pathlib import Path

import pytest
from daemons import wait_until
from original import Original

from lab_utils_mt.socket_comm import Client

MESSAGES = [
    "move --to 2 {braced words} and others",
    "move {one} {two words}",
    "move",
    "move --to 1 {}",
]


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def wait_for_port(port: int) -> None:
    """Wait until somebody listens; looks at the system's table, for a visit would disturb."""
    wait_until(lambda: f":{port:04X} 00000000:0000 0A" in Path("/proc/net/tcp").read_text())


def ask_both(original: Original, folder: Path, *messages: str) -> list[list[str]]:
    """Let the original client ask a daemon of the original package, and one of this package."""
    replies = []
    for package in ("lab_utils", "lab_utils_mt"):
        port = free_port()
        with original.daemon(port, str(folder / f"{package}.pid"), package):
            wait_for_port(port)
            shown = original.ask(port, *messages, "quit")
            replies.append([ast.literal_eval(reply) for reply in shown])
    return replies


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="needs Linux' table of sockets")
def test_an_original_client_gets_the_same_replies_from_both_servers(
    original: Original, tmp_path: Path
) -> None:
    """Valid commands with braced words, and quit."""
    theirs, ours = ask_both(original, tmp_path, *MESSAGES)
    assert theirs == ours
    assert ours[0] == "moved ['braced words', 'and', 'others'] to 2"
    assert ours[-1] == "Goodbye!"


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="needs Linux' table of sockets")
def test_an_original_client_gets_the_help_that_its_own_server_cannot_print(
    original: Original, tmp_path: Path
) -> None:
    """0.5.4 closes the connection instead, on every supported Python."""
    theirs, ours = ask_both(original, tmp_path, "move --to 3")
    assert theirs[0] == ""
    assert ours[0].startswith("Error! argument --to: invalid choice: 3")
    assert "DAEMON HELP\nA stage.\n" in ours[0]


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="needs Linux' table of sockets")
def test_this_client_works_with_an_original_server(original: Original, tmp_path: Path) -> None:
    """One message after another, without a pause."""
    port = free_port()
    with original.daemon(port, str(tmp_path / "original.pid")):
        wait_for_port(port)
        with Client(host="127.0.0.1", port=port, timeout=20) as client:
            for turn in range(20):
                reply = client.send_message(f"move --to 2 {{turn {turn}}}")
                assert reply == f"moved ['turn {turn}'] to 2"
            assert client.send_message("quit") == "Goodbye!"
