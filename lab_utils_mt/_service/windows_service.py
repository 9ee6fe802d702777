"""How does Windows run a lab daemon as one of its services?

By ``pywin32``. The service's program is ``python.exe`` itself, the one that installs it, and not
pywin32's ``pythonservice.exe``: that one has to be copied beside Python's DLLs, knows no virtual
environment, and looks for the daemon's class by the rules of another program. Here the same
interpreter runs the same words as at a terminal; :mod:`.windows_host` is what it does then.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pywintypes
import servicemanager
import win32evtlogutil
import win32service

from .._settings import AFTER_STOP_TIMEOUT
from ..exceptions import LabUtilsError
from . import last_words, windows_events, windows_keys
from .description import Service
from .log_tail import log_tail
from .programs import ask
from .supervision import State
from .unit import stop_timeout_of

assert sys.platform == "win32", "only Windows has these services"

_START = 120.0  # s; for Python to start, and a database to answer
# s after stop_timeout that the computer waits before it shuts down: longer than the service itself,
# which then ends by force what does not stop.
_REST = AFTER_STOP_TIMEOUT + 20.0
_SILENCE = 30.0  # s; a service that stops gives a sign of life each second
_LOOK = 0.2  # s
_RESTARTS = (5_000, 30_000, 60_000)  # ms after the first, the second and every later fault
_FORGIVEN = 24 * 3600  # s without a fault, after which the next one is the first again

_BEFORE_SHUTDOWN = win32service.SERVICE_CONFIG_PRESHUTDOWN_INFO
_NO_FILE = 2
_ACCESS_DENIED = 5
_INVALID_LEVEL = 124  # Wine does not know all that can be set
_SILENT = 1053
_RUNS_ALREADY = 1056
_UNKNOWN = 1060
_BUSY = 1061
_NOT_ACTIVE = 1062
_MARKED = 1072
_EXISTS = 1073
_WELL = (0, 1077)  # 1077: not started since the computer was
_CHANGED = (
    "its Python does not come up: if it was moved or changed, remove the service, and install it"
    " again"
)
_ADVICE = {
    _NO_FILE: _CHANGED,
    _SILENT: _CHANGED,
    _ACCESS_DENIED: "this needs the rights of an administrator: open the terminal with 'Run as"
    " administrator'",
    _BUSY: "it is just starting or stopping: wait a moment, and say it again",
    _MARKED: "Windows still removes it: close its window of services, or wait, and say it again",
    _EXISTS: "there is a service of that name already: remove it first, or choose another name",
}
_STATES = {
    win32service.SERVICE_STOPPED: "stopped",
    win32service.SERVICE_START_PENDING: "starting",
    win32service.SERVICE_STOP_PENDING: "stopping",
    win32service.SERVICE_RUNNING: "running",
}


class NativeServices:
    """The services of Windows; all of them are the whole computer's."""

    system = True

    def install(self, service: Service) -> list[str]:
        """Make a service that starts with the computer, and again after a fault.

        Raises:
            LabUtilsError: There is one of that name, or the user may not.
        """
        name = service.name
        _require_found()
        access = win32service.SC_MANAGER_CREATE_SERVICE | win32service.SC_MANAGER_CONNECT
        with (
            _explained(name),
            _manager(access) as manager,
            _closing(_create(manager, service)) as handle,
            _or_not_at_all(handle),
        ):
            _configure(handle, service)
            windows_keys.store(service)
            source = windows_keys.event_source(name)
            win32evtlogutil.AddSourceToRegistry(source, servicemanager.__file__, "Application")
        advice = "or give it another account in services.msc, 'Log On'"
        return [
            f"installed the service {name}; it starts with the computer, soon after Windows",
            f"with all rights: let only administrators write in {service.folder}, {advice}",
        ]

    def start(self, name: str) -> list[str]:
        """Start a service, and wait until its daemon listens.

        Raises:
            LabUtilsError: It did not; the text says why.
        """
        service = windows_keys.stored(name)
        before = last_words.read(name, system=True)
        with _opened(
            name, win32service.SERVICE_START | win32service.SERVICE_QUERY_STATUS
        ) as handle:
            with _explained(name), _passing(_RUNS_ALREADY):
                win32service.StartService(handle, None)
            found = _wait(handle, win32service.SERVICE_START_PENDING, _START)
        if found["CurrentState"] == win32service.SERVICE_RUNNING:
            return [f"{service.name} runs, process {found['ProcessId']}"]
        words = last_words.read(name, system=True)
        if words is not None and words != before:
            raise LabUtilsError(f"{name} did not start: {words.splitlines()[0]}")
        raise LabUtilsError(
            f"{name} did not start ({_how(found)}): 'lab-utils-mt service logs {name}' may tell why"
        )

    def stop(self, name: str) -> list[str]:
        """Stop a service in order, and wait until it has; tell if it did not end in order.

        Raises:
            LabUtilsError: It did not stop, or the user may not.
        """
        windows_keys.stored(name)
        before = last_words.read(name, system=True)
        with _opened(name, win32service.SERVICE_STOP | win32service.SERVICE_QUERY_STATUS) as handle:
            _stop(name, handle)
        words = last_words.read(name, system=True)
        if words is not None and words != before:
            return [f"{name} is stopped, but did not stop in order: {words.splitlines()[0]}"]
        return [f"{name} is stopped"]

    def status(self, name: str) -> State:
        """Return how a service is.

        Raises:
            LabUtilsError: There is none of that name, or it is not ours.
        """
        service = windows_keys.stored(name)
        with _opened(name, win32service.SERVICE_QUERY_STATUS) as handle:
            found = win32service.QueryServiceStatusEx(handle)
        process = f", process {found['ProcessId']}" if found["ProcessId"] else ""
        runs = found["CurrentState"] == win32service.SERVICE_RUNNING
        return State(runs, [f"{name}: {_how(found)}{process}", f"serves {service.target}"])

    def remove(self, name: str) -> list[str]:
        """Stop a service and delete it.

        Raises:
            LabUtilsError: There is none of that name, it is not ours, or the user may not.
        """
        windows_keys.stored(name)
        access = win32service.SERVICE_STOP | win32service.SERVICE_QUERY_STATUS | 0x10000  # DELETE
        with _opened(name, access) as handle:
            _stop(name, handle)
            with _explained(name):
                win32service.DeleteService(handle)
        with contextlib.suppress(pywintypes.error):
            win32evtlogutil.RemoveSourceFromRegistry(windows_keys.event_source(name))
        last_words.forget(name, system=True)
        return [f"removed the service {name}"]

    def logs(self, name: str) -> list[str]:
        """Return what the event log and the daemon's own log file say last.

        Raises:
            LabUtilsError: There is none of that name, or it is not ours.
        """
        service = windows_keys.stored(name)
        return [*windows_events.newest(name), *log_tail(service)]


