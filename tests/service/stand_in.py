"""Programs of the system that only note what they are told, and say what the test wants."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

_PROGRAM = """#!{python}
import json, os, sys, time
place = {place!r}
words = sys.argv[1:]
with open(os.path.join(place, "calls"), "a", encoding="utf-8") as file:
    file.write(json.dumps([{name!r}, *words]) + "\\n")
with open(os.path.join(place, "answers"), encoding="utf-8") as file:
    answers = json.load(file)
verb = next((word for word in words if word in answers), "")
output, errors, status, hang, then = answers.get(verb, ("", "", 0, False, {{}}))
if then:
    with open(os.path.join(place, "answers"), "w", encoding="utf-8") as file:
        json.dump({{**answers, **then}}, file)
time.sleep(600 if hang else 0)
sys.stdout.write(output)
sys.stderr.write(errors)
sys.exit(status)
"""


class StandIns:
    """Real programs on the PATH, under the names of others."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._folder = folder
        self._answers: dict[str, tuple[str, str, int, bool, dict[str, Any]]] = {}
        self.answer("")
        monkeypatch.setenv("PATH", str(folder) + os.pathsep + os.environ.get("PATH", ""))

    def add(self, name: str) -> None:
        """Make one."""
        path = self._folder / name
        text = _PROGRAM.format(python=sys.executable, place=str(self._folder), name=name)
        path.write_text(text, encoding="utf-8")
        path.chmod(0o755)

    def answer(
        self, verb: str, output: str = "", errors: str = "", status: int = 0, *, hang: bool = False
    ) -> None:
        """Let a call with this word in it be answered so, or not at all."""
        self._answers[verb] = (output, errors, status, hang, {})
        self._write()

    def after(self, verb: str, *outputs: str) -> None:
        """Let ``show`` be answered so, one after the other, once a call with this word came."""
        then: dict[str, Any] = {}
        for output in reversed(outputs):
            then = {"show": (output, "", 0, False, then)}
        self._answers[verb] = ("", "", 0, False, then)
        self._write()

    def _write(self) -> None:
        (self._folder / "answers").write_text(json.dumps(self._answers), encoding="utf-8")

    def calls(self) -> list[list[str]]:
        """Return the calls so far: program and arguments."""
        path = self._folder / "calls"
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        return [json.loads(line) for line in lines]
