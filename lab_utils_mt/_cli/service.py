"""How does the system start, stop and watch a daemon?

    lab-utils-mt service install oven thermometer:Thermometer --config server.ini
    lab-utils-mt service start oven
    lab-utils-mt service status oven
    lab-utils-mt service logs oven
    lab-utils-mt service stop oven
    lab-utils-mt service remove oven

On Linux, systemd does it: for this user, or with --system for the computer (as root). On Windows,
the daemon is a service if pywin32 is installed (extra "windows"; as administrator), and else a task
of the Task Scheduler: at the login, or with --system at the start of the computer.

The exit status is 0; 1 if it cannot be done, which the error output tells; 2 if the words here make
no sense; 3 if "status" found that the service does not run.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from .._service import last_words
from .._service.description import Service, check_name
from .._service.supervision import Supervision, Telephone, supervision
from ..exceptions import ConfigError, LabUtilsError
from .reaching import complain, harmless
from .serving_options import add_serving_options, serving
from .telephone import answers, ask_to_quit

_STANDS_STILL = 3  # as for the service scripts of Linux
_VERBS = {
    "start": "starts it, and waits until it listens",
    "stop": "stops it in order, and waits until it has",
    "status": "tells how it is, and why it ended the last time that it failed",
    "remove": "stops it, and takes away what install made",
    "logs": "shows the newest lines of its log",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what can be done with a service."""
    verbs = parser.add_subparsers(title="what to do", metavar="VERB", dest="verb", required=True)
    install = verbs.add_parser(
        "install", help="makes a daemon a service, started with the system", allow_abbrev=False
    )
    _add_name(install)
    add_serving_options(install)
    for verb, summary in _VERBS.items():
        _add_name(verbs.add_parser(verb, help=summary, allow_abbrev=False))
    _add_name(verbs.add_parser("host", allow_abbrev=False))  # only Windows says this


def _add_name(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", type=_name, metavar="NAME", help="the service")
    parser.add_argument(
        "--system", action="store_true", help="it is the whole computer's, and not this user's"
    )


def _name(text: str) -> str:
    try:
        return check_name(text)
    except ConfigError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def run(options: argparse.Namespace) -> int:
    """Do it; return the exit status."""
    try:
        if options.verb == "host":
            return _host(options.name)
        return _do(options)
    except (LabUtilsError, OSError) as error:
        complain("service", error)
        return 1


def _do(options: argparse.Namespace) -> int:
    keeper = supervision(options.system, Telephone(answers, ask_to_quit))
    name = options.name
    if options.verb == "install":
        _show([*keeper.install(_service(options, keeper)), _next_step(options)])
        return 0
    if options.verb == "status":
        return _status(keeper, name)
    doing: dict[str, Callable[[str], list[str]]] = {
        "start": keeper.start,
        "stop": keeper.stop,
        "remove": keeper.remove,
        "logs": keeper.logs,
    }
    lines = doing[options.verb](name)
    _show([*lines, *_last_words(keeper, name)] if options.verb == "logs" else lines)
    return 0


def _status(keeper: Supervision, name: str) -> int:
    state = keeper.status(name)
    _show([*state.lines, *([] if state.runs else _last_words(keeper, name)[:1])])
    return 0 if state.runs else _STANDS_STILL


def _last_words(keeper: Supervision, name: str) -> list[str]:
    words = last_words.read(name, system=keeper.system)
    return [] if words is None else f"it ended: {words}".splitlines()


def _service(options: argparse.Namespace, keeper: Supervision) -> Service:
    """Return the service that the options mean.

    Raises:
        LabUtilsError: Its folder or one of its files is not there.
    """
    wanted = serving(options)
    if not wanted.folder.is_dir():
        raise LabUtilsError(f"there is no folder {wanted.folder}: check --folder")
    for option in ("config", "database", "logging"):
        path: Path | None = getattr(wanted, option)
        if path is not None and not path.is_file():
            raise LabUtilsError(f"there is no file {path}: check --{option}, and --folder")
    return Service(
        options.name,
        str(wanted.target),
        wanted.folder,
        wanted.config,
        wanted.database,
        wanted.logging,
        Path(sys.executable),
        system=keeper.system,
    )


def _next_step(options: argparse.Namespace) -> str:
    system = " --system" if options.system else ""
    return f"start it now: lab-utils-mt service start {options.name}{system}"


def _show(lines: list[str]) -> None:
    for line in lines:
        print(harmless(line))


def _host(name: str) -> int:
    if sys.platform == "win32":
        from .._service.windows_host import host  # noqa: PLC0415

        return host(name, _serve)
    raise LabUtilsError("only Windows does this, with a service that it starts")


def _serve(service: Service) -> int:
    """Do what the words of a service do at a terminal."""
    from . import serve  # noqa: PLC0415

    parser = argparse.ArgumentParser(allow_abbrev=False)
    serve.add_arguments(parser)
    return serve.run(parser.parse_args(service.serve_words()[3:]))