# --- install -------------------------------------------------------------------------------


def _require_found() -> None:
    """Make sure that the account of services finds this package, too: it leaves no word if not."""
    # -I: without PYTHONPATH and the packages of one user, which that account has not.
    answer = ask([sys.executable, "-I", "-c", f"import {__package__}.windows_host"], timeout=_START)
    if answer.status:
        reason = (answer.errors.strip() or f"status {answer.status}").splitlines()[-1]
        raise LabUtilsError(
            "services do not find lab_utils_mt, or pywin32, as this user does: install them for all"
            f" users of this computer, or in a virtual environment ({reason})"
        )


def _create(manager: Any, service: Service) -> Any:
    words = [windows_keys.program(), "-m", "lab_utils_mt", "service", "host", service.name]
    return win32service.CreateService(
        manager,
        service.name,
        f"Lab daemon {service.name}",
        win32service.SERVICE_ALL_ACCESS,
        win32service.SERVICE_WIN32_OWN_PROCESS,
        win32service.SERVICE_AUTO_START,
        win32service.SERVICE_ERROR_NORMAL,
        subprocess.list2cmdline(words),
        None,
        0,
        None,
        None,
        None,
    )


def _configure(handle: Any, service: Service) -> None:
    """Say what is to happen at the start of the computer, at its end and after a fault."""
    actions = [(win32service.SC_ACTION_RESTART, delay) for delay in _RESTARTS]
    restarts = {"ResetPeriod": _FORGIVEN, "RebootMsg": "", "Command": "", "Actions": actions}
    for level, value in (
        (
            win32service.SERVICE_CONFIG_DESCRIPTION,
            "A lab daemon, installed by lab-utils-mt service",
        ),
        (win32service.SERVICE_CONFIG_FAILURE_ACTIONS, restarts),
        # A daemon that ends with an error is a fault, too, and not only one that crashes.
        (win32service.SERVICE_CONFIG_FAILURE_ACTIONS_FLAG, True),
        # After what it may need: the network, a database.
        (win32service.SERVICE_CONFIG_DELAYED_AUTO_START_INFO, True),
        # For so long, in ms, the computer waits before it shuts down; by itself, for 10 s.
        (_BEFORE_SHUTDOWN, int((stop_timeout_of(service) + _REST) * 1000)),
    ):
        with _passing(_INVALID_LEVEL):
            win32service.ChangeServiceConfig2(handle, level, value)


