"""Programs of the tests that start together."""

from __future__ import annotations

import contextlib
import subprocess
import sys

TIMEOUT = 60  # s; only a hang lasts longer


def start_together(program: str, *args: str) -> None:
    """Run a program four times, as ``a`` to ``d``, all let go at once; wait for their ends.

    Args:
        program: Reads a line before it begins; its last argument is its name.
        args: The arguments before that.
    """
    with contextlib.ExitStack() as stack:
        started = []
        for name in "abcd":
            command = [sys.executable, "-c", program, *args, name]
            process = subprocess.Popen(command, stdin=subprocess.PIPE)
            stack.enter_context(process)
            stack.callback(process.kill)
            started.append(process)
        for process in started:
            assert process.stdin is not None
            process.stdin.write(b"go\n")
            process.stdin.flush()
        for process in started:
            assert process.wait(TIMEOUT) == 0
