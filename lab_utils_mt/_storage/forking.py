"""What must a forked child forget?

Closing what it inherited would end its parent's sessions, and a lock may be held by a thread that
it does not have.
"""

from __future__ import annotations

import os
import weakref
from typing import Protocol


class _Forgetful(Protocol):
    def forget_parent(self) -> None: ...


_known: weakref.WeakSet[_Forgetful] = weakref.WeakSet()


def tell_of_fork(somebody: _Forgetful) -> None:
    """Call ``somebody.forget_parent()`` in each child that this process forks."""
    _known.add(somebody)


def _forget() -> None:
    for somebody in list(_known):
        somebody.forget_parent()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
