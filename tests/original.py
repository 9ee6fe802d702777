"""The original ``lab_utils`` 0.5.4, so that both can be put side by side."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

# The original needs old releases of what it imports; psycopg2 is here anyway.
PACKAGES = ["zc.lockfile", "python-json-logger<3", "slacker-log-handler", "six"]

DAEMON = """
import sys
from {package}.socket_comm import Server

class Daemon(Server):
    def create_parser(self):
        super().create_parser()
        self.parser.description = "A stage."
        self.parser.epilog = "The end."
        move = self.sp.add_parser("move", description="moves")
        move.add_argument("--to", type=int, choices=[1, 2])
        move.add_argument("words", nargs="*")
        move.set_defaults(func=self.move, which="move")

    def move(self):
        self.reply = "moved %r to %r" % (self.namespace.words, self.namespace.to)

daemon = Daemon(host="127.0.0.1", port={port}, pid_file_name={pid_file!r})
print("up", flush=True)
daemon.start_daemon()
"""

CLIENT = """
import sys
from {package}.socket_comm import Client
for message in {messages!r}:
    print(repr(Client(host="127.0.0.1", port={port}).send_message(message)))
"""


class Original:
    """Runs programs with the original package."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def _command(self, code: str) -> list[str]:
        return [sys.executable, "-W", "ignore", "-c", code]

    @property
    def _environment(self) -> dict[str, str]:
        # The folder of the tests' own checkout, for a daemon of this package.
        path = os.pathsep.join([str(self.folder), str(Path(__file__).parents[1])])
        return {**os.environ, "PYTHONPATH": path}

    @contextlib.contextmanager
    def daemon(self, port: int, pid_file: str, package: str = "lab_utils") -> Iterator[None]:
        """Run the daemon, with the original package or with ours."""
        code = DAEMON.format(package=package, port=port, pid_file=pid_file)
        process = subprocess.Popen(
            self._command(code),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=self._environment,
        )
        with process:
            try:
                assert process.stdout is not None
                assert process.stdout.readline().strip() == b"up"
                yield
                process.wait(20)
            finally:
                process.kill()

    def ask(self, port: int, *messages: str) -> list[str]:
        """Send messages with the original client."""
        code = CLIENT.format(package="lab_utils", messages=messages, port=port)
        done = subprocess.run(
            self._command(code),
            capture_output=True,
            text=True,
            env=self._environment,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()


def install(folder: Path) -> str | None:
    """Install the original; return why that failed, or None."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(folder)]
    for arguments in (["--no-deps", "lab-utils==0.5.4"], PACKAGES):
        done = subprocess.run(
            [*pip, *arguments], capture_output=True, text=True, timeout=300, check=False
        )
        if done.returncode:
            return (done.stderr.strip().splitlines() or ["no reason"])[-1]
    (folder / "complete").touch()
    return None


@pytest.fixture(scope="session")
def original(request: pytest.FixtureRequest) -> Original:
    """Return the original package, installed apart from ours and kept for the next run."""
    cache = getattr(request.config, "cache", None)
    if cache is None:
        pytest.skip("pytest keeps no cache in this run, where lab_utils 0.5.4 could be")
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    folder = Path(cache.mkdir(f"lab-utils-0.5.4-{version}"))
    if not (folder / "complete").exists():
        fault = install(folder)
        if fault and os.environ.get("LAB_UTILS_MT_TEST_REQUIRE_ORIGINAL"):
            pytest.fail(f"lab_utils 0.5.4 cannot be installed: {fault}")
        if fault:
            pytest.skip(f"lab_utils 0.5.4 cannot be installed: {fault}")
    return Original(folder)
