"""What goes in comes out: names and values by the ten thousand, one by one and in bulk."""

from __future__ import annotations

import contextlib
import enum
import math
import random
import struct
from collections.abc import Callable, Iterator
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import psycopg2
import pytest
from psycopg2 import sql as pg_sql

from lab_utils_mt.database import Database, DataType, InvalidName

SEED = 20_260_101
ROWS = 12_500  # of 8 columns: 100,000 values
SINGLE_ROWS = 300  # ... of which so many are also written one by one
INTEGERS = {"short": 16, "int": 32, "long": 64}


def integer(bits: int, dice: random.Random) -> int:
    """Return one of any size, the limits more often."""
    most = 2 ** (bits - 1)
    if dice.random() < 0.05:
        return dice.choice([-most, most - 1, 0, -1, 1])
    return dice.randrange(-(2 ** dice.randrange(bits)), 2 ** dice.randrange(bits))


def number(form: str, size: int, dice: random.Random) -> float:
    """Return a float of any bit pattern: NaN, infinite, minus zero and denormal ones too."""
    if dice.random() < 0.05:
        return dice.choice([math.nan, math.inf, -math.inf, -0.0, 0.0])
    bits = dice.getrandbits(8 * size)
    if dice.random() < 0.1:
        bits &= 0x807FFFFF if size == 4 else 0x800FFFFFFFFFFFFF  # denormal
    (value,) = struct.unpack(form, bits.to_bytes(size, "little"))
    return float(value)


def text(dice: random.Random) -> str:
    """Return a text of all that Unicode has, but NUL and surrogates."""

    def letter() -> str:
        if dice.random() < 0.3:
            return dice.choice("\\\t\n\r\v\x01\x7f\x85\u2028'\"%{}.N")
        code = dice.randrange(1, dice.choice([0x80, 0x800, 0x10000, 0x110000]))
        return "x" if 0xD800 <= code < 0xE000 else chr(code)

    return "".join(letter() for _ in range(dice.randrange(12)))


