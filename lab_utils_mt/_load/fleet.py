"""How do several processes put one load on a server, and what did they see together?"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from ..exceptions import LabUtilsError
from .driver import find
from .plan import Plan
from .tally import Second, Tally

ENOUGH = 0.5
"""A load that works longer than this part of the time may itself be the limit."""

_START = (
    "import sys; sys.path[:] = sys.argv[1:];"
    "from lab_utils_mt._load.worker import main; sys.exit(main())"
)
_SLICE = 0.2  # seconds; on Windows a longer wait would keep Ctrl-C waiting
_GRACE = 10.0  # seconds to start, or to end beyond what the plan needs
_PLACE_OF_IPV6 = 4  # host, port, flow, scope
_MOST_TEXT = 2000  # characters of what a process said before it failed


@dataclasses.dataclass(frozen=True)
class Progress:
    """What all clients saw in one second.

    Attributes:
        plan: The load.
        second: What was seen; its number is negative while the clients warm up.
        requests: Good replies so far, without those of the warm-up.
        errors: Failed requests so far, without those of the warm-up.
    """

    plan: Plan
    second: Second
    requests: int
    errors: int


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What came of a load.

    Attributes:
        plan: The load.
        tally: What all clients saw.
        busiest: The largest part of its time that a process of the load worked, or all of them
            together of what the usable processors have; 0 to 1.
        was_interrupted: Whether somebody ended it early.
    """

    plan: Plan
    tally: Tally
    busiest: float
    was_interrupted: bool = False

    @property
    def is_limited(self) -> bool:
        """Whether the load itself, not the server, may have been the limit."""
        return self.busiest > ENOUGH

    @property
    def reached(self) -> float | None:
        """Which part of the scheduled requests was sent; None without a rate."""
        scheduled = self.plan.scheduled
        if scheduled is None or self.was_interrupted:
            return None
        return max(0.0, 1 - self.tally.unsent / max(scheduled, 1.0))


def run(
    plan: Plan,
    on_progress: Callable[[Progress], None] | None = None,
    stop: threading.Event | None = None,
) -> Outcome:
    """Put a load on a server, from as many processes as the plan says.

    Ctrl-C ends it early; what was measured until then is returned.

    Args:
        plan: The load.
        on_progress: Called in this thread with each second that is over.
        stop: Ends the load early, too, once it is set.

    Raises:
        LabUtilsError: The host has no address, or a process failed.
    """
    stop = stop or threading.Event()
    was_interrupted = False
    with _Fleet(_with_address(plan)) as fleet:
        try:
            fleet.begin(stop)
            fleet.follow(on_progress, stop)
        except KeyboardInterrupt:
            was_interrupted = True
        was_interrupted = was_interrupted or stop.is_set()
        if was_interrupted:
            fleet.recall()
        return dataclasses.replace(fleet.outcome(was_interrupted), plan=plan)


def _with_address(plan: Plan) -> Plan:
    """Return the plan with the address that all processes shall use."""
    place = find(plan).place
    has_scope = len(place) > _PLACE_OF_IPV6 - 1 and place[_PLACE_OF_IPV6 - 1]
    return plan if has_scope else dataclasses.replace(plan, host=place[0])


class _Worker:
    """One process. A thread of its own takes what it says into the queue of the fleet."""

    def __init__(self, number: int, news: queue.Queue[tuple[_Worker, dict[str, Any]]]) -> None:
        self.tally: Tally | None = None
        self.failure = ""
        self.is_ready = self.has_ended = False
        self._number, self._news = number, news
        self._process = _start()
        self._thread = threading.Thread(target=self._listen, name=f"load-{number}", daemon=True)

    def start(self, plan: Plan) -> None:
        """Let it prepare its share."""
        self._thread.start()
        self.write(json.dumps({"plan": plan.as_json(), "process": self._number}))

    def write(self, line: str) -> None:
        """Send a line."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError, ValueError):  # its end will be noticed anyway
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        said = ""
        for line in self._process.stdout:
            try:
                self._news.put((self, json.loads(line)))
            except ValueError:  # a traceback
                said = (said + line)[-_MOST_TEXT:]
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_GRACE)
        self._news.put((self, {"ended": said}))

    def take(self, news: dict[str, Any]) -> None:
        """Take what the process said."""
        self.is_ready = self.is_ready or "ready" in news
        self.failure = news.get("failed", self.failure)
        if "tally" in news:
            self.tally = Tally.from_json(news["tally"])
        if "ended" in news:
            self.has_ended = True
            last = news["ended"].strip().rpartition("\n")[2]
            if self.tally is None and not self.failure:
                self.failure = _early_end(last, self._process.returncode)

    def dismiss(self) -> None:
        """Let the process end."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()

    def close(self, deadline: float) -> None:
        """Wait for the end of the process, and bring it about if it does not come."""
        self.dismiss()
        try:
            self._process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._thread.ident is not None:
            self._thread.join()
        assert self._process.stdout is not None
        self._process.stdout.close()


