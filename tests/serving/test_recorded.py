"""Pollers of a server that records, and declarations that cannot work."""

from __future__ import annotations

from typing import Any, TypedDict

import pytest
from daemons import serving, wait_until
from serving.fridge import EVERY, poller_of, status

from lab_utils_mt.commands import poll
from lab_utils_mt.database import Database
from lab_utils_mt.exceptions import ConfigError
from lab_utils_mt.socket_comm import Server


class Values(TypedDict):
    n: int
    tenth: float


class Recorded(Server):
    """Records."""

    @poll(every=EVERY, table="fridge")
    def sensor(self) -> Values:
        return {"n": 1, "tenth": 0.1}


def test_a_table_needs_a_database(pid_file: str) -> None:
    """That is told when the server is made."""
    with pytest.raises(ConfigError, match=r"poller sensor records into the table fridge, but"):
        Recorded(pid_file_name=pid_file, port=0)


def test_readings_are_recorded_to_the_last(pid_file: str, database_dsn: str) -> None:
    """Also those that wait when the server stops."""
    server = Recorded(pid_file_name=pid_file, port=0, database=Database(dsn=database_dsn))
    with serving(server):
        poller = poller_of(server)
        wait_until(lambda: poller.counts.readings > 20)
        assert "recorder: " in status(server)
    with Database(dsn=database_dsn) as database:
        rows = database.retrieve_entries("fridge", as_rows=True)
    assert len(rows) == poller.counts.readings
    assert {(row["n"], row["tenth"]) for row in rows} == {(1, 0.1)}


@pytest.mark.parametrize(
    ("annotation", "fault"), [(dict, "columns of table t are not known"), (None, "column read")]
)
def test_a_declaration_that_cannot_work_fails_at_once(annotation: Any, fault: str) -> None:
    """Class and method are named."""

    def read(self: Any) -> Any:
        return None

    read.__annotations__["return"] = annotation
    with pytest.raises(TypeError, match=f"class Bad, method read: .*{fault}"):
        type("Bad", (Server,), {"read": poll(every=1.0, table="t")(read)})


def test_pollers_take_no_arguments() -> None:
    """Who would give them?"""
    with pytest.raises(TypeError, match="class Bad, method read: a poller takes no arguments"):

        class Bad(Server):
            @poll(every=1.0)
            def read(self, channel: int) -> float:
                return 1.0
