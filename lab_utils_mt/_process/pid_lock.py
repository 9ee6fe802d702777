"""Is this the only server with this PID file?

The lock decides, and the PID file only informs. The lock lives in a file of its own beside the
PID file, ``<path>.lock``, for three reasons:

* It is never written. On Windows a locked range can be read by nobody else, so the owner's name
  could not be read from a locked PID file; and the range begins at the current file position, so
  writing would move the lock.
* It is never unlinked. Who opened it before the unlinking would lock a file without a name, while
  the next one makes and locks a new file: two winners.
* So the PID file itself can be replaced in one step, and removed at the end.

``<path>.lock`` stays behind, empty.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Hashable
from typing import TYPE_CHECKING, BinaryIO, cast

from ..exceptions import LockError
from . import pid_file

if TYPE_CHECKING:
    import fasteners

_OWNER_WAIT = 0.5  # s; between locking and naming itself a winner needs some microseconds
_MOST_REPLACEMENTS = 10  # tries, if somebody keeps removing the lock file under our hands

# What this process holds or is just trying to get: paths, and (device, inode) of lock files. The
# system's record locks do not exclude the process that owns them, and closing any handle on the
# file drops them, so this is asked before a lock file is opened. The objects are kept alive: if a
# forgotten one were collected, its handle would close, and the lock would silently be gone.
_held: dict[Hashable, PidLock] = {}

# Guards _held, and the change of owner of a PidLock's file lock. Reentrant: a finalizer or a
# signal handler that calls release() can run in the thread that is inside just now.
_registry_lock = threading.RLock()


class PidLock:
    """Hold a PID file from :meth:`acquire` to :meth:`release`; both may be called twice.

    Two spellings of one path are one lock, also inside this process. A forked child does not own
    its parent's lock. The content of the PID file is ``pid;hostname`` and a newline.

    Args:
        path: The PID file; ``~`` is expanded. Its folder must exist when the lock is acquired.

    Attributes:
        path: Absolute path of the PID file, links among its folders resolved.

    Raises:
        LockError: The path names no file, or ends in ``.lock`` or ``.new``.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = _canonical(os.fspath(path))
        self._lock_path = f"{self.path}.lock"
        self._claims: list[Hashable] = []
        self._file_lock: fasteners.InterProcessLock | None = None

    def __repr__(self) -> str:
        state = "acquired" if self.acquired else "not acquired"
        return f"<{type(self).__name__} {self.path!r}, {state}>"

    @property
    def acquired(self) -> bool:
        """Whether this process holds the PID file through this object."""
        return self._file_lock is not None

    def acquire(self) -> None:
        """Lock the PID file and write this process into it; does not wait for its owner.

        Raises:
            LockError: Another server, in whatever process, holds it: names its pid and host. Or
                the file cannot be used: says which and why.
        """
        if self.acquired:
            return
        self._claim()
        try:
            won = self._lock_and_sign()
        except BaseException:
            self._unclaim()
            raise
        if not won:
            self._unclaim()
            raise LockError(
                f"{self.path} is held by {self._wait_for_owner()}: stop that server first,"
                " or choose another PID file"
            )

    def release(self) -> None:
        """Remove the PID file and let others have the lock; does nothing if it is not held."""
        with _registry_lock:
            file_lock, self._file_lock = self._file_lock, None
        if file_lock is None:
            return
        try:
            pid_file.remove(self.path)  # while it is still ours
        finally:
            _let_go(file_lock)
            self._unclaim()

    def _claim(self) -> None:
        """Reserve path and lock file among the threads of this process."""
        claims: list[Hashable] = [os.path.normcase(self.path)]
        with contextlib.suppress(OSError):
            claims.append(_identity(os.lstat(self._lock_path)))
        with _registry_lock:
            taken = any(claim in _held for claim in claims)
            if not taken:
                self._add_claims(claims)
        if taken:
            raise LockError(
                f"{self.path} is held by this very process ({pid_file.this_process()}):"
                " close its other server first, or choose another PID file"
            )

    def _add_claims(self, claims: list[Hashable]) -> None:
        self._claims += claims
        _held.update(dict.fromkeys(claims, self))

    def _unclaim(self) -> None:
        with _registry_lock:
            claims, self._claims = self._claims, []
            for claim in claims:
                _held.pop(claim, None)

    def _lock_and_sign(self) -> bool:
        """Take the lock and write the PID file; False if another process has the lock."""
        with pid_file.explained(self._lock_path):
            file_lock = self._lock_named_file()
        if file_lock is None:
            return False
        try:
            with pid_file.explained(self.path):
                pid_file.write(self.path)
        except BaseException:
            _let_go(file_lock)
            raise
        with _registry_lock:
            self._file_lock = file_lock
        return True

    def _lock_named_file(self) -> fasteners.InterProcessLock | None:
        """Lock the file that is *still* called ``<path>.lock`` once it is locked."""
        for _ in range(_MOST_REPLACEMENTS):
            file = _open_lock_file(self._lock_path)
            identity = _identity(os.fstat(file.fileno()))
            with _registry_lock:
                self._add_claims([identity])
            file_lock = _lock(self._lock_path, file)
            if file_lock is None or _is_at(self._lock_path, identity):
                return file_lock
            _let_go(file_lock)
        raise LockError(
            f"{self._lock_path} was removed again and again while it was being locked:"
            " stop what does that, or choose another PID file"
        )

    def _wait_for_owner(self) -> str:
        """Name the owner, who may have won just now and not signed yet."""
        deadline = time.monotonic() + _OWNER_WAIT
        while True:
            owner = pid_file.read(self.path)
            if owner and not pid_file.is_stale(owner):
                return owner
            if time.monotonic() >= deadline:
                return owner or "an unknown process"
            time.sleep(0.01)

    def _abandon(self) -> None:
        """Forget in a forked child what belongs to its parent."""
        file_lock, self._file_lock, self._claims = self._file_lock, None, []
        if file_lock is not None:
            file_lock.lockfile.close()  # drops only locks of the closing process: it has none


