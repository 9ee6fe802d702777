"""Where does a server listen?"""

from __future__ import annotations

import errno
import logging
import socket
import socketserver
import sys
from typing import Any

from .._sockets import INHERITED, prepare

logger = logging.getLogger("lab_utils_mt.server")

IN_USE = {errno.EADDRINUSE}  #: Errors of a port that another program has.
if sys.platform == "win32":  # another program is exclusive, or the system keeps some ports back
    IN_USE.add(errno.EACCES)


class ListeningServer(socketserver.ThreadingTCPServer):
    """Listens on :attr:`host` and :attr:`port`, exclusively.

    Attributes:
        address: ``host:port`` once it listens, else None.
    """

    host: str
    port: int
    max_backlog: int
    send_timeout: float

    # Two servers could share a port on Windows; elsewhere a restart would have to wait a minute.
    allow_reuse_address = sys.platform != "win32"

    def __init__(
        self, host: str, port: int, handler: type[socketserver.BaseRequestHandler]
    ) -> None:
        if ":" in host:
            self.address_family = socket.AF_INET6
        super().__init__((host, port), handler, bind_and_activate=False)
        self.address: str | None = None

    def _start_listening(self) -> None:
        """Bind and listen, unless that was done.

        Raises:
            OSError: The address cannot be used; the text names it.
        """
        if self.address is not None:
            return
        self.server_address = (self.host, self.port)
        self.request_queue_size = self.max_backlog
        try:
            self.server_bind()
            self.server_activate()  # fails, too, if another server bound and listened meanwhile
        except OSError as error:
            in_use = error.errno in IN_USE
            raise OSError(error.errno, self._bind_fault(error, in_use)) from error
        host, self.port = self.socket.getsockname()[:2]
        self.address = format_address((host, self.port))
        logger.info("%s listens on %s", type(self).__name__, self.address)

    def server_bind(self) -> None:
        """Bind the listener to :attr:`host` and :attr:`port`."""
        if sys.platform == "win32":
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        super().server_bind()
        self.socket.setblocking(False)  # a client may be gone again before it is accepted
        if INHERITED:
            prepare(self.socket, self.send_timeout)

    def _bind_fault(self, error: OSError, in_use: bool) -> str:
        reason = error.strerror or str(error)
        advice = "stop the other program, or choose another port" if in_use else "check the address"
        return f"cannot listen on {format_address((self.host, self.port))}: {reason}; {advice}"


def format_address(address: Any) -> str:
    """Return ``host:port`` of what ``accept()`` or a bind tells."""
    if not isinstance(address, tuple):
        return str(address)
    return f"[{address[0]}]:{address[1]}" if ":" in address[0] else f"{address[0]}:{address[1]}"
