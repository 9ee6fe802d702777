"""How are the readings of one table written, and which of them are not?"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

import psycopg2

from .._commands.trouble import Trouble, explained
from .columns import DataType
from .errors import CommitUnknown

logger = logging.getLogger("lab_utils_mt.recorder")

_TYPES: tuple[tuple[type, DataType], ...] = (
    (bool, DataType.bool),
    (int, DataType.long),
    (float, DataType.double),
    (str, DataType.string),
    (datetime, DataType.time),
)
# Classes of SQLSTATE that say something of this moment, not of the data: connection, transaction
# (after a failover), rollback, resources, locks, an operator's hand, system, internal. Not 54: a
# column too many, or a text too long for an index, is that tomorrow too.
_PASSING = {"08", "25", "40", "53", "55", "57", "58", "XX"}
# An error without a code may be a broken line; these are not.
_VERDICTS = (
    psycopg2.DataError,
    psycopg2.IntegrityError,
    psycopg2.ProgrammingError,
    psycopg2.NotSupportedError,
)

Row = tuple[datetime, Mapping[str, Any]]
"""When a reading was taken, and its values."""


class Store(Protocol):
    """What a recorder needs of a database."""

    def create_timescale_db(self, table_name: str, *, if_not_exists: bool = False) -> None:
        """Make a table."""

    def get_list_columns(self, table_name: str) -> list[list[str]]:
        """Return its columns' names and types."""

    def new_column(self, table_name: str, column_name: str, data_type: DataType) -> None:
        """Add a column."""

    def new_entries(
        self, table_name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]
    ) -> int:
        """Add rows, all or none."""


def data_type(kind: type) -> DataType:
    """Return the type of a column for values of one of Python's types.

    Raises:
        TypeError: There is none.
    """
    for one, found in _TYPES:
        if issubclass(kind, one):
            return found
    raise TypeError(f"no column can hold a {kind.__name__}")


def _is_verdict(error: Exception) -> bool:
    """Tell whether the database will never take this, or only not now."""
    if not isinstance(error, psycopg2.Error):
        return True
    if error.pgcode is not None:
        return error.pgcode[:2] not in _PASSING
    return isinstance(error, _VERDICTS)


@dataclasses.dataclass
class RecorderCounts:
    """What became of readings.

    Attributes:
        written: Committed.
        refused: The database will never take them.
        unknown: The connection was lost during their COMMIT.
    """

    written: int = 0
    refused: int = 0
    unknown: int = 0


class TableWriter:
    """Writes the readings of one table, and makes what is missing. For one thread.

    Args:
        database: Where the table is.
        name: The table's name.
        counts: What is counted.
    """

    def __init__(self, database: Store, name: str, counts: RecorderCounts) -> None:
        self.name = name
        self.columns: dict[str, type] = {}
        self.made: set[str] = set()  # columns that are there, as far as we know
        self.is_barred = False  # the database refused to make it: tried again with a reading
        self._database = database
        self._counts = counts
        self._refusals = Trouble()

    @property
    def is_to_be_made(self) -> bool:
        """Whether columns are missing that the database has not refused."""
        return bool(self.columns.keys() - self.made) and not self.is_barred

    def store(self, rows: list[Row]) -> None:
        """Write rows, and take each out of the list that is settled, one way or another.

        Raises:
            psycopg2.Error: The database cannot just now; what was not settled is in the list.
        """
        while self._is_prepared(rows) and rows:
            columns = tuple(rows[0][1])
            same = 1
            while same < len(rows) and tuple(rows[same][1]) == columns:
                same += 1
            self._write(columns, rows, same)

    def _is_prepared(self, rows: list[Row]) -> bool:
        """Make what is missing; if that is refused, so are the rows."""
        before = dict(self.columns)
        try:
            self._make(rows)
        except Exception as error:
            if not _is_verdict(error):
                raise
            self.columns, self.is_barred = before, True
            self._refuse(rows, len(rows), error)
            return False
        self.is_barred = False
        return True

    def _make(self, rows: list[Row]) -> None:
        """Make the table and those of its columns that are missing."""
        for _, values in rows:
            for column, value in values.items():
                if value is not None and column not in self.columns:
                    data_type(type(value))
                    self.columns[column] = type(value)
        missing = self.columns.keys() - self.made
        if not missing and self.made:
            return
        self._database.create_timescale_db(self.name, if_not_exists=True)
        there = {name for name, _ in self._database.get_list_columns(self.name)}
        for column, kind in self.columns.items():
            if column not in there:
                self._database.new_column(self.name, column, data_type(kind))
        self.made = there | set(self.columns)

    def _write(self, columns: tuple[str, ...], rows: list[Row], count: int) -> None:
        """Settle the first ``count`` rows, whose columns are these."""
        # A column that is not there cannot be made for a None alone, and need not.
        known = [column for column in columns if column in self.made]
        data = [(moment, *(values[name] for name in known)) for moment, values in rows[:count]]
        try:
            self._database.new_entries(self.name, ["time", *known], data)
        except CommitUnknown as error:
            self._counts.unknown += count
            reason = explained(error)
            text = "%d readings of table %s may be stored or not, and are not written again: %s"
            logger.error(text, count, self.name, reason)  # noqa: TRY400  (no bug of ours)
        except Exception as error:
            if not _is_verdict(error):
                raise
            self._after_verdict(columns, rows, count, error)
            return
        else:
            self._counts.written += count
            self._note_taken()
        del rows[:count]

    def _after_verdict(
        self,
        columns: tuple[str, ...],
        rows: list[Row],
        count: int,
        error: Exception,
    ) -> None:
        """Make again what somebody dropped; otherwise find out which row is refused."""
        if self._has_vanished():
            self.made = set()
            if self._is_prepared(rows):
                self._write(columns, rows, count)
        elif count == 1:
            self._refuse(rows, 1, error)
        else:
            half = count // 2
            self._write(columns, rows, half)
            if rows:  # else the table cannot be had any more
                self._write(columns, rows, count - half)

    def _has_vanished(self) -> bool:
        """Tell whether somebody dropped the table, or a column of it."""
        try:
            there = {name for name, _ in self._database.get_list_columns(self.name)}
        except psycopg2.IntegrityError:
            return True
        return bool(self.made - there)

    def _refuse(self, rows: list[Row], count: int, error: Exception) -> None:
        reason = explained(error)
        self._counts.refused += count
        if self._refusals.failed(reason):
            what = f"a reading of {rows[0][0].isoformat()} is lost" if count else "not made"
            logger.error("table %s: %s: %s", self.name, what, reason)
        logger.debug("%d readings of table %s are lost: %s", count, self.name, reason)
        del rows[:count]

    def _note_taken(self) -> None:
        times = self._refusals.times
        if self._refusals.mended():
            logger.info("table %s takes readings again; %d times it did not", self.name, times)
