"""What can a person do about a complaint of systemd?"""

from __future__ import annotations

from pathlib import Path

_NO_BUS = (
    "Failed to connect to bus", "scope bus via", "Failed to get D-Bus connection", "Host is down",
)  # fmt: skip
_NO_SYSTEMD = ("System has not been booted with systemd", "has no systemctl")
_NO_RIGHTS = ("Interactive authentication required", "Access denied", "Permission denied")


def advice(complaint: str, system: bool) -> str:
    """Say what to do about a complaint; return nothing if that is not known.

    Args:
        complaint: What ``systemctl`` says, or why it cannot be run.
        system: Whether the systemd of the whole computer was asked, and not the user's.
    """
    unreachable = any(words in complaint for words in _NO_BUS)
    refused = any(words in complaint for words in _NO_RIGHTS)
    if refused and (system or not unreachable):  # after su, the bus of the first user refuses
        return rights(system)
    if unreachable and not system and Path("/run/systemd/system").is_dir():
        return (
            "systemd knows no session of this user: log in as this user itself, not by su or"
            " sudo, or use --system"
        )
    if unreachable or any(words in complaint for words in _NO_SYSTEMD):
        return (
            "systemd does not run on this computer: let what starts programs here run"
            " 'lab-utils-mt serve'"
        )
    return ""


def rights(system: bool) -> str:
    """Say what to do if this user may not do something."""
    if system:
        return "this needs the rights of root: say it again with sudo, or without --system"
    return "this user has no right to it"