# --- ask and tell --------------------------------------------------------------------------


@contextlib.contextmanager
def _closing(handle: Any) -> Iterator[Any]:
    try:
        yield handle
    finally:
        win32service.CloseServiceHandle(handle)


@contextlib.contextmanager
def _manager(access: int) -> Iterator[Any]:
    with _closing(win32service.OpenSCManager(None, None, access)) as manager:
        yield manager


@contextlib.contextmanager
def _opened(name: str, access: int) -> Iterator[Any]:
    with _explained(name), _manager(win32service.SC_MANAGER_CONNECT) as manager:
        handle = win32service.OpenService(manager, name, access)
    with _closing(handle):
        yield handle


@contextlib.contextmanager
def _or_not_at_all(handle: Any) -> Iterator[None]:
    try:
        yield
    except BaseException:
        win32service.DeleteService(handle)
        raise


@contextlib.contextmanager
def _explained(name: str) -> Iterator[None]:
    """Turn Windows' refusals into one line that says what to do."""
    try:
        yield
    except pywintypes.error as error:
        if error.winerror == _UNKNOWN:
            raise LabUtilsError(windows_keys.unknown(name)) from error
        advice = _ADVICE.get(error.winerror, f"{error.strerror} (error {error.winerror})")
        raise LabUtilsError(f"service {name}: {advice}") from error
    except OSError as error:  # the registry
        advice = _ADVICE.get(error.winerror or 0, error.strerror or str(error))
        raise LabUtilsError(f"service {name}: {advice}") from error


@contextlib.contextmanager
def _passing(winerror: int) -> Iterator[None]:
    try:
        yield
    except pywintypes.error as error:
        if error.winerror != winerror:
            raise


def _wait(handle: Any, state: int, limit: float) -> dict[str, int]:
    """Wait until a service is no longer in a state; return how it is."""
    deadline = time.monotonic() + limit
    found: dict[str, int] = win32service.QueryServiceStatusEx(handle)
    while found["CurrentState"] == state and time.monotonic() < deadline:
        time.sleep(_LOOK)
        found = win32service.QueryServiceStatusEx(handle)
    return found


def _stop(name: str, handle: Any) -> None:
    with _explained(name), _passing(_NOT_ACTIVE):
        win32service.ControlService(handle, win32service.SERVICE_CONTROL_STOP)
    found = _wait_for_stop(handle)
    if found["CurrentState"] != win32service.SERVICE_STOPPED:
        raise LabUtilsError(
            f"{name} does not stop, and has given no sign of life for {_SILENCE:g} s: end process"
            f" {found['ProcessId']} in the Task Manager"
        )


def _wait_for_stop(handle: Any) -> dict[str, int]:
    """Wait until a service has stopped, or gives no signs of life; return how it is."""
    last, deadline = (0, 0), 0.0
    while True:
        found: dict[str, int] = win32service.QueryServiceStatusEx(handle)
        sign = (found["CurrentState"], found["CheckPoint"])
        if sign != last:
            last, deadline = sign, time.monotonic() + _SILENCE
        if sign[0] == win32service.SERVICE_STOPPED or time.monotonic() >= deadline:
            return found
        time.sleep(_LOOK)


def _how(found: dict[str, int]) -> str:
    state = _STATES.get(found["CurrentState"], f"state {found['CurrentState']}")
    status = found["ServiceSpecificExitCode"] or found["Win32ExitCode"]
    if found["CurrentState"] == win32service.SERVICE_STOPPED and status not in _WELL:
        return f"{state}, with status {status}"
    return state
