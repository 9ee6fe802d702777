"""How does a class become a running daemon?

    lab-utils-mt serve thermometer:Thermometer --config server.ini --database database.ini
    lab-utils-mt serve thermometer:Thermometer --config server.ini --check

The class is made with config_file=... and database=..., if --config and --database say so, and
serves until Ctrl-C, SIGTERM or the command quit. With --check nothing is started: each line tells
of one thing whether it is ok, or what to do.

The exit status is 0 if it stopped in order, or all is ok; 1 if it could not start or ended by a
fault, which the error output and the log tell; 2 if the words here make no sense.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import sys
import traceback
from types import FrameType
from typing import TYPE_CHECKING

from .._logs import living
from .._logs.redaction import redact
from .._process.signals import handling
from .._service import last_words
from ..custom_logging import configure_logging, unconfigure_logging
from ..exceptions import ConfigError, LabUtilsError
from .faults import CodeFault, blaming
from .reaching import complain, reason
from .serving_options import Serving, add_serving_options, enter, serving

if TYPE_CHECKING:
    from ..database import Database
    from ..socket_comm import Server

logger = logging.getLogger("lab_utils_mt.serve")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what says which daemon is meant."""
    add_serving_options(parser)
    parser.add_argument(
        "--check", action="store_true", help="check everything that it needs, and start nothing"
    )
    # Only service files say these.
    parser.add_argument("--service", metavar="NAME", help=argparse.SUPPRESS)
    parser.add_argument("--system", action="store_true", help=argparse.SUPPRESS)


def run(options: argparse.Namespace) -> int:
    """Serve, or check; return the exit status."""
    try:
        wanted = serving(options)
        if options.service is not None:
            last_words.place(options.service)  # a name that cannot be one is told at once
    except LabUtilsError as error:
        complain("serve", error)
        return 1
    if options.check:
        from .checks import check  # noqa: PLC0415  (a daemon needs none of it)

        return 0 if check(wanted) else 1
    try:
        return _serve(wanted, options)
    finally:
        unconfigure_logging()


def _serve(wanted: Serving, options: argparse.Namespace) -> int:
    try:
        enter(wanted.folder)
        _begin_to_log(wanted)
        with blaming(f"{wanted.target.name} failed", wanted.folder):
            _run_daemon(wanted)
    except (LabUtilsError, OSError) as error:
        _tell(error, options)
        return 1
    if options.service is not None:
        last_words.forget(options.service, system=options.system)
    return 0


def _begin_to_log(wanted: Serving) -> None:
    """Let the log go where it is wanted, or to the console if that cannot be."""
    try:
        name = wanted.target.module.rpartition(".")[2]
        configure_logging(str(wanted.logging) if wanted.logging else None, logger_name=name)
    except ConfigError:
        if not logging.getLogger().handlers:
            configure_logging()
        raise


def _run_daemon(wanted: Serving) -> None:
    # Imported here: with them comes what the class needs, and that may fail, too.
    from .loading import load, require_arguments, require_made  # noqa: PLC0415

    served = load(wanted.target, wanted.folder)
    arguments: dict[str, object] = {}
    database: Database | None = None
    if wanted.config is not None:
        arguments["config_file"] = str(wanted.config)
    if wanted.database is not None:
        from ..database import Database  # noqa: PLC0415

        database = arguments["database"] = Database(str(wanted.database))
    require_arguments(served, arguments)
    with blaming(f"cannot make {served.__name__}", wanted.folder):
        daemon = served(**arguments)  # type: ignore[arg-type]
    require_made(daemon)
    given = daemon._given_database
    if given is None or given is not database or _connect(given, daemon):
        daemon.start_daemon()
    logger.info("%s stopped in order", served.__name__)


def _connect(database: Database, daemon: Server) -> bool:
    """Connect, or let the daemon stop if somebody asks for that meanwhile; return which.

    The daemon would connect by itself, but then answer a signal only once it had given up a server
    that says nothing.
    """

    def stop(signum: int, frame: FrameType | None) -> None:
        daemon.signal_handler(signum, frame)
        raise KeyboardInterrupt

    with contextlib.ExitStack() as stack:
        stack.callback(daemon.close)
        with handling(stop), contextlib.suppress(KeyboardInterrupt):
            database.connect()
            stack.pop_all()  # start_daemon() will close it
            return True
    return False


def _tell(error: Exception, options: argparse.Namespace) -> None:
    """Tell why there is no daemon: on the error output, in the log, and where a service does."""
    line = redact(reason(error))
    bug = error.__cause__ if isinstance(error, CodeFault) else None
    is_logged = bool(logging.getLogger().handlers)  # else the error output would have it twice
    level = _level(options, line)
    if is_logged:
        logger.log(level, "%s", line, exc_info=bug)
    if not (is_logged and _sees_the_log(level)):
        where = "" if bug is None else "; the log has the traceback"
        print(f"serve: {line}{where}", file=sys.stderr, flush=True)
    if options.service is not None:
        trace = "" if bug is None else "\n" + "".join(traceback.format_exception(bug))
        last_words.write(options.service, line + redact(trace), system=options.system)


def _level(options: argparse.Namespace, line: str) -> int:
    """Return ERROR, but less if a service fails as it has just failed: no mail for each attempt."""
    name = options.service
    if name is not None and last_words.are_repeated(name, line, system=options.system):
        return logging.WARNING
    return logging.ERROR


def _sees_the_log(level: int) -> bool:
    """Tell whether the error output has such a record as well: one terminal, file or journal."""
    try:
        streams = sys.stdout.fileno(), sys.stderr.fileno()
        if sys.platform == "win32":  # there, all pipes are the same to samestat()
            for stream in streams:
                os.get_terminal_size(stream)  # isatty() is true of NUL, too
        elif not os.path.samestat(*map(os.fstat, streams)):
            return False
    except (OSError, ValueError):  # no terminal, or what stands in for one
        return False
    return logger.isEnabledFor(level) and any(
        sink.title == "console" and sink.level <= level for sink in living.all_sinks()
    )
