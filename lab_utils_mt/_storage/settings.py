"""Which database, and with which limits?"""

from __future__ import annotations

import dataclasses
import difflib
import re
import sys
from pathlib import Path
from typing import Any

import psycopg2
from psycopg2 import extensions as ext

from .._config import setting
from ..exceptions import ConfigError
from .login import describe

DEFAULT_PASSFILE = "~/.pgpass"

_UNKNOWN_KEY = re.compile(r"invalid (?:connection option|URI query parameter:?) \"([a-z_]+)\"")
_DIGITS = re.compile("[0-9]{1,5}")
_MOST_PORT = 65535
_KNOWN_KEYS = (
    "host hostaddr port dbname user password passfile service options application_name"
    " connect_timeout sslmode sslrootcert sslcert sslkey target_session_attrs keepalives"
    " keepalives_idle keepalives_interval keepalives_count tcp_user_timeout client_encoding"
)

_IN_DSN = {"host": "host", "port": "port", "database": "dbname", "user": "user"}


@dataclasses.dataclass(frozen=True)
class DatabaseSettings:
    """The keys of ``conf/database.ini``, section [Overall]; times are in seconds."""

    host: str = setting("localhost")
    port: int = setting(5432, least=1, most=_MOST_PORT)
    database: str = setting("beam")
    user: str = setting("cw-beam")
    passfile: str = setting(DEFAULT_PASSFILE)
    dsn: str = setting("", secret=True)
    application_name: str = setting("lab_utils_mt")
    maxconn: int = setting(8, least=1, most=10_000)
    timeout: float = setting(30.0, least=0.0, most=86_400)
    max_waiting: int | None = setting(None, least=0, most=1_000_000)
    idle_timeout: float = setting(600.0, least=0.0)
    connect_timeout: int = setting(10, least=1, most=86_400)
    statement_timeout: float | None = setting(60.0, least=0.001, most=2_000_000)
    lock_timeout: float | None = setting(20.0, least=0.001, most=2_000_000)
    idle_in_transaction_timeout: float | None = setting(60.0, least=0.001, most=2_000_000)
    leak_warning: float | None = setting(60.0, least=0.001, most=2_000_000)


def parse_dsn(dsn: str) -> dict[str, str]:
    """Take a connection string apart.

    Raises:
        ConfigError: It is malformed. The text does not repeat it: it may hold a password.
    """
    if not isinstance(dsn, str):
        raise ConfigError(f"dsn: must be str, not {type(dsn).__name__}")
    if "\0" in dsn:  # the driver would cut it off there
        raise ConfigError("the dsn is not a valid connection string: it has a NUL character")
    try:
        parts = dict(ext.parse_dsn(dsn))
    except (psycopg2.Error, ValueError) as error:  # ValueError: a lone surrogate
        raise ConfigError(
            f"the dsn is not a valid connection string{_suspect(str(error))}: write it as"
            " 'host=... port=... dbname=... user=...' or postgresql://user@host:port/database"
        ) from None
    wrong = _misread(parts)
    if wrong:
        raise ConfigError(  # the value is not shown: after a stray @ it is half of a password
            f"dsn: {wrong}; in a URL, an @ : / or ? that belongs to a password is written %40, %3A,"
            " %2F or %3F"
        )
    return parts


def _misread(parts: dict[str, str]) -> str:
    """Say which part looks as if an unquoted password had gone astray."""
    if not all(map(_is_port, parts.get("port", "").split(","))):
        return "port is not a number between 1 and 65535"
    if "@" in parts.get("host", "") and not parts["host"].startswith(("/", "@")):
        return "host has an @ in it"
    if "@" in parts.get("dbname", "") or "://" in parts.get("dbname", ""):
        return "dbname has an @ or :// in it"
    return ""


def _suspect(reason: str) -> str:
    """Name a misspelt key; any other word may be a piece of a password."""
    found = _UNKNOWN_KEY.search(reason)
    near = difflib.get_close_matches(found[1], _KNOWN_KEYS.split(), 1, 0.7) if found else []
    return f" (unknown key {found[1]!r}: is it {near[0]!r}?)" if found and near else ""


def _is_port(text: str) -> bool:
    return not text or (bool(_DIGITS.fullmatch(text)) and 1 <= int(text) <= _MOST_PORT)


def describe_dsn(dsn: str) -> str:
    """Say which database a connection string means, without any secret; never fails."""
    try:
        return describe(parse_dsn(dsn))
    except ConfigError:
        return "a database whose dsn is not valid"


def override_dsn(dsn: str, values: dict[str, Any]) -> str:
    """Let host, port, database, user and passfile replace their parts of a connection string."""
    names = {**_IN_DSN, "passfile": "passfile"}
    chosen = {names[key]: value for key, value in values.items() if key in names}
    return str(ext.make_dsn(**{**parse_dsn(dsn), **chosen}))


def attributes_of_dsn(dsn: str) -> dict[str, Any]:
    """Return what a connection string says about host, port, database and user."""
    parts = parse_dsn(dsn)
    found: dict[str, Any] = {key: parts[name] for key, name in _IN_DSN.items() if name in parts}
    if "port" in found:
        # With several hosts there may be several ports; the first stands for all.
        found["port"] = int(found["port"].partition(",")[0] or 5432)
    return found


def _passfile(path: str) -> dict[str, str]:
    if sys.platform == "win32" and path == DEFAULT_PASSFILE:
        return {}  # there libpq's own default, %APPDATA%\postgresql\pgpass.conf, is the usual place
    return {"passfile": str(Path(path).expanduser().absolute())}


def connect_parameters(settings: DatabaseSettings) -> dict[str, Any]:
    """Return the arguments of :class:`~.pool.ConnectionPool` that settings stand for."""
    limits = dataclasses.asdict(settings)
    for key in ("host", "port", "database", "user", "passfile", "dsn"):
        del limits[key]
    if settings.dsn:
        # What a connection string says about these wins.
        given = parse_dsn(settings.dsn)
        return {**limits, **_typed(given)}
    where = {"host": settings.host, "port": settings.port, "user": settings.user}
    return {**limits, **where, "dbname": settings.database, **_passfile(settings.passfile)}


def _typed(given: dict[str, str]) -> dict[str, Any]:
    try:
        return {key: int(text) if key == "connect_timeout" else text for key, text in given.items()}
    except ValueError:
        raise ConfigError(
            f"dsn: connect_timeout = {given['connect_timeout']!r} is not a whole number"
        ) from None
