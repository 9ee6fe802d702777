"""Does a user's service outlast the login?"""

from __future__ import annotations

import getpass
import os

from ..exceptions import LabUtilsError
from .programs import ask

_PATIENCE = 30.0  # s


def lingering() -> list[str]:
    """Tell who wants a user's service to outlast the login how to get that, if it does not yet."""
    user = _user()
    try:
        words = ["loginctl", "show-user", user, "--property=Linger", "--value"]
        answer = ask(words, timeout=_PATIENCE)
    except LabUtilsError:
        return []
    if answer.output.strip() == "yes":
        return []
    aim = "to let it start with the computer and go on without you"
    return [f"it ends when you log out; {aim}: sudo loginctl enable-linger {user}"]


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a number only, as in some containers; loginctl takes that
        return str(getattr(os, "getuid", int)())
