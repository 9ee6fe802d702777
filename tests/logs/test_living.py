"""How does a program with sinks end? Real programs, so that their ends are real."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
from systems import needs_fork

import lab_utils_mt.exceptions

PACKAGE_FOLDER = str(Path(lab_utils_mt.exceptions.__file__).parent.parent)
TESTS_FOLDER = str(Path(__file__).parent.parent)
PROGRAM = """
import atexit, logging, os, sys, threading, time
sys.path[:0] = sys.argv[1:3]
from lab_utils_mt._logs import living
from lab_utils_mt._logs.intake import Intake
from lab_utils_mt._logs.sink import SinkHandler

class Paper(SinkHandler):
    def __init__(self, title, slow=0.0, local=False):
        super().__init__(title)
        self.slow, self.is_local = slow, local
    def deliver(self, records):
        time.sleep(self.slow)
        for record in records:
            os.write(1, f"{self.title}: {record.getMessage()}\\n".encode())
        return len(records)

logger = logging.getLogger()
logger.setLevel(0)
"""


def run(program):
    """Run a program to its end; return its output and the seconds that took."""
    begin = time.monotonic()
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM + program, PACKAGE_FOLDER, TESTS_FOLDER],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert result.stderr == ""
    return result.stdout, time.monotonic() - begin


A_THREAD = "threading.Thread(target=lambda: logger.info('thread')).start()"


@pytest.mark.parametrize("end", ["", "sys.exit(3)", A_THREAD])
def test_what_was_logged_is_delivered_at_the_end(end):
    """However the program ends, with nothing called."""
    start = "logger.addHandler(Intake([Paper('p')]))\nfor i in range(50): logger.info(i)\n"
    out, _ = run(start + end)
    lines = out.splitlines()
    assert lines[:50] == [f"p: {number}" for number in range(50)]
    assert lines[50:] == (["p: thread"] if "thread" in end else [])


def test_functions_that_run_at_the_end_may_log():
    """Those registered earlier run after ours."""
    out, _ = run(
        "logger.addHandler(Intake([Paper('p')]))\n"
        "atexit.register(logger.info, 'registered later')\n"
        "logger.info('now')\n"
    )
    assert out.splitlines() == ["p: now", "p: registered later"]


def test_the_end_is_bounded_and_says_what_is_lost():
    """Five deaf sinks together take about as long as one."""
    out, took = run(
        "sinks = [Paper('screen', local=True)] + [Paper(f's{i}', slow=1000) for i in range(5)]\n"
        "logger.addHandler(Intake(sinks))\nlogger.info('x')\n"
    )
    assert took < 20
    assert "screen: x" in out
    for number in range(5):
        assert f"screen: s{number} is closed: 1 records are lost" in out


@pytest.mark.parametrize("errors", [subprocess.PIPE, subprocess.STDOUT])
@pytest.mark.parametrize("count", [3000, 30000])
def test_a_console_that_nobody_reads_does_not_keep_the_program(count, errors):
    """A pager that was stopped; the standard library's handler waits for ever."""
    program = (
        "import sys\nsys.path.insert(0, sys.argv[1])\n"
        "from lab_utils_mt.custom_logging import configure_logging, getLogger\n"
        "configure_logging()\n"
        f"for i in range({count}): getLogger('x').info('number %d %s', i, 'y' * 100)\n"
    )
    command = [sys.executable, "-c", program, PACKAGE_FOLDER]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors) as process:
        try:
            assert process.wait(30) == 0  # not a byte was read
        finally:
            process.kill()


@needs_fork
def test_a_child_of_multiprocessing_delivers_what_it_logged(tmp_path):
    """It ends without atexit, on Linux."""
    program = (
        "import multiprocessing, sys\nsys.path.insert(0, sys.argv[1])\n"
        "from lab_utils_mt.custom_logging import configure_logging, getLogger\n"
        "def work(number):\n"
        "    for i in range(100): getLogger('x').info('%d %d', number, i)\n"
        "if __name__ == '__main__':\n"
        "    configure_logging(sys.argv[2])\n"
        "    context = multiprocessing.get_context('fork')\n"
        "    children = [context.Process(target=work, args=(i,)) for i in range(5)]\n"
        "    for child in children: child.start()\n"
        "    for child in children: child.join()\n"
    )
    ini = tmp_path / "logging.ini"
    ini.write_text(
        "[ConsoleLogger]\nactive = no\n"
        f"[FileLogger]\nactive = yes\nlog_path = {tmp_path}\nlog_basename = lab\n"
    )
    command = [sys.executable, "-W", "ignore", "-c", program, PACKAGE_FOLDER, str(ini)]
    subprocess.run(command, check=True, timeout=60)
    (file,) = tmp_path.glob("lab_*.log")
    assert len(file.read_text().splitlines()) == 500


def test_what_is_logged_first_at_the_very_end_is_delivered(tmp_path):
    """When some Pythons start no thread any more."""
    program = (
        "import atexit, sys\nsys.path.insert(0, sys.argv[1])\n"
        "from lab_utils_mt.custom_logging import configure_logging, getLogger\n"
        "configure_logging()\n"
        "atexit.register(lambda: getLogger('x').info('bye'))\n"
    )
    command = [sys.executable, "-c", program, PACKAGE_FOLDER]
    result = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert result.stdout.endswith(" bye\n")
    assert result.stderr == ""
