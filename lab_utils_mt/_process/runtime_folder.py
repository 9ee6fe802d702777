"""Where does the PID file of a server lie if nobody says so?

In a folder that only this user can write to. In a shared ``/tmp`` another user could put a link
in its place, or keep the server from starting.
"""

from __future__ import annotations

import os
import re
import stat
import sys
import warnings
from typing import TYPE_CHECKING

from ..exceptions import LockError
from .pid_file import explained, is_foreign

if TYPE_CHECKING:
    from pathlib import Path

_FOLDER = "lab_utils_mt"
_RESERVED = re.compile(r"con|prn|aux|nul|com[0-9]|lpt[0-9]")  # devices of Windows, even in con.pid


def default_pid_file(name: str, *, make: bool = True) -> str:
    """Return the path of a server's PID file in the runtime folder, which is made if need be.

    The folder is ``lab_utils_mt`` in ``$RUNTIME_DIRECTORY``, which systemd sets, or else in the
    user's runtime folder (``$XDG_RUNTIME_DIR``, ``/run/user/UID``, ``%LOCALAPPDATA%`` ...).

    Args:
        name: The server's name; what is not in ``[a-z0-9_-]`` becomes ``_``.
        make: Whether the folder is made; if not, one that is missing is not looked at, and nothing
            is changed.

    Raises:
        LockError: The folder cannot be made, is a link, or belongs to somebody else.
    """
    from pathlib import Path  # noqa: PLC0415  (here and below: a client needs none of this)

    given = os.environ.get("RUNTIME_DIRECTORY", "").split(":" if os.name == "posix" else ";")[0]
    with explained(given or "the runtime folder"):
        runtime = Path(given) if given else _user_runtime()
        folder = runtime / _FOLDER
        if make:
            runtime.mkdir(mode=0o700, parents=True, exist_ok=True)
        if os.path.lexists(runtime):
            _require_safe(runtime)
        if make:
            folder.mkdir(mode=0o700, exist_ok=True)
        if os.path.lexists(folder):
            _require_own(folder)
        if make and folder.stat().st_mode & 0o077:
            folder.chmod(0o700)
    return str(folder / f"{_reduced(name)}.pid")


def _user_runtime() -> Path:
    import platformdirs  # noqa: PLC0415

    # platformdirs warns where no login session made a folder; the checks below are our answer.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return platformdirs.user_runtime_path()


def _reduced(name: str) -> str:
    plain = re.sub(r"[^a-z0-9_-]", "_", name.lower())[:100] or "server"
    return f"{plain}_" if _RESERVED.fullmatch(plain) else plain


def _require_safe(runtime: Path) -> None:
    """Refuse a runtime folder whose owner could swap ours."""
    # Both: somebody else's link to a good folder could point elsewhere tomorrow.
    for status in (runtime.lstat(), runtime.stat()):
        if is_foreign(status) and status.st_uid != 0:
            raise _refusal(runtime, f"belongs to another user (uid {status.st_uid})")
    mode = runtime.stat().st_mode
    if sys.platform != "win32" and mode & 0o022 and not mode & stat.S_ISVTX:
        raise _refusal(runtime, "can be changed by other users")


def _require_own(folder: Path) -> None:
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode):
        raise _refusal(folder, "is not a folder but a link or a file")
    if is_foreign(status):
        raise _refusal(folder, f"belongs to another user (uid {status.st_uid})")


def _refusal(folder: Path, fault: str) -> LockError:
    return LockError(
        f"{folder} {fault}, so no PID file can safely lie there:"
        " remove it, set RUNTIME_DIRECTORY to a folder of your own, or name the PID file"
    )
