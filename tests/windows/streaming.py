"""How is a Windows program watched from its start to the end of all that it started?

Its output is passed on as it comes. A program that takes too long is ended; and what it started and
left behind is, too, for it would keep the output open for ever.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from wine import World

_MARK = "LAB_UTILS_MT_WINDOWS_RUN"  # in the environment of all that one program has started
# Wine starts it for a program that needs one, and it keeps that program's output open for minutes.
_DESKTOP = r"\explorer.exe /desktop"
_GRACE = 5.0  # seconds that its children get after its end


@dataclasses.dataclass
class Ended:
    """How a program ended.

    Attributes:
        status: Its exit status.
        is_late: Whether it was ended because it took too long.
        left: What it left behind, and was ended.
    """

    status: int = 0
    is_late: bool = False
    left: list[str] = dataclasses.field(default_factory=list)


def stream(
    world: World,
    words: Sequence[str],
    say: Callable[[str], None],
    limit: float,
    more: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> Ended:
    """Run Python with some words, and pass each line of its output on.

    Args:
        world: Where it runs.
        words: What follows ``python.exe``.
        say: Gets each line.
        limit: Seconds after which it is ended.
        more: Variables for its environment.
        folder: Where it runs; by default in the current one.
    """
    mark, ended, read = uuid.uuid4().hex, Ended(), threading.Event()

    def watch() -> None:
        try:
            process.wait(limit)
        except subprocess.TimeoutExpired:
            ended.is_late = True
            process.kill()
        if not read.wait(_GRACE):
            ended.left = end_marked(mark)

    with world.start(words, {**(more or {}), _MARK: mark}, cwd=folder) as process:
        watcher = threading.Thread(target=watch, name="watch of a program")
        watcher.start()
        try:
            for line in process.stdout or ():
                say(line.decode("utf-8", "replace").rstrip())
        except BaseException:
            process.kill()
            raise
        finally:
            read.set()
            watcher.join()
    ended.left += end_marked(mark)
    ended.status = process.returncode
    return ended


def end_marked(mark: str) -> list[str]:
    """Kill the processes of a run, and return their command lines; those that end just now may."""
    deadline = time.monotonic() + _GRACE
    while _left_behind(found := _marked(mark)) and time.monotonic() < deadline:
        time.sleep(0.05)
    for pid in found:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return _left_behind(found)


def _left_behind(found: Mapping[int, str]) -> list[str]:
    return [words for words in found.values() if not words.endswith(_DESKTOP)]


def _marked(mark: str) -> dict[int, str]:
    wanted = f"{_MARK}={mark}\0".encode()
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended, or is somebody else's
            if wanted in (folder / "environ").read_bytes() + b"\0":
                words = (folder / "cmdline").read_bytes().replace(b"\0", b" ").strip()
                found[int(folder.name)] = words.decode("utf-8", "replace")[-120:]
    return found
