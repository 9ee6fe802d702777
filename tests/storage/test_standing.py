"""What happens to a view that is in the place of a new one, and to what hangs on it."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from psycopg2 import errors
from worlds import ALL, TIMESCALE, execute, fill, new_database, select, server

from lab_utils_mt.database import Database, DataType

START = datetime(2025, 1, 1, tzinfo=timezone.utc)
MEDIAN = (
    "CREATE VIEW cryo_1min AS SELECT date_trunc('minute', time) AS time,"
    " percentile_cont(0.5) WITHIN GROUP (ORDER BY sample) AS median FROM cryo GROUP BY 1"
)
FILTERED = (
    "CREATE VIEW cryo_1min AS SELECT date_trunc('minute', time) AS time, avg(sample) AS sample_avg"
    " FROM cryo WHERE sample > 0 GROUP BY 1"
)


@pytest.fixture(params=ALL)
def database(request: pytest.FixtureRequest, postgres_dsn: str) -> Iterator[Database]:
    """Return a database of each kind, with a table."""
    with (
        new_database(server(request.param, postgres_dsn)) as dsn,
        Database(dsn=dsn) as connected,
    ):
        fill(connected, [(START, 1.0, 1)])
        yield connected


@pytest.fixture
def role(database: Database) -> Iterator[str]:
    """Return a role that only this test uses."""
    name = f"role_{uuid.uuid4().hex}"
    execute(database.dsn, f"CREATE ROLE {name} LOGIN")
    yield name
    execute(database.dsn, f"REASSIGN OWNED BY {name} TO CURRENT_USER; DROP OWNED BY {name}")
    execute(database.dsn, f"DROP ROLE {name}")


def rights(database: Database, role: str) -> set[Any]:
    """Return what a role may do with the view."""
    found = select(
        database,
        "SELECT privilege_type, is_grantable FROM pg_class, aclexplode(relacl)"
        " WHERE relname = 'cryo_1min' AND grantee = %s::regrole",
        (role,),
    )
    return set(found)


@pytest.mark.parametrize("view", [MEDIAN, FILTERED])
def test_a_view_that_somebody_wrote_stays(database: Database, view: str) -> None:
    """The error names it; recreate=False is content with it."""
    execute(database.dsn, view)
    before = select(database, "SELECT pg_get_viewdef('cryo_1min'::regclass)")
    with pytest.raises(errors.DuplicateTable, match=r"cryo_1min exists.*nothing was changed"):
        database.create_aggregate_view("cryo", widths=["1h", "1min"])
    database.create_aggregate_view("cryo", recreate=False)
    assert select(database, "SELECT pg_get_viewdef('cryo_1min'::regclass)") == before
    assert not database.check_table("cryo_1h")


@pytest.mark.timescaledb
@pytest.mark.parametrize("condition", ["", "WHERE sample > 0"])
def test_a_view_of_lab_utils_0_5_4_is_replaced(condition: str, postgres_dsn: str) -> None:
    """It has no mark, but a form of its own; one that only resembles it is somebody's."""
    with new_database(server("timescale", postgres_dsn)) as dsn, Database(dsn=dsn) as database:
        fill(database, [(START, 1.0, 1)])
        execute(
            dsn,
            "CREATE MATERIALIZED VIEW cryo_1min WITH (timescaledb.continuous) AS SELECT"
            " time_bucket('1 min', time) AS time, AVG(sample) AS sample_avg, AVG(count) AS"
            f" count_avg FROM cryo {condition} GROUP BY 1",
        )
        if condition:
            with pytest.raises(errors.DuplicateTable):
                database.create_aggregate_view("cryo", aggregates=["max"])
            return
        database.create_aggregate_view("cryo", aggregates=["max"])
        assert database.check_column("cryo_1min", "sample_max")


def test_a_comment_of_somebodys_own_stays_and_changes_nothing(database: Database) -> None:
    """Neither whose view it is, nor whether it would be made the same again."""
    database.create_aggregate_view("cryo")
    execute(database.dsn, "COMMENT ON VIEW cryo_1min IS 'for Anna'")
    query = "SELECT oid, obj_description(oid) FROM pg_class WHERE relname = 'cryo_1min'"
    before = select(database, query)
    database.create_aggregate_view("public.cryo")
    assert select(database, query) == before
    database.new_column("cryo", "extra", DataType.double)
    database.create_aggregate_view("cryo", aggregates=["max"])
    assert select(database, query)[0][1] == "for Anna"
    assert database.check_column("cryo_1min", "extra_max")


