"""What can be done from the command line?

``python -m lab_utils_mt COMMAND``, or the script ``lab-utils-mt``: one module of ``_cli`` for each
command, with ``add_arguments(parser)`` and ``run(options)``, which returns the exit status.
"""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from . import __version__
from ._cli.output import mend_output

_COMMANDS = {
    "demo": "a cryostat server, many clients and a real PostgreSQL at work, for some seconds",
    "init": "writes a working project: settings, a starter daemon, its test, a service file",
    "load": "puts load on a server, and tells how it bears it",
    "send": "sends one command to a server and prints the reply",
    "serve": "runs a daemon, or checks whether it could run",
    "service": "lets the system start, stop and watch a daemon: systemd, or Windows",
    "shell": "talks to a server, with completion, help and history",
}
_CTRL_C = 130  # the exit status that shells give a program that Ctrl-C ended


def make_parser(words: Sequence[str]) -> argparse.ArgumentParser:
    """Return the parser of a command line; it knows the options of the commands in it."""
    parser = argparse.ArgumentParser(
        prog=_program_name(),
        description="Turns a Python class into a lab daemon: many clients at once, every reading"
        " in PostgreSQL.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"lab_utils_mt {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, summary in _COMMANDS.items():
        command = commands.add_parser(name, help=summary, allow_abbrev=False)
        if name in words:  # "send" need not wait for what the others import
            _fill(command, importlib.import_module(f"._cli.{name}", __package__))
    return parser


def _fill(command: argparse.ArgumentParser, module: ModuleType) -> None:
    command.description = module.__doc__
    command.formatter_class = argparse.RawDescriptionHelpFormatter
    module.add_arguments(command)
    command.set_defaults(run=module.run)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return the exit status of the program.

    Args:
        arguments: The words of the command line; those of this program by default.
    """
    try:
        mend_output()
        words = sys.argv[1:] if arguments is None else arguments
        options = make_parser(words).parse_args(words)
        status = int(options.run(options))
        if arguments is None:
            # The work is done: Ctrl-C while Python ends would only show a traceback.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        return _CTRL_C
    except BrokenPipeError:  # "... | head": nobody reads on
        # What is still buffered would fail again when Python flushes it at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _program_name() -> str:
    name = Path(sys.argv[0]).name
    return "python -m lab_utils_mt" if name in {"__main__.py", "-m", "-c", ""} else name


if __name__ == "__main__":
    sys.exit(main())
