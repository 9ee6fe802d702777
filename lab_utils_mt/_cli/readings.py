"""Is every acknowledged reading in the database, once, and what do the readings say?"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import secrets
import time
from collections.abc import Iterator

from ..database import Database
from ..exceptions import LabUtilsError
from .cryostat_server import COLUMNS
from .instruments import Report

_MOST_POINTS = 50_000

# Readings are compared as pairs (client, number), not as totals: a reading stored twice does not
# make up for a lost one.
_COUNT = """
    WITH sent AS (SELECT * FROM unnest(%s::int[], %s::bigint[]) AS a (client, last)),
         unsure AS (SELECT * FROM unnest(%s::int[], %s::bigint[]) AS b (client, number)),
         kept AS (SELECT client, number, count(*) AS copies FROM {table} GROUP BY client, number)
    SELECT coalesce(sum(copies), 0)::bigint, coalesce(sum(copies - 1), 0)::bigint,
           count(*) FILTER (WHERE number BETWEEN 1 AND last AND unsure.number IS NULL)
    FROM kept LEFT JOIN sent USING (client) LEFT JOIN unsure USING (client, number)
"""
_READ_BACK = """
    SELECT stage, extract(epoch FROM time - (SELECT min(time) FROM {table}))::float8, kelvin
    FROM {table} WHERE number %% %s = 0 ORDER BY time
"""


@dataclasses.dataclass(frozen=True)
class Count:
    """What the database has.

    Attributes:
        stored: Rows.
        lost: Readings that were acknowledged and are not there.
        duplicates: Rows that are there already.
    """

    stored: int
    lost: int
    duplicates: int


@contextlib.contextmanager
def explaining(what: str) -> Iterator[None]:
    """Turn any failure of the database into one line that says what was wanted.

    Raises:
        LabUtilsError: The block failed.
    """
    try:
        yield
    except Exception as error:
        # The driver's errors are many, and only the storage may know it.
        raise LabUtilsError(f"cannot {what}: {' '.join(str(error).split())}") from error


class Readings:
    """The table of one run.

    Args:
        database: Where it is; connected.
        own_database: Whether nobody else uses the database, so that any name is free.
    """

    def __init__(self, database: Database, own_database: bool) -> None:
        self._database = database
        stamp = f"{time.strftime('%Y%m%d_%H%M%S')}_{secrets.token_hex(3)}"
        self.table = "cryostat" if own_database else f"cryostat_{stamp}"

    def make(self) -> None:
        """Make the table.

        Raises:
            LabUtilsError: It could not be made; the text says why.
        """
        logger = logging.getLogger("lab_utils_mt.database")
        level = logger.level
        logger.setLevel(logging.ERROR)  # that there is no TimescaleDB does not matter here
        try:
            with explaining(f"make the table {self.table}"):
                self._database.create_timescale_db(self.table)
                for name, data_type in COLUMNS.items():
                    self._database.new_column(self.table, name, data_type)
        except LabUtilsError:
            with contextlib.suppress(LabUtilsError):  # the reason is the first error
                self.drop()
            raise
        finally:
            logger.setLevel(level)

    def drop(self) -> None:
        """Remove the table, if it was made.

        Raises:
            LabUtilsError: It is still there.
        """
        with explaining(f"remove the table {self.table}"), self._database.transaction() as session:
            session.cursor().execute(f"DROP TABLE IF EXISTS {self.table}")

    def count(self, report: Report) -> Count:
        """Compare the table with what the clients were told.

        Raises:
            LabUtilsError: The database does not answer.
        """
        unsure = list(zip(*report.open, strict=True)) or [(), ()]
        values = [list(report.sent), list(report.sent.values()), *map(list, unsure)]
        with explaining("count the readings"), self._database.transaction() as session:
            cursor = session.cursor()
            cursor.execute(_COUNT.format(table=self.table), values)
            row = cursor.fetchone()
            assert row is not None
            stored, duplicates, found = row
        return Count(stored, report.acknowledged - found, duplicates)

    def read_back(self, stored: int) -> dict[str, tuple[list[float], list[float]]]:
        """Return the seconds since the first reading, and the kelvin, for each stage.

        Args:
            stored: How many there are; of very many only some are taken.

        Raises:
            LabUtilsError: The database does not answer.
        """
        found: dict[str, tuple[list[float], list[float]]] = {}
        step = -(-stored // _MOST_POINTS) or 1
        with explaining("read the readings"), self._database.transaction() as session:
            cursor = session.cursor()
            cursor.execute(_READ_BACK.format(table=self.table), (step,))
            for stage, seconds, kelvin in cursor:
                times, values = found.setdefault(stage, ([], []))
                times.append(seconds)
                values.append(kelvin)
        return found