def instant(dice: random.Random) -> datetime:
    """Return a time of the years 1 to 9999, to the microsecond, in any time zone."""
    span = datetime.max - datetime.min - timedelta(days=4)
    micros = dice.randrange(span // timedelta(microseconds=1))
    utc = datetime.min + timedelta(days=2, microseconds=micros)
    zone = timezone(timedelta(minutes=dice.randrange(-959, 960)))
    return utc.replace(tzinfo=timezone.utc).astimezone(zone)


MAKERS: dict[str, Callable[[random.Random], Any]] = {
    "time": instant,
    "bool": lambda dice: dice.random() < 0.5,
    "short": lambda dice: integer(16, dice),
    "int": lambda dice: integer(32, dice),
    "long": lambda dice: integer(64, dice),
    "float": lambda dice: number("<f", 4, dice),
    "double": lambda dice: number("<d", 8, dice),
    "string": text,
}


@pytest.fixture
def table(database: Database) -> str:
    """Return the name of a table with a column of each type, named like it."""
    database.create_timescale_db("readings", default_now=False)
    for kind in DataType:
        database.new_column("readings", kind.name, kind)
    database.new_column("readings", "number", DataType.int)
    return "readings"


def exactly(columns: list[str], row: tuple[Any, ...]) -> list[Any]:
    """Return a row so that equal means: bit for bit, of the same type."""
    return [
        ("nan" if math.isnan(value) else struct.pack("<f" if column == "float" else "<d", value))
        if isinstance(value, float)
        else (type(value), value)
        for column, value in zip(columns, row, strict=True)
    ]


def stored(database: Database, columns: list[str]) -> list[tuple[Any, ...]]:
    """Return the rows in the order of their numbers."""
    query = pg_sql.SQL("SELECT {} FROM readings ORDER BY number").format(
        pg_sql.SQL(", ").join(map(pg_sql.Identifier, columns))
    )
    with database.transaction() as session, session.cursor() as cursor:
        cursor.execute("SET LOCAL TimeZone = 'UTC'")
        cursor.execute(query)
        return list(cursor.fetchall())


def test_100000_values_come_back_bit_for_bit(database: Database, table: str) -> None:
    """Of every type of column; some of them also one by one."""
    dice = random.Random(SEED)
    columns = [*MAKERS, "number"]
    rows = [
        (*(make(dice) for make in MAKERS.values()), position)
        for position in range(ROWS + SINGLE_ROWS)
    ]
    assert database.new_entries(table, columns, iter(rows[:ROWS])) == ROWS
    for row in rows[ROWS:]:
        database.new_entry(table, columns, row)
    for expected, found in zip(rows, stored(database, columns), strict=True):
        assert exactly(columns, found) == exactly(columns, expected)


class Level(enum.IntEnum):
    """An int with a name."""

    HIGH = 3


class Colour(str, enum.Enum):
    """A str with a name."""

    RED = "red\t"


VALUES = [
    None, True, False, 0, 1, -1, 5, 40_000, 170_000, 20_260_101, 2**31, 2**63, 10**40,
    0.0, -0.0, 1.0, 0.1, 2.5, 3.5, -2.5, 2.4999999999999996, 1e22, 1e300, 1.5e-7, 5e-324, 1e-50,
    math.nan, math.inf, -math.inf,
    Decimal("0.10"), Decimal("-0.00"), Decimal("2.5"), Decimal("1E+5"), Decimal("NaN"),
    Decimal("12345678901234567890.123456789"),
    "", "1", "2.5", "abc", "t", "\\", "\\N", "\\.", "a\tb\nc\rd", "'x'", "{1,2}", "null", "Ω → ✓",
    b"", b"ab\0\\\xff", bytearray(b"x"), memoryview(b"yz"),
    date(2026, 1, 31), time(1, 2, 3, 4), time(1, 2, tzinfo=timezone.utc),
    datetime(2026, 1, 31, 1, 2, 3, 4, timezone.utc), datetime(2026, 7, 31, 1, 2, 3),
    datetime(1, 1, 2, tzinfo=timezone.utc), datetime(9999, 12, 30, tzinfo=timezone.utc),
    datetime(2026, 1, 31, tzinfo=timezone(timedelta(hours=23))),
    datetime(2026, 1, 31, tzinfo=timezone(timedelta(hours=1, seconds=7))),
    datetime(2026, 1, 31, tzinfo=timezone(timedelta(microseconds=7))),
    timedelta(1, 2, 3), timedelta(-1, 86_399, 999_999), timedelta(0),
    UUID(int=7), Level.HIGH, Colour.RED,
    [], [1, 2], [1, None], [[1, 2], [3, None]], (1.5, math.nan, -0.0), ["a", 'q"\\,{}\t', None, ""],
    [True, False], [b"\\x"], [datetime(2026, 1, 31, tzinfo=timezone.utc)], [Decimal("1.0")],
    [[1], [2, 3]], [1, "x"],
]  # fmt: skip
TYPES = [
    "smallint", "integer", "bigint", "real", "float8", "numeric", "numeric(6,2)", "text",
    "varchar(9)", "boolean", "timestamptz", "timestamp", "date", "time", "timetz", "interval",
    "bytea", "uuid", "jsonb", "integer[]", "float8[]", "text[]", "bytea[]", "timestamptz[]",
    "whole", "inet",
]  # fmt: skip


def written(session: Any, query: str, write: Callable[..., object], *row: object) -> str:
    """Return what is in the one row that was written, or that it was refused."""
    try:
        write(*row)
    except psycopg2.Error:
        return "refused"
    with session.cursor() as cursor:
        cursor.execute(query)
        (found,) = cursor.fetchall()
    session.commit()
    return str(found)


@pytest.fixture
def observer(database_dsn: str) -> Iterator[Any]:
    """Return a connection of the test's own."""
    connection = psycopg2.connect(database_dsn)
    yield connection
    connection.close()


@pytest.mark.parametrize("kind", TYPES)
def test_both_ways_store_the_same(database: Database, observer: Any, kind: str) -> None:
    """Or refuse the same, whatever the value and the type of the column."""
    with observer.cursor() as cursor:
        cursor.execute("CREATE DOMAIN whole AS integer")
        cursor.execute(f"CREATE TABLE one (v {kind}); CREATE TABLE many (v {kind})")
    observer.commit()
    query = "DELETE FROM {} RETURNING v::text"
    for value in VALUES:
        if kind == "numeric" and str(value) == "-0.0":
            continue  # the same number, once with a decimal
        single = written(observer, query.format("one"), database.new_entry, "one", ["v"], [value])
        bulk = written(
            observer, query.format("many"), database.new_entries, "many", ["v"], [[value]]
        )
        assert bulk == single, repr(value)


WORDS = ["", "time", "select", "pg_class", "public", "a", "T1", "_x", "x" * 62, "x" * 63]
PIECES = [
    '"', "'", "%", "%s", "%(a)s", "$1", ";", "--", "/*", "\0", "\n", " ", ".", "é", "١", "\ud800",
    "\\", "(", "; DROP TABLE readings", '"; DROP TABLE readings; --', "::regclass", "x" * 60,
]  # fmt: skip


def name(dice: random.Random) -> str:
    """Return what somebody might give as a name; about every fifth is one."""
    pieces = [dice.choice(WORDS)]
    if dice.random() < 0.8:
        pieces += [*dice.choices(PIECES, k=dice.randrange(1, 3)), dice.choice(WORDS)]
    return "".join(pieces)


def is_clean(word: str) -> bool:
    """Tell what the allow-list says, in other words."""
    return (
        1 <= len(word) <= 63
        and word.isascii()
        and word.replace("_", "a").isalnum()
        and not word[0].isdigit()
    )


def calls(database: Database, table: str, column: str) -> list[Callable[[], object]]:
    """Return all that takes names, with these."""
    return [
        lambda: database.new_entry(table, [column], [1]),
        lambda: database.new_entries(table, [column], [[1]]),
        lambda: database.update_measurement(table, 1, [column], [1]),
        lambda: database.fetch_latest_value(table, [column]),
        lambda: database.retrieve_entries(table, {column: 1}),
        lambda: database.retrieve_entries(table, [(column, "<", 1)]),
        lambda: database.check_column(table, column),
        lambda: database.new_column(table, column, DataType.int),
    ]


NEWEST_STATEMENT = "SELECT max(query_start)::text FROM pg_stat_activity WHERE datname = %s"
CATALOGUE = """
    SELECT string_agg(relname || ' ' || attname, ',' ORDER BY pg_class.oid, attnum)
    FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid
    WHERE relnamespace = 'public'::regnamespace
"""


def test_only_clean_names_of_5000_reach_the_server(
    database: Database, table: str, admin: Any, observer: Any
) -> None:
    """What is refused is no statement of any session; what is sent is a name and nothing else."""
    dice = random.Random(SEED)
    words = {name(dice) for _ in range(9_000)}
    clean = {word for word in words if is_clean(word)}
    bad = sorted(words - clean)[: 5_000 - len(clean)]
    assert len(clean) + len(bad) == 5_000
    observer.autocommit = True

    def catalogue() -> str:
        with observer.cursor() as cursor:
            cursor.execute(CATALOGUE)
            return str(cursor.fetchone())

    before = catalogue()
    newest = admin.ask(NEWEST_STATEMENT, admin.name)
    for word in bad:
        is_schema_and_table = word.count(".") == 1 and all(map(is_clean, word.split(".")))
        tables = [] if is_schema_and_table else calls(database, word, "int")
        for call in [*calls(database, table, word), *tables]:
            with pytest.raises(InvalidName, match="is refused"):
                call()
    assert admin.ask(NEWEST_STATEMENT, admin.name) == newest
    for word in clean:
        for call in calls(database, f"nowhere.{word}", word)[:-1]:
            with contextlib.suppress(psycopg2.IntegrityError, psycopg2.ProgrammingError):
                assert call() is False
    assert catalogue() == before
