"""What an alarm is to alarm_manager.py, and how alarms outlast a restart."""

import collections
import dataclasses
import json
import logging
import os
import threading
from pathlib import Path

from lab_utils_mt.exceptions import ConfigError

log = logging.getLogger("alarm_manager")

LEVELS = {"DEBUG": 10, "INFO": 20, "SUCCESS": 25, "WARNING": 30, "ERROR": 40, "CRITICAL": 50}
SHOWN_TEXT = 300  # characters


def shown(text):
    """Make a client's text harmless: one line, and nothing in it drives a terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


@dataclasses.dataclass
class Alarm:
    """One alarm; a daemon that raises it again makes it count. Times are those of time.time()."""

    app: str
    level: str
    module: str
    function: str
    message: str
    first: str  # dates as the daemon wrote them
    last: str
    id: int = 0
    count: int = 1
    acknowledged: str = ""  # by whom
    acknowledged_at: float = 0.0
    note: str = ""
    cleared: bool = False
    due: float | None = None  # when it calls for people

    def __post_init__(self):
        for field in dataclasses.fields(self):
            if not isinstance(getattr(self, field.name), field.type):
                raise TypeError(f"{field.name} is not {field.type}")

    @property
    def key(self):
        return (self.app, self.level, self.module, self.function, self.message)

    @property
    def severity(self):
        return LEVELS.get(self.level, LEVELS["ERROR"])  # the daemon may have levels of its own

    def __str__(self):
        text, half = self.message, SHOWN_TEXT // 2
        if len(text) > SHOWN_TEXT:  # a traceback says most at its end
            text = f"{text[:half]} ... {text[-half:]}"
        first, last = self.first.partition(".")[0], self.last.partition(".")[0]
        times = first if first == last else f"{first} to {last}"
        state = f", acknowledged by {self.acknowledged}" if self.acknowledged else ""
        state += f" ({self.note})" if self.note else ""
        state += ", cleared" if self.cleared else ""
        where = f"{self.app} ({self.module}.{self.function})"
        return shown(f"{self.id} {self.level} {where} {self.count}x {times}{state}: {text}")


def least_important(alarms):
    """Return what is best forgotten: what is over, what somebody does, what need not call, ..."""
    per_app = collections.Counter(alarm.app for alarm in alarms)

    def importance(alarm):  # compared from left to right, False being less than True
        is_open = (not alarm.cleared, not alarm.acknowledged, alarm.due is not None)
        return (*is_open, alarm.severity, -per_app[alarm.app], alarm.id)

    return min(alarms, key=importance)


class State:
    """Keeps a manager's alarms in a file, written by a thread of its own once a second at most."""

    def __init__(self, manager, path):
        self.manager, self.path = manager, Path(path)
        self.ended = threading.Event()
        self.works = True
        self.thread = threading.Thread(target=self.work, name="alarm-state")

    def __enter__(self):
        self.load()
        self.write()  # or say now that it cannot be written
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.manager.changed.set()
        self.thread.join()

    def work(self):
        while not self.ended.is_set():
            self.manager.changed.wait()
            self.save()
            self.ended.wait(1.0)
        self.save()

    def save(self):
        try:
            self.write()
            self.works = True
        except OSError as error:
            self.manager.changed.set()
            if self.works:
                log.warning("cannot write %s: %s; it is tried again", self.path, error)
            self.works = False

    def write(self):
        """Write the file: wholly or, if that fails, not at all."""
        manager = self.manager
        manager.changed.clear()
        with manager.guard:
            alarms = [vars(alarm) for alarm in manager.alarms.values() if not alarm.cleared]
            content = {"last_id": manager.last_id, "silences": manager.silences, "alarms": alarms}
            text = json.dumps(content)
        new = self.path.with_name(self.path.name + ".new")
        with new.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        new.replace(self.path)

    def load(self):
        """Take what the run before has left."""
        try:
            text = self.path.read_bytes()
        except FileNotFoundError:
            log.info("%s is new", self.path)
            return
        try:
            content = json.loads(text)
            alarms = [Alarm(**fields) for fields in content["alarms"]]
            silences = {app: float(end) for app, end in content["silences"].items()}
            self.manager.last_id = int(content["last_id"])
        except Exception as error:  # whatever people may have written there
            raise ConfigError(f"{self.path} is not from an alarm manager: {error!r}") from error
        self.manager.alarms = {alarm.key: alarm for alarm in alarms}
        self.manager.silences = silences
