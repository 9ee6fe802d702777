"""How does the demo start its clients in other processes, follow them, and end them?"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from ..exceptions import LabUtilsError
from .instruments import Report, Task

MOST_PROCESSES = 16
_LOOK = 0.1  # seconds
_GRACE = 5.0  # seconds for a process to go home


def share(clients: int, port: int, seconds: float) -> list[Task]:
    """Give each client a process of its own, or, if they are many, a thread in one of 16."""
    processes = min(clients, MOST_PROCESSES)
    tasks, first = [], 1
    for index in range(processes):
        count = clients // processes + (index < clients % processes)
        tasks.append(Task(port, first, count, clients, seconds))
        first += count
    return tasks


class Member:
    """One process. What it says is kept by a thread of its own, which alone writes it here."""

    def __init__(self, task: Task) -> None:
        self.ready = False
        self.requests = 0
        self.report: Report | None = None
        self.failure = ""
        self._process = _start([*task.arguments()])
        name = f"crew-{task.first}"
        self._thread = threading.Thread(target=self._follow, name=name, daemon=True)
        self._thread.start()

    @property
    def ended(self) -> bool:
        """Whether nothing more is to come."""
        return not self._thread.is_alive()

    def _follow(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                self._take(line)
        if self.report is None and not self.failure:
            self.failure = "it ended without a report"

    def _take(self, line: str) -> None:
        try:
            news: dict[str, Any] = json.loads(line)
            self.ready = self.ready or "ready" in news
            self.requests = news.get("requests", self.requests)
            self.failure = news.get("failed", self.failure)
            if "report" in news:
                self.report = Report.load(news["report"])
        except (ValueError, TypeError, AttributeError):  # a traceback: its last line says most
            self.failure = line.strip() or self.failure

    def begin(self) -> None:
        """Let it work."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # its end will be noticed anyway
            self._process.stdin.write("begin\n")
            self._process.stdin.flush()

    def dismiss(self) -> None:
        """Let it end after its running request."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()

    def close(self, deadline: float) -> None:
        """Wait for the end, and bring it about if it does not come."""
        self.dismiss()
        try:
            self._process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(_GRACE)
        self._thread.join(_GRACE)


def _start(arguments: list[str]) -> subprocess.Popen[str]:
    more: dict[str, Any] = {"start_new_session": True}  # else Ctrl-C would reach it, too
    if sys.platform == "win32":
        more = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW}
    return subprocess.Popen(  # noqa: S603  (our own program)
        [sys.executable, "-m", f"{__package__}.instruments", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        **more,
    )


class Crew:
    """All processes.

    Args:
        tasks: One for each.
        look: Called again and again while anything is waited for; what it raises ends the wait.
    """

    def __init__(self, tasks: list[Task], look: Callable[[], None]) -> None:
        self._tasks, self._look = tasks, look
        self.members: list[Member] = []

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, *_: object) -> None:
        for member in self.members:
            member.dismiss()
        deadline = time.monotonic() + _GRACE
        for member in self.members:
            member.close(deadline)

    @property
    def requests(self) -> int:
        """How many were sent so far."""
        return sum(member.requests for member in self.members)

    @property
    def ended(self) -> bool:
        """Whether all are through."""
        return all(member.ended for member in self.members)

    @property
    def failures(self) -> list[str]:
        """What went wrong with processes, not with single requests."""
        return [member.failure for member in self.members if member.failure]

    def start(self, timeout: float) -> None:
        """Start the processes and wait until each has connected all its clients.

        Raises:
            LabUtilsError: One of them could not, or they take more than ``timeout`` seconds.
        """
        deadline = time.monotonic() + timeout
        for task in self._tasks:
            self._look()
            self.members.append(Member(task))
        while not all(member.ready for member in self.members):
            self._look()
            if self.failures:
                raise LabUtilsError(f"a client could not start: {self.failures[0]}")
            if time.monotonic() > deadline:
                raise LabUtilsError(f"the clients did not start within {timeout:g} s")
            time.sleep(_LOOK)

    def begin(self) -> None:
        """Let all work at once."""
        for member in self.members:
            member.begin()

    def finish(self, timeout: float) -> Report:
        """Let all end after their running request; return what they did."""
        for member in self.members:
            member.dismiss()
        deadline = time.monotonic() + timeout
        while not self.ended and time.monotonic() < deadline:
            time.sleep(_LOOK)
        total = Report()
        for member in self.members:
            if member.report is not None:
                total.add(member.report)
        return total
