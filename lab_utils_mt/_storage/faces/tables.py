"""Which tables and columns are there, and how are new ones made?"""

from __future__ import annotations

from .. import tables
from ..columns import Constraint, DataType
from .connecting import Connecting


class Tables(Connecting):
    """What a database can do about tables and columns."""

    def create_timescale_db(
        self, table_name: str, default_now: bool = True, *, if_not_exists: bool = False
    ) -> None:
        """Make a table with one column, ``time``, of type TIMESTAMPTZ.

        It is a TimescaleDB hypertable. On a server that cannot make one, it is a plain table with
        an index on its times, and the log has a warning.

        Args:
            table_name: Its name, or ``schema.table``.
            default_now: Let ``time`` default to the time of the insertion.
            if_not_exists: Do nothing if there is a table of that name.

        Raises:
            psycopg2.Error: It could not be made.
        """
        self.pool.run(
            lambda session: tables.create_time_table(
                session, table_name, default_now, if_not_exists
            ),
            idempotent=True,
        )

    def check_table(self, table_name: str) -> bool:
        """Tell if a table exists.

        Args:
            table_name: Its name, or ``schema.table``.

        Raises:
            psycopg2.Error: The database cannot be asked, or the name is not allowed.
        """
        return self.pool.read(lambda session: tables.table_exists(session, table_name))

    def check_column(self, table_name: str, column_name: str) -> bool:
        """Tell if a table has a column.

        Args:
            table_name: The table's name, or ``schema.table``.
            column_name: The column's name.

        Raises:
            psycopg2.Error: The database cannot be asked, or a name is not allowed.
        """
        return self.pool.read(
            lambda session: tables.column_exists(session, table_name, column_name)
        )

    def new_column(
        self,
        table_name: str,
        column_name: str,
        data_type: DataType,
        constraints: list[Constraint] | None = None,
    ) -> None:
        """Add a column to a table; does nothing if it exists.

        Args:
            table_name: The table's name, or ``schema.table``.
            column_name: The new column's name.
            data_type: What it holds.
            constraints: Conditions on its values.

        Raises:
            TypeError: The type or a constraint is not one of ours.
            psycopg2.Error: The table does not exist, or the column could not be made.
        """
        wanted = list(constraints or ())
        tables.check_kinds(column_name, data_type, wanted)
        self.pool.run(
            lambda session: tables.add_column(session, table_name, column_name, data_type, wanted),
            idempotent=True,
        )
