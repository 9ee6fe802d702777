"""How is a new database made, and does it get TimescaleDB?"""

from __future__ import annotations

import logging
from typing import Any

import psycopg2
from psycopg2 import errors
from psycopg2.sql import SQL, Identifier, Literal

from . import sql
from .errors import DatabaseUnavailable, InvalidName, InvalidValue
from .pool import ConnectionPool
from .session import Session
from .timescale import Extension, find_extension

logger = logging.getLogger("lab_utils_mt.database")

_EXISTS = "SELECT EXISTS (SELECT FROM pg_database WHERE datname = %s)"
_HINTS: dict[type[psycopg2.Error], str] = {
    errors.DuplicateDatabase: "choose another name, or allow for it with if_not_exists=True",
    errors.UniqueViolation: "choose another name, or allow for it with if_not_exists=True",
    errors.InsufficientPrivilege: (
        "let an administrator run ALTER ROLE ... CREATEDB, and GRANT the owner's role to this user"
    ),
    errors.UndefinedObject: "make the owner's role first, or name another owner",
    errors.ObjectInUse: "somebody is connected to template1: try again",
}


def check_name(name: Any) -> str:
    """Return a database's name.

    Raises:
        InvalidName: It is not in the allow-list.
    """
    try:
        sql.column_identifier(name)
    except InvalidName as error:
        reason = str(error).replace("column name", "database name", 1)
        raise InvalidName(reason) from None
    return str.__str__(name)


def check_owner(owner: Any) -> str:
    """Return a role's name; it may hold any character, for it reaches SQL as a text.

    Raises:
        InvalidValue: It can be nobody's name.
    """
    if not isinstance(owner, str) or not owner or "\0" in owner:
        raise InvalidValue(f"owner {owner!r} is not the name of a role")
    text = str.__str__(owner)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidValue(f"owner {text!r} is not the name of a role: {error}") from None
    return text


def create_database(pool: ConnectionPool, name: str, owner: str, if_not_exists: bool) -> bool:
    """Make a database; tell if it is new.

    Raises:
        psycopg2.Error: It was not made; the text names it, and says what to do.
    """

    def create(session: Session) -> bool:
        with session.plain_cursor() as cursor:
            if if_not_exists:
                cursor.execute(_EXISTS, (name,))
                row = cursor.fetchone()
                if row and row[0]:
                    return False
            statement = SQL("CREATE DATABASE {} OWNER {}")
            cursor.execute(statement.format(Identifier(name), Literal(owner)))
        return True

    try:
        return pool.run(create, transaction=False)
    except (errors.DuplicateDatabase, errors.UniqueViolation) as error:
        if if_not_exists:
            return False
        # The latter, if two are made at the same moment.
        raise errors.DuplicateDatabase(_explain(error, name)) from error
    except psycopg2.Error as error:
        # Not a new one: its class, pgcode and diag tell callers what happened.
        error.args = (_explain(error, name),)
        raise


def _explain(error: psycopg2.Error, name: str) -> str:
    reason = " ".join(str(error).split())
    hint = next((f": {text}" for kind, text in _HINTS.items() if isinstance(error, kind)), "")
    return f"database {name} was not made: {reason}{hint}"


def create_extension(parameters: dict[str, Any], name: str) -> None:
    """Give a database TimescaleDB where that can be; else the log says what is missed.

    Args:
        parameters: Of a :class:`~.pool.ConnectionPool`; the database's name is replaced.
        name: The database's name.
    """
    try:
        with ConnectionPool(**{**parameters, "dbname": name, "maxconn": 1}) as pool:
            extension = pool.run(_create_extension, idempotent=True)
    except (DatabaseUnavailable, errors.InsufficientPrivilege) as error:
        reason = " ".join(str(error).split())
    else:
        if extension.has_hypertables:
            return
        reason = extension.value
    logger.warning(
        "database %s is there, but has no TimescaleDB: its tables will be plain tables. Reason: %s",
        name,
        reason,
    )


def _create_extension(session: Session) -> Extension:
    with session.plain_cursor() as cursor:
        extension = find_extension(cursor)
        if extension is not Extension.NOT_CREATED:
            return extension
        cursor.execute(sql.ONE_AT_A_TIME, (None, "the extension timescaledb"))
        cursor.execute("CREATE EXTENSION IF NOT EXISTS timescaledb")
        return find_extension(cursor)
