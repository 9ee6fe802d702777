"""A daemon on Windows keeps its readings in a PostgreSQL on Linux."""

from __future__ import annotations

import re
from pathlib import Path

import psycopg2
import pytest
from wine import World, windows_path

pytestmark = pytest.mark.timeout(300)  # it takes longer to start a process there


def test_the_demo_loses_nothing(world: World, tmp_path: Path, postgres_on_a_port: str) -> None:
    """What its server answered on Windows is in the table on Linux, and the picture is drawn."""
    picture = tmp_path / "cold.png"
    words = ["-m", "lab_utils_mt", "demo", "--seconds", "3", "--clients", "3", "--keep"]
    options = ["--dsn", postgres_on_a_port, "--output", windows_path(picture)]

    status, text = world.run([*words, *options])

    assert status == 0, text
    assert re.search(r"^readings lost +0$", text, re.MULTILINE), text
    [stored] = re.findall(r"^readings stored +(\d+)$", text, re.MULTILINE)
    [table] = re.findall(r"kept: the table (\w+)", text)
    assert 0 < int(stored) == rows_of(postgres_on_a_port, table)
    assert picture.read_bytes().startswith(b"\x89PNG")


def rows_of(dsn: str, table: str) -> int:
    """Count the rows of a table."""
    connection = psycopg2.connect(dsn)
    try:
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT count(*) FROM {table}")
            row = cursor.fetchone()
            return int(row[0]) if row else -1
    finally:
        connection.close()