def _early_end(said: str, status: int | None) -> str:
    """Return what to tell of a process that ended before it had told what it measured."""
    how, advice = f"exit status {'unknown' if status is None else status}", "run it again"
    if status is not None and status < 0:
        how = f"signal {-status}, {signal.strsignal(-status) or 'unknown'}"
        advice = "it had no time to tell more: look whether memory ran out, or use fewer clients"
    return (
        f"a process of the load ended early: {said or 'it said nothing'} ({how}):"
        f" what was measured is lost; {advice}"
    )


def _start() -> subprocess.Popen[str]:
    more: dict[str, Any] = {"start_new_session": True}  # else Ctrl-C would reach it, too
    if sys.platform == "win32":
        more = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW}
    return subprocess.Popen(  # noqa: S603  (our own program)
        [sys.executable, "-c", _START, *sys.path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        **more,
    )


class _Fleet:
    """All processes."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._news: queue.Queue[tuple[_Worker, dict[str, Any]]] = queue.Queue()
        self._workers: list[_Worker] = []
        self._seconds: dict[int, tuple[Second, int]] = {}
        self._requests = self._errors = 0

    def __enter__(self) -> _Fleet:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.dismiss()
        deadline = time.monotonic() + _GRACE
        for worker in self._workers:
            worker.close(deadline)

    def begin(self, stop: threading.Event) -> None:
        """Start the processes, and let all begin at the same time.

        Raises:
            LabUtilsError: One of them cannot.
        """
        for number in range(self._plan.processes):
            self._workers.append(worker := _Worker(number, self._news))
            worker.start(self._plan)
        deadline = time.monotonic() + _GRACE * (1 + self._plan.processes)
        while not all(worker.is_ready for worker in self._workers) and not stop.is_set():
            self._hear()
            self._require_all()
            _require_time(deadline, "start")
        for worker in self._workers:
            worker.write("begin")

    def _require_all(self) -> None:
        for worker in self._workers:
            if worker.failure:
                raise LabUtilsError(worker.failure)

    def _hear(self) -> dict[str, Any]:
        """Take what one process said; return it, or nothing after a while."""
        news: dict[str, Any] = {}
        with contextlib.suppress(queue.Empty):
            worker, news = self._news.get(timeout=_SLICE)
            worker.take(news)
        return news

    def follow(self, tell: Callable[[Progress], None] | None, stop: threading.Event) -> None:
        """Listen until all processes have ended, or ``stop`` is set.

        Raises:
            LabUtilsError: One of them failed.
        """
        deadline = time.monotonic() + _longest(self._plan) + _GRACE
        while not (stop.is_set() or self._have_ended):
            news = self._hear()
            self._require_all()
            if "second" in news and tell is not None:
                self._merge(Second.from_json(news["second"]), tell)
            _require_time(deadline, "end")

    @property
    def _have_ended(self) -> bool:
        return all(worker.has_ended for worker in self._workers)

    def recall(self) -> None:
        """End the load early; take what the processes have measured."""
        for worker in self._workers:
            worker.dismiss()
        deadline = time.monotonic() + _GRACE
        while not self._have_ended and time.monotonic() < deadline:
            self._hear()

    def _merge(self, second: Second, tell: Callable[[Progress], None]) -> None:
        """Tell of a second once all processes have told of it."""
        whole, told = self._seconds.pop(second.second, (Second(second.second, 0.0), 0))
        whole.merge(second)
        if told + 1 < len(self._workers):
            self._seconds[second.second] = whole, told + 1
            return
        if whole.second >= 0:
            self._requests += whole.requests
            self._errors += whole.errors
        tell(Progress(self._plan, whole, self._requests, self._errors))

    def outcome(self, was_interrupted: bool) -> Outcome:
        """Return what all saw."""
        tallies = [worker.tally for worker in self._workers if worker.tally is not None]
        shares = [one.cpu_seconds / one.seconds for one in tallies if one.seconds]
        busiest = busy_part(shares, usable_processors())
        whole = Tally()
        for tally in tallies:
            whole.merge(tally)
        return Outcome(self._plan, whole, busiest, was_interrupted)


def busy_part(shares: list[float], processors: int) -> float:
    """Return how busy a load is, 0 to 1.

    Args:
        shares: The part of its time that each process works.
        processors: How many they have together.
    """
    return max(*shares, sum(shares) / processors, 0.0) if shares else 0.0


def usable_processors() -> int:
    """Return on how many processors this program may run."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _longest(plan: Plan) -> float:
    """Return for how many seconds a load may last.

    A connection that is begun at the end may take one timeout, and its reply a second one.
    """
    return plan.warm_up + plan.seconds + 2 * plan.timeout


def _require_time(deadline: float, what: str) -> None:
    if time.monotonic() > deadline:
        raise LabUtilsError(f"the processes of the load do not {what}")
