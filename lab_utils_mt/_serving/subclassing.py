"""Which names may a lab's subclass of a server use?

A daemon for ``lab_utils`` 0.5.x knows nothing of ours, and may use one by accident.
"""

from __future__ import annotations

import re
from collections.abc import Set

_OF_THE_STANDARD_LIBRARY = ("RequestHandlerClass", "server_address", "socket")
_PRIVATE = re.compile(r"_[a-z]")


def settle_names(subclass: type, server: type, living: Set[str]) -> None:
    """Let a subclass redeclare living attributes, and refuse names that would break the server.

    Args:
        subclass: The new class.
        server: The public class that it derives from.
        living: Properties of ``server`` that 0.5.x declares as plain attributes. A plain value,
            such as ``reply: str = ''``, would hide the property; it is passed over.

    Raises:
        TypeError: The subclass, or a class that it is mixed with, has a method of such a name.
    """
    order = subclass.__mro__
    above = order.index(server)
    ours = {name for base in order[above:] for name in vars(base) if _is_private(base, name)}
    theirs = {name: value for base in reversed(order[:above]) for name, value in vars(base).items()}
    for name in theirs.keys() & (ours | living):
        if theirs[name] is vars(server).get(name):
            continue
        if name in ours or hasattr(theirs[name], "__get__"):
            raise TypeError(
                f"class {subclass.__name__}: {name} is a name of {server.__name__}'s own; rename it"
            )
        setattr(subclass, name, vars(server)[name])


def own_names(server: type) -> frozenset[str]:
    """Return the names of a server's attributes: of the class, and those that a server sets."""
    set_later = (getattr(base, "__annotations__", ()) for base in server.__mro__)
    return frozenset({*dir(server), *_OF_THE_STANDARD_LIBRARY}.union(*set_later))


def _is_private(base: type, name: str) -> bool:
    ours = base.__module__.startswith(__name__.partition(".")[0])
    return ours and _PRIVATE.match(name) is not None
