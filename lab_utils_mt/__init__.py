"""Which modules make a lab daemon?

==================  ==========================================================
``socket_comm``     :class:`Server`, :class:`Client`
``database``        :class:`Database`, :class:`EmbeddedPostgres`
``custom_logging``  :func:`getLogger`, :class:`ColoredFormatter`
``exceptions``      one error tree
==================  ==========================================================

Modules are imported when they are first used: a client needs no database driver.
"""

from __future__ import annotations

import importlib
from types import ModuleType

__version__ = "0.1.0"
__all__ = ["custom_logging", "database", "exceptions", "socket_comm"]


def __getattr__(name: str) -> ModuleType:
    if name in __all__:
        return importlib.import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
