"""What happens when somebody presses Ctrl-C while a command is working?

Nothing at that very moment: a program that is stopped anywhere leaves halves behind. It is noted,
and the command ends at the next point where it can end cleanly.
"""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Iterator
from types import FrameType


class Interrupted(Exception):
    """Somebody wants the command to end."""


class Interrupts:
    """The signals that ask a command to end.

    Attributes:
        signum: The first one that came, 0 if none has.
    """

    def __init__(self) -> None:
        self.signum = 0

    def note(self, signum: int, _: FrameType | None) -> None:
        """Take a signal."""
        self.signum = self.signum or signum

    def check(self) -> None:
        """Go on only if no signal came.

        Raises:
            Interrupted: One came.
        """
        if self.signum:
            raise Interrupted

    @property
    def exit_status(self) -> int:
        """What a shell expects of a program that such a signal ended."""
        return 128 + self.signum


@contextlib.contextmanager
def spared() -> Iterator[None]:
    """Let Ctrl-C not end the programs that are started in this block, only this one, and later.

    A terminal sends it to all its programs, and one that starts or stops a database must not be
    ended half-way. Programs inherit that it is blocked.
    """
    if sys.platform == "win32":
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
