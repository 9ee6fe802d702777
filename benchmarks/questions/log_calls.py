"""What does a log call cost the thread that makes it, and how many records a second are written?

Beside the standard library, loguru and structlog. Each measurement is a fresh process, which warms
up first. The calls are

* ``filtered``: below the level, so that nothing is to be done;
* ``written``: to console and file, in bursts of 100 with time for the threads behind between them;
* ``all sinks down``: mail server, Slack and alarm manager do not answer and their queues are full;
* ``JSON lines``: from the first call to the last line in the file.
"""

from __future__ import annotations

import logging
import logging.handlers
import queue
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.house.peer import MissingPeer
from benchmarks.house.percentile import percentile
from benchmarks.house.question import Bar, Case, Plot, Size

HERE = Path(__file__).parents[2]
BURST = 100  # calls; then the threads behind the call get time to write
PAUSE = 0.03  # s
WARM_UP = 500  # calls
LONGEST = 60.0  # s for the records to be written

LINE = "%(asctime)s  %(name)-20s %(message)s"

TEXT, NAME = "value %d of %s", "A"
Log = Callable[[str, int, str], object]  # called with a text, a number and a name


# --- the contestants ----------------------------------------------------------------------------


def stock_logger(*handlers: logging.Handler) -> Log:
    """Log with the standard library."""
    logger = logging.getLogger("bench")
    logging.getLogger().setLevel(logging.INFO)
    for handler in handlers:
        logger.addHandler(handler)
    return logger.info


def stock_filtered(_: Path) -> Log:
    """Log below the level, with the standard library."""
    stock_logger()
    return logging.getLogger("bench").debug


def stock_queue(folder: Path) -> Log:
    """Log through a QueueHandler, whose listener writes to console and file."""
    handlers = [
        logging.StreamHandler(sys.stdout),
        logging.FileHandler(folder / "stock.log", encoding="utf-8"),
    ]
    for handler in handlers:
        handler.setFormatter(logging.Formatter(LINE))
    return behind_queue(*handlers)


def stock_nowhere(_: Path) -> Log:
    """Log through a QueueHandler, whose listener does nothing."""
    return behind_queue(logging.NullHandler())


def behind_queue(*handlers: logging.Handler) -> Log:
    """Log through a QueueHandler."""
    waiting: queue.Queue[Any] = queue.Queue(-1)
    logging.handlers.QueueListener(waiting, *handlers, respect_handler_level=True).start()
    return stock_logger(logging.handlers.QueueHandler(waiting))


def stock_json(folder: Path) -> Log:
    """Write JSON lines with the standard library, in the calling thread."""
    from pythonjsonlogger.json import JsonFormatter

    handler = logging.FileHandler(folder / "logging.log", encoding="utf-8")
    names = "asctime levelname name module funcName message"
    handler.setFormatter(JsonFormatter(names.split()))
    return stock_logger(handler)


def loguru_json(folder: Path) -> Log:
    """Write JSON lines with loguru, in the calling thread."""
    from loguru import logger

    logger.remove()
    logger.add(folder / "loguru.log", serialize=True)
    return lambda _, number, name: logger.info("value {} of {}", number, name)


def structlog_json(folder: Path) -> Log:
    """Write JSON lines with structlog, in the calling thread."""
    import structlog
    from structlog.processors import CallsiteParameter, CallsiteParameterAdder

    file = (folder / "structlog.log").open("w", encoding="utf-8")
    callsite = CallsiteParameterAdder([CallsiteParameter.MODULE, CallsiteParameter.FUNC_NAME])
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            callsite,
            structlog.processors.TimeStamper("iso"),
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.WriteLoggerFactory(file),
        cache_logger_on_first_use=True,
    )
    logger = structlog.get_logger("bench")

    return lambda _, number, name: logger.info("value", number=number, name=name)


def our_logger(folder: Path, sections: str) -> logging.Logger:
    """Return a logger of this package, configured from a file."""
    from lab_utils_mt.custom_logging import configure_logging, getLogger

    ini = folder / "logging.ini"
    file = f"[FileLogger]\nactive = yes\nlog_path = {folder}\nlog_basename = ours\n"
    ini.write_text(file + sections, encoding="utf-8")
    configure_logging(str(ini))
    return getLogger("bench")


def our_filtered(folder: Path) -> Log:
    """Log below the level, with this package."""
    return our_logger(folder, "[ConsoleLogger]\nactive = yes\n").debug


def our_sinks(folder: Path, console: bool = True) -> Log:
    """Log to console and file, with this package; both are written behind the call."""
    return our_logger(folder, f"[ConsoleLogger]\nactive = {console}\n").info


