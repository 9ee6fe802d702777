"""What can be done with a service, whoever runs it?"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from typing import NamedTuple, Protocol

from .description import Service


class State(NamedTuple):
    """How a service is."""

    runs: bool
    lines: list[str]  #: What a person wants to know, the most important first.


class Supervision(Protocol):
    """Who starts, stops and watches services.

    Each method raises LabUtilsError with one line that says what to do.

    Attributes:
        system: Whether its services are the whole computer's, and not those of one user.
    """

    system: bool

    def install(self, service: Service) -> list[str]:
        """Make a service known; return lines that tell what was done."""

    def start(self, name: str) -> list[str]:
        """Start it, and wait until it serves."""

    def stop(self, name: str) -> list[str]:
        """Stop it in order, and wait for that."""

    def status(self, name: str) -> State:
        """Return how it is."""

    def remove(self, name: str) -> list[str]:
        """Stop it and take away all that install() made."""

    def logs(self, name: str) -> list[str]:
        """Return the newest lines of its log."""


class Telephone(NamedTuple):
    """How a service's daemon is spoken to; not every supervision needs that.

    Attributes:
        answers: Tells whether this service's daemon, and no other, answers at its address.
        quit: Lets it stop in order; tells whether it was told.
    """

    answers: Callable[[Service], bool]
    quit: Callable[[Service], bool]


def supervision(system: bool, telephone: Telephone) -> Supervision:
    """Return what runs services here.

    Args:
        system: Whether services of the whole computer are meant, and not those of this user.
        telephone: How a daemon is spoken to.
    """
    if sys.platform == "win32":
        if importlib.util.find_spec("win32service") is not None:
            from .windows_service import NativeServices  # noqa: PLC0415  (one of three)

            return NativeServices()
        from .tasks import Tasks  # noqa: PLC0415

        return Tasks(system, telephone)
    from .systemd import Systemd  # noqa: PLC0415

    return Systemd(system)
