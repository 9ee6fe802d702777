"""How is the driver woken that waits in C for an answer?

By the end of its socket: nothing else reaches it there.
"""

from __future__ import annotations

import contextlib
import socket
import sys

if sys.platform == "win32":
    import ctypes

    _cancel_io = ctypes.WinDLL("kernel32").CancelIoEx
    _cancel_io.argtypes = (ctypes.c_void_p, ctypes.c_void_p)

    def break_off(line: socket.socket) -> None:
        """Let nothing more through a socket, and wake whoever waits for it.

        To be called again while somebody goes on waiting: a wait that begins just now is missed.
        """
        with contextlib.suppress(OSError):  # it may just be over
            line.shutdown(socket.SHUT_RDWR)
        # A shutdown at this end wakes nobody on Windows, if the other end does not answer.
        _cancel_io(line.fileno(), None)

else:

    def break_off(line: socket.socket) -> None:
        """Let nothing more through a socket, and wake whoever waits for it."""
        with contextlib.suppress(OSError):  # it may just be over
            line.shutdown(socket.SHUT_RDWR)
