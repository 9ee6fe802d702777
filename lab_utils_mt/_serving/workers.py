"""Which thread serves the next client? The one that waits for it.

An idle thread waits where the clients come in, takes one and serves it. To hand the client to
another thread would take longer than to serve a short connection. There is always one that waits::

    waiting ──> takes a client in ──> busy ──> waiting, or ends if enough others wait
                       │
                       └ if it is the last one that waits, it starts another one first
"""

from __future__ import annotations

import itertools
import sys
import threading
import time
from collections.abc import Callable

Task = Callable[[], None]

# On Linux one of them is woken for a client; elsewhere they poll, and all are.
_MOST_WAITING = 4 if sys.platform == "linux" else 2
_WAIT_SLICE = 0.5  # s; an untimed wait in the main thread makes Ctrl-C dead on Windows


class _Here(threading.local):
    """What a thread is about: does it take a client in, and which task came of that?"""

    takes = False
    task: Task | None = None


class Workers:
    """Threads that take clients in and serve them.

    Args:
        name: Threads are named ``name-1``, ``name-2``, ...
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._numbers = itertools.count(1)
        self._here = _Here()
        # Guards the five below, but that a thread looks at the two tasks without it; notified
        # when one waits no more.
        self._changed = threading.Condition(threading.Lock())
        self._threads: set[threading.Thread] = set()
        self._waiting = 0  # threads that take clients in
        self._take: Task | None = None
        self._begin: Task = lambda: None
        self._stopping = False

    def __len__(self) -> int:
        """Return the number of threads, busy or waiting."""
        with self._changed:
            return len(self._threads)

    def __contains__(self, thread: threading.Thread) -> bool:
        with self._changed:
            return thread in self._threads

    def receive(self, take: Task, begin: Task = lambda: None) -> None:
        """Begin to take clients in.

        Args:
            take: Waits for a client and passes :meth:`submit` what serves it, from the same thread.
                Returns without that if there is none, or it is refused. Called again and again,
                by several threads at once.
            begin: Called by each thread first.

        Raises:
            RuntimeError: No thread can be started.
        """
        with self._changed:
            self._take, self._begin = take, begin
            self._waiting += 1
        self._start_waiting()

    def rest(self, wake: Callable[[], None], deadline: float) -> None:
        """Take no more clients in, and wait until nobody does.

        Args:
            wake: Makes those return who wait for a client.
            deadline: Monotonic time until which to wait for them.
        """
        with self._changed:
            self._take = None
        wake()
        with self._changed:
            while self._waiting and (left := deadline - time.monotonic()) > 0:
                self._changed.wait(min(left, _WAIT_SLICE))

    def submit(self, task: Task) -> None:
        """Let a thread run ``task``, which must not raise.

        It is the calling thread's next one, if that takes a client in; else a new thread's.

        Raises:
            RuntimeError: No thread can be started, or :meth:`stop` was called.
        """
        if self._here.takes:
            self._leave()
            self._here.takes, self._here.task = False, task
        else:
            self._start(task)

    def stop(self, deadline: float) -> None:
        """End the threads, when their task is done.

        Args:
            deadline: Monotonic time until which to wait for them.
        """
        with self._changed:
            self._stopping, self._take = True, None
            threads = list(self._threads)
        for thread in threads:
            if thread.is_alive() and thread is not threading.current_thread():
                thread.join(max(0.0, deadline - time.monotonic()))

    # --- places for those who wait ---------------------------------------------------------

    def _enter(self) -> bool:
        """Become one who waits, if one more is of use."""
        with self._changed:
            is_of_use = self._take is not None and self._waiting < _MOST_WAITING
            self._waiting += is_of_use
            return is_of_use

    def _leave(self) -> None:
        """Be no longer one who waits; the last one lets a new thread take its place."""
        with self._changed:
            if self._stopping:
                raise RuntimeError("the workers were stopped")
            is_last = self._waiting == 1 and self._take is not None
            self._waiting -= not is_last
            self._changed.notify_all()
        if is_last:
            self._start(None)

    def _give_up(self) -> None:
        with self._changed:
            self._waiting -= 1
            self._changed.notify_all()

    def _start_waiting(self) -> None:
        """Let a new thread take a place that is counted already."""
        try:
            self._start(None)
        except RuntimeError:
            self._give_up()
            raise

    # --- threads ---------------------------------------------------------------------------

    def _start(self, task: Task | None) -> None:
        name = f"{self._name}-{next(self._numbers)}"
        thread = threading.Thread(target=self._work, args=(task,), name=name, daemon=True)
        with self._changed:
            if self._stopping:
                raise RuntimeError("the workers were stopped")
            self._threads.add(thread)  # before it starts, so that stop() cannot miss it
        try:
            thread.start()
        except RuntimeError:  # the system has no more threads
            with self._changed:
                self._threads.discard(thread)
            raise

    def _work(self, task: Task | None) -> None:
        """Run a task, then what else there is; None is to take the place of one who waits."""
        try:
            self._begin()
            while task is not None or (task := self._next_task()) is not None:
                task()
                del task  # it holds the connection, and the next one may be long in coming
                if not self._enter():
                    break
                task = None
        finally:
            with self._changed:
                self._threads.discard(threading.current_thread())

    def _next_task(self) -> Task | None:
        """Wait for a client, having a place; None at the end, without one."""
        here = self._here
        while (take := self._take) is not None:
            here.takes = True
            try:
                take()
            except BaseException:  # such as SystemExit in a hook: it ends this thread only
                if here.takes:
                    self._start_waiting()
                raise
            if not here.takes:
                task, here.task = here.task, None
                return task
        self._give_up()
        return None
