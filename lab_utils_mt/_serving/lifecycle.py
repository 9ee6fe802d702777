"""Is the server to serve, does it serve, and who is closing it?

::

    claim_loop() ──> attach() ──> release_loop()      one thread at a time
    request_stop()                                    any thread, signal handlers too
    claim_close() ──────────────> finish_close()      the first one who asks
"""

from __future__ import annotations

import threading
from typing import Protocol

_WAIT_SLICE = 0.5  # s; an untimed wait in the main thread makes Ctrl-C dead on Windows


class Loop(Protocol):
    """What can be told to end."""

    def end(self) -> None:
        """End soon; may be called anywhere, signal handlers included."""


class Lifecycle:
    """The states of one server.

    Attributes:
        quitting: Whether the server is to stop for good.
        hurried: Whether it is to stop without waiting for running commands.
    """

    def __init__(self) -> None:
        # Plain attributes, written without a lock: a signal handler may run in the middle of
        # anything, and would wait for ever for a lock that its own thread holds.
        self.quitting = False
        self.hurried = False
        self._loop_wanted = True
        self._loop: Loop | None = None
        # Guards the two below.
        self._lock = threading.Lock()
        self._loop_thread: int | None = None
        self._closing_thread: int | None = None
        self._loop_done = threading.Event()
        self._loop_done.set()
        self._closed = threading.Event()

    @property
    def is_closing(self) -> bool:
        """Whether somebody is closing the server, or has closed it."""
        return self._closing_thread is not None

    def claim_loop(self) -> None:
        """Become the thread that serves.

        Raises:
            OSError: The server was closed.
            RuntimeError: There is such a thread.
        """
        with self._lock:
            if self._closing_thread is not None:
                raise OSError("this server was closed; make a new one")
            if self._loop_thread is not None:
                raise RuntimeError("serve_forever() is running already")
            self._loop_thread = threading.get_ident()
            self._loop_done.clear()

    def attach(self, loop: Loop) -> bool:
        """Let others end the loop; return whether it is still wanted."""
        self._loop = loop
        return self._loop_wanted and not self.quitting

    def release_loop(self) -> None:
        """Be no longer the thread that serves."""
        self._loop = None
        with self._lock:
            self._loop_thread = None
        self._loop_wanted = True
        self._loop_done.set()

    def end_loop(self) -> None:
        """End the loop, and wait until no thread serves."""
        self._loop_wanted = False
        self._end(self._loop)
        _wait(self._loop_done)

    def request_stop(self) -> None:
        """Let the server stop soon; takes no lock."""
        self.quitting = True
        self._end(self._loop)

    def is_entangled(self) -> bool:
        """Whether the calling thread serves or closes, and would wait for itself."""
        return threading.get_ident() in (self._loop_thread, self._closing_thread)

    def claim_close(self) -> bool:
        """Become the thread that closes; False if there is one already."""
        with self._lock:
            first = self._closing_thread is None
            if first:
                self._closing_thread = threading.get_ident()
            return first

    def finish_close(self) -> None:
        """Tell those who wait that everything is closed."""
        self._closed.set()

    def wait_closed(self) -> None:
        """Wait until everything is closed."""
        _wait(self._closed)

    @staticmethod
    def _end(loop: Loop | None) -> None:
        if loop is not None:
            loop.end()


def _wait(event: threading.Event) -> None:
    while not event.wait(_WAIT_SLICE):
        pass
