"""How does systemd run a lab daemon?

By ``systemctl`` and ``journalctl``, as one would type it, so that nothing is hidden: what is here
can be done, seen and undone by hand.
"""

from __future__ import annotations

import contextlib
import difflib
import time
from collections.abc import Iterator
from pathlib import Path

import platformdirs

from ..exceptions import LabUtilsError
from . import last_words
from .description import Service, check_name
from .lingering import lingering
from .programs import Answer, ask, nothing_from
from .supervision import State
from .systemd_advice import advice, rights
from .unit import MARK, unit_text

_SHORT = 30.0  # s; for what systemd only notes
_START = 150.0  # s; the unit's TimeoutStartSec, and some
_STOP = 24 * 3600.0  # s; systemd itself, and Ctrl-C, end the wait sooner
_LOOK = 0.2  # s between two looks at a service that stops
_LINES = "200"  # of the journal

_PROPERTIES = (
    "LoadState", "ActiveState", "SubState", "Result", "MainPID", "NRestarts", "StatusText",
    "StateChangeTimestamp", "UnitFileState", "FragmentPath", "Job",
)  # fmt: skip


class Systemd:
    """The services that systemd runs, for this user or for the whole computer.

    Args:
        system: Whether for the whole computer.
        folder: Where the unit files lie; by default where systemd looks for those that are made on
            this computer.
    """

    def __init__(self, system: bool, folder: Path | None = None) -> None:
        self.system = system
        self._manager = [] if system else ["--user"]
        self._folder = folder or _unit_folder(system)

    def install(self, service: Service) -> list[str]:
        """Write the unit file and let systemd start it with the computer, or with the login.

        Returns:
            Lines that tell what was done, and what may be done next.

        Raises:
            LabUtilsError: There is a unit of that name, systemd does not run, or the user may not.
        """
        self._require_new(service.name)
        text, path = unit_text(service), self._path(service.name)
        self._write(path, text)
        with self._or_not_at_all(service.name):
            self._systemctl("daemon-reload")
            self._systemctl("enable", f"{service.name}.service")
        begins = "the computer" if self.system else "your login"
        lines = [f"installed {path}; it starts with {begins}"]
        return lines if self.system else [*lines, *lingering()]

    def start(self, name: str) -> list[str]:
        """Start a service, and wait until it listens.

        Raises:
            LabUtilsError: It did not come up; the text says why.
        """
        self._require_ours(name)
        before = last_words.read(name, system=self.system)
        self._systemctl("reset-failed", f"{name}.service", needed=False)
        try:
            line = self._start(name)
        except LabUtilsError as error:
            words = last_words.read(name, system=self.system)
            if words is None or words == before:
                told = f"{error}; '{self._say('logs', name)}' may tell why"
            else:
                told = f"{name} did not start: {words.splitlines()[0]}"
            raise LabUtilsError(told + self._tried_again(name)) from error
        return [line]

    def _start(self, name: str) -> str:
        self._systemctl("start", f"{name}.service", timeout=_START)
        state = self.status(name)
        if not state.runs:
            raise LabUtilsError(f"it came up, and did not stay: {state.lines[0]}")
        return state.lines[0]

    def _tried_again(self, name: str) -> str:
        """Say that systemd goes on trying to start a service, if it does."""
        with contextlib.suppress(LabUtilsError):
            if self._show(name)["SubState"].startswith("auto-restart"):
                return f"; it is tried again every 10 s until '{self._say('stop', name)}'"
        return ""

    def stop(self, name: str) -> list[str]:
        """Stop a service in order, and wait until it has; tell if systemd had to use force.

        Raises:
            LabUtilsError: It cannot be stopped.
        """
        did_run = self.status(name).runs
        result = self._stop(name)["Result"]
        if did_run and result not in {"", "success"}:
            return [f"{name} is stopped, but did not stop in order: {result}"]
        return [f"{name} is stopped"]

    def _stop(self, name: str) -> dict[str, str]:
        """Stop a service, and wait until it has; return how it is then."""
        # How long that may take is between systemd and the daemon, which asks it for more time.
        self._systemctl("stop", "--no-block", f"{name}.service")
        deadline = time.monotonic() + _STOP
        while (found := self._show(name))["Job"] not in {"", "0"} and time.monotonic() < deadline:
            time.sleep(_LOOK)
        if found["ActiveState"] not in {"inactive", "failed"}:
            raise LabUtilsError(
                f"{name} has not stopped, or was started again meanwhile: {_how(found)}; say it"
                " again"
            )
        return found

    def status(self, name: str) -> State:
        """Return how a service is.

        Raises:
            LabUtilsError: There is none of that name, or systemd does not answer.
        """
        self._require_ours(name)
        found = self._show(name)
        runs = found["ActiveState"] in {"active", "reloading"}
        lines = [f"{name}: {_how(found)}"]
        if runs and found["StatusText"]:
            lines.append(found["StatusText"])
        lines.append(f"starts by itself: {_yes(found['UnitFileState'])}; {self._path(name)}")
        if found["NRestarts"] not in {"", "0"}:
            lines.append(f"started again after faults: {found['NRestarts']} times")
        return State(runs, lines)

    def remove(self, name: str) -> list[str]:
        """Stop a service and take its unit file away.

        Raises:
            LabUtilsError: There is none of that name, it is not ours, or it cannot be stopped.
        """
        self._require_ours(name)
        self._stop(name)
        self._systemctl("disable", f"{name}.service")
        path = self._path(name)
        with _writing(path, self.system):
            path.unlink(missing_ok=True)
        self._systemctl("daemon-reload")
        self._systemctl("reset-failed", f"{name}.service", needed=False)
        last_words.forget(name, system=self.system)
        return [f"removed {path}"]

    def logs(self, name: str) -> list[str]:
        """Return the newest lines of the journal about a service; else why there are none.

        Raises:
            LabUtilsError: There is none of that name.
        """
        self._require_ours(name)
        unit = "--unit" if self.system else "--user-unit"
        words = ["journalctl", unit, f"{name}.service", "--lines", _LINES, "--no-pager"]
        try:
            answer = ask([*words, "--output", "short-iso"], timeout=_SHORT)
        except LabUtilsError as error:
            return [str(error)]
        # One line, and no failure: what follows, the last words, is all the more wanted then.
        lines = [f"journalctl: {answer.complaint}"] if answer.status else answer.output.splitlines()
        if "systemd-journal" in answer.errors:  # the group whose members may read all of it
            field = "_SYSTEMD_UNIT" if self.system else "_SYSTEMD_USER_UNIT"
            lines.append(
                f"the journal shows you only a part: say 'sudo journalctl {field}={name}.service'"
            )
        return lines

    # --- what systemd knows ----------------------------------------------------------------

    def _show(self, name: str) -> dict[str, str]:
        asked = f"--property={','.join(_PROPERTIES)}"
        output = self._systemctl("show", asked, f"{name}.service").output
        found = dict(line.split("=", 1) for line in output.splitlines() if "=" in line)
        if not found.get("LoadState"):
            raise LabUtilsError(nothing_from("systemctl show"))
        return {key: found.get(key, "") for key in _PROPERTIES}

    def _systemctl(self, *words: str, timeout: float = _SHORT, needed: bool = True) -> Answer:
        command = ["systemctl", *self._manager, "--no-ask-password", *words]
        try:
            answer = ask(command, timeout=timeout)
        except LabUtilsError as error:
            raise LabUtilsError(advice(str(error), self.system) or str(error)) from error
        if answer.status and needed:
            raise LabUtilsError(
                advice(answer.errors, self.system) or f"systemctl {words[0]}: {answer.complaint}"
            )
        return answer

    # --- unit files ------------------------------------------------------------------------

    def _path(self, name: str) -> Path:
        return self._folder / f"{check_name(name)}.service"

    def _text(self, name: str) -> str:
        path = self._path(name)
        try:
            return path.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return ""
        except OSError as error:
            raise LabUtilsError(f"cannot read {path}: {error.strerror or error}") from error

    def _require_new(self, name: str) -> None:
        path = self._path(name)
        if path.exists() or path.is_symlink():
            if MARK in self._text(name):
                raise LabUtilsError(
                    f"there is a service {name} already, {path}: remove it first"
                    f" ('{self._say('remove', name)}'), or choose another name"
                )
            raise LabUtilsError(f"{path} is there, and not ours: choose another name")
        found = self._show(name)
        if found["LoadState"] != "not-found":
            where = found["FragmentPath"] or found["LoadState"]
            raise LabUtilsError(f"systemd has a unit {name} already, {where}: choose another name")

    def _require_ours(self, name: str) -> None:
        text = self._text(name)
        if MARK in text:
            return
        if text:
            raise LabUtilsError(
                f"{self._path(name)} was not written by lab_utils_mt: use systemctl for it"
            )
        found = self._show(name)
        if found["LoadState"] != "not-found":
            raise LabUtilsError(f"{name} is another's unit: use systemctl for it")
        raise LabUtilsError(f"there is no service {name} {self._hint(name)}")

    def _hint(self, name: str) -> str:
        ours = [path.stem for path in self._folder.glob("*.service") if self._is_ours(path)]
        near = difflib.get_close_matches(name, ours, 1)
        if near:
            return f"here: did you mean {near[0]}?"
        if self.system:
            return "of the computer: install it, or leave --system out if it is yours"
        return "of this user: install it, or say --system if it is the computer's"

    @staticmethod
    def _is_ours(path: Path) -> bool:
        try:
            return MARK in path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return False

    def _write(self, path: Path, text: str) -> None:
        with _writing(path, self.system):
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("x", encoding="utf-8", newline="\n") as file:
                try:
                    file.write(text)
                    file.flush()
                except BaseException:  # the disk is full, for example
                    path.unlink()
                    raise

    @contextlib.contextmanager
    def _or_not_at_all(self, name: str) -> Iterator[None]:
        """Take away what install() has made so far, if it comes to no good end."""
        try:
            yield
        except BaseException:  # also Ctrl-C while systemd does not answer
            with contextlib.suppress(LabUtilsError, OSError):
                self._systemctl("disable", f"{name}.service", needed=False)
            with contextlib.suppress(OSError):
                self._path(name).unlink()
            with contextlib.suppress(LabUtilsError):
                self._systemctl("daemon-reload", needed=False)
            raise

    def _say(self, verb: str, name: str) -> str:
        return f"lab-utils-mt service {verb} {name}{' --system' if self.system else ''}"


@contextlib.contextmanager
def _writing(path: Path, system: bool) -> Iterator[None]:
    try:
        yield
    except PermissionError as error:
        raise LabUtilsError(f"cannot write {path}: {rights(system)}") from error
    except OSError as error:
        raise LabUtilsError(f"cannot write {path}: {error.strerror or error}") from error


def _unit_folder(system: bool) -> Path:
    if system:
        return Path("/etc/systemd/system")
    return platformdirs.user_config_path() / "systemd" / "user"


def _how(found: dict[str, str]) -> str:
    state = f"{found['ActiveState']} ({found['SubState']})"
    if found["StateChangeTimestamp"]:
        state += f" since {found['StateChangeTimestamp']}"
    if found["MainPID"] not in {"", "0"}:
        return f"{state}, process {found['MainPID']}"
    if found["Result"] not in {"", "success"}:
        return f"{state}, {found['Result']}"
    return state


def _yes(state: str) -> str:
    return "yes" if state == "enabled" else f"no ({state})"
