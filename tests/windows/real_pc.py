"""What do the checks of on_a_real_pc.py share: daemons to look at, words for what they see?"""

from __future__ import annotations

import ctypes
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from lab_utils_mt._process.pid_lock import PidLock
from lab_utils_mt.exceptions import LockError
from lab_utils_mt.socket_comm import Client, Server

if sys.platform != "win32":
    raise SystemExit("on_a_real_pc.py is for Windows")

import msvcrt

WINE = hasattr(ctypes.WinDLL("ntdll"), "wine_get_version")
QUESTIONS = "--no-questions" not in sys.argv
TIMEOUT = 30.0  # seconds; only a hang lasts longer


def say(text: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


class Skipped(Exception):
    """This cannot be checked here: says why."""


class Child:
    """Another process, ``real_pc.py HOW WORDS``, and what it prints."""

    def __init__(self, *words: object, flags: int = 0) -> None:
        self.process = subprocess.Popen(
            [sys.executable, __file__, *map(str, words)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            creationflags=flags,
        )
        self.answer = self.line()

    def line(self) -> str:
        """Return its next line."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()


def child(how: str, *words: str) -> None:
    """Be a child: hold a PID file, or serve."""
    if how == "lock":
        lock = PidLock(words[0])
        try:
            lock.acquire()
        except LockError as error:
            say(f"lost: {error}")
            return
        say("won")
        sys.stdin.readline()
        return
    try:
        server = Server(pid_file_name=words[0], port=int(words[1]))
        threading.Thread(target=_announce, args=(server,), daemon=True).start()
        server.start_daemon()
    except (OSError, LockError) as error:
        say(f"refused: {error}")
    else:
        say("stopped")


def _announce(server: Server) -> None:
    while server.address is None:
        time.sleep(0.01)
    say(f"listening {server.port}")


def serve(folder: Path, port: int = 0, name: str = "a", flags: int = 0) -> Child:
    """Start a daemon; its answer is ``listening PORT`` or ``refused: REASON``."""
    return Child("serve", folder / f"{name}.pid", port, flags=flags)


def port_of(daemon: Child) -> int:
    """Return where it listens."""
    must(daemon.answer.startswith("listening "), f"no daemon starts: {daemon.answer}")
    return int(daemon.answer.split()[1])


def must(condition: object, fault: str) -> None:
    """Fail with a text unless something is so."""
    if not condition:
        raise AssertionError(fault)


def outcome(action: Callable[[], object]) -> str:
    """Return what came of an action: ``done``, or the numbers of its error."""
    try:
        action()
    except OSError as error:
        return f"refused (errno {error.errno}, winerror {error.winerror})"
    return "done"


def elevated() -> bool:
    """Whether this console was opened as administrator."""
    return bool(ctypes.WinDLL("shell32").IsUserAnAdmin())


def answers(port: int) -> bool:
    """Whether a server is there."""
    try:
        return bool(Client(port=port, timeout=2.0).send_message("ping"))
    except OSError:
        return False


def comes_true(condition: Callable[[], bool]) -> bool:
    """Wait until something is so; return whether it is."""
    deadline = time.monotonic() + TIMEOUT
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def at_console() -> bool:
    """Whether somebody looks at this program and types; isatty() takes NUL for a person, too."""
    mode = ctypes.c_uint32()
    get_mode = ctypes.WinDLL("kernel32").GetConsoleMode
    handles = [ctypes.c_void_p(msvcrt.get_osfhandle(number)) for number in (0, 1)]
    return all(get_mode(handle, ctypes.byref(mode)) for handle in handles)


def ask(question: str) -> bool:
    """Ask the person at the screen."""
    if not QUESTIONS or not at_console():
        raise Skipped("it needs an answer of a person")
    return input(f"{question} (y/n) ").strip().lower().startswith("y")


def tool(*words: str) -> tuple[int, str]:
    """Run a program of Windows; return its exit status and output."""
    try:
        done = subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=2 * TIMEOUT,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return -1, str(error)
    return done.returncode, done.stdout.strip()


if __name__ == "__main__":
    child(*sys.argv[1:])
