"""How does the session know that a call on one of its cursors has not returned?"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import psycopg2
from psycopg2 import extensions as ext
from psycopg2.sql import Composable

from .call import Call


class GuardedCursor(ext.cursor):
    """Lets its session know of each call, and begins the transaction with the first."""

    def execute(self, query: Any, vars: Any = None) -> None:  # noqa: A002  (psycopg2's name)
        """Run a statement, as psycopg2 does."""
        session: Any = self.connection
        pending = session.pending
        if pending:
            query = self._with_pending(query)
        session.current = Call(session.call_limit)
        try:
            super().execute(query, vars)
        except BaseException as error:
            if pending:
                session.take_back_pending(pending)
            if isinstance(error, psycopg2.Error):
                session.explain(error)
            raise
        finally:
            session.current = None

    def __iter__(self) -> Any:
        """Iterate over the rows; a cursor with a name fetches them bunch by bunch."""
        return super().__iter__() if self.name is None else self._bunches()

    def _bunches(self) -> Iterator[Any]:
        while rows := self.fetchmany(self.itersize):
            yield from rows

    def _with_pending(self, query: Any) -> Any:
        session: Any = self.connection
        if session.autocommit and session.was_lent:  # VACUUM and its like stand alone
            return query
        if self.name is not None:  # the driver puts DECLARE before it
            session.send_pending()
            return query
        text = query.as_string(self) if isinstance(query, Composable) else query
        text = text.decode() if isinstance(text, bytes) else text
        if not isinstance(text, str):
            raise TypeError(f"a statement must be a str, not {type(text).__name__}")
        return session.take_pending() + text


def _calling(name: str) -> Any:
    original = getattr(ext.cursor, name)

    @functools.wraps(original)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        method = getattr(super(GuardedCursor, self), name)
        if name in _LOCAL_UNLESS_NAMED and self.name is None:
            return method(*args, **kwargs)
        session = self.connection
        if session.pending:  # only execute() can send it along
            session.send_pending()
        with session.call():
            return method(*args, **kwargs)

    return call


for _name in ("executemany", "callproc", "copy_from", "copy_to", "copy_expert"):
    setattr(GuardedCursor, _name, _calling(_name))
_LOCAL_UNLESS_NAMED = frozenset({"fetchone", "fetchmany", "fetchall", "scroll", "close"})
for _name in _LOCAL_UNLESS_NAMED:
    setattr(GuardedCursor, _name, _calling(_name))


@functools.lru_cache(maxsize=64)
def guarded(factory: Any) -> Any:
    """Return a cursor class that does what another does, and lets its session know of each call."""
    if not isinstance(factory, type) or issubclass(factory, GuardedCursor):
        return factory
    if factory is ext.cursor:
        return GuardedCursor
    return type(factory.__name__, (GuardedCursor, factory), {"__doc__": factory.__doc__})
