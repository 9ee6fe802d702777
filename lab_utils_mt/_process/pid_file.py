"""Who runs here, as its PID file says, and how does that get into the file in one step?

Nothing in this module decides who may run: that is the lock's part (:mod:`.pid_lock`).
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import socket
import stat
import sys
from collections.abc import Iterator

from .._replacing import patiently
from ..exceptions import LockError

logger = logging.getLogger("lab_utils_mt.pid_file")

# Whatever was put in our place is looked at, but not followed and not waited for (a FIFO).
if sys.platform == "win32":
    CAUTIOUS = os.O_BINARY | os.O_NOINHERIT
else:
    CAUTIOUS = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC

_PID_DIGITS = 10
_LONGEST = 300  # bytes; a pid, a semicolon and the longest host name
_FOLDER_ADVICE = "make the folder {folder}, or choose another PID file"
_RIGHTS_ADVICE = "let this user write in {folder}, or choose another PID file"
_ADVICE = {
    errno.ENOENT: _FOLDER_ADVICE,
    errno.ENOTDIR: _FOLDER_ADVICE,
    errno.EACCES: _RIGHTS_ADVICE,
    errno.EPERM: _RIGHTS_ADVICE,
    errno.EROFS: _RIGHTS_ADVICE,
    errno.ELOOP: "remove the symbolic link, or choose another PID file",
    errno.ENOSPC: "free some space in {folder}, or choose another PID file",
}


@contextlib.contextmanager
def explained(path: str) -> Iterator[None]:
    """Turn an ``OSError`` about ``path`` into a LockError that says what to do."""
    try:
        yield
    except OSError as error:
        advice = _ADVICE.get(error.errno or 0, "choose another PID file")
        advice = advice.format(folder=os.path.dirname(path))  # noqa: PTH120
        where = error.filename or path
        raise LockError(f"cannot use {where}: {error.strerror or error}; {advice}") from error


def is_foreign(status: os.stat_result) -> bool:
    """Tell whether another user owns the file; always False on Windows."""
    if sys.platform == "win32":
        return False
    return status.st_uid != os.geteuid()


def refuse_unless_ours(path: str, status: os.stat_result) -> None:
    """Check what lies at a path before it is locked or replaced.

    Raises:
        LockError: It is a symbolic link, no regular file, or another user's.
    """
    if stat.S_ISLNK(status.st_mode):
        fault = "is a symbolic link"
    elif not stat.S_ISREG(status.st_mode):
        fault = "is not a regular file"
    elif is_foreign(status):
        fault = f"belongs to another user (uid {status.st_uid})"
    else:
        return
    raise LockError(f"{path} {fault}: remove it, or choose another PID file")


def require_replaceable(path: str) -> None:
    """Check what lies at the path of a PID file, if there is something, before it is replaced.

    Raises:
        LockError: It is a symbolic link, no regular file, another user's, or has other contents: a
            path that was meant for something else would cost that file.
        OSError: It cannot be looked at.
    """
    try:
        refuse_unless_ours(path, os.lstat(path))
        head = patiently(lambda: _head(path)).strip(b"\0 \r\n")
    except FileNotFoundError:
        return
    # Other programs write the number alone, zc.lockfile (of lab_utils 0.5.4) after a blank; after a
    # power failure a file can be empty, or zeros.
    if head and not head[:1].isdigit():
        raise LockError(f"{path} is no PID file, and would be lost: choose another PID file")


def this_process() -> str:
    """Name this process as a PID file does: ``pid;hostname``."""
    return f"{os.getpid()};{socket.gethostname()}"


def read(path: str) -> str | None:
    """Read who wrote a PID file.

    Returns:
        ``pid;hostname``, or None if the file is missing, empty, not a PID file or cannot be read
        now (on Windows another program's lock can forbid it).
    """
    try:
        text = _head(path).decode("utf-8", "replace").strip()
    except OSError:
        return None
    pid, _, host = text.partition(";")
    # The text goes into messages: what is not a PID file must not speak there.
    plausible = pid.isascii() and pid.isdecimal() and len(pid) <= _PID_DIGITS and text.isprintable()
    return text if plausible and host else None


def _head(path: str) -> bytes:
    handle = os.open(path, os.O_RDONLY | CAUTIOUS)
    try:
        return os.read(handle, _LONGEST)
    finally:
        os.close(handle)


def is_stale(owner: str) -> bool:
    """Tell whether the named process is known to be gone; False when that cannot be known."""
    pid, _, host = owner.partition(";")
    # On Windows, signal 0 is no question: it is a Ctrl-C to a whole group.
    if sys.platform == "win32" or host != socket.gethostname():
        return False
    try:
        os.kill(int(pid), 0)
    except (ProcessLookupError, OverflowError):
        return True
    except OSError:
        return False
    return False


def write(path: str) -> None:
    """Put this process into the PID file; a reader sees the old file or the new, never half.

    To be called with the lock held.

    Raises:
        LockError: Something else lies there.
        OSError: It cannot be written.
    """
    require_replaceable(path)
    # One fixed name: under the lock, what an earlier owner left there is rubbish. A name with the
    # pid in it would meet the file of a killed owner with the same pid, and never be cleaned up.
    new = f"{path}.new"
    _unlink(new)
    handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | CAUTIOUS, 0o644)
    try:
        try:
            os.write(handle, f"{this_process()}\n".encode())
        finally:
            os.close(handle)  # Windows replaces no open file
        patiently(lambda: os.replace(new, path))  # noqa: PTH105
    except OSError:
        with contextlib.suppress(OSError):
            _unlink(new)
        raise


def remove(path: str) -> None:
    """Remove the PID file, if it is there; failing is only logged, for a stale one is harmless."""
    try:
        patiently(lambda: _unlink(path))
    except OSError as error:
        logger.warning("the PID file %s stays behind: %s", path, error.strerror or error)


def _unlink(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)  # noqa: PTH108
