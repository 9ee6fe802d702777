"""How is a server set up?"""

from __future__ import annotations

import dataclasses

from ._config import setting
from ._wire.framing import MAX_MESSAGE

LONGEST = 2_000_000  # s; poll() counts milliseconds in 32 bits
AFTER_STOP_TIMEOUT = 25
"""Seconds that a stop may take beyond ``stop_timeout``, as whoever would end the daemon is told:
for threads that are cut, the database, and the last log records."""


# Nobody makes one of these: methods for instances would only slow down every import.
@dataclasses.dataclass(init=False, repr=False, eq=False)
class ServerSettings:
    """The keys of ``[Overall]`` in ``server.ini``; each is an attribute of the server too.

    ``conf/server.ini`` explains them.
    """

    host: str = setting("localhost")
    port: int = setting(1507, least=0, most=65535)
    pid_file_name: str = setting("")
    max_clients: int = setting(256, least=1)
    max_backlog: int = setting(1024, least=1)
    max_message: int = setting(MAX_MESSAGE, least=16)
    serial_commands: bool = setting(False)
    one_processor: bool = setting(False)
    unterminated_pause: float | None = setting(0.05, least=0, most=10)
    line_timeout: float = setting(60.0, least=0.1, most=LONGEST)
    idle_timeout: float | None = setting(None, least=0.1, most=LONGEST)
    send_timeout: float = setting(10.0, least=0.1, most=LONGEST)
    stop_timeout: float = setting(5.0, least=0, most=LONGEST)
    device_timeout: float = setting(30.0, least=0, most=LONGEST)
    socket_timeout: float = setting(1.0, least=0.01, most=60)


@dataclasses.dataclass(init=False, repr=False, eq=False)
class ClientSettings:
    """What a client is told."""

    host: str = setting("localhost")
    port: int = setting(1507, least=0, most=65535)
    timeout: float | None = setting(None, least=0.001, most=LONGEST)
    max_reply: int | None = setting(None, least=1)
