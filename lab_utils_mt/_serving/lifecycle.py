"""Is the server to serve, does it serve, and who is closing it?

::

    claim_loop() ──> attach() ──> release_loop()      one thread at a time
    request_stop()                                    any thread, signal handlers too
    begin_close() ──────────────> finish_close()      the first one who asks
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
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
        signalled: Whether a signal asked for that.
    """

    def __init__(self) -> None:
        # Plain attributes, written without a lock: a signal handler may run in the middle of
        # anything, and would wait for ever for a lock that its own thread holds.
        self.quitting = False
        self.hurried = False
        self.signalled = False
        self._is_past = False  # to stop has been noticed, and cannot be taken back
        self._loop_wanted = True
        self._loop: Loop | None = None
        self._process = os.getpid()
        # Guards the three below; notified when one changes.
        self._changed = threading.Condition(threading.Lock())
        self._loop_thread: int | None = None
        self._closing_thread: int | None = None
        self._closed = False

    def claim_loop(self) -> None:
        """Become the thread that serves.

        Raises:
            OSError: The server was closed.
            RuntimeError: There is such a thread.
        """
        with self._changed:
            if self._closing_thread is not None:
                raise OSError("this server was closed; make a new one")
            if self._loop_thread is not None:
                raise RuntimeError("serve_forever() is running already")
            self._loop_thread = threading.get_ident()

    def attach(self, loop: Loop) -> bool:
        """Let others end the loop; return whether it is still wanted."""
        self._loop = loop
        return self._loop_wanted and not (self.quitting or self._is_past)

    def release_loop(self) -> None:
        """Be no longer the thread that serves."""
        with self._changed:
            self._loop = self._loop_thread = None
            self._loop_wanted = True
            self._changed.notify_all()

    def end_loop(self) -> None:
        """End the loop, and wait until no thread serves; a thread does not wait for itself."""
        self._loop_wanted = False
        self._end(self._loop)
        if not self.is_entangled():
            self._wait_until(lambda: self._loop_thread is None)

    def request_stop(self, by_signal: bool = False) -> None:
        """Let the server stop soon, and at once if a second signal asks; takes no lock."""
        self.hurried = self.hurried or (by_signal and self.quitting)
        self.signalled = self.signalled or by_signal
        self.quitting = True
        self._end(self._loop)

    def resume(self) -> None:
        """Take a request to stop back, if it has not been noticed yet."""
        self.quitting = self._is_past

    def no_way_back(self) -> bool:
        """Notice a request to stop, if there is one, for good; return whether there is."""
        self._is_past = self.quitting
        return self._is_past

    def is_entangled(self) -> bool:
        """Whether the calling thread serves or closes, and would wait for itself."""
        return threading.get_ident() in (self._loop_thread, self._closing_thread)

    def is_in_child(self) -> bool:
        """Whether this is a forked child, where nothing of the server lives."""
        return os.getpid() != self._process

    def begin_close(self) -> bool:
        """End the loop and become the thread that closes; False if another one does or did."""
        while True:
            self.end_loop()
            with self._changed:
                if self._loop_thread is None:  # else somebody began to serve meanwhile
                    first = self._closing_thread is None
                    self._closing_thread = self._closing_thread or threading.get_ident()
                    return first

    def finish_close(self) -> None:
        """Tell those who wait that everything is closed."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def wait_closed(self) -> None:
        """Wait until everything is closed."""
        self._wait_until(lambda: self._closed)

    def _wait_until(self, condition: Callable[[], bool]) -> None:
        with self._changed:
            while not condition():
                self._changed.wait(_WAIT_SLICE)

    @staticmethod
    def _end(loop: Loop | None) -> None:
        if loop is not None:
            loop.end()
