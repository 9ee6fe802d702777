"""When is an instrument asked for its values, and what if it does not answer?

A poller has a thread of its own::

    grid point -> its devices -> the method -> a reading -> those who watch, and the recorder
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import math
import threading
import time
from collections.abc import Callable, Iterable
from datetime import datetime, timezone

from ..exceptions import DeviceBusy, ShuttingDown
from .readings import Reading, Shape
from .telling import age
from .trouble import Trouble, explained

logger = logging.getLogger("lab_utils_mt.pollers")

_LONGEST_PAUSE = 60.0  # s between two attempts, unless the period is longer
_LONGEST_WAIT = 3600.0  # s; Windows waits for 49 days at most
_SLICE = 0.25  # s; how soon a second signal can hurry the stop
_GRACE = 0.2  # s for a thread to end that has nothing to wait for

Take = Callable[[float], contextlib.AbstractContextManager[object]]


@dataclasses.dataclass(frozen=True)
class Plan:
    """How a poller was declared.

    Attributes:
        name: Its name.
        every: Its period, s.
        shape: What its method returns.
        table: Where readings are recorded, if they are.
    """

    name: str
    every: float
    shape: Shape
    table: str | None = None


@dataclasses.dataclass
class PollerCounts:
    """What has happened since a poller was made.

    Attributes:
        readings: How often the method returned.
        skipped: Grid points that passed unused: the method or somebody else's command took long.
        failures: How often the method raised, or returned what it should not.
    """

    readings: int = 0
    skipped: int = 0
    failures: int = 0


class Poller:
    """Call a method every so many seconds, without drift, and never twice to catch up.

    Grid points are multiples of the period after the start. One that passes while the method, or
    the wait for its devices, takes its time is left out. After a failure the pause doubles, up to
    a minute or the period, whichever is longer.

    Args:
        plan: How it was declared.
        method: What to call.
        take: Takes the devices until a monotonic time, as a context manager.
        hand_over: Gets each reading, and one with an error when the method begins to fail; must
            not wait.
        server: What its thread's name begins with.
    """

    def __init__(
        self,
        plan: Plan,
        method: Callable[[], object],
        take: Take,
        hand_over: Callable[[Reading], None],
        server: str = "server",
    ) -> None:
        self.plan = plan
        # Written by the poller's own thread alone; others only look.
        self.counts = PollerCounts()
        self.trouble = Trouble()
        self._method = method
        self._take = take
        self._hand_over = hand_over
        self._newest = 0.0
        self._doing = "not started"
        self._doing_since = time.monotonic()
        self._blocked: tuple[float, str] | None = None  # since when it has not had its devices
        self._stopping = threading.Event()
        self._thread = threading.Thread(
            target=self._run, name=f"{server}-poll-{plan.name}", daemon=True
        )

    # --- life ------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin, with a first reading at once.

        Raises:
            RuntimeError: It was started before, or the system has no more threads.
        """
        self._thread.start()

    def ask_to_stop(self) -> None:
        """Let it end as soon as its method does not run."""
        self._stopping.set()

    @property
    def is_here(self) -> bool:
        """Whether its method calls this."""
        return self._thread is threading.current_thread()

    def join(self, deadline: float) -> bool:
        """Wait for its thread until a monotonic time; return whether it has ended."""
        if self._thread.ident is not None and not self.is_here:
            self._thread.join(max(0.0, deadline - time.monotonic()))
        return not self._thread.is_alive()

    def stop(self, deadline: float) -> bool:
        """Do both."""
        self.ask_to_stop()
        return self.join(deadline)

    # --- work ------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._poll()
        finally:
            self._note("stopped")

    def _poll(self) -> None:
        began, point = time.monotonic(), 0
        while self._waited_until(began + point * self.plan.every):
            step = self._visit()
            # The next grid point that is neither passed nor within the pause after a failure.
            passed = math.floor((time.monotonic() - began) / self.plan.every)
            self.counts.skipped += max(0, passed + 1 - (point + step))
            point = max(point + step, passed + 1)

    def _waited_until(self, moment: float) -> bool:
        """Return False if the poller is to stop before."""
        self._note("waiting")
        while (left := moment - time.monotonic()) > 0:
            if self._stopping.wait(min(left, _LONGEST_WAIT)):
                return False
        return not self._stopping.is_set()

    def _visit(self) -> int:
        """Use one grid point; return how many later the next attempt is."""
        self._note("waiting for its device")
        try:
            return self._settle(*self._read())
        except DeviceBusy as busy:
            self.counts.skipped += 1
            since = self._blocked[0] if self._blocked else time.monotonic()
            holder = f"{busy.command!r} of {busy.client}"
            self._blocked = since, f"device {busy.device!r} is in use by {holder}"
        except ShuttingDown:
            self._stopping.set()
        except Exception:
            logger.exception("a reading of poller %s was lost", self.plan.name)
        return 1

    def _read(self) -> tuple[Reading, BaseException | None]:
        """Call the method, once its devices are there; return the reading, and what was raised.

        Raises:
            DeviceBusy: They are not for a whole period.
            ShuttingDown: They never will be.
        """
        with self._take(time.monotonic() + self.plan.every):
            if self._stopping.is_set():
                raise ShuttingDown(f"poller {self.plan.name} was stopped")
            self._blocked = None
            self._note("reading")
            begun = Reading(self.plan.name, datetime.now(timezone.utc), time.monotonic())
            try:
                values = self.plan.shape.values_of(self._method())
            except BaseException as error:
                if isinstance(error, KeyboardInterrupt | GeneratorExit):
                    raise
                return dataclasses.replace(begun, error=explained(error)), error
            return dataclasses.replace(begun, values=values or {}), None

    def _settle(self, reading: Reading, error: BaseException | None) -> int:
        return self._worked(reading) if error is None else self._failed(reading, error)

    def _worked(self, reading: Reading) -> int:
        if reading.values:
            self._hand_over(reading)
        self.counts.readings += 1
        self._newest = time.monotonic()
        times, lasted = self.trouble.times, self.trouble.lasts
        if self.trouble.mended():
            text = "poller %s works again after %s; it failed %d times"
            logger.info(text, self.plan.name, age(lasted), times)
        return 1

    def _failed(self, reading: Reading, error: BaseException) -> int:
        self.counts.failures += 1
        reason, begins = reading.error or "", self.trouble.reason is None
        is_news = self.trouble.failed(reason)
        steps = self._pause()
        if is_news:
            text = "poller %s failed: %s; it is tried again, less and less often: in %s"
            logger.error(text, self.plan.name, reason, age(steps * self.plan.every))
        logger.debug("poller %s failed: %s", self.plan.name, reason, exc_info=error)
        if begins:
            self._hand_over(reading)
        return steps

    def _pause(self) -> int:
        """Return how many grid points lie between a failure and the next attempt."""
        most = max(1, math.floor(_LONGEST_PAUSE / self.plan.every))
        return min(most, 1 << min(self.trouble.times, 40))

    # --- tell ------------------------------------------------------------------------------

    def _note(self, doing: str) -> None:
        self._doing, self._doing_since = doing, time.monotonic()

    @property
    def state(self) -> str:
        """What it does, or why it fails."""
        reason = self.trouble.reason
        if reason is not None:
            return f"failing for {age(self.trouble.lasts)}: {reason}"
        blocked = self._blocked
        if blocked is not None:
            return f"waiting for {age(time.monotonic() - blocked[0])}: {blocked[1]}"
        took = time.monotonic() - self._doing_since
        if self._doing.startswith("waiting") and took <= self.plan.every:
            return "ok"
        return f"{self._doing} for {age(took)}"

    def __str__(self) -> str:
        counts = self.counts
        newest = f"{age(time.monotonic() - self._newest)} ago" if self._newest else "never"
        return (
            f"{self.plan.name}: every {self.plan.every:g} s, {counts.readings} readings,"
            f" {counts.skipped} skipped, {counts.failures} failures, last reading {newest},"
            f" {self.state}"
        )


