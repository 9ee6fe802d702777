"""Who may use an instrument now, and who waits for it?

Each device has one holder and a queue in the order of arrival. Several devices are taken one after
another in the order of their names, so that no two commands can wait for each other.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import NamedTuple

from ..exceptions import DeviceBusy, ShuttingDown
from .telling import age

_SLICE = 0.5  # s; an untimed wait would make Ctrl-C dead on Windows


class Holder(NamedTuple):
    """Who wants a device.

    Attributes:
        command: The name of the command.
        client: Where it comes from.
    """

    command: str
    client: str

    def __str__(self) -> str:
        return f"{self.command!r} of {self.client}"


class ServerStops(ShuttingDown):
    """This very server shuts down; a command may have met another one that does."""


class _Waiter:
    __slots__ = ("gate", "granted", "holder")

    def __init__(self, holder: Holder) -> None:
        self.holder = holder
        self.granted = False
        self.gate = threading.Lock()
        self.gate.acquire()


class _Device:
    """One instrument; everything here is guarded by the lock of :class:`Devices`."""

    __slots__ = ("holder", "since", "waiters")

    def __init__(self) -> None:
        self.holder: Holder | None = None
        self.since = 0.0
        self.waiters: deque[_Waiter] = deque()

    def lend(self, holder: Holder | None) -> None:
        self.holder, self.since = holder, time.monotonic()


class Devices:
    """The devices of one server.

    Args:
        names: Those that are known from the start; others are added when they are first used.
    """

    def __init__(self, names: tuple[str, ...] = ()) -> None:
        # Guards everything below.
        self._lock = threading.Lock()
        self._devices = {name: _Device() for name in names}
        self._closed = False

    def hold(self, names: tuple[str, ...], holder: Holder, deadline: float | None) -> Hold:
        """Return a context manager: within its block one has these devices for oneself.

        Args:
            names: The devices.
            holder: Who wants them; others are told.
            deadline: Monotonic time until which to wait; None for any time.

        Raises:
            DeviceBusy: At the beginning of the block: one of them did not become free in time.
            ShuttingDown: :meth:`close` was called.
        """
        in_order = names if len(names) <= 1 else tuple(sorted(set(names)))
        return Hold(self, in_order, holder, deadline)

    def close(self) -> None:
        """Let nobody begin any more: who waits, or comes, gets :class:`ShuttingDown`."""
        with self._lock:
            if self._closed:  # the gates of those who wait open only once
                return
            self._closed = True
            waiting = [waiter for device in self._devices.values() for waiter in device.waiters]
        for waiter in waiting:
            waiter.gate.release()

    def status(self) -> list[str]:
        """Return a line for each device that is in use."""
        with self._lock:
            now = time.monotonic()
            busy = [
                f"  {name}: {device.holder} for {age(now - device.since)}{_queue(device)}"
                for name, device in sorted(self._devices.items())
                if device.holder is not None
            ]
            known = len(self._devices)
        return [f"devices: {len(busy)} of {known} in use", *busy] if known else []

    def _take(self, name: str, holder: Holder, deadline: float | None, began: float) -> None:
        with self._lock:
            if self._closed:
                raise ServerStops("shutting down")
            device = self._devices.setdefault(name, _Device())
            if device.holder is None:
                device.lend(holder)
                return
            waiter = _Waiter(holder)
            device.waiters.append(waiter)
        try:
            _wait(waiter, deadline)
        except BaseException:  # Ctrl-C
            if self._settle(name, waiter, began) is None:
                self._release(name)
            raise
        fault = self._settle(name, waiter, began)
        if fault is not None:
            raise fault

    def _settle(self, name: str, waiter: _Waiter, began: float) -> Exception | None:
        """Return why a wait ended without the device; one that came at the last moment counts."""
        with self._lock:
            if waiter.granted:
                return None
            device = self._devices[name]
            device.waiters.remove(waiter)
            if self._closed:
                return ServerStops("shutting down")
            assert device.holder is not None, "a device with a queue is in use"
            return _busy(name, device.holder, device.since, began)

    def _release(self, name: str) -> None:
        with self._lock:
            device = self._devices[name]
            if self._closed or not device.waiters:
                device.lend(None)
                return
            waiter = device.waiters.popleft()
            waiter.granted = True
            device.lend(waiter.holder)
        waiter.gate.release()


class Hold:
    """A ``with`` block that has devices for itself; see :meth:`Devices.hold`."""

    __slots__ = ("_deadline", "_devices", "_holder", "_names", "_taken")

    def __init__(
        self, devices: Devices, names: tuple[str, ...], holder: Holder, deadline: float | None
    ) -> None:
        self._devices, self._names = devices, names
        self._holder, self._deadline = holder, deadline
        self._taken: list[str] = []

    def __enter__(self) -> None:
        began = time.monotonic()
        try:
            for name in self._names:
                self._devices._take(name, self._holder, self._deadline, began)
                self._taken.append(name)
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *_: object) -> None:
        while self._taken:
            self._devices._release(self._taken.pop())


def _wait(waiter: _Waiter, deadline: float | None) -> None:
    left = _SLICE
    while True:
        if deadline is not None:
            left = deadline - time.monotonic()
        if waiter.gate.acquire(timeout=max(0.0, min(left, _SLICE))) or left <= 0:
            return


def _queue(device: _Device) -> str:
    if not device.waiters:
        return ""
    return f", {len(device.waiters)} waiting, next {device.waiters[0].holder}"


def _busy(name: str, holder: Holder, since: float, began: float) -> DeviceBusy:
    now = time.monotonic()
    return DeviceBusy(
        f"device {name!r} is busy: {holder} has held it for {age(now - since)}"
        f" (waited {age(now - began)})",
        device=name,
        command=holder.command,
        client=holder.client,
        seconds=now - since,
        waited=now - began,
    )
