"""What has the event log of Windows about a service?"""

from __future__ import annotations

import contextlib
import sys

import pywintypes
import win32evtlog

from . import windows_keys

assert sys.platform == "win32", "only Windows has this log"

_EVENTS = 50


def newest(name: str) -> list[str]:
    """Return the newest entries of the event log about a service, the oldest of them first."""
    flags = win32evtlog.EVENTLOG_BACKWARDS_READ | win32evtlog.EVENTLOG_SEQUENTIAL_READ
    found: list[str] = []
    source = windows_keys.event_source(name)
    with contextlib.suppress(pywintypes.error):
        log = win32evtlog.OpenEventLog(None, "Application")
        try:
            while len(found) < _EVENTS and (records := win32evtlog.ReadEventLog(log, flags, 0)):
                found += [
                    f"{record.TimeGenerated}: {' '.join(record.StringInserts or ())}"
                    for record in records
                    if record.SourceName == source
                ]
        finally:
            win32evtlog.CloseEventLog(log)
    return found[:_EVENTS][::-1]
