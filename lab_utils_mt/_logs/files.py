"""How does the log of each day get into a file of its own?

A record goes to the file of the local day on which it was made, whenever it is written. Files are
not renamed: on Windows that fails while anybody has them open, and two processes that do it
delete each other's.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import logging
import os
import time
from logging.handlers import TimedRotatingFileHandler
from pathlib import Path

from .appending import AppendingFile
from .dated import DatedFiles
from .days import Day, day_of
from .direct import DirectHandler
from .line import LineFormatter
from .redaction import redact
from .snapshot import finish, snapshot
from .unprintable import escape_as_json


class PlainFormatter(LineFormatter):
    """Write what :class:`logging.Formatter` writes, but harmless."""

    def heading(self, level: str) -> str:
        """Return nothing: a level is shown where the layout has it."""
        return ""


_by_default = PlainFormatter("%(message)s")


class CustomTimedRotatingFileHandler(DirectHandler, TimedRotatingFileHandler):
    """Write records to ``basename_YYYY-MM-DD.extension``, a file for each local day.

    Any number of handlers, in any number of processes, may have the same files; no line is lost or
    torn. A folder or file that is deleted meanwhile is made again.

    Attributes:
        path: The folder.
        basename: Folder and beginning of the files' names, up to the underscore.
        extension: The end of the files' names, with its dot.
        stream: The open file; None before the first record.
        rolloverAt: When the day of the open file ends, in seconds since the epoch.

    Args:
        path: The folder; made if it is not there. ``~`` is expanded.
        basename: What the files' names begin with.
        extension: What the files' names end with, with or without a dot before it.
        keep_days: Files older than so many days before the newest are deleted, at the start and
            whenever a day begins, but never the newest ``keep_days`` + 1; at least 1. By default
            all are kept.

    Raises:
        OSError: The folder cannot be made, or it or today's file cannot be written to.
        ValueError: The files could not be called that, or ``keep_days`` is less than 1.
    """

    path: str
    basename: str
    extension: str
    # The documentation has it as a text stream; it has the name, fileno() and close() of one.
    stream: AppendingFile | None  # type: ignore[assignment]
    rolloverAt: int  # noqa: N815  (logging's name)

    _is_closed = False

    def __init__(
        self,
        path: str | os.PathLike[str],
        basename: str,
        extension: str = ".log",
        *,
        keep_days: int | None = None,
    ) -> None:
        if keep_days is not None and keep_days < 1:
            raise ValueError(f"keep_days = {keep_days!r} must be at least 1, or None to keep all")
        self._files = DatedFiles(_folder(path), basename, extension)
        self.path, self.basename = str(self._files.folder), self._files.start
        self.extension = self._files.extension
        self.title = f"log file {self.basename}"
        self._keep_days = keep_days
        self._day = self._open_day = day_of(time.time())
        self._files.make_folder()
        self._files.require_writable(self._day.name)
        super().__init__(
            self._files.path(self._day.name), when="midnight", delay=True, encoding="utf-8"
        )
        self.rolloverAt = self._day.end
        self._tidy()

    # --- writing ---------------------------------------------------------------------------

    def setFormatter(self, fmt: logging.Formatter | None) -> None:  # noqa: N802  (logging's name)
        """Set how records are written; a text cannot forge a line of the standard formatter."""
        if type(fmt) is logging.Formatter:
            plain = PlainFormatter()
            vars(plain).update(vars(fmt))
            fmt = plain
        super().setFormatter(fmt)

    def format(self, record: logging.LogRecord) -> str:
        """Return the record's text; the message alone if nobody has set a formatter."""
        formatter = self.formatter or _by_default
        if not getattr(formatter, "hides_secrets", isinstance(formatter, LineFormatter)):
            record = _without_secrets(record)
        return formatter.format(record)

    def write_records(self, records: list[logging.LogRecord]) -> int:
        """Write records, those of one day at once.

        Returns:
            How many of the first are written; fewer than given if the disk is full.

        Raises:
            OSError: None is written.
        """
        # Not under the lock: the records' texts are made by what users have written.
        lines = [_encoded(self.text_of(record)) for record in records]
        self.acquire()
        try:
            return self._write(records, lines)
        finally:
            self._close_again()
            self.release()

    def _write(self, records: list[logging.LogRecord], lines: list[bytes]) -> int:
        written = 0
        for day, numbers in itertools.groupby(
            range(len(records)), lambda number: self._day_of(records[number])
        ):
            own = [lines[number] for number in numbers]
            try:
                count = self._file_of(day).write_lines(own)
            except OSError:
                if not written:
                    raise
                break
            written += count
            if count < len(own):
                break
        return written

    # --- days and their files --------------------------------------------------------------

    def _day_of(self, record: logging.LogRecord) -> Day:
        try:
            if not self._day.holds(record.created):
                self._day = day_of(record.created)
        except (TypeError, ValueError, OverflowError, OSError):  # it holds no time at all
            self._day = day_of(time.time())
        return self._day

    def _file_of(self, day: Day) -> AppendingFile:
        if self.stream is None or day != self._open_day or not self.stream.in_place():
            return self._open_file(day)
        return self.stream

    def _open_file(self, day: Day) -> AppendingFile:
        old, self.stream = self.stream, None
        if old is not None:
            old.close()
        is_switch = old is None or day != self._open_day
        self.baseFilename = self._files.path(day.name)
        try:
            self.stream = AppendingFile(self.baseFilename)
        except FileNotFoundError:
            self._files.make_folder()
            self.stream = AppendingFile(self.baseFilename)
        self._open_day, self.rolloverAt = day, day.end
        if is_switch:
            self._tidy()
        return self.stream

    def _tidy(self) -> None:
        if self._keep_days is not None:
            self._files.tidy(self._keep_days, self.baseFilename)

    def _close_again(self) -> None:
        if self._is_closed and self.stream is not None:
            stream, self.stream = self.stream, None
            with contextlib.suppress(OSError):
                stream.close()

    # --- what others may call --------------------------------------------------------------

    def close(self) -> None:
        """Close the file. A record that still comes is written, and the file closed again."""
        self._is_closed = True
        super().close()

    def doRollover(self) -> None:  # noqa: N802  (logging's name)
        """Close the file, and open that of today. Nobody needs to: each record finds its file.

        Raises:
            OSError: It cannot be opened.
        """
        self.acquire()
        try:
            self._day = day_of(time.time())
            self._open_file(self._day)
        finally:
            self._close_again()
            self.release()

    def shouldRollover(self, record: logging.LogRecord) -> int:  # noqa: N802  (logging's name)
        """Tell whether a record belongs to another file than the one that is open."""
        return int(not self._open_day.holds(record.created))

    def computeRollover(self, currentTime: int) -> int:  # noqa: N802, N803  (logging's names)
        """Return when the local day of a time ends; both in seconds since the epoch."""
        return day_of(currentTime).end


def _folder(path: str | os.PathLike[str]) -> Path:
    try:
        return Path(path).expanduser().absolute()
    except RuntimeError as error:  # ~nobody
        raise FileNotFoundError(errno.ENOENT, str(error), os.fspath(path)) from None


def _without_secrets(record: logging.LogRecord) -> logging.LogRecord:
    own = finish(snapshot(record))
    own.msg, own.exc_text = redact(own.msg), redact(own.exc_text or "") or None
    return own


def _encoded(text: str) -> bytes:
    # Formatters of users may not care what a text does to its reader.
    return escape_as_json(text, but="\n\t").encode("utf-8")
