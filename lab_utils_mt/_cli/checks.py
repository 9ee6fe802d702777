"""Could a daemon run here, and if not, why?

Nothing is started, and nothing is left. The class is not made as ``serve`` makes it: its
``__init__()`` may move a stage, or take an instrument away from the daemon that runs just now.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from .._logs.redaction import redact
from ..exceptions import LabUtilsError
from ..socket_comm import Server
from .checking_files import Needs, check_room, check_tls_file, read_logging, tls_files_of
from .checking_servers import check_pid_file, check_port, commands_of, unopened
from .faults import blaming
from .loading import find_class, import_module, require_arguments
from .reaching import harmless, reason
from .serving_options import Serving, enter

if TYPE_CHECKING:
    from ..database import Database

_T = TypeVar("_T")

_BY_DEFAULT = "no file, so the values of the class and of conf/server.ini"
_TIMESCALE = "SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'"


def check(wanted: Serving) -> bool:
    """Check all that a daemon needs; print a line for each, and return whether all is ok."""
    sys.dont_write_bytecode = True  # of the lab's modules
    return _Checks(wanted).run()


class _Checks:
    def __init__(self, wanted: Serving) -> None:
        self._wanted = wanted
        self._all_ok = True
        self._needs = Needs()  #: Collected on the way

    def run(self) -> bool:
        """Check one thing after the other, and go on after a failure."""
        wanted = self._wanted
        self._tell("folder", self._folder)
        served = self._class()
        database = None
        if wanted.database is not None:
            database = self._give("database configuration", self._database, str(wanted.database))
        if wanted.logging is not None:
            self._tell("logging", self._logging)
        self._server(served, database)
        if database is not None:
            self._tell("database", lambda: _reach(database))
        for file in self._needs.tls_files:
            self._tell("TLS file", functools.partial(check_tls_file, file))
        for folder, least in self._needs.room.items():
            self._tell("free disk", functools.partial(check_room, folder, least))
        return self._all_ok

    # --- how it is told --------------------------------------------------------------------

    def _tell(self, what: str, find_out: Callable[[], str]) -> None:
        """Print what is found out, or why nothing is."""
        found = self._give(what, find_out)
        if found is not None:
            self._say(f"ok {what}: {found}")

    def _give(self, what: str, act: Callable[[], _T], detail: str = "") -> _T | None:
        """Return what an act returns; print why it fails, or the detail, if there is one."""
        try:
            with blaming(str(self._wanted.target), self._wanted.folder):
                given = act()
        except (LabUtilsError, OSError) as error:
            self._fail(what, reason(error))
            return None
        if detail:
            self._say(f"ok {what}: {detail}")
        return given

    def _fail(self, what: str, why: str) -> None:
        self._all_ok = False
        self._say(f"FAILED {what}: {why}")

    @staticmethod
    def _say(line: str) -> None:
        print(harmless(redact(" ".join(line.split()))), flush=True)

    # --- what is checked -------------------------------------------------------------------

    def _folder(self) -> str:
        enter(self._wanted.folder)
        return str(self._wanted.folder)

    def _class(self) -> type[Server] | None:
        target, folder = self._wanted.target, self._wanted.folder
        module = self._give("import", lambda: import_module(target, folder), target.module)
        if module is None:
            self._fail("class", "first mend the import")
            return None
        served = self._give("class", lambda: find_class(module, target, folder))
        if served is not None:
            self._tell("class", lambda: self._arguments(served))
        return served

    def _arguments(self, served: type[Server]) -> str:
        files = {"config_file": self._wanted.config, "database": self._wanted.database}
        require_arguments(served, [name for name, file in files.items() if file is not None])
        if served.__init__ is Server.__init__:
            return served.__name__
        return f"{served.__name__}; what its __init__() does will be seen at the start only"

    def _database(self) -> Database:
        from ..database import Database  # noqa: PLC0415  (its driver)

        database = Database(str(self._wanted.database))
        self._needs.tls_files += tls_files_of(database)
        return database

    def _logging(self) -> str:
        read_logging(str(self._wanted.logging), self._needs)
        return str(self._wanted.logging)

    def _server(self, served: type[Server] | None, database: Database | None) -> None:
        config = self._wanted.config
        file = None if config is None else str(config)
        server = self._give(
            "configuration",
            # Its own create_parser() comes later: it may fail for other reasons.
            lambda: unopened(served or Server, file, database, Server.create_parser),
            file or _BY_DEFAULT,
        )
        if served is None or server is None:
            advice = "first mend the class" if served is None else "first mend the configuration"
            for what in ("commands", "PID file", "port"):
                self._fail(what, advice)
            return
        self._tell("commands", lambda: commands_of(served, file, database))
        self._tell("PID file", lambda: check_pid_file(server, self._needs))
        self._tell("port", lambda: check_port(server))


def _reach(database: Database) -> str:
    with database, database.transaction() as connection, connection.cursor() as cursor:
        cursor.execute(_TIMESCALE)
        row = cursor.fetchone()
        server = database.db_version.partition(" on ")[0]
    return f"{server}, {f'TimescaleDB {row[0]}' if row else 'without TimescaleDB'}"