def _canonical(path: str) -> str:
    # The last part is not resolved: a symbolic link there is refused later, not followed.
    folder, name = os.path.split(os.path.abspath(os.path.expanduser(path)))  # noqa: PTH100, PTH111
    if not path or not name or "\0" in path:
        raise LockError(f"{path!r} cannot be a PID file: name a file")
    if name.lower().endswith((".lock", ".new")):
        raise LockError(f"{path!r} cannot be a PID file: such names belong to the lock itself")
    return os.path.join(os.path.realpath(folder), name)  # noqa: PTH118


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _is_at(path: str, identity: tuple[int, int]) -> bool:
    try:
        return _identity(os.lstat(path)) == identity
    except FileNotFoundError:
        return False


def _open_lock_file(path: str) -> BinaryIO:
    """Open or make the lock file, whatever somebody may have put in its place.

    fasteners would open it itself, but follows links, and makes missing folders.
    """
    with contextlib.suppress(FileNotFoundError):
        # Windows has no O_NOFOLLOW, and merely opening a device can have effects.
        pid_file.refuse_unless_ours(path, os.lstat(path))
    handle = os.open(path, os.O_RDWR | os.O_CREAT | pid_file.CAUTIOUS, 0o600)
    # r+ and not a: the lock on Windows begins at the file position, which must be 0 for all.
    file = cast("BinaryIO", os.fdopen(handle, "r+b", buffering=0))
    try:
        status = os.fstat(handle)
        pid_file.refuse_unless_ours(path, status)
        _refuse_second_name(path, status)
    except BaseException:
        file.close()
        raise
    return file


def _refuse_second_name(path: str, status: os.stat_result) -> None:
    # Somebody else's database, for example: locking it, or closing it again, would disturb them.
    if status.st_nlink > 1:
        raise LockError(
            f"{path} is another name (hard link) of some other file:"
            " remove it, or choose another PID file"
        )


def _lock(path: str, file: BinaryIO) -> fasteners.InterProcessLock | None:
    """Lock an open file, or close it and return None if another process has locked it."""
    import fasteners  # noqa: PLC0415  (a client locks nothing)

    file_lock = fasteners.InterProcessLock(path)
    file_lock.lockfile = file
    try:
        if file_lock.acquire(blocking=False):
            return file_lock
    except threading.ThreadError as error:  # for example a network drive without locks
        file.close()
        raise LockError(
            f"cannot lock {path}: {error}; choose a PID file on a local disk"
        ) from error
    except BaseException:
        file.close()
        raise
    file.close()  # fasteners leaves it open
    return None


def _let_go(file_lock: fasteners.InterProcessLock) -> None:
    file = file_lock.lockfile
    try:
        file_lock.release()
    finally:
        file.close()


def _forget_in_child() -> None:
    global _registry_lock  # noqa: PLW0603 - nothing else can free it
    # A thread that exists only in the parent may have held it at the moment of the fork.
    _registry_lock = threading.RLock()
    for lock in list(_held.values()):
        lock._abandon()
    _held.clear()


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_forget_in_child)
