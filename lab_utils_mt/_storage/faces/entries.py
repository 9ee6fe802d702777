"""How do rows get into a table, and out of it?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import tables
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

        The server rounds a float that goes into a column of integers, and stores -0.0 as 0.0.

        Args:
            table_name: The table's name, or ``schema.table``.
            columns: Names of the columns.
            data: Their values, in the same order.
            check_columns: Ask first if table and columns exist.

        Raises:
            InvalidValue: A value cannot be stored (also TypeError, ValueError and
                :class:`psycopg2.DataError`).
            CommitUnknown: The session was lost during the commit: the row may or may not be there.
            psycopg2.Error: Any other: nothing was written.
        """
        tables.store_row(self.pool, table_name, columns, data, check_columns)
