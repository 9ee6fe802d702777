"""How is a daemon started as a user would, read meanwhile, and ended with Ctrl-C?"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from systems import own_words


class WatchedProgram:
    """A program in a process group of its own, that is killed if it takes too long.

    Args:
        words: Its command line.
        folder: Where it works.
        environment: All variables that it has.
        limit: Seconds after which it is killed.

    Attributes:
        pid: Its process.
        output: What has been read of its standard output.
    """

    def __init__(
        self, words: Sequence[str], folder: Path, environment: dict[str, str], limit: float
    ) -> None:
        # Not a pipe: nobody would read on.
        self._errors = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115
        self._process = subprocess.Popen(
            words,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            encoding="utf-8",
            errors="replace",  # what is redirected has the encoding of the system
            start_new_session=sys.platform != "win32",
        )
        self._watch = threading.Timer(limit, self._process.kill)
        self._watch.start()
        self.pid = self._process.pid
        self.output = ""

    def read_until(self, pattern: str) -> re.Match[str]:
        """Read its output up to a line with a regular expression in it; return the match."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.output += line
            if found := re.search(pattern, line):
                return found
        raise AssertionError(f"it did not start: {self.finish()}")

    def interrupt(self, quit_it: Callable[[], None]) -> tuple[int, str]:
        """Press Ctrl-C; return what :meth:`finish` does.

        Args:
            quit_it: Called instead on Windows, where Ctrl-C comes from the console of a program,
                and to all of it.
        """
        if sys.platform == "win32":
            quit_it()
        else:
            os.killpg(self.pid, signal.SIGINT)
        return self.finish()

    def finish(self) -> tuple[int, str]:
        """Wait for its end; return exit status and error output."""
        assert self._process.stdout is not None
        self.output += self._process.stdout.read()
        self._process.stdout.close()
        status = self._process.wait()
        self._watch.cancel()
        self._watch.join()
        with self._errors as file:
            file.seek(0)
            return status, own_words(file.read())

    def kill(self) -> None:
        """End it, if a failed test has left it."""
        if self._process.returncode is None:
            self._process.kill()
            self.finish()
