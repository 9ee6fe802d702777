"""What runs in the process of a Windows service?

Three threads. The main one does what ``lab-utils-mt serve`` does, to the letter. Windows talks to
the second, pywin32's dispatcher, and that calls the third, :meth:`LabService.SvcRun`, which watches
the daemon and tells Windows how it is::

    START_PENDING ──> RUNNING ──> STOP_PENDING ──> STOPPED
    loading           it listens  stop, shutdown   0, or the exit status of serve
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

import pywintypes
import servicemanager
import win32api  # type: ignore[import-untyped]
import win32service
import win32serviceutil

from .._settings import AFTER_STOP_TIMEOUT
from ..exceptions import LabUtilsError
from . import last_words, windows_keys
from .description import Service

assert sys.platform == "win32", "only Windows has these services"

_LOOK = 0.1  # s between two looks at the daemon
_TELL = 1.0  # s between two reports that something still goes on
_HINT = 10_000  # ms within which Windows may expect the next report
_AWAITED = 30.0  # s; Windows itself gives a new process that long
_LAST = 5.0  # s within which Windows is told of the end
_SPECIFIC = 1066  # the exit code of Windows that says: look at the service's own
_NOT_A_SERVICE = 1063
_BEFORE_SHUTDOWN = 0x100  # SERVICE_ACCEPT_PRESHUTDOWN; a mere shutdown leaves 5 s for all services
_CONTROL_BEFORE_SHUTDOWN = 0xF
_OF_USERS = (5, 6)  # CTRL_LOGOFF_EVENT, CTRL_SHUTDOWN_EVENT


class Daemon(Protocol):
    """What a service has to know of the daemon in it."""

    address: str | None
    stop_timeout: float

    def signal_handler(self, signum: int, frame: None, /) -> None:
        """Let it stop; takes no lock, and may be called in any thread."""


class Stage:
    """What the threads of the process have in common.

    Attributes:
        service: What is served.
        called: Windows has begun to run the service, or never will.
        ended: ``serve`` has come to its end.
        told: Windows knows that.
        status: Its exit status.
        fault: Why Windows cannot run the service, empty if it can.
    """

    def __init__(self, service: Service) -> None:
        self.service = service
        self.called = threading.Event()
        self.ended = threading.Event()
        self.told = threading.Event()
        self.status = 1
        self.fault = ""

    @staticmethod
    def daemon() -> Daemon | None:
        """Return the daemon that the main thread runs, once it does.

        It has made its method ``signal_handler`` the answer to Ctrl-Break, as for a terminal.
        """
        handler = signal.getsignal(signal.SIGBREAK)
        daemon = getattr(handler, "__self__", None)
        return daemon if hasattr(daemon, "address") else None


def host(name: str, serve: Callable[[Service], int]) -> int:
    """Be the process of a service; return its exit status.

    Args:
        name: The service, which is being started by Windows.
        serve: Does what ``lab-utils-mt serve`` does, and returns its exit status.

    Raises:
        LabUtilsError: There is no such service, or it is not Windows that wants it to run.
    """
    stage = Stage(windows_keys.stored(name))
    win32api.SetConsoleCtrlHandler(is_of_users, True)
    threading.Thread(target=_dispatch, args=(stage,), name="dispatcher", daemon=True).start()
    if not stage.called.wait(_AWAITED) or stage.fault:
        raise LabUtilsError(stage.fault or f"Windows did not start the service {name}")
    try:
        stage.status = serve(stage.service)
    except Exception as error:
        text = f"{type(error).__name__}: {error}; this is a fault of lab_utils_mt"
        last_words.write(name, text, system=True)
        raise
    finally:
        stage.ended.set()
        stage.told.wait(_LAST)
    return stage.status


def is_of_users(event: int) -> bool:
    """Tell whether an event of consoles is none of a service's business.

    Services hear of each user who logs off, and the C runtime makes Ctrl-Break of that. Of a
    shutdown, Windows tells a service in another way.
    """
    return event in _OF_USERS


def _dispatch(stage: Stage) -> None:
    name = stage.service.name
    hosted = type("HostedService", (LabService,), {"_svc_name_": name, "stage": stage})
    try:
        servicemanager.Initialize(windows_keys.event_source(name), servicemanager.__file__)
        servicemanager.PrepareToHostSingle(hosted)
        servicemanager.StartServiceCtrlDispatcher()
    except pywintypes.error as error:
        stage.fault = f"{error.strerror} (error {error.winerror})"
        if error.winerror == _NOT_A_SERVICE:
            stage.fault = f"only Windows can do this: say 'lab-utils-mt service start {name}'"
    finally:
        stage.called.set()


class LabService(win32serviceutil.ServiceFramework):  # type: ignore[misc]
    """A service of Windows that watches a daemon in the main thread.

    Attributes:
        stage: What it shares with that thread.
    """

    stage: Stage

    def __init__(self, arguments: Any) -> None:
        super().__init__(arguments)
        servicemanager.SetEventSourceName(windows_keys.event_source(self.stage.service.name))
        self._stop_wanted = threading.Event()

    def GetAcceptedControls(self) -> int:  # noqa: N802  (pywin32's names, here and below)
        """Add the notice that the computer is about to shut down, before programs are ended."""
        return int(super().GetAcceptedControls()) | _BEFORE_SHUTDOWN

    def SvcStop(self) -> None:  # noqa: N802
        """Let the daemon stop in order; SvcRun() waits for that and tells Windows."""
        self._stop_wanted.set()
        self._tell_going_on(win32service.SERVICE_STOP_PENDING)

    def SvcShutdown(self) -> None:  # noqa: N802
        """Do the same when the computer shuts down."""
        self.SvcStop()

    def SvcInterrogate(self) -> None:  # noqa: N802
        """Leave the answer to SvcRun(), which tells of each change."""

    def SvcOtherEx(self, control: int, event_type: int, data: Any) -> None:  # noqa: N802
        """Answer the notice before the shutdown."""
        if control == _CONTROL_BEFORE_SHUTDOWN:
            self.SvcStop()

    def SvcRun(self) -> None:  # noqa: N802
        """Watch the daemon until it has ended."""
        self._tell_going_on(win32service.SERVICE_START_PENDING)
        self.stage.called.set()
        try:
            self._watch_start()
            self._watch()
            self._tell_end()
        finally:
            self.stage.told.set()
        # Meanwhile the process ends by itself, with what runs at its exit. If a thread of the lab's
        # keeps it, and what it holds open, it is ended here.
        time.sleep(AFTER_STOP_TIMEOUT)
        os._exit(self.stage.status)

    def _watch_start(self) -> None:
        """Wait until the daemon listens, or has ended."""
        reported = time.monotonic()
        while not self.stage.ended.wait(_LOOK):
            daemon = self.stage.daemon()
            if daemon is not None and daemon.address:
                self.ReportServiceStatus(win32service.SERVICE_RUNNING)
                _log(f"started: {self.stage.service.target} listens on {daemon.address}")
                return
            if time.monotonic() - reported >= _TELL:
                self._tell_going_on(win32service.SERVICE_START_PENDING)
                reported = time.monotonic()

    def _watch(self) -> None:
        """Wait until the daemon has ended; if it is to stop, see that it does."""
        while not self.stage.ended.wait(_LOOK):
            if self._stop_wanted.is_set():
                self._see_it_stop()

    def _see_it_stop(self) -> None:
        daemon, deadline = self.stage.daemon(), time.monotonic() + AFTER_STOP_TIMEOUT
        if daemon is not None:
            daemon.signal_handler(signal.SIGTERM, None)
            deadline += daemon.stop_timeout
        while not self.stage.ended.wait(_TELL):
            self._tell_going_on(win32service.SERVICE_STOP_PENDING)
            if time.monotonic() >= deadline:
                self._give_up()

    def _give_up(self) -> None:
        text = f"it did not stop within {AFTER_STOP_TIMEOUT} s after stop_timeout: ended by force"
        last_words.write(self.stage.service.name, text, system=True)
        self._tell_end()
        os._exit(self.stage.status)

    def _tell_going_on(self, state: int) -> None:
        self.ReportServiceStatus(state, waitHint=_HINT)

    def _tell_end(self) -> None:
        status = self.stage.status
        if status == 0:
            _log("stopped in order")
        else:
            words = last_words.read(self.stage.service.name, system=True)
            reason = words.splitlines()[0] if words else f"it ended with status {status}"
            _log(f"failed: {reason}", failed=True)
        if status == 0 or self._stop_wanted.is_set():
            # Told of a fault, Windows would start again what it was told to stop.
            self.ReportServiceStatus(win32service.SERVICE_STOPPED)
            return
        self.ReportServiceStatus(
            win32service.SERVICE_STOPPED, win32ExitCode=_SPECIFIC, svcExitCode=status
        )


def _log(text: str, *, failed: bool = False) -> None:
    """Write to the event log of Windows; a service goes on if that is full."""
    with contextlib.suppress(pywintypes.error):
        (servicemanager.LogErrorMsg if failed else servicemanager.LogInfoMsg)(text)
