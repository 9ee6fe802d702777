"""What does a log call cost the thread that makes it, and how many records a second are written?

Beside the standard library, loguru and structlog (``pip install loguru structlog``; one that is not
there is reported). Each measurement is a fresh process; the contestants take turns.
"""

from __future__ import annotations

import argparse
import json
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
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tables import show

BURST = 100  # calls; then the threads behind the call get time to write
BURSTS = 40
PAUSE = 0.03  # s
FILTERED = 200_000  # calls
CALLS = 20_000
RECORDS = 20_000
WARM_UP = 500

LINE = "%(asctime)s  %(name)-20s %(message)s"


def stock_logger() -> logging.Logger:
    """Return the standard library's logger."""
    logger = logging.getLogger("bench")
    logging.getLogger().setLevel(logging.INFO)
    return logger


def our_logger(folder: Path, console: bool) -> logging.Logger:
    """Return a logger of this package, configured from a file."""
    from lab_utils_mt.custom_logging import configure_logging, getLogger

    ini = folder / "logging.ini"
    ini.write_text(
        f"[ConsoleLogger]\nactive = {console}\n"
        f"[FileLogger]\nactive = yes\nlog_path = {folder}\nlog_basename = ours\n",
        encoding="utf-8",
    )
    configure_logging(str(ini))
    return getLogger("bench")


# --- a call that is filtered out ---------------------------------------------------------------


def filtered(logger: logging.Logger) -> float:
    """Return the nanoseconds of a call below the level."""
    begin = time.perf_counter()
    for number in range(FILTERED):
        logger.debug("value %d of %s", number, "A")
    return (time.perf_counter() - begin) / FILTERED * 1e9


# --- a call to console and file ----------------------------------------------------------------


def stock_queue(folder: Path) -> logging.Logger:
    """Return a logger with a QueueHandler; its listener writes to console and file."""
    formatter = logging.Formatter(LINE)
    handlers = [
        logging.StreamHandler(sys.stdout),
        logging.FileHandler(folder / "stock.log", encoding="utf-8"),
    ]
    for handler in handlers:
        handler.setFormatter(formatter)
    waiting: queue.Queue[Any] = queue.Queue(-1)
    logging.handlers.QueueListener(waiting, *handlers, respect_handler_level=True).start()
    logger = stock_logger()
    logger.addHandler(logging.handlers.QueueHandler(waiting))
    return logger


def called(logger: logging.Logger) -> float:
    """Return the microseconds that a call takes its thread: the median over the bursts."""
    times = []
    for _ in range(BURSTS):
        begin = time.perf_counter()
        for number in range(BURST):
            logger.info("value %d of %s", number, "A")
        times.append((time.perf_counter() - begin) / BURST * 1e6)
        time.sleep(PAUSE)
    return statistics.median(times)


# --- a call while everything is down -----------------------------------------------------------


def stock_listener() -> logging.Logger:
    """Return a logger with a QueueHandler, and a listener that does nothing."""
    waiting: queue.Queue[Any] = queue.Queue(-1)
    logging.handlers.QueueListener(waiting, logging.NullHandler()).start()
    logger = stock_logger()
    logger.addHandler(logging.handlers.QueueHandler(waiting))
    return logger


def all_down(folder: Path) -> logging.Logger:
    """Return a logger whose mail server, Slack and alarm manager are down, with full queues."""
    from lab_utils_mt.custom_logging import configure_logging, getLogger

    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]  # nobody will listen there
    (folder / "token").write_text("xoxb-1-2-benchmark", encoding="utf-8")
    (folder / "token").chmod(0o600)
    common = "active = yes\ncapacity = 100\nlog_level = INFO\n"
    ini = folder / "logging.ini"
    ini.write_text(
        f"[FileLogger]\nactive = yes\nlog_path = {folder}\nlog_basename = ours\n"
        f"[AlarmLogger]\n{common}host = 127.0.0.1\nport = {port}\n"
        f"[MailHandler]\n{common}mail_host = 127.0.0.1\nport = {port}\nsender = a@b.org\n"
        f"recipients = c@d.org\n"
        f"[SlackLogger]\n{common}api_file = {folder / 'token'}\nchannel = c\n"
        f"api_url = http://127.0.0.1:{port}/\n",
        encoding="utf-8",
    )
    configure_logging(str(ini))
    return getLogger("bench")


def slowest(logger: logging.Logger) -> float:
    """Return the microseconds of which one call in a thousand takes more."""
    times = []
    for number in range(CALLS):
        begin = time.perf_counter()
        logger.info("value %d of %s", number, "A")
        times.append((time.perf_counter() - begin) * 1e6)
        if not number % BURST:
            time.sleep(PAUSE)
    return sorted(times)[CALLS * 999 // 1000]


# --- records a second --------------------------------------------------------------------------


def with_logging(folder: Path) -> Callable[[int], None]:
    """Write JSON lines with the standard library, in the calling thread."""
    from pythonjsonlogger.json import JsonFormatter

    handler = logging.FileHandler(folder / "logging.log", encoding="utf-8")
    names = "asctime levelname name module funcName message"
    handler.setFormatter(JsonFormatter(names.split()))
    logger = stock_logger()
    logger.addHandler(handler)
    return lambda number: logger.info("value %d of %s", number, "A")


def with_loguru(folder: Path) -> Callable[[int], None]:
    """Write JSON lines with loguru, in the calling thread."""
    from loguru import logger

    logger.remove()
    logger.add(folder / "loguru.log", serialize=True)
    return lambda number: logger.info("value {} of {}", number, "A")


def with_structlog(folder: Path) -> Callable[[int], None]:
    """Write JSON lines with structlog, in the calling thread."""
    import structlog

    file = (folder / "structlog.log").open("w", encoding="utf-8")
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.CallsiteParameterAdder(
                [
                    structlog.processors.CallsiteParameter.MODULE,
                    structlog.processors.CallsiteParameter.FUNC_NAME,
                ]
            ),
            structlog.processors.TimeStamper("iso"),
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.WriteLoggerFactory(file),
        cache_logger_on_first_use=True,
    )
    logger = structlog.get_logger("bench")

    def log(number: int) -> None:
        logger.info("value of A", number=number)

    return log