class Pollers:
    """All pollers of one server.

    Args:
        pollers: They.
    """

    def __init__(self, pollers: Iterable[Poller] = ()) -> None:
        self._pollers = {poller.plan.name: poller for poller in pollers}
        self._started = False

    def __len__(self) -> int:
        return len(self._pollers)

    def start(self) -> None:
        """Start all, unless they were.

        Raises:
            RuntimeError: The system has no more threads.
        """
        if not self._started:
            self._started = True
            for poller in self._pollers.values():
                poller.start()

    def ask_to_stop(self) -> None:
        """Let all end as soon as their methods do not run."""
        for poller in self._pollers.values():
            poller.ask_to_stop()

    @property
    def are_here(self) -> bool:
        """Whether the method of one calls this."""
        return any(poller.is_here for poller in self._pollers.values())

    def stop(self, deadline: float, hurried: Callable[[], bool] = lambda: False) -> None:
        """Stop all together, and say which do not end.

        Args:
            deadline: Monotonic time until which to wait for them.
            hurried: Tells whether to wait no longer.
        """
        self.ask_to_stop()
        deadline = max(deadline, time.monotonic() + _GRACE)
        running = list(self._pollers.values())
        while running and time.monotonic() < deadline and not hurried():
            running[0].join(min(deadline, time.monotonic() + _SLICE))
            running = [poller for poller in running if not poller.join(0.0)]
        stuck = [poller for poller in running if not poller.join(time.monotonic() + _GRACE)]
        if stuck:
            names = ", ".join(f"{poller.plan.name} ({poller.state})" for poller in stuck)
            logger.error("stopped without waiting for the pollers %s", names)

    def status_lines(self) -> list[str]:
        """Return the status command's lines about pollers."""
        if not self._pollers:
            return []
        return [
            f"pollers: {len(self._pollers)}",
            *(f"  {poller}" for poller in self._pollers.values()),
        ]
