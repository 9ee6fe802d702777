"""Could a class be served: its settings, its commands, its PID file, its port?

A server is made for that, but without the class's own ``__init__()``, and nothing of it is opened.
"""

from __future__ import annotations

import os
import types
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._process import pid_file
from .._process.pid_lock import PidLock
from .._process.runtime_folder import default_pid_file
from .._replacing import require_place
from .._serving.listening import IN_USE, ListeningServer, format_address
from ..socket_comm import Server
from .checking_files import LITTLE, Needs, require_makeable

if TYPE_CHECKING:
    from ..database import Database

_MOST_NAMES = 12


def unopened(
    served: type[Server],
    config_file: str | None,
    database: Database | None,
    create_parser: Callable[[Any], None],
) -> Server:
    """Make a server that holds no PID file.

    Args:
        served: Its class.
        config_file: Its settings.
        database: Its database, which stays as it is.
        create_parser: Instead of that of its class.

    Raises:
        ConfigError: A setting cannot be used.
    """
    files = {"config_file": config_file, "database": database}
    given = {name: file for name, file in files.items() if file is not None}
    server: Server = served.__new__(served, **given)
    # Not in a subclass made here: an __init_subclass__() of the lab may ask for more, or note it.
    own = types.MethodType(create_parser, server)
    vars(server).update(daemonize=lambda: None, create_parser=own)
    Server.__init__(server, config_file, database=database)
    server.socket.close()
    return server


def commands_of(served: type[Server], config_file: str | None, database: Database | None) -> str:
    """Return the names of a server's commands, once all of them have been found to be some."""
    try:
        server = unopened(served, config_file, database, served.create_parser)
    except AttributeError as error:
        if served.__init__ is Server.__init__ or not isinstance(error.obj, served):
            raise
        return f"create_parser() needs self.{error.name} of __init__(): seen at the start only"
    server._repertoire.get_ready()
    names = list(server.parser.commands)
    more = f", and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return f"{', '.join(names[:_MOST_NAMES])}{more}"


def check_pid_file(server: Server, needs: Needs) -> str:
    """Return the path of the PID file, if nobody holds it and it can be written.

    Raises:
        LabUtilsError: It cannot be had.
    """
    given = server.pid_file_name
    lock = PidLock(given or default_pid_file(type(server).__name__, make=False))
    path = Path(lock.path)
    needs.room.setdefault(path.parent, LITTLE)
    if not given and not path.parent.exists():
        require_makeable(path.parent)
        return lock.path
    if os.path.lexists(f"{path}.lock"):
        # The only way to know whether it is locked: to lock it, for a moment.
        lock.acquire()
        lock.release()
        return lock.path
    pid_file.require_replaceable(lock.path)
    require_place(path)
    return lock.path


def check_port(server: Server) -> str:
    """Return where the server would listen, if it could.

    Raises:
        OSError: It could not; the text says why.
    """
    address = format_address((server.host, server.port))
    server.socket = type(server.socket)(server.address_family, server.socket_type)
    server.server_address = (server.host, server.port)
    try:
        server.server_bind()
    except OSError as error:
        # Not the server's own words: they tell that this process holds the PID file.
        fault = ListeningServer._bind_fault(server, error, error.errno in IN_USE)
        raise OSError(error.errno, fault) from error
    finally:
        server.socket.close()
    return f"{address} is free" if server.port else f"{address}: any free port"
