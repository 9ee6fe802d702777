"""Which sockets can be read or written now? Asked as cheaply as the system allows."""

from __future__ import annotations

import select
import selectors
import sys
import time
from collections.abc import Callable, Iterable
from typing import Protocol

_MILLISECOND = 1e-3
_MOST_HANDLE = 1024  # that select() takes


class Poller(Protocol):
    """What both kinds can do."""

    def watch(self, handle: int, to_write: bool = False) -> None:
        """Look at a socket that was not looked at: whether it can be read, or written."""

    def turn(self, handle: int) -> None:
        """Look from now on whether a socket can be read."""

    def forget(self, handle: int) -> None:
        """Look no more at a socket; it must still be open."""

    def wait(self, seconds: float) -> Iterable[tuple[int, int]]:
        """Return the handles of those that are ready, each with what the system says of it."""

    def close(self) -> None:
        """Look at nothing any more."""


class SelectorPoller:
    """For every system."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()

    def watch(self, handle: int, to_write: bool = False) -> None:
        """Look at one socket more."""
        self._selector.register(handle, selectors.EVENT_WRITE if to_write else selectors.EVENT_READ)

    def turn(self, handle: int) -> None:
        """Look whether it can be read."""
        self._selector.modify(handle, selectors.EVENT_READ)

    def forget(self, handle: int) -> None:
        """Look at one socket less."""
        self._selector.unregister(handle)

    def wait(self, seconds: float) -> Iterable[tuple[int, int]]:
        """Return those that are ready."""
        if not self._selector.get_map():  # which Windows' select() does not take
            time.sleep(seconds)
            return ()
        return [(key.fd, mask) for key, mask in self._selector.select(seconds)]

    def close(self) -> None:
        """Look at nothing any more."""
        self._selector.close()


if sys.platform == "linux":

    class EpollPoller:
        """For Linux."""

        def __init__(self) -> None:
            self._epoll = select.epoll()
            # Only select() can wait for less than a millisecond, and for one that asks many.
            handle = self._epoll.fileno()
            self._itself = [handle] if handle < _MOST_HANDLE else []
            self.forget: Callable[[int], None] = self._epoll.unregister

        def watch(self, handle: int, to_write: bool = False) -> None:
            """Look at one socket more."""
            self._epoll.register(handle, select.EPOLLOUT if to_write else select.EPOLLIN)

        def turn(self, handle: int) -> None:
            """Look whether it can be read."""
            self._epoll.modify(handle, select.EPOLLIN)

        def wait(self, seconds: float) -> Iterable[tuple[int, int]]:
            """Return those that are ready."""
            if 0 < seconds < 10 * _MILLISECOND and self._itself:
                select.select(self._itself, (), (), seconds)
                seconds = 0.0
            return self._epoll.poll(seconds)

        def close(self) -> None:
            """Look at nothing any more."""
            self._epoll.close()


def make_poller() -> Poller:
    """Return the cheapest one of this system."""
    if sys.platform == "linux":
        return EpollPoller()
    return SelectorPoller()