def with_ours(folder: Path) -> Callable[[int], None]:
    """Write JSON lines with this package, in the sink's thread."""
    logger = our_logger(folder, console=False)
    return lambda number: logger.info("value %d of %s", number, "A")


def written(log: Callable[[int], None], folder: Path) -> float:
    """Return the records a second, from the first call to the last line in the file."""
    begin = time.perf_counter()
    for number in range(RECORDS):
        log(number)
    while not (count := _lines(folder)) >= RECORDS:
        time.sleep(0.005)
        if time.perf_counter() - begin > 60:  # noqa: PLR2004  (s)
            raise SystemExit(f"{RECORDS - count} records are lost")
    return RECORDS / (time.perf_counter() - begin)


def _lines(folder: Path) -> int:
    return sum(path.read_bytes().count(b"\n") for path in folder.glob("*.log"))


# --- all of it ---------------------------------------------------------------------------------

Contest = Callable[[Path], float]

FILTERED_CALL = "call that is filtered out"
ENABLED_CALL = "call, console + file"
WORST_CALL = "call, all sinks down: p99.9"
THROUGHPUT = "JSON lines in a file"
QUESTIONS: dict[str, tuple[str, dict[str, Contest], str]] = {
    FILTERED_CALL: (
        "ns",
        {
            "logging": lambda _: filtered(stock_logger()),
            "lab_utils_mt": lambda folder: filtered(our_logger(folder, console=True)),
        },
        "<= 1.0",
    ),
    ENABLED_CALL: (
        "µs",
        {
            "logging QueueHandler": lambda folder: called(stock_queue(folder)),
            "lab_utils_mt": lambda folder: called(our_logger(folder, console=True)),
        },
        "<= 1.2",
    ),
    WORST_CALL: (
        "µs",
        {
            "logging QueueHandler": lambda _: slowest(stock_listener()),
            "lab_utils_mt": lambda folder: slowest(all_down(folder)),
        },
        "<= 1000 µs",
    ),
    THROUGHPUT: (
        "records/s",
        {
            "logging": lambda folder: written(with_logging(folder), folder),
            "loguru": lambda folder: written(with_loguru(folder), folder),
            "structlog": lambda folder: written(with_structlog(folder), folder),
            "lab_utils_mt": lambda folder: written(with_ours(folder), folder),
        },
        "",
    ),
}
NOISE = 0.03  # what two runs of the very same code differ by here


def contend(question: str, name: str, result: str) -> None:
    """Be a contestant: leave a number in a file, as the standard output is the console's."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        number = QUESTIONS[question][1][name](Path(folder))
        Path(result).write_text(json.dumps(number), encoding="utf-8")
        logging.shutdown()


def turn(question: str, name: str) -> float:
    """Run one contestant once, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "result"
        command = [sys.executable, __file__, "--contestant", name, "--question", question]
        command += ["--result", str(result)]
        with (Path(folder) / "console").open("wb") as console:
            subprocess.run(command, stdout=console, check=True, timeout=120)
        return float(json.loads(result.read_text(encoding="utf-8")))


def measure(question: str, names: list[str], rounds: int) -> dict[str, list[float]]:
    """Let the contestants take turns; the first round does not count."""
    results: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds + 1):
        for name in names if number % 2 else reversed(names):
            value = turn(question, name)
            if number:
                results[name].append(value)
    return results


def judge(question: str, results: dict[str, list[float]]) -> list[list[str]]:
    """Return the table's lines about one question; the last contestant is ours."""
    unit, _, bar = QUESTIONS[question]
    lines = []
    middles = {name: statistics.median(values) for name, values in results.items()}
    for name, values in results.items():
        digits = 0 if middles[name] > 1000 else 1  # noqa: PLR2004  (enough of them)
        shown = [f"{one:,.{digits}f}" for one in (middles[name], min(values), max(values))]
        lines.append([question, name, shown[0], f"{shown[1]} to {shown[2]}", unit, "", ""])
    *others, ours = middles.values()
    ratios = [ours / other for other in others]
    lines[-1][-2] = ", ".join(f"{ratio:.2f}" for ratio in ratios)
    lines[-1][-1] = bar
    if bar:
        limit, *is_absolute = bar.removeprefix("<= ").split()
        if (ours if is_absolute else max(ratios) - NOISE) > float(limit):
            lines[-1][-1] += " MISSED"
    return lines


def main() -> None:
    """Measure everything; the exit status is 1 if a bar was missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="default 7")
    for hidden in ("contestant", "question", "result"):
        parser.add_argument(f"--{hidden}", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.contestant:
        contend(options.question, options.contestant, options.result)
        return
    lines = []
    for question, (_, contestants, _) in QUESTIONS.items():
        missing = [name for name in ("loguru", "structlog") if not find_spec(name)]
        names = [name for name in contestants if name not in missing]
        lines += judge(question, measure(question, names, options.rounds))
    show(lines)
    for name in missing:
        print(f"{name} is not installed: not compared")
    sys.exit(any("MISSED" in line[-1] for line in lines))


if __name__ == "__main__":
    main()
