"""How do rows get into a table, and out of it?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .. import copying, entries
from .connecting import Connecting


class Entries(Connecting):
    """What a database can do about rows."""

    def new_entry(
        self,
        table_name: str,
        columns: Sequence[str],
        data: Sequence[Any],
        check_columns: bool = False,
    ) -> None:
        """Insert one row; when this returns, the server has committed it.

        Values come back as they were: NaN, infinities, -0.0 and microseconds too. None, and a
        missing value of pandas or numpy (NaT, NA), is NULL. Also accepted are what numpy's types
        hold, subclasses of Python's own types (of an IntEnum, its number is stored), lists and
        arrays in up to six dimensions for a column that is an array, bytes, Decimal, date, time,
        timedelta and UUID. A datetime without a time zone is the local time of this computer,
        also if it is numpy's; a column without time zone keeps its digits. A date in a column of
        times is midnight in the server's time zone. For a column of type JSON or JSONB, write
        ``json.dumps(x)``: a list is an array, and an empty one would be read as ``{}``.
        What is smaller than a microsecond is cut off. The server rounds a float that goes into a
        column of integers.

        Args:
            table_name: The table's name, or ``schema.table``. Upper and lower case are different,
                in all names: ``Cryo`` and ``cryo`` are two tables.
            columns: Names of the columns.
            data: Their values, in the same order.
            check_columns: Ask first if table and columns exist.

        Raises:
            InvalidValue: A value cannot be stored (also TypeError, ValueError and
                :class:`psycopg2.DataError`).
            InvalidName: A name is not allowed.
            psycopg2.IntegrityError: The table or a column does not exist, if ``check_columns``;
                or a constraint is violated.
            CommitUnknown: The session was lost during the commit: the row may or may not be there.
            psycopg2.Error: Any other: nothing was written.
        """
        entries.store_row(self.pool, table_name, columns, data, check_columns)

    def new_entries(
        self, table_name: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]
    ) -> int:
        """Insert many rows, all or none; when this returns, the server has committed them.

        They are stored as :meth:`new_entry` would, and sent while they are made: an iterator needs
        no memory for all of them. All must be sent within the ``statement_timeout``; a single step
        of an iterator is not broken off. Soon after the server has refused a row, no more of them
        are asked for (before PostgreSQL 14: after the last). A trigger, but no rule, of the table
        is obeyed, and an identity column takes the given numbers.

        Args:
            table_name: The table's name, or ``schema.table``.
            columns: Names of the columns.
            rows: The rows: lists or tuples in the order of ``columns``. Also a numpy array with two
                dimensions, or a pandas DataFrame: its columns are taken by their names, and what is
                missing in them is NULL, but NaN in a column of floats.

        Returns:
            How many rows were written.

        Raises:
            InvalidValue: A value cannot be stored (also TypeError, ValueError and
                :class:`psycopg2.DataError`); names table, row (the first is 1) and column.
            InvalidName: A name is not allowed.
            psycopg2.IntegrityError: The table or a column does not exist, or a constraint is
                violated.
            psycopg2.errors.QueryCanceled: The rows did not end within the ``statement_timeout``.
            CommitUnknown: The session was lost during the commit: the rows may or may not be there.
            psycopg2.Error: Any other: nothing was written. So it is after any exception that
                ``rows`` itself raises, which is passed on.
        """
        return copying.store_rows(self.pool, table_name, columns, rows)

    def update_measurement(
        self,
        table_name: str,
        measurement_id: int,
        columns: Sequence[str] | None = None,
        values: Sequence[Any] | None = None,
        pairs: Sequence[tuple[str, Any]] | None = None,
    ) -> None:
        """Change some columns of the row whose column ``id`` is a given number.

        Args:
            table_name: The table's name, or ``schema.table``.
            measurement_id: The row's id.
            columns: Names of the columns.
            values: Their new values, in the same order; as for :meth:`new_entry`.
            pairs: Names and values together; if given, ``columns`` and ``values`` do not count.

        Raises:
            InvalidValue: There is nothing to change, or a value cannot be stored.
            InvalidName: A name is not allowed.
            psycopg2.IntegrityError: There is no such row, column or table, or a constraint is
                violated.
            CommitUnknown: The session was lost during the commit: changed or not.
            psycopg2.Error: Any other: nothing was changed.
        """
        entries.update_row(self.pool, table_name, measurement_id, columns, values, pairs)

    def fetch_latest_value(
        self, table_name: str, column_name: str | Sequence[str] | None = None
    ) -> tuple[Any, ...] | None:
        """Return the row with the latest ``time``.

        Args:
            table_name: The table's name, or ``schema.table``.
            column_name: Names of the columns, or one name; all, if it is not given.

        Returns:
            The time, then the columns' values in the order of ``column_name`` or of the table;
            None if the table is empty.

        Raises:
            InvalidName: A name is not allowed.
            psycopg2.IntegrityError: The table, or a column, does not exist.
            psycopg2.DataError: Python cannot hold a value, such as a time before the year 1.
            psycopg2.Error: The database cannot be asked.
        """
        return entries.newest_row(self.pool, table_name, column_name)

    def check_empty_table(self, table_name: str) -> bool:
        """Tell if a table has no rows.

        Args:
            table_name: The table's name, or ``schema.table``.

        Raises:
            InvalidName: The name is not allowed.
            psycopg2.IntegrityError: The table does not exist.
            psycopg2.Error: The database cannot be asked.
        """
        return entries.is_empty(self.pool, table_name)

    def fetch_next_serial_id(self, table_name: str) -> int:
        """Reserve the next number of a table's column ``id``: nobody else will ever get it.

        Write the row with this ``id``; if it is not written, the number is left out. The column is
        a SERIAL, or GENERATED BY DEFAULT AS IDENTITY.

        Args:
            table_name: The table's name, or ``schema.table``.

        Raises:
            InvalidName: The name is not allowed.
            psycopg2.IntegrityError: There is no such table, or its ``id`` has no sequence.
            psycopg2.Error: The database cannot be asked.
        """
        return entries.next_id(self.pool, table_name)

    def retrieve_entries(
        self,
        table_name: str,
        conditions: Mapping[str, Any] | Sequence[Any] | str | None = None,
        *,
        as_rows: bool = False,
    ) -> Any:
        """Return the rows for which all conditions hold, in the order of ``time``, then of ``id``.

        ::

            database.retrieve_entries("runs", {"name": "x", "id": [3, 4], "note": None})
            database.retrieve_entries("runs", [("id", ">", 3), ("name", "like", "a%")])
            database.retrieve_entries("runs", ["id > 3", "name = 'x'"])  # as in 0.5.12

        Args:
            table_name: The table's name, or ``schema.table``.
            conditions: A mapping of columns to values, where None is NULL and a list is any of its
                members; or a list of (column, operator, value), with the operators = != <> < <= >
                >= like ilike, in, not in, is null, is not null; or a text, or a list of texts,
                with one column, one operator and one number, 'text', TRUE, FALSE or NULL each,
                joined by AND. Without conditions: all rows.
            as_rows: Return a list of dicts also if pandas is installed.

        Returns:
            A :class:`pandas.DataFrame`, or a list of dicts if pandas is not installed. In the
            DataFrame, times are of type ``datetime64[us, UTC]``; integers and booleans, if there
            are NULLs among them, of type ``Int64`` and ``boolean``, all others are as pandas or
            psycopg2 have them.

        Raises:
            InvalidValue: A condition is none of these, or its value cannot be compared.
            InvalidName: A name is not allowed.
            psycopg2.IntegrityError: The table, or a column, does not exist.
            psycopg2.DataError: Python cannot hold a value, such as a time before the year 1.
            psycopg2.Error: The database cannot be asked.
        """
        return entries.retrieve(self.pool, table_name, conditions, as_rows)
