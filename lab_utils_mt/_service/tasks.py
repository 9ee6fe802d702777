"""How does the Task Scheduler of Windows run a lab daemon?

Where ``pywin32`` is not installed: at the login of a user, or at the start of the computer. By
``schtasks``, as one would type it. It cannot end a program in order, so the daemon itself is asked
to stop first.
"""

from __future__ import annotations

import contextlib
import dataclasses
import getpass
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from .._config import read_section
from .._settings import AFTER_STOP_TIMEOUT, ServerSettings
from ..exceptions import ConfigError, LabUtilsError
from . import last_words
from .description import Service, check_name
from .log_tail import log_tail
from .programs import Answer, ask, nothing_from
from .supervision import State, Telephone
from .task_file import service_of, task_text
from .unit import stop_timeout_if_known

_FOLDER = "lab_utils_mt"  # of tasks: what is in it is ours
_SHORT = 30.0  # s
_START = 60.0  # s; for Python to start, and a database to answer
_LOOK = 0.2  # s between two looks at a daemon
_RUNS = '"267009"'  # SCHED_S_TASK_RUNNING, the last result of a task that runs, in all languages
_RIGHTS = "if that is a matter of rights, open the terminal with 'Run as administrator'"


class Tasks:
    """The services that the Task Scheduler runs.

    Args:
        system: Whether they start with the computer, and not at the login.
        telephone: How their daemons are spoken to.
    """

    def __init__(self, system: bool, telephone: Telephone) -> None:
        self.system = system
        self._telephone = telephone

    def install(self, service: Service) -> list[str]:
        """Make a task.

        Raises:
            LabUtilsError: There is one of that name, or the user may not.
        """
        name = service.name
        if not self._query(name).status:
            raise LabUtilsError(
                f"there is a task {_title(name)} already: remove it first"
                f" ('lab-utils-mt service remove {name}'), or choose another name"
            )
        _require_port(service)
        service = _without_window(service)
        with _task_file(task_text(service, _user())) as path:
            self._schtasks("/Create", name, "/XML", str(path))
        begins = "the computer" if self.system else "your login"
        return [f"installed the task {_title(name)}; it starts with {begins}"]

    def start(self, name: str) -> list[str]:
        """Start a task, and wait until its daemon answers.

        Raises:
            LabUtilsError: It did not; the text says why.
        """
        service = self._service(name)
        before = last_words.read(name, system=service.system)
        self._schtasks("/Run", name)
        deadline = time.monotonic() + _START
        while time.monotonic() < deadline:
            if self._telephone.answers(service):
                return [f"{name} runs"]
            words = last_words.read(name, system=service.system)
            if words is not None and words != before:
                raise LabUtilsError(f"{name} did not start: {words.splitlines()[0]}")
            time.sleep(_LOOK)
        raise LabUtilsError(
            f"{name} does not answer after {_START:g} s: 'lab-utils-mt service logs {name}' may"
            " tell why"
        )

    def stop(self, name: str) -> list[str]:
        """Ask a daemon to stop, wait for that, and end its task if it does not.

        Raises:
            LabUtilsError: There is none of that name, or it neither stops nor can be ended.
        """
        if self._end(self._service(name)):
            return [f"{name} is stopped"]
        return [f"{name} was ended by force, for its daemon did not stop by itself"]

    def status(self, name: str) -> State:
        """Return how a service is.

        Raises:
            LabUtilsError: There is none of that name.
        """
        service = self._service(name)
        runs = self._telephone.answers(service)
        what = "its daemon answers" if runs else "no daemon of it answers"
        scheduled = [line.rstrip() for line in self._query(name, "/FO", "LIST").output.splitlines()]
        return State(runs, [f"{name}: {what}", *(line for line in scheduled if line)])

    def remove(self, name: str) -> list[str]:
        """Stop a daemon and delete its task.

        Raises:
            LabUtilsError: There is none of that name, or the user may not.
        """
        service = self._service(name)
        with contextlib.suppress(LabUtilsError):  # it did not run
            self._end(service)
        self._schtasks("/Delete", name, "/F")
        last_words.forget(name, system=service.system)
        return [f"removed the task {_title(name)}"]

    def logs(self, name: str) -> list[str]:
        """Return the newest lines of the file that the daemon logs to.

        Raises:
            LabUtilsError: There is no task of that name.
        """
        return log_tail(self._service(name))

    def _end(self, service: Service) -> bool:
        """End a daemon; return whether it stopped in order."""
        if self._telephone.quit(service) and self._wait_for_end(service):
            return True
        self._schtasks("/End", service.name)
        return False

    def _wait_for_end(self, service: Service) -> bool:
        # It answers no more as soon as it begins to stop: its commands still run then.
        deadline = time.monotonic() + stop_timeout_if_known(service) + AFTER_STOP_TIMEOUT
        while self._telephone.answers(service) or self._runs(service.name):
            if time.monotonic() >= deadline:
                return False
            time.sleep(_LOOK)
        return True

    def _runs(self, name: str) -> bool:
        answer = self._query(name, "/V", "/FO", "CSV", "/NH")
        if not answer.status and not answer.output.strip():
            raise LabUtilsError(nothing_from("schtasks"))
        return _RUNS in answer.output

    def _service(self, name: str) -> Service:
        answer = self._query(name, "/XML")
        if answer.status:
            raise LabUtilsError(
                f"there is no task {_title(name)} that you may see; 'lab-utils-mt service install'"
                " makes one"
            )
        service = service_of(answer.output)
        if service.name.lower() != name.lower():
            raise LabUtilsError(
                f"the task {_title(name)} is a copy of {service.name}: delete it in Windows' Task"
                " Scheduler, and install it under a name of its own"
            )
        self.system = service.system  # as it was installed, whatever was said now
        return service

    def _query(self, name: str, *words: str) -> Answer:
        return ask(["schtasks", "/Query", "/TN", _title(name), *words], timeout=_SHORT)

    @staticmethod
    def _schtasks(verb: str, name: str, *words: str) -> None:
        answer = ask(["schtasks", verb, "/TN", _title(name), *words], timeout=_SHORT)
        if answer.status:
            raise LabUtilsError(f"schtasks {verb}: {answer.complaint} ({_RIGHTS})")


def _require_port(service: Service) -> None:
    if service.config is None:
        return
    if read_section(str(service.config), "Overall", ServerSettings).get("port") == 0:
        raise ConfigError(
            f"{service.config}: port = 0 means another one each time, at which nobody finds the"
            " daemon of a task: name one"
        )


def _title(name: str) -> str:
    return f"\\{_FOLDER}\\{check_name(name)}"


def _user() -> str:
    domain = os.environ.get("USERDOMAIN", "")
    return f"{domain}\\{getpass.getuser()}" if domain else getpass.getuser()


def _without_window(service: Service) -> Service:
    """Take the interpreter that opens no console window, if it is there."""
    windowless = service.python.with_name("pythonw.exe")
    if service.system or not windowless.is_file():
        return service
    return dataclasses.replace(service, python=windowless)


@contextlib.contextmanager
def _task_file(text: str) -> Iterator[Path]:
    # Closed before schtasks reads it; UTF-16 with its mark is what schtasks takes without doubt.
    with tempfile.TemporaryDirectory(prefix="lab_utils_mt-") as folder:
        path = Path(folder, "task.xml")
        path.write_text(text, encoding="utf-16")
        yield path
