"""Which tables and columns are there, and how are new ones made?"""

from __future__ import annotations

from datetime import timedelta

from .. import creation, tables
from ..columns import Constraint, DataType
from ..durations import check_span
from .connecting import Connecting


class Tables(Connecting):
    """What a database can do about tables and columns."""

    def create_database(
        self,
        db_name: str,
        owner: str = "postgres",
        *,
        timescaledb_extension: bool = True,
        if_not_exists: bool = False,
    ) -> None:
        """Make a database on this server, with TimescaleDB where the server has it.

        If the extension cannot be had, the database stands without it, and the log has a warning.

        Args:
            db_name: Its name: 1 to 63 letters, digits and underscores.
            owner: The role that it belongs to.
            timescaledb_extension: Give it the extension.
            if_not_exists: If there is a database of that name, only see to its extension.

        Raises:
            InvalidName: The name is not allowed.
            InvalidValue: The owner is not a text.
            psycopg2.Error: It could not be made; the text says why, and what to do.
        """
        name, role = creation.check_name(db_name), creation.check_owner(owner)
        creation.create_database(self.pool, name, role, if_not_exists)
        if timescaledb_extension:
            creation.create_extension(self._parameters(), name)

    def create_timescale_db(
        self,
        table_name: str,
        default_now: bool = True,
        *,
        if_not_exists: bool = False,
        chunk: timedelta | None = None,
    ) -> None:
        """Make a table with one column, ``time``, of type TIMESTAMPTZ.

        It is a TimescaleDB hypertable. On a server that cannot make one, it is a plain table with
        an index on its times, and the log has a warning.

        Args:
            table_name: Its name, or ``schema.table``.
            default_now: Let ``time`` default to the time of the insertion.
            if_not_exists: Do nothing if there is a table of that name.
            chunk: How long a piece of a hypertable is, at least 1 s; default: TimescaleDB's own,
                7 days. A week's readings should fit into a quarter of the server's memory. A
                plain table has no pieces.

        Raises:
            InvalidValue: ``chunk`` cannot be used.
            psycopg2.Error: It could not be made.
        """
        span = None if chunk is None else check_span("chunk", chunk, timedelta(seconds=1))
        self.pool.run(
            lambda session: tables.create_time_table(
                session, table_name, default_now, if_not_exists, span
            ),
            idempotent=True,
        )

    def check_table(self, table_name: str) -> bool:
        """Tell if there is a table, or a view, of that name; upper and lower case are different.

        Args:
            table_name: Its name, or ``schema.table``.

        Raises:
            psycopg2.Error: The database cannot be asked, or the name is not allowed.
        """
        return self.pool.read(lambda session: tables.table_exists(session, table_name))

    def check_column(self, table_name: str, column_name: str) -> bool:
        """Tell if a table, or a view, has a column.

        Args:
            table_name: The table's name, or ``schema.table``.
            column_name: The column's name.

        Raises:
            psycopg2.Error: The database cannot be asked, or a name is not allowed.
        """
        return self.pool.read(
            lambda session: tables.column_exists(session, table_name, column_name)
        )

    def get_list_columns(self, table_name: str) -> list[list[str]]:
        """List the columns of a table, or of a view.

        Args:
            table_name: The table's name, or ``schema.table``.

        Returns:
            A pair ``[name, type]`` for each column, in the order of the table; the type is called
            as the server calls it: ``timestamp with time zone``, ``double precision``.

        Raises:
            psycopg2.IntegrityError: There is no such table.
            psycopg2.Error: The database cannot be asked, or the name is not allowed.
        """
        return self.pool.read(lambda session: tables.list_columns(session, table_name))

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
            constraints: Conditions on its values: a list.

        Raises:
            TypeError: The type or a constraint is not one of ours.
            psycopg2.Error: The table does not exist, or the column could not be made.
        """
        wanted = tables.check_kinds(column_name, data_type, constraints)
        self.pool.run(
            lambda session: tables.add_column(session, table_name, column_name, data_type, wanted),
            idempotent=True,
        )
