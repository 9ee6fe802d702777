"""How are long series of readings summed up, thinned out and kept small?"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from .. import aggregates as views
from .. import downsampling, policies, removal
from ..downsampling import Trace
from ..durations import check_span
from .connecting import Connecting

_SECOND = timedelta(seconds=1)


class Series(Connecting):
    """What a database can do about readings over time."""

    def create_aggregate_view(
        self,
        table_name: str,
        index_name: str = "time",
        recreate: bool = True,
        *,
        widths: Sequence[str | timedelta] = ("1min",),
        aggregates: Sequence[str] = ("avg",),
        refresh: bool | timedelta = True,
    ) -> None:
        """Sum up the columns of numbers of a table, bucket by bucket, in views of their own.

        The view ``<table>_<width>`` has a row for each bucket that has a reading: the bucket's
        beginning, called like the index column, and ``<column>_<aggregate>`` for each column.
        Buckets count from Monday, 2000-01-03, midnight UTC, in every time zone.

        On TimescaleDB, for a hypertable, these are continuous aggregates, which the server keeps
        up to date; elsewhere plain views, computed whenever they are read. Both always show the
        newest readings; late and deleted ones count in a continuous aggregate from its next
        refresh on. What :meth:`set_retention` removes from the table stays in it.

        Args:
            table_name: The table's name, or ``schema.table``.
            index_name: Its column of times, of type TIMESTAMPTZ.
            recreate: Replace those of these views that this library, or lab_utils 0.5.4, made, and
                that are not as they would be made now, for example because the table has a new
                column; a continuous aggregate then forgets the times whose readings were removed.
                Rights, owner and comments of somebody's own stay; options such as
                security_invoker do not, nor what somebody else changed in such a view. False
                leaves all that exist as they are.
            widths: The buckets' widths, 1 ms to 3660 days: a number and one of w d h min s ms, as
                in "10min", or a timedelta, whose view gets the shortest such name.
            aggregates: Any of avg, min, max, count, sum, stddev (of a sample), first and last.
            refresh: How often the server computes new buckets in advance, at least 1 s; True is
                once per bucket, but at most once a minute; False is never again.

        Raises:
            psycopg2.IntegrityError: The table, the index column or a column of numbers is missing.
            InvalidName: A name is not allowed, or a view's or a column's would exceed 63 bytes;
                nothing was sent.
            InvalidValue: A width, an aggregate or ``refresh`` cannot be used, also because
                retention would remove readings before they are summed up.
            psycopg2.errors.DuplicateTable: Something else has a view's name, such as a view that
                somebody wrote; nothing was changed.
            psycopg2.errors.DependentObjectsStillExist: Something is made of a view that would have
                to be dropped; nothing was changed.
            psycopg2.Error: They could not be made.
        """
        plan = views.check_plan(table_name, index_name, recreate, widths, aggregates, refresh)
        views.make_views(self.pool, plan)

    def read(
        self,
        table_name: str,
        columns: Sequence[str],
        start: datetime | None = None,
        end: datetime | None = None,
        *,
        bucket: str | float | timedelta | None = None,
        index_name: str = "time",
    ) -> dict[str, Trace]:
        """Read series of readings, whole or as minimum, mean and maximum of each bucket.

        With buckets, the server does the sums in one round trip: a year of readings costs as much
        traffic as the plot has points. Buckets begin where those of the aggregate views begin, so
        that the first may begin before ``start``; only readings from ``start`` on count in it.

        To PostgreSQL, NaN is greater than every number: with a NaN in a bucket, its maximum and
        its mean are NaN, and its minimum is that of the numbers.

        Args:
            table_name: The name of the table or view, or ``schema.table``.
            columns: Names of the columns.
            start: The first point in time; without a zone it is this computer's local time.
            end: The point in time before which the readings end.
            bucket: The buckets' width, 1 ms to 3660 days: seconds, a timedelta, or as in "10min".
                None reads every reading, of any type.
            index_name: The table's column of times.

        Returns:
            A :class:`Trace` for each column. NULL is no reading: where a column has none, its
            trace has no point.

        Raises:
            psycopg2.IntegrityError: The table or a column does not exist, or there are buckets
                for a column that has no numbers.
            InvalidName: A name is not allowed.
            InvalidValue: Another argument cannot be used.
            psycopg2.DataError: A time, or the beginning of a bucket, is not in the years 1 to 9999,
                or a mean is too great.
            psycopg2.Error: The database cannot be asked.
        """
        request = downsampling.check_request(table_name, index_name, columns, start, end, bucket)
        return self.pool.read(lambda session: downsampling.read(session, request))

    def set_retention(self, table_name: str, keep: timedelta | None) -> bool:
        """Let TimescaleDB remove old readings by itself, chunk by chunk, about once a day.

        Aggregate views of the table are brought up to date first, which may take a while, and keep
        what they have of the removed readings: from now on, also after a longer ``keep`` or None,
        no refresh of them looks at readings older than the shortest ``keep`` that they have seen.

        Args:
            table_name: The table's name, or ``schema.table``.
            keep: Readings older than that are removed, 1 s to 700 000 days; it replaces what
                was set before. None keeps all from now on.

        Returns:
            False if the server cannot do it: the log says why, and :meth:`delete_before` is to be
            called regularly.

        Raises:
            psycopg2.IntegrityError: There is no such table.
            InvalidValue: ``keep`` cannot be used, or readings would be removed before they are
                summed up: it must be at least three times the width of each aggregate view, and
                two widths more than the time between its refreshes; a view with ``refresh=False``
                is in the way. Nothing was changed.
            psycopg2.Error: It could not be set.
        """
        span = policies.check_keep(table_name, keep)
        return policies.set_retention(self.pool, table_name, span)

    def set_compression(
        self, table_name: str, after: timedelta | None, *, segment_by: Sequence[str] = ()
    ) -> bool:
        """Let TimescaleDB compress old readings by itself, chunk by chunk.

        They can be read as before. It takes a tenth of the room or less.

        Args:
            table_name: The table's name, or ``schema.table``.
            after: Readings older than that are compressed, at least 1 s; it replaces what was set
                before. None compresses no more; what is compressed stays so.
            segment_by: Columns that tell one series from another, such as a sensor's number.

        Returns:
            False if the server cannot do it; the log says why.

        Raises:
            psycopg2.IntegrityError: The table or a column does not exist.
            InvalidName: A name is not allowed.
            InvalidValue: ``after`` cannot be used.
            psycopg2.Error: It could not be set.
        """
        span = None if after is None else check_span("after", after, _SECOND)
        segments = policies.check_segments(table_name, segment_by)
        return self.pool.run(
            lambda session: policies.set_compression(session, table_name, span, segments),
            idempotent=True,
        )

    def delete_before(
        self,
        table_name: str,
        before: datetime | timedelta,
        *,
        index_name: str = "time",
        batch: int = 10_000,
    ) -> int:
        """Delete old rows, in many short transactions, so that nobody has to wait for it.

        Works on every server, for plain tables and hypertables alike, and counts what it deletes;
        on a hypertable, :meth:`set_retention` is faster. If it fails, what it has deleted so far
        stays deleted. The table needs an index on its times, as :meth:`create_timescale_db` makes.

        Args:
            table_name: The table's name, or ``schema.table``.
            before: Older rows are deleted: a point in time, which is local without a zone, or an
                age by the server's clock.
            index_name: The table's column of times.
            batch: Rows for each transaction, at least 1; rows of one and the same time are not
                separated.

        Returns:
            How many rows were deleted; those that a trigger keeps do not count.

        Raises:
            psycopg2.IntegrityError: The table or its index column does not exist.
            InvalidName: A name is not allowed.
            InvalidValue: ``before`` or ``batch`` cannot be used.
            psycopg2.Error: The database cannot be asked.
        """
        order = removal.check_order(table_name, index_name, before, batch)
        return removal.delete_before(self.pool, order)