def our_sinks_down(folder: Path) -> Log:
    """Log with this package, to a mail server, Slack and an alarm manager that are down."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]  # nobody will listen there
    (folder / "token").write_text("xoxb-1-2-benchmark", encoding="utf-8")
    (folder / "token").chmod(0o600)
    common = "active = yes\ncapacity = 100\nlog_level = INFO\n"
    logger = our_logger(
        folder,
        f"[AlarmLogger]\n{common}host = 127.0.0.1\nport = {port}\n"
        f"[MailHandler]\n{common}mail_host = 127.0.0.1\nport = {port}\nsender = a@b.org\n"
        "recipients = c@d.org\n"
        f"[SlackLogger]\n{common}api_file = {folder / 'token'}\nchannel = c\n"
        f"api_url = http://127.0.0.1:{port}/\n",
    )
    return logger.info


# --- what is measured ---------------------------------------------------------------------------


def in_a_row(log: Log, calls: int, _: Path) -> float:
    """Return the nanoseconds of a call."""
    begin = time.perf_counter()
    for number in range(calls):
        log(TEXT, number, NAME)
    return (time.perf_counter() - begin) / calls * 1e9


def in_bursts(log: Log, calls: int, _: Path) -> float:
    """Return the microseconds of a call: the median over the bursts."""
    times = []
    for _ in range(calls // BURST):
        begin = time.perf_counter()
        for number in range(BURST):
            log(TEXT, number, NAME)
        times.append((time.perf_counter() - begin) / BURST * 1e6)
        time.sleep(PAUSE)
    return statistics.median(times)


def slowest(log: Log, calls: int, _: Path) -> float:
    """Return the microseconds of which one call in a thousand takes more."""
    times = []
    for number in range(calls):
        begin = time.perf_counter()
        log(TEXT, number, NAME)
        times.append((time.perf_counter() - begin) * 1e6)
        if not number % BURST:
            time.sleep(PAUSE)
    return percentile(times, 99.9)


def until_written(log: Log, calls: int, folder: Path) -> float:
    """Return the records a second, from the first call to the last line in the file."""
    before = lines_in(folder)
    begin = time.perf_counter()
    for number in range(calls):
        log(TEXT, number, NAME)
    while (missing := before + calls - lines_in(folder)) > 0:
        time.sleep(0.005)
        if time.perf_counter() - begin > LONGEST:
            raise SystemExit(f"{missing} records are lost")
    return calls / (time.perf_counter() - begin)


def lines_in(folder: Path) -> int:
    """Return how many lines all files of a folder have."""
    return sum(path.read_bytes().count(b"\n") for path in folder.glob("*.log"))


Measure = Callable[[Log, int, Path], float]
# The figure, how it is measured, calls in full and in smoke size.
CALLS: dict[str, tuple[str, Measure, int, int]] = {
    "filtered": ("call_ns", in_a_row, 200_000, 2_000),
    "written": ("call_us", in_bursts, 4_000, 200),
    "all sinks down": ("p999_us", slowest, 20_000, 1_000),
    "JSON lines": ("records_per_s", until_written, 20_000, 500),
}
ROUND = ", ".join(f"{full:,} calls of {call}" for call, (_, _, full, _) in CALLS.items())
OURS = "lab_utils_mt"
CONTESTANTS: dict[str, dict[str, Callable[[Path], Log]]] = {
    "filtered": {"logging": stock_filtered, OURS: our_filtered},
    "written": {"logging, QueueHandler": stock_queue, OURS: our_sinks},
    "all sinks down": {"logging, QueueHandler": stock_nowhere, OURS: our_sinks_down},
    "JSON lines": {
        "logging": stock_json,
        "loguru": loguru_json,
        "structlog": structlog_json,
        OURS: partial(our_sinks, console=False),
    },
}


def cases(size: Size) -> list[Case]:
    """Measure each call with each library."""
    return [
        Case({"call": call, "library": library}, partial(measure, call, library, size.is_smoke))
        for call, libraries in CONTESTANTS.items()
        for library in libraries
    ]


def bar(text: str, call: str, against: str | None, at_most: float) -> Bar:
    """Return a bar for this package."""
    return Bar(
        text,
        figure=CALLS[call][0],
        of={"call": call, "library": OURS},
        against=against and {"call": call, "library": against},
        at_most=at_most,
    )


BARS = [
    # Two runs of the very same code differ by 3 % here.
    bar("a call that is filtered costs what it costs with logging", "filtered", "logging", 1.03),
    bar("1.2 of a QueueHandler", "written", "logging, QueueHandler", 1.23),
    bar("1 ms at most, for 999 calls of 1000", "all sinks down", None, 1000.0),
]
PLOTS = [
    Plot(
        figure,
        x="library",
        line=None,
        title=f"Log call: {call}",
        y_label=figure.replace("_per_", "/").replace("_", ", in "),
        kind="bars",
        only={"call": call},
    )
    for call, (figure, *_) in CALLS.items()
]


def measure(call: str, library: str, is_smoke: bool) -> dict[str, float]:
    """Let a process of its own measure; what it says last on its standard error is the figure."""
    if library in ("loguru", "structlog") and find_spec(library) is None:
        raise MissingPeer(f"{library} is not installed: python -m pip install '.[bench]'")
    figure, _, full, smoke = CALLS[call]
    calls = smoke if is_smoke else full
    done = subprocess.run(
        [sys.executable, "-m", __name__, call, library, str(calls)],
        cwd=HERE,
        stdout=subprocess.DEVNULL,  # of the console's sink
        stderr=subprocess.PIPE,
        check=True,
        timeout=300,
    )
    return {figure: float(done.stderr.split()[-1])}


def contend(call: str, library: str, calls: int) -> None:
    """Be the process that measures."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        log = CONTESTANTS[call][library](folder)
        for number in range(WARM_UP):
            log(TEXT, number, NAME)
        time.sleep(0.2)
        print(CALLS[call][1](log, calls, folder), file=sys.stderr, flush=True)
        logging.shutdown()


if __name__ == "__main__":
    contend(sys.argv[1], sys.argv[2], int(sys.argv[3]))
