"""What if a locked range can be read and written by nobody else, as on Windows, unlike in Wine?

The rule, from the documentation of ``LockFileEx``: while a range of a file is locked through one
handle, ``ReadFile`` and ``WriteFile`` through any other handle, also of the same process, fail with
``ERROR_LOCK_VIOLATION``. Wine keeps the locks, but lets everybody read and write.

:func:`install` puts functions of this module between the C runtime and Windows, by changing the
addresses in the runtime's import table: all of Python's file access goes through there. Before a
read or a write, the range is locked for a moment through the same handle: if that fails, another
handle has a lock on it. What this handle has locked itself is remembered, and not asked for.

It is an emulation for tests: a momentary lock can make somebody else's attempt to lock fail.
"""

from __future__ import annotations

import ctypes
import struct
import sys
from collections.abc import Callable, Iterator
from ctypes import wintypes
from typing import Any

if sys.platform != "win32":
    raise ImportError("there is nothing to emulate")

_LOCK_VIOLATION = 33
_DISK = 1
_CURRENT = 1
_AT_ONCE, _EXCLUSIVE = 1, 2
_IMPORTS = 1  # of the tables that a program file has
_READ_WRITE = 4  # memory that can be changed


class Overlapped(ctypes.Structure):
    """Where in a file: ``OVERLAPPED`` of Windows."""

    _fields_ = (
        ("internal", ctypes.c_void_p),
        ("internal_high", ctypes.c_void_p),
        ("offset", wintypes.DWORD),
        ("offset_high", wintypes.DWORD),
        ("event", wintypes.HANDLE),
    )

    @property
    def start(self) -> int:
        """The position as one number."""
        return int(self.offset) | int(self.offset_high) << 32


_WHERE = ctypes.POINTER(Overlapped)
_H, _D, _P = ctypes.c_void_p, wintypes.DWORD, ctypes.c_void_p
_SHAPES: dict[str, tuple[Any, ...]] = {
    "ReadFile": (_H, _P, _D, _P, _WHERE),
    "WriteFile": (_H, _P, _D, _P, _WHERE),
    "LockFileEx": (_H, _D, _D, _D, _D, _WHERE),
    "UnlockFileEx": (_H, _D, _D, _D, _WHERE),
    "CloseHandle": (_H,),
}
_kernel = ctypes.WinDLL("kernel32", use_last_error=True)
_true: dict[str, Any] = {}
_kept: list[Any] = []  # Windows calls into these: they must not be collected
_own: dict[int, list[tuple[int, int]]] = {}  # handle: start and end of what it has locked


def _conflict(handle: int, size: int, exclusive: int) -> bool:
    position = ctypes.c_longlong()
    if not size or _kernel.GetFileType(_H(handle)) != _DISK:
        return False
    if not _kernel.SetFilePointerEx(
        _H(handle), ctypes.c_longlong(0), ctypes.byref(position), _CURRENT
    ):
        return False
    start, end = position.value, position.value + size
    if any(a < end and start < b for a, b in _own.get(handle, [])):
        return False
    where = Overlapped(offset=start & 0xFFFFFFFF, offset_high=start >> 32)
    if _true["LockFileEx"](handle, _AT_ONCE | exclusive, 0, size, 0, ctypes.byref(where)):
        _true["UnlockFileEx"](handle, 0, size, 0, ctypes.byref(where))
        return False
    return ctypes.get_last_error() == _LOCK_VIOLATION


def _guarded(name: str, exclusive: int) -> Callable[..., int]:
    def transfer(handle: int, data: Any, size: int, done: Any, where: Any) -> int:
        if not where and _conflict(handle, size, exclusive):
            ctypes.set_last_error(_LOCK_VIOLATION)
            return 0
        return int(_true[name](handle, data, size, done, where))

    return transfer


def _lock(handle: int, flags: int, zero: int, low: int, high: int, where: Any) -> int:
    if not _true["LockFileEx"](handle, flags, zero, low, high, where):
        return 0
    start = where.contents.start
    _own.setdefault(handle, []).append((start, start + (low | high << 32)))
    return 1


def _unlock(handle: int, zero: int, low: int, high: int, where: Any) -> int:
    if not _true["UnlockFileEx"](handle, zero, low, high, where):
        return 0
    start = where.contents.start
    _own[handle] = [range_ for range_ in _own.get(handle, []) if range_[0] != start]
    return 1


def _close(handle: int) -> int:
    _own.pop(handle, None)
    return int(_true["CloseHandle"](handle))


def install() -> None:
    """Make locks mandatory for this process, until it ends."""
    replacements: dict[str, Callable[..., int]] = {
        "ReadFile": _guarded("ReadFile", 0),
        "WriteFile": _guarded("WriteFile", _EXCLUSIVE),
        "LockFileEx": _lock,
        "UnlockFileEx": _unlock,
        "CloseHandle": _close,
    }
    _kernel.GetModuleHandleW.restype = ctypes.c_void_p
    library = _kernel.GetModuleHandleW("ucrtbase.dll")
    places = {name: place for name, place in _imports(library) if name in replacements}
    if places.keys() != replacements.keys():
        raise RuntimeError(f"this C runtime imports only {sorted(places)}")
    for name, place in places.items():
        _replace(name, place, replacements[name])


def _replace(name: str, place: int, function: Callable[..., int]) -> None:
    shape = ctypes.WINFUNCTYPE(wintypes.BOOL, *_SHAPES[name], use_last_error=True)
    slot = ctypes.c_uint64.from_address(place)
    _true[name] = shape(slot.value)
    callback = shape(function)
    _kept.append(callback)
    before = wintypes.DWORD()
    _kernel.VirtualProtect(ctypes.c_void_p(place), 8, _READ_WRITE, ctypes.byref(before))
    slot.value = ctypes.cast(callback, ctypes.c_void_p).value or 0
    _kernel.VirtualProtect(ctypes.c_void_p(place), 8, before, ctypes.byref(before))


def _number(address: int, form: str) -> int:
    return int(struct.unpack(form, ctypes.string_at(address, struct.calcsize(form)))[0])


def _imports(library: int) -> Iterator[tuple[str, int]]:
    """Yield the name of each imported function, and where its address stands."""
    header = library + _number(library + 0x3C, "<I")
    tables = header + 24 + 112  # after the signature, the file header and the optional header
    entry = library + _number(tables + 8 * _IMPORTS, "<I")
    while _number(entry + 12, "<I"):
        names, places = _number(entry, "<I"), _number(entry + 16, "<I")
        yield from _functions(library, library + names, library + places)
        entry += 20


def _functions(library: int, names: int, places: int) -> Iterator[tuple[str, int]]:
    while name := _number(names, "<Q"):
        if not name >> 63:  # else it has a number and no name
            yield ctypes.string_at(library + name + 2).decode(), places
        names, places = names + 8, places + 8
