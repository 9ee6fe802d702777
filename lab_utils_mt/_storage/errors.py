"""Which errors come from the database, and what else are they?

Each is also the error that code written for the driver, for its pool or for ``lab_utils`` 0.5.x
already catches.
"""

from __future__ import annotations

import psycopg2
from psycopg2_pool import PoolError

from ..exceptions import LabUtilsError


class DatabaseUnavailable(LabUtilsError, psycopg2.OperationalError):
    """No session with the database can be had; the text names the database and what to do."""

    lasting = False  #: Waiting does not help: the server refuses this user or this database.


class CommitUnknown(LabUtilsError, psycopg2.OperationalError):
    """The connection was lost during COMMIT: the data may or may not be stored."""


class PoolTimeout(LabUtilsError, PoolError, psycopg2.OperationalError):  # type: ignore[misc]
    """Every session is lent, and none came back in time."""


class TooManyRequests(LabUtilsError, PoolError, psycopg2.OperationalError):  # type: ignore[misc]
    """Every session is lent, and too many threads wait for one already."""


class PoolClosed(LabUtilsError, PoolError, psycopg2.OperationalError):  # type: ignore[misc]
    """The pool was closed, or never opened."""


class InvalidName(LabUtilsError, ValueError, psycopg2.ProgrammingError):
    """A table's or a column's name is not in the allow-list, and was not sent to the server."""


class InvalidValue(LabUtilsError, TypeError, ValueError, psycopg2.DataError):
    """Data cannot be stored as they are; nothing was written."""
