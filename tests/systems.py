"""What can the system that runs the tests not show?

Each reason is here once, in the words of a skipped test; ``tests/windows/skips.txt`` has them all.
"""

from __future__ import annotations

import os
import sys

import pytest

if sys.platform == "win32":
    import ctypes

    WINDOWS, WINE = True, hasattr(ctypes.WinDLL("ntdll"), "wine_get_version")
else:
    WINDOWS = WINE = False

NO_PTY = "Python has no pseudo-terminals on Windows"
NO_PIPES = "Windows has no pipes and devices among its files"
NO_ZONES = "Windows has no rules of time zones in TZ"
KEPT_FOLDER = "Windows removes no file that is open"
ROOT = "root may write anywhere"
# What libpq for Windows writes to the standard error there when it connects, with no line end.
_LIBPQ_UNDER_WINE = "unrecognized win32 error code: 127"


def own_words(errors: str) -> str:
    """Return what a program itself has written to its standard error."""
    return errors.replace(_LIBPQ_UNDER_WINE, "") if WINE else errors


def _skip_on_windows(reason: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(WINDOWS, reason=reason)


def _skip_under_wine(reason: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(WINE, reason=reason)


needs_fork = _skip_on_windows("Windows has no fork")
needs_sigterm = _skip_on_windows("Windows delivers no SIGTERM")
needs_sigstop = _skip_on_windows("Windows cannot stop a process for a while")
needs_sigalrm = _skip_on_windows("Windows has no SIGALRM")
needs_pty = _skip_on_windows(NO_PTY)
needs_keys = _skip_on_windows("on Windows, only its console can send a program Ctrl-C")
needs_pipes = _skip_on_windows(NO_PIPES)
needs_zones = _skip_on_windows(NO_ZONES)
needs_umask = _skip_on_windows("Windows has no umask and no permission bits")
needs_file_limit = _skip_on_windows("Windows cannot limit the size of a process's files")
needs_ulimit = _skip_on_windows("Windows has no ulimit")
needs_unix_sockets = _skip_on_windows("libpq is not used with unix sockets on Windows")
needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has /proc")
needs_root = pytest.mark.skipif(
    WINDOWS or (hasattr(os, "geteuid") and os.geteuid() != 0), reason="only root may do that"
)

# Its programs want NtFlushBuffersFileEx to look at a file; tests use a PostgreSQL on Linux instead.
needs_embedded = _skip_under_wine("PostgreSQL for Windows does not run under Wine")
# It looks for the end of the file, and then writes there.
needs_atomic_append = _skip_under_wine("Wine appends to a file in two steps")
# Its C library asks Wine for a file's attributes in vain.
needs_libpq_files = _skip_under_wine("libpq for Windows reads no files under Wine")
