"""A PgBouncer between a test and the server, which lends its sessions for a transaction at a time.

Debian's package has the program in /usr/sbin, where an ordinary user's PATH does not lead.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg2
from psycopg2.extensions import make_dsn, parse_dsn

PROGRAM = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin:/usr/local/sbin")

MISSING = "PgBouncer is not installed (Debian: apt-get install pgbouncer)"

CONFIGURATION = """\
[databases]
* = {server}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
admin_users = postgres
logfile = {folder}/log
{settings}
"""


def _quoted(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def _runner(host: str) -> str | None:
    """Return who runs it, if not we: it refuses root, and the socket's folder is its owner's."""
    if sys.platform == "win32" or os.geteuid() != 0:
        return None
    owner = Path(host).owner() if host.startswith("/") else "root"
    return owner if owner != "root" else "nobody"


class PgBouncer:
    """One PgBouncer in front of the server of a dsn, on a free port of this computer.

    Its own settings are given by name, such as ``pool_mode="session"``.
    """

    def __init__(self, dsn: str, **settings: object) -> None:
        with contextlib.closing(psycopg2.connect(dsn)) as session:
            info = session.info  # by then, what the environment says is in it
            host, port = info.host, info.port
            target = {"host": host, "port": str(port), "user": info.user}
            if info.password:
                target["password"] = info.password
        chosen = {
            "pool_mode": "transaction",
            "default_pool_size": 2,
            "max_client_conn": 200,
            "server_login_retry": 0.2,  # seconds; else one refusal is repeated for 15
            **settings,
        }
        self.port = _free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="pgbouncer-", dir="/tmp"))
        self._user = _runner(host)
        if self._user:
            shutil.chown(self.folder, self._user)
        text = CONFIGURATION.format(
            server=" ".join(f"{key}={_quoted(value)}" for key, value in target.items()),
            port=self.port,
            folder=self.folder,
            settings="\n".join(f"{key} = {value}" for key, value in chosen.items()),
        )
        configuration = self.folder / "pgbouncer.ini"
        configuration.write_text(text, encoding="utf-8")
        configuration.chmod(0o600)
        if self._user:
            shutil.chown(configuration, self._user)
        name = parse_dsn(dsn).get("dbname", "postgres")
        where: dict[str, Any] = {"host": "127.0.0.1", "port": self.port, "dbname": name}
        #: How a client reaches the server through it.
        self.dsn = str(make_dsn(user="postgres", sslmode="disable", gssencmode="disable", **where))
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it listens."""
        assert PROGRAM is not None
        more: dict[str, Any] = {"user": self._user} if self._user else {}
        self.process = subprocess.Popen(
            [PROGRAM, "-q", str(self.folder / "pgbouncer.ini")],
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            **more,
        )
        deadline = time.monotonic() + 20.0
        while True:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", self.port), timeout=5.0).close()
                return
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"PgBouncer did not start: {self.log()}")
            time.sleep(0.02)

    def stop(self) -> None:
        """End it at once, with all the sessions that it holds; does nothing if it has ended."""
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(20)
            self.process = None

    def log(self) -> str:
        """Return what it had to say."""
        with contextlib.suppress(OSError):
            return (self.folder / "log").read_text(encoding="utf-8", errors="replace")
        return "it left no log"

    def tell(self, command: str) -> list[dict[str, Any]]:
        """Send a command to its console, as PAUSE or SHOW POOLS; return the rows of the answer."""
        session = psycopg2.connect(str(make_dsn(self.dsn, dbname="pgbouncer")))
        with contextlib.closing(session):
            session.autocommit = True  # it knows no BEGIN
            with session.cursor() as cursor:
                cursor.execute(command)
                if cursor.description is None:
                    return []
                names = [column.name for column in cursor.description]
                return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


@contextlib.contextmanager
def running(dsn: str, **settings: object) -> Iterator[PgBouncer]:
    """Run one for a ``with`` block."""
    bouncer = PgBouncer(dsn, **settings)
    try:
        bouncer.start()
        yield bouncer
    finally:
        bouncer.stop()
        shutil.rmtree(bouncer.folder, ignore_errors=True)
