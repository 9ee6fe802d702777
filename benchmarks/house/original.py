"""Where is the original lab_utils 0.5.4?

It needs an older ``python-json-logger`` than lab_utils_mt and a source build of ``psycopg2``, so it
is installed without its dependencies into a folder of its own, once per user and Python version.
"""

from __future__ import annotations

import functools
import shutil
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

from benchmarks.house.peer import MissingPeer

RELEASE = "lab-utils==0.5.4"
# What it imports; psycopg2 comes with lab_utils_mt.
NEEDED = ("zc.lockfile", "python-json-logger<3", "slacker-log-handler", "six")


def original_folder() -> str:
    """Return the folder that holds it, installed at the first call.

    Raises:
        MissingPeer: It cannot be installed.
    """
    folder, reason = _installed()
    if reason:
        raise MissingPeer(f"lab_utils 0.5.4 cannot be installed: {reason}")
    return folder


@functools.cache
def _installed() -> tuple[str, str]:
    """Return the folder, and why it could not be installed or nothing; tried once a process."""
    import platformdirs

    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    cache = Path(platformdirs.user_cache_dir("lab_utils_mt")) / "benchmarks"
    folder = cache / f"lab_utils-0.5.4-{version}"
    reason = "" if folder.exists() else _install(folder, cache)
    return str(folder), reason


def original_version() -> str:
    """Return its version, which is fixed; raise MissingPeer if it cannot be installed."""
    if find_spec("psycopg2") is None:
        raise MissingPeer("lab_utils 0.5.4 imports psycopg2: python -m pip install '.[bench]'")
    original_folder()
    return RELEASE.partition("==")[2]


def _install(folder: Path, cache: Path) -> str:
    """Install beside it and rename: a run that is broken off leaves no half of it."""
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache, ignore_cleanup_errors=True) as name:
        fresh = Path(name) / "site"
        reason = _pip(fresh, "--no-deps", RELEASE) or _pip(fresh, *NEEDED)
        if not reason and not folder.exists():
            shutil.move(fresh, folder)
        return reason


def _pip(target: Path, *arguments: str) -> str:
    """Return why it failed, or nothing."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    command += ["--target", str(target), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    except subprocess.TimeoutExpired:
        return "pip took more than 300 s"
    lines = done.stderr.strip().splitlines() or ["pip gave no reason"]
    return lines[-1] if done.returncode else ""
