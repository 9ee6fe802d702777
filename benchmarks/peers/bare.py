"""What does the standard library's threaded server reach, without any parsing? The floor."""

from __future__ import annotations

import platform
import socketserver
import time
from typing import Any

from benchmarks.house.peer import Peer, Wire


def serve(port: int, _options: dict[str, Any]) -> None:
    """Echo the second word of each line; ``sleep SECONDS`` and ``blob BYTES`` do as they say."""

    class Handler(socketserver.StreamRequestHandler):
        disable_nagle_algorithm = True

        def handle(self) -> None:
            for line in self.rfile:
                command, _, argument = line.rstrip(b"\r\n").partition(b" ")
                if command == b"sleep":
                    time.sleep(float(argument))
                elif command == b"blob":
                    argument = b"x" * int(argument)
                self.wfile.write(argument + b"\n")

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = True
        daemon_threads = True
        request_queue_size = 1024

    Server(("127.0.0.1", port), Handler).serve_forever()


class Unterminated(socketserver.BaseRequestHandler):
    """Answers one message without newline, as a 0.5.x server does, and closes."""

    disable_nagle_algorithm = True

    def handle(self) -> None:
        """Answer what comes first."""
        self.request.sendall(self.request.recv(4096).partition(b" ")[2])


def serve_unterminated(port: int, _options: dict[str, Any]) -> None:
    """Answer one message a connection."""

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = True
        daemon_threads = True
        request_queue_size = 1024

    Server(("127.0.0.1", port), Unterminated).serve_forever()


PEER = Peer(
    name="ThreadingTCPServer",
    version=platform.python_version,
    settings="a thread per connection, TCP_NODELAY, backlog 1024; it splits at the first blank",
    serve=serve,
    wire=Wire(b"echo hello\n", ok=b"hello"),
    colour="#6E6E6E",
)
ONE_MESSAGE = Peer(
    name="ThreadingTCPServer",
    version=platform.python_version,
    settings="a thread per connection, one recv and one send each, backlog 1024",
    serve=serve_unterminated,
    wire=Wire(b"echo hello", ok=b"hello"),
)
