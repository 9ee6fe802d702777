"""Projects with a daemon, and what runs it: real programs, as a user starts them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from daemons import wait_until
from systems import own_words

import lab_utils_mt
from lab_utils_mt.socket_comm import Client

TIMEOUT = 90.0  # seconds; only a hang lasts longer
PACKAGE = str(Path(lab_utils_mt.__file__).parents[1])
THERMOMETER = '''
from lab_utils_mt.commands import command
from lab_utils_mt.socket_comm import Server


class Thermometer(Server):
    """A simulated thermometer."""

    @command
    def read(self) -> float:
        """Read it."""
        return 4.2
'''


def thermometer(*lines: str) -> str:
    """Return the module with more lines in the class; the first of them is line 14."""
    return "".join([THERMOMETER, *(f"\n    {line}" for line in lines), "\n"])


def ask(port: int, line: str) -> str:
    """Return a daemon's reply."""
    with Client(host="127.0.0.1", port=port, timeout=TIMEOUT) as client:
        return client.send_message(line)


class Project:
    """A folder with a thermometer that can be served; all that it leaves is in there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.write("thermometer.py", THERMOMETER)
        self.write("server.ini", "[Overall]\nport = 0\nhost = 127.0.0.1\npid_file_name = it.pid\n")

    def write(self, name: str, text: str) -> Path:
        """Write a file."""
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        return path

    def files(self) -> set[str]:
        """Return what is in the folder."""
        return {str(path.relative_to(self.folder)) for path in self.folder.rglob("*")}

    def start(self, *words: str, cwd: Path | None = None, **environment: str) -> Running:
        """Start ``serve``, as a rule with server.ini."""
        return Running(
            ["serve", *words],
            cwd or self.folder,
            {**os.environ, "PYTHONPATH": PACKAGE, **environment},
        )

    def serve(self, *words: str, cwd: Path | None = None, **environment: str) -> Done:
        """Run ``serve`` to its end."""
        return self.start(*words, cwd=cwd, **environment).finish()


class Done:
    """What a program has left."""

    def __init__(self, status: int, output: str, errors: str) -> None:
        self.status, self.output, self.errors = status, output, errors

    def __repr__(self) -> str:
        return f"status {self.status}\n{self.output}\n--- errors:\n{self.errors}"


class Running:
    """A program that runs; killed if it takes too long."""

    def __init__(self, words: list[str], folder: Path, environment: Mapping[str, str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "lab_utils_mt", *words],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
        )
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self._texts: dict[str, list[str]] = {"output": [], "errors": []}
        self._readers = [
            self._read(self.process.stdout, "output"),
            self._read(self.process.stderr, "errors"),
        ]
        self._watch = threading.Timer(TIMEOUT, self.process.kill)
        self._watch.start()

    def _read(self, stream: IO[str], name: str) -> threading.Thread:
        thread = threading.Thread(target=lambda: self._texts[name].extend(stream))
        thread.start()
        return thread

    @property
    def output(self) -> str:
        """What it has written so far."""
        return "".join(self._texts["output"])

    def port(self) -> int:
        """Wait until it listens; return where."""
        listens = re.compile(r"listens on \S+:(\d+)")
        wait_until(lambda: listens.search(self.output) or self.process.poll() is not None)
        found = listens.search(self.output)
        assert found, self.finish()
        return int(found[1])

    def finish(self) -> Done:
        """Wait for its end."""
        status = self.process.wait()
        for reader in self._readers:
            reader.join(TIMEOUT)
        self._watch.cancel()
        self._watch.join()
        for stream in (self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()
        return Done(status, self.output, own_words("".join(self._texts["errors"])))

    def stop(self) -> Done:
        """Do what ``quit`` does."""
        ask(self.port(), "quit")
        return self.finish()

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        if not self.process.stdout.closed:  # type: ignore[union-attr]
            self.finish()
