"""How do two processes write to one file and lose nothing?

Each write goes to the end of the file as it is at that moment, in one piece: the system sees to
it, if it is asked to. So lines are never mixed, and there is nothing to lock and nothing to wait
for.
"""

from __future__ import annotations

import errno
import io
import os
import stat
import sys
import time
from collections.abc import Iterator
from pathlib import Path

_MOST = 65536  # bytes of a write, unless one line alone is longer
_LOOKS = 5
_LOOKS_APART = 0.002  # s


class AppendingFile(io.FileIO):
    """A file to whose end whole lines are written, by any number of processes.

    A line that was not written to its end (a killed process, a full disk) stays as it is; the next
    one begins on a line of its own.

    Args:
        path: The file; made if it is not there, readable for all as far as the umask lets.

    Raises:
        OSError: It cannot be opened, or is no regular file.
    """

    def __init__(self, path: str) -> None:
        super().__init__(path, "ab", opener=_open)
        self._path = Path(path)
        self._identity = os.fstat(self.fileno())
        self._is_end_known = False

    def in_place(self) -> bool:
        """Tell whether the path still leads to this file: it may have been moved or deleted."""
        try:
            return not self.closed and os.path.samestat(self._path.stat(), self._identity)
        except OSError:
            return False

    def write_lines(self, lines: list[bytes]) -> int:
        """Write lines, each in one piece, many at once.

        Args:
            lines: Without the newlines at their ends.

        Returns:
            How many of the first were written; fewer than given if the disk is full.

        Raises:
            OSError: None was written.
        """
        written = 0
        for block in _blocks(lines):
            try:
                count = self._write_block(block)
            except OSError:
                if not written:
                    raise
                break
            written += count
            if count < len(block):
                break
        return written

    def _write_block(self, block: list[bytes]) -> int:
        start = b"" if self._is_end_known or self._ends_with_a_line() else b"\n"
        data = start + b"\n".join(block) + b"\n"
        # Known again only when all is written; and others may go on where we could not.
        self._is_end_known = False
        size = self.write(data)
        if size == len(data):
            self._is_end_known = True
            return len(block)
        count = whole_lines(block, size - len(start))
        if not count:
            raise OSError(errno.ENOSPC, "a line was not written to its end", str(self._path))
        return count

    def _ends_with_a_line(self) -> bool:
        # What another process is just writing may be seen in part: only what stays is torn.
        for attempt in range(_LOOKS):
            if attempt:
                time.sleep(_LOOKS_APART)
            if self._last_byte() in {b"", b"\n"}:
                return True
        return False

    def _last_byte(self) -> bytes | None:
        try:
            with self._path.open("rb", buffering=0) as file:
                if file.seek(0, io.SEEK_END):
                    file.seek(-1, io.SEEK_END)
                return file.read(1)
        except OSError:  # it may be written, but not read: an empty line is the lesser evil
            return None


def _blocks(lines: list[bytes]) -> Iterator[list[bytes]]:
    block: list[bytes] = []
    size = 0
    for line in lines:
        if block and size + len(line) + 1 > _MOST:
            yield block
            block, size = [], 0
        block.append(line)
        size += len(line) + 1
    if block:
        yield block


def whole_lines(block: list[bytes], size: int) -> int:
    """Return how many lines ``size`` bytes hold, each with its newline."""
    for count, line in enumerate(block):
        size -= len(line) + 1
        if size < 0:
            return count
    return len(block)


def _require_regular(found: os.stat_result, path: str) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "not a regular file, and no log is written to it", path)


if sys.platform == "win32":
    import ctypes
    import msvcrt
    from ctypes import wintypes

    _APPEND_DATA = 0x0004
    _READ_ATTRIBUTES = 0x0080
    _SYNCHRONIZE = 0x0010_0000
    _SHARE_READ_WRITE_DELETE = 0x7
    _OPEN_ALWAYS = 4
    _ATTRIBUTE_NORMAL = 0x80
    _INVALID_HANDLE = ctypes.c_void_p(-1).value

    _kernel32 = ctypes.WinDLL("kernel32", use_last_error=True)
    _create_file = _kernel32.CreateFileW
    _create_file.restype = wintypes.HANDLE
    _create_file.argtypes = (
        wintypes.LPCWSTR,
        wintypes.DWORD,
        wintypes.DWORD,
        wintypes.LPVOID,
        wintypes.DWORD,
        wintypes.DWORD,
        wintypes.HANDLE,
    )
    _close_handle = _kernel32.CloseHandle
    _close_handle.argtypes = (wintypes.HANDLE,)

    def _open(path: str, flags: int) -> int:  # noqa: ARG001  (what an opener is given)
        # The C runtime appends by seeking to the end and then writing: another process may write
        # in between. The system itself appends if the handle has no right to write elsewhere.
        handle = _create_file(
            path,
            _APPEND_DATA | _READ_ATTRIBUTES | _SYNCHRONIZE,
            _SHARE_READ_WRITE_DELETE,
            None,
            _OPEN_ALWAYS,
            _ATTRIBUTE_NORMAL,
            None,
        )
        if handle == _INVALID_HANDLE:
            code = ctypes.get_last_error()
            raise OSError(0, ctypes.FormatError(code).strip(), path, code)
        try:
            opened = msvcrt.open_osfhandle(handle, os.O_BINARY | os.O_NOINHERIT)
        except OSError:
            _close_handle(handle)
            raise
        return _checked(opened, path)

else:

    def _open(path: str, flags: int) -> int:
        # Before it is opened: that alone may move what is behind a device.
        if Path(path).exists():
            _require_regular(Path(path).stat(), path)
        # Should a pipe come there just now, opening it must not wait for its reader.
        return _checked(os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY, 0o644), path)


def _checked(opened: int, path: str) -> int:
    try:
        _require_regular(os.fstat(opened), path)
    except OSError:
        os.close(opened)
        raise
    return opened
