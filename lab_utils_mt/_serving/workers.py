"""Which thread does the work? One that has done such work before, if there is one."""

from __future__ import annotations

import itertools
import queue
import threading
import time
from collections.abc import Callable

Task = Callable[[], None]


class Workers:
    """Threads that take one task after another.

    A task gets a thread of its own at once: an idle one, or a new one. Starting a thread for each
    connection would cost more than a short connection itself.

    Args:
        name: Threads are named ``name-1``, ``name-2``, ...
        idle_timeout: Seconds after which an idle thread ends.
    """

    def __init__(self, name: str, idle_timeout: float = 10.0) -> None:
        self._name = name
        self._idle_timeout = idle_timeout
        self._numbers = itertools.count(1)
        self._tasks: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
        # Guards the three below.
        self._lock = threading.Lock()
        self._threads: set[threading.Thread] = set()
        self._idle = 0  # threads that wait at the queue and have not been promised a task
        self._stopping = False

    def __len__(self) -> int:
        """Return the number of threads, busy or idle."""
        with self._lock:
            return len(self._threads)

    def __contains__(self, thread: threading.Thread) -> bool:
        with self._lock:
            return thread in self._threads

    def submit(self, task: Task) -> None:
        """Let a thread run ``task``, which must not raise.

        Raises:
            RuntimeError: No thread can be started, or :meth:`stop` was called.
        """
        with self._lock:
            if self._stopping:
                raise RuntimeError("the workers were stopped")
            thread = None if self._idle else self._new_thread(task)
            if thread is None:
                self._idle -= 1
            else:
                self._threads.add(thread)  # before it starts, so that stop() cannot miss it
        if thread is None:
            self._tasks.put(task)
        else:
            self._start(thread)

    def stop(self, deadline: float) -> None:
        """End the idle threads, and the others when their task is done.

        Args:
            deadline: Monotonic time until which to wait for them.
        """
        with self._lock:
            self._stopping = True
            idle, self._idle = self._idle, 0
            threads = list(self._threads)
        for _ in range(idle):
            self._tasks.put(None)
        for thread in threads:
            if thread is not threading.current_thread():
                thread.join(max(0.0, deadline - time.monotonic()))

    def _new_thread(self, task: Task) -> threading.Thread:
        name = f"{self._name}-{next(self._numbers)}"
        return threading.Thread(target=self._work, args=(task,), name=name, daemon=True)

    def _start(self, thread: threading.Thread) -> None:
        try:
            thread.start()
        except RuntimeError:  # the system has no more threads
            with self._lock:
                self._threads.discard(thread)
            raise

    def _work(self, task: Task | None) -> None:
        try:
            while task is not None:
                task()
                del task  # it holds the connection, and the next one may be long in coming
                task = self._next_task()
        finally:
            with self._lock:
                self._threads.discard(threading.current_thread())

    def _next_task(self) -> Task | None:
        with self._lock:
            if self._stopping:
                return None
            self._idle += 1
        while True:
            try:
                return self._tasks.get(timeout=self._idle_timeout)
            except queue.Empty:
                with self._lock:
                    if self._idle > 0:
                        self._idle -= 1
                        return None
            # A task was promised and is on its way, if another thread does not get it first.
