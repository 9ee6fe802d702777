"""May this process have as many connections as it needs?"""

from __future__ import annotations

import contextlib
import sys

from ..exceptions import LabUtilsError

_OWN = 32  # files that a process has beside its connections
_PIPES = 2  # to and from each process of a load
_MOST_ON_WINDOWS = 512 - _OWN  # sockets that select() takes there


def require_files(connections: int) -> None:
    """Raise the limit of open files as far as needed.

    Args:
        connections: How many there will be.

    Raises:
        LabUtilsError: There may not be so many; the text says what can be done.
    """
    most = most_connections(connections)
    if connections > most:
        raise LabUtilsError(
            f"{connections} clients in one process, but it may have {most} connections:"
            " use more processes, or raise the limit of open files (ulimit -n)"
        )


def require_pipes(processes: int) -> None:
    """Raise the limit of open files as far as this process needs it to talk to others.

    Args:
        processes: How many others there will be.

    Raises:
        LabUtilsError: There may not be so many; the text says what can be done.
    """
    most = most_connections(_PIPES * processes) // _PIPES
    if processes > most:
        raise LabUtilsError(
            f"{processes} processes, but this one may have the files to talk to {most}:"
            " use fewer processes, or raise the limit of open files (ulimit -n)"
        )


if sys.platform == "win32":

    def most_connections(wanted: int) -> int:
        """Return how many connections a process may have."""
        return min(wanted, _MOST_ON_WINDOWS)
else:
    import resource

    def most_connections(wanted: int) -> int:
        """Return how many connections a process may have; raise its limit to get those wanted."""
        needed = wanted + _OWN
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft != resource.RLIM_INFINITY and soft < needed:
            most = needed if hard == resource.RLIM_INFINITY else min(hard, needed)
            with contextlib.suppress(ValueError, OSError):  # then it stays as it is
                resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most), hard))
            soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        return wanted if soft == resource.RLIM_INFINITY else max(0, min(wanted, soft - _OWN))
