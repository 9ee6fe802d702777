"""Do real signals reach the handler, and is everything as before afterwards?"""

import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import lab_utils_mt.exceptions
from lab_utils_mt._process.signals import handling

PACKAGE_FOLDER = str(Path(lab_utils_mt.exceptions.__file__).parent.parent)

SERVER = """
import os, signal, sys, time
sys.path.insert(0, sys.argv[1])
from lab_utils_mt._process.signals import handling
heard = []
signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
def handler(signum, frame):
    # Neither print nor Event.set: the main thread may be inside print or Event.wait just now.
    os.write(1, f"got {signal.Signals(signum).name}\\n".encode())
    heard.append(signum)
with handling(handler):
    print("ready", flush=True)
    for _ in range(100):
        if heard:
            break
        time.sleep(0.1)
print("back", signal.getsignal(signal.SIGINT) is signal.default_int_handler,
      signal.getsignal(signal.SIGTERM) is signal.SIG_DFL, flush=True)
sys.stdin.readline()
"""


def ignore(signum, frame):
    """Do nothing."""


@pytest.fixture
def server():
    """A process that handles signals; it is gone at the end."""
    command = [sys.executable, "-c", SERVER, PACKAGE_FOLDER]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    ) as process:
        assert process.stdout.readline() == "ready\n"
        yield process
        process.kill()


@pytest.mark.skipif(sys.platform == "win32", reason="kill() ends a process there, unheard")
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_reaches_the_handler_and_the_next_one_does_what_it_did_before(server, signum):
    """A second one, after the end of the block, ends the process."""
    server.send_signal(signum)
    assert server.stdout.readline() == f"got {signum.name}\n"
    assert server.stdout.readline() == "back True True\n"
    server.send_signal(signum)
    assert server.wait(10) != 0


def test_raised_signals_are_heard_and_handlers_restored():
    """SIGBREAK, too, where there is one."""
    names = [name for name in ("SIGINT", "SIGTERM", "SIGBREAK") if hasattr(signal, name)]
    numbers = [getattr(signal, name) for name in names]
    before = [signal.getsignal(number) for number in numbers]
    heard = []
    with handling(lambda signum, frame: heard.append(signum)):
        for number in numbers:
            signal.raise_signal(number)
    assert heard == numbers
    assert [signal.getsignal(number) for number in numbers] == before


def test_handlers_are_restored_after_an_error():
    """Whatever happens inside, nested or not."""
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(ZeroDivisionError), handling(ignore):
        with handling(lambda signum, frame: None):
            pass
        assert signal.getsignal(signal.SIGTERM) is ignore
        raise ZeroDivisionError
    assert signal.getsignal(signal.SIGTERM) is before


def test_another_thread_changes_nothing():
    """signal.signal() would raise there."""
    before = signal.getsignal(signal.SIGINT)
    seen = []

    def run():
        with pytest.raises(ValueError, match="main thread"):
            signal.signal(signal.SIGINT, ignore)
        with handling(ignore):
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(10)
    assert seen == [before]


def test_a_handler_from_outside_python_is_left_alone(monkeypatch):
    """getsignal() gives None for it, which signal() does not take back."""
    with pytest.raises(TypeError):
        signal.signal(signal.SIGTERM, None)
    real = signal.getsignal
    monkeypatch.setattr(
        signal, "getsignal", lambda number: None if number == signal.SIGTERM else real(number)
    )
    with handling(ignore):
        installed = [real(signal.SIGINT), real(signal.SIGTERM)]
    assert installed[0] is ignore
    assert installed[1] is not ignore
