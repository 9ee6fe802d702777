"""A line to any server on TCP that can be made bad: the same faults for mail, Slack and alarms.

And a server that never ends what it says.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator

from daemons import wait_until

OPEN, DOWN, DEAF, SLOW, RESET = "open", "down", "deaf", "slow", "reset"
FAULTS = (DOWN, DEAF, SLOW, RESET)
_NO_LINGER = struct.pack("ii", 1, 0)  # close with a reset
_TICK = 0.01  # s


def bound_socket(port: int = 0) -> socket.socket:
    """Return a socket that has its port, and does not listen: who connects is refused."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("127.0.0.1", port))
    return sock


def reset(sock: socket.socket) -> None:
    """Break a connection with a reset; whoever waits in it wakes up."""
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
    sock.close()


class TcpProxy:
    """Forwards connections to a port of this machine. Begin and end with ``with``.

    * open: forwards.
    * down: refuses connections.
    * deaf: takes them, and never says a word.
    * slow: each piece takes ``delay`` seconds.
    * reset: breaks a connection at the answer's byte number ``after``.
    """

    def __init__(self, target: int, mode: str = OPEN) -> None:
        self._target = target
        self._mode, self.delay, self._after = mode, 0.05, 0
        self._lock = threading.Lock()  # guards _lines
        self._lines: dict[socket.socket, socket.socket | None] = {}
        self._ending = threading.Event()
        self._door = bound_socket()
        self.port: int = self._door.getsockname()[1]
        self.arrivals = 0
        self._applied = ""
        self._threads: list[threading.Thread] = []
        self._spawn(self._attend)
        self.turn(mode)

    def turn(self, mode: str, after: int = 0) -> None:
        """Change how connections fare; returns when it is so. Lines of no more use are reset."""
        spoiled = mode in (DOWN, RESET) or self._mode == DEAF
        self._mode, self._after = mode, after
        wait_until(lambda: self._applied == mode, f"the proxy being {mode}")
        if spoiled:
            self._break_all()

    def close(self) -> None:
        """Reset all connections and end all threads."""
        self._ending.set()
        self._threads[0].join()
        self._break_all()
        for thread in self._threads:
            thread.join()

    def __enter__(self) -> TcpProxy:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _spawn(self, run: object, *args: object) -> None:
        thread = threading.Thread(target=run, args=args, name="tcp-proxy")  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _break_all(self) -> None:
        with self._lock:
            lines, self._lines = list(self._lines.items()), {}
        for ends in lines:
            for end in ends:
                if end is not None:
                    with contextlib.suppress(OSError):  # wakes the thread that reads from it
                        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
                        end.shutdown(socket.SHUT_RD)
                    if ends[1] is None:
                        end.close()

    def _attend(self) -> None:
        listening = False
        while not self._ending.wait(0 if listening else _TICK):
            mode = self._mode
            if listening is (mode == DOWN):  # wrong either way: begin anew, on the same port
                self._door.close()
                self._door = bound_socket(self.port)
                listening = not listening
                if listening:
                    self._door.listen(100)
                    self._door.settimeout(_TICK)
            self._applied = mode
            if listening:
                with contextlib.suppress(TimeoutError):
                    self._receive(self._door.accept()[0], mode)
        self._door.close()

    def _receive(self, client: socket.socket, mode: str) -> None:
        self.arrivals += 1
        if mode == RESET and not self._after:
            reset(client)
            return
        client.settimeout(None)
        server = None
        if mode != DEAF:
            try:
                server = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                reset(client)
                return
        with self._lock:
            self._lines[client] = server
        if server is not None:
            self._spawn(self._serve, client, server)

    def _serve(self, client: socket.socket, server: socket.socket) -> None:
        up = threading.Thread(target=self._pump, args=(client, server, False), name="tcp-proxy-up")
        up.start()
        self._pump(server, client, True)
        up.join()
        with self._lock:
            self._lines.pop(client, None)
        reset(server)
        client.close()

    def _pump(self, source: socket.socket, target: socket.socket, answers: bool) -> None:
        passed = 0
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if self._mode == SLOW:
                    self._ending.wait(self.delay)
                if self._mode == DEAF:
                    continue
                passed += len(data)
                if answers and self._mode == RESET and passed > self._after:
                    target.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
                    source.shutdown(socket.SHUT_RDWR)
                    target.shutdown(socket.SHUT_RD)
                    return
                target.sendall(data)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)


class Talker:
    """Says something to whoever connects, and then one piece after the other, for ever."""

    def __init__(self, begin: bytes, piece: bytes, every: float) -> None:
        self._begin, self._piece, self._every = begin, piece, every
        self._door = bound_socket()
        self._door.listen(100)
        self._door.settimeout(_TICK)
        self.port: int = self._door.getsockname()[1]
        self.said = 0  # bytes
        self._ending = threading.Event()
        self._threads = [threading.Thread(target=self._attend, name="talker")]
        self._threads[0].start()

    def _attend(self) -> None:
        while not self._ending.is_set():
            with contextlib.suppress(TimeoutError):
                sock = self._door.accept()[0]
                thread = threading.Thread(target=self._talk, args=(sock,), name="talker")
                self._threads.append(thread)
                thread.start()

    def _talk(self, sock: socket.socket) -> None:
        sock.settimeout(_TICK)
        with sock, contextlib.suppress(ConnectionError):
            sock.sendall(self._begin)
            while not self._ending.wait(self._every):
                with contextlib.suppress(TimeoutError):
                    self.said += sock.send(self._piece)

    def close(self) -> None:
        """Fall silent."""
        self._ending.set()
        for thread in self._threads:  # the first one makes the others
            thread.join()
        self._door.close()


@contextlib.contextmanager
def talking(begin: bytes, piece: bytes, every: float = 0.0) -> Iterator[Talker]:
    """Run a server that says a beginning, and a piece every so many seconds."""
    talker = Talker(begin, piece, every)
    try:
        yield talker
    finally:
        talker.close()
