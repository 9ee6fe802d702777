"""What does an error of the server mean to somebody who never saw the statement?"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import psycopg2


@contextlib.contextmanager
def explained(where: str, advice: str) -> Iterator[None]:
    """Let an error name what it is about, and what to do; it stays the same object."""
    try:
        yield
    except (
        psycopg2.DataError,
        psycopg2.InternalError,
        psycopg2.NotSupportedError,
        psycopg2.ProgrammingError,
    ) as error:
        if error.pgcode is not None:  # else it is one of this library's own, and says all that
            explain(error, where, advice)
        raise


def explain(error: psycopg2.Error, where: str, advice: str) -> None:
    """Put text around an error's own; its class, pgcode and diag stay."""
    reason = " ".join(str(error).split())
    error.args = (f"{where}: {reason}: {advice}",)
