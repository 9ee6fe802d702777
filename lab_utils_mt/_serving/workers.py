"""Which thread does the work? One that has done such work before, if there is one."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable

Task = Callable[[], None]


class _Mailbox:
    """Where an idle thread finds its next task; its gate opens once for each, or for None."""

    __slots__ = ("gate", "task")

    def __init__(self) -> None:
        self.gate = threading.Lock()
        self.gate.acquire()
        self.task: Task | None = None

    def deliver(self, task: Task | None) -> None:
        self.task = task
        self.gate.release()

    def take(self) -> Task | None:
        task, self.task = self.task, None
        return task


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
        # Guards the three below.
        self._lock = threading.Lock()
        self._threads: set[threading.Thread] = set()
        self._idle: list[_Mailbox] = []  # the last one gets the next task: the others may end
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
        thread = None
        with self._lock:
            if self._stopping:
                raise RuntimeError("the workers were stopped")
            mailbox = self._idle.pop() if self._idle else None
            if mailbox is None:
                thread = self._new_thread(task)
                self._threads.add(thread)  # before it starts, so that stop() cannot miss it
        if mailbox is not None:
            mailbox.deliver(task)
        elif thread is not None:
            self._start(thread)

    def stop(self, deadline: float) -> None:
        """End the idle threads, and the others when their task is done.

        Args:
            deadline: Monotonic time until which to wait for them.
        """
        with self._lock:
            self._stopping = True
            idle, self._idle = self._idle, []
            threads = list(self._threads)
        for mailbox in idle:
            mailbox.deliver(None)
        for thread in threads:
            if thread.is_alive() and thread is not threading.current_thread():
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
        mailbox = _Mailbox()
        try:
            while task is not None:
                task()
                del task  # it holds the connection, and the next one may be long in coming
                task = self._next_task(mailbox)
        finally:
            with self._lock:
                self._threads.discard(threading.current_thread())

    def _next_task(self, mailbox: _Mailbox) -> Task | None:
        with self._lock:
            if self._stopping:
                return None
            self._idle.append(mailbox)
        if not mailbox.gate.acquire(timeout=self._idle_timeout):
            with self._lock:
                if mailbox in self._idle:
                    self._idle.remove(mailbox)
                    return None
            mailbox.gate.acquire()  # somebody has taken the mailbox to deliver into it
        return mailbox.take()