@pytest.mark.parametrize("aggregate", ["avg", "max"])
def test_what_was_granted_stays(database: Database, role: str, aggregate: str) -> None:
    """A new column, or other sums: who could read the view still can."""
    database.create_aggregate_view("cryo")
    execute(database.dsn, f"GRANT SELECT ON cryo_1min TO {role} WITH GRANT OPTION")
    execute(database.dsn, f"GRANT UPDATE (time) ON cryo_1min TO {role}")
    database.new_column("cryo", "extra", DataType.double)
    database.create_aggregate_view("cryo", aggregates=[aggregate])
    assert database.check_column("cryo_1min", f"extra_{aggregate}")
    assert rights(database, role) == {("SELECT", True)}
    column = f"SELECT has_column_privilege('{role}', 'cryo_1min', 'time', 'UPDATE')"
    assert select(database, column) == [(True,)]


def test_the_owner_stays(database: Database, role: str) -> None:
    """Also if a superuser has the view made again."""
    execute(database.dsn, f"GRANT ALL ON SCHEMA public TO {role}; GRANT SELECT ON cryo TO {role}")
    database.create_aggregate_view("cryo")
    continuous = select(database, "SELECT 1 FROM pg_class WHERE relname ~ '^_materialized_hyp'")
    kind = "MATERIALIZED VIEW" if continuous else "VIEW"
    execute(database.dsn, f"ALTER {kind} cryo_1min OWNER TO {role}")
    database.create_aggregate_view("cryo", aggregates=["max"])
    query = "SELECT pg_get_userbyid(relowner) FROM pg_class WHERE relname = 'cryo_1min'"
    assert select(database, query) == [(role,)]


def test_a_view_that_others_read_is_not_pulled_from_under_them(database: Database) -> None:
    """A plain one gets new columns at its end; else the error says what to do."""
    database.create_aggregate_view("cryo")
    select(database, "CREATE VIEW mine AS SELECT * FROM cryo_1min; SELECT 1")
    with pytest.raises(errors.DependentObjectsStillExist, match=r"cryo_1min.*recreate=False"):
        database.create_aggregate_view("cryo", aggregates=["max"])
    assert database.check_column("cryo_1min", "sample_avg")
    continuous = select(database, "SELECT 1 FROM pg_class WHERE relname ~ '^_materialized_hyp'")
    if not continuous:
        database.new_column("cryo", "extra", DataType.double)
        database.create_aggregate_view("cryo")
        assert database.check_column("cryo_1min", "extra_avg")
        assert select(database, "SELECT count(*) FROM mine") == [(1,)]


@pytest.mark.parametrize("kind", [TIMESCALE, *ALL[2:]])
def test_the_extension_may_be_out_of_sight(kind: str, postgres_dsn: str) -> None:
    """The search_path leads to the lab's own schema only; a view is where its table is."""
    with new_database(server(kind, postgres_dsn)) as dsn:
        execute(dsn, "CREATE SCHEMA lab")
        execute(
            dsn,
            "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET search_path TO lab',"
            " current_database()); END $$",
        )
        with Database(dsn=dsn) as database:
            fill(database, [(START, 1.0, 1)])
            fill(database, [(START, 1.0, 1)], "public.other")
            for table in ("cryo", "public.other"):
                database.create_aggregate_view(table, aggregates=["avg", "first", "last"])
                rich = database.set_retention(table, timedelta(days=9))
                assert database.set_retention(table, None) is rich
                for after in (timedelta(days=5), None):
                    assert database.set_compression(table, after) is rich
                assert database.check_table(f"{table}_1min")
                assert database.delete_before(table, timedelta(days=1)) == 1


class Liar(str):
    """A text that prints as another one."""

    def __str__(self) -> str:
        return 'x"; DROP TABLE cryo; --'

    __format__ = __repr__ = lambda self, *_: str(Liar.__str__(self))  # type: ignore[assignment]


def test_only_what_was_checked_reaches_the_server(database: Database) -> None:
    """Whatever a text says when it is printed."""
    lies: list[Any] = [Liar(text) for text in ("cryo", "time", "1min", "avg", "sample", "note")]
    table, index, width, aggregate, column, segment = lies
    database.create_aggregate_view(table, index, widths=[width], aggregates=[aggregate])
    assert database.check_column("cryo_1min", "sample_avg")
    assert list(database.read(table, [column], index_name=index, bucket=width)) == ["sample"]
    database.set_compression(table, timedelta(days=5), segment_by=[segment])
    assert database.delete_before(table, timedelta(days=1), index_name=index) == 1
