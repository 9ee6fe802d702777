"""An alarm manager to copy: collects the alarms of many daemons until somebody takes care.

Run it with: python alarm_manager.py --state alarms.json --logging logging.ini

In the logging.ini of each daemon, [AlarmLogger] names its host and port. Ask it with any client:

    python cryostat_client.py --port 9020 list
    python cryostat_client.py --port 9020 acknowledge 7 --by anna --note "pump is off"
    python cryostat_client.py --port 9020 silence cryostat 60

What nobody takes care of in time is logged by the logger alarm_manager.escalation, as an ERROR at
least: by mail or Slack, if the file after --logging says so. What else happens is logged below
that. Daemons of lab_utils 0.5.x are understood, too.
"""

import argparse
import dataclasses
import json
import logging
import os
import sys
import threading
import time
from pathlib import Path

from lab_utils_mt import custom_logging
from lab_utils_mt.exceptions import ConfigError, LabUtilsError
from lab_utils_mt.socket_comm import ArgumentParser, Server

log = logging.getLogger("alarm_manager")
escalation = logging.getLogger("alarm_manager.escalation")

TIME = "%Y-%m-%d %H:%M:%S"
LEVELS = ["WARNING", "ERROR", "CRITICAL"]
LONGEST_NAME, LONGEST_TEXT, SHOWN_TEXT = 200, 5000, 300  # characters


def minutes(text):
    if not 0 <= float(text) <= 10080:
        raise argparse.ArgumentTypeError("from 0 to 10080 minutes, a week")
    return float(text)


def shown(text):
    """Make a client's text harmless: one line, and nothing in it drives a terminal."""
    return text if text.isprintable() else repr(text)[1:-1]


def belongs(app, name):
    """Whether an app, such as cryostat.pump, is the named one or a part of it."""
    return app == name or app.startswith(name + ".")


@dataclasses.dataclass
class Alarm:
    """One alarm; a daemon that raises it again makes it count."""

    app: str
    level: str
    module: str
    function: str
    message: str
    first: str
    last: str
    id: int = 0
    count: int = 1
    acknowledged: str = ""  # by whom
    note: str = ""
    cleared: bool = False
    due: float | None = None  # when it escalates; time.time(), as it must outlast a restart

    @property
    def key(self):
        return (self.app, self.level, self.module, self.function, self.message)

    @property
    def severity(self):
        number = logging.getLevelName(self.level)
        return number if isinstance(number, int) else logging.ERROR  # a level of the daemon's own

    def __str__(self):
        text, half = self.message, SHOWN_TEXT // 2
        if len(text) > SHOWN_TEXT:  # a traceback says most at its end
            text = f"{text[:half]} ... {text[-half:]}"
        times = self.first if self.first == self.last else f"{self.first} to {self.last}"
        state = f", acknowledged by {self.acknowledged}" if self.acknowledged else ""
        state += f" ({self.note})" if self.note else ""
        state += ", cleared" if self.cleared else ""
        where = f"{self.app} ({self.module}.{self.function})"
        return shown(f"{self.id} {self.level} {where} {self.count}x {times}{state}: {text}")


class AlarmParser(ArgumentParser):
    """Understands daemons of 0.5.x, which send their name where the command's should be."""

    def parse_args(self, args=None, namespace=None):
        is_old = args[1:2] == ["--date"]
        return super().parse_args(["alarm", *args] if is_old else args, namespace)


class AlarmManager(Server):
    """Collects the alarms of many daemons until somebody takes care of them."""

    port = 9020
    socket_timeout = 0.5  # s from one look at what is due to the next
    escalate_level = logging.ERROR  # and above
    escalate_after = 600.0  # s; CRITICAL ones escalate at once
    repeat = 3600.0  # s; 0: once is enough
    most = 1000  # alarms, and silent apps, that are remembered
    state = None  # the file

    def __init__(self, *args, **kwargs):
        self.guard = threading.Lock()  # guards what follows, and each Alarm
        self.alarms = {}  # by key, the oldest first
        self.silences = {}  # app: until when, time.time()
        self.last_id = 0
        self.changed = False  # since the file was written
        super().__init__(*args, **kwargs)

    def create_parser(self):
        self.parser = AlarmParser(prog="alarm_manager", description=self.__doc__)
        self.sp = self.parser.add_subparsers(title="command", description="Actions")
        alarm = self.add_command("alarm", self.take, "takes an alarm; daemons send it")
        alarm.add_argument("name", help="of the daemon")
        for option in ("date", "level", "app", "module", "function", "message"):
            alarm.add_argument(f"--{option}", default="")
        show = self.add_command("list", self.show, "lists the alarms and who is silent")
        show.add_argument("--all", action="store_true", help="with alarms that were cleared")
        show.add_argument("--app", help="only of this app and its parts")
        acknowledge = self.add_command("acknowledge", self.acknowledge, "says: I take care")
        acknowledge.add_argument("id", type=int, help="the alarm's number")
        acknowledge.add_argument("--by", default="somebody", help="who")
        acknowledge.add_argument("--note", default="", help="for the others")
        silence = self.add_command("silence", self.silence, "lets no alarm of an app escalate")
        silence.add_argument("app", help="the app; its parts are silent, too")
        silence.add_argument("minutes", type=minutes, help="for how long; 0 ends it")
        clear = self.add_command("clear", self.clear, "says: it is over")
        clear.add_argument("id", type=int, help="the alarm's number")

    def add_command(self, name, function, description):
        parser = self.sp.add_parser(name, description=description)
        parser.set_defaults(func=function, which=name)
        return parser

    # --- commands, each in its client's thread -------------------------------------------------

    def take(self):
        words = self.namespace
        names = (words.app or words.name, words.level, words.module, words.function)
        if belongs(names[0], escalation.name):  # it would escalate, and come back, for ever
            self.reply = "Error! that is my own: [AlarmLogger] in my logging.ini names me"
            return
        names = [name[:LONGEST_NAME] for name in names]
        date = words.date[:LONGEST_NAME] or time.strftime(TIME)
        with self.guard:
            alarm = self.enter(Alarm(*names, words.message[:LONGEST_TEXT], date, date))
            number, is_news, text = alarm.id, alarm.count == 1, str(alarm)
        if is_news:
            log.info("new: %s", text)
        self.reply = f"alarm {number}"

    def enter(self, new):
        """Enter an alarm or count it, and return it. Only under the guard."""
        alarm = self.alarms.get(new.key)
        if alarm is None or alarm.cleared:
            self.alarms.pop(new.key, None)
            self.last_id += 1
            alarm, new.id = new, self.last_id
            self.alarms[new.key] = new
            if new.severity >= self.escalate_level:
                at_once = new.severity >= logging.CRITICAL
                new.due = time.time() + (0 if at_once else self.escalate_after)
        elif alarm.last != new.last:  # the very same is the same, sent again for a lost reply
            alarm.count, alarm.last = alarm.count + 1, new.last
        if len(self.alarms) > self.most:  # max() finds the oldest of those that matter least
            least = max(self.alarms.values(), key=lambda one: (one.cleared, one.acknowledged != ""))
            del self.alarms[least.key]
        self.changed = True
        return alarm

    def show(self):
        name, now = self.namespace.app, time.time()
        with self.guard:
            alarms = [dataclasses.replace(alarm) for alarm in self.alarms.values()]
            silences = dict(self.silences)
        lines = [
            str(alarm)
            for alarm in alarms
            if (self.namespace.all or not alarm.cleared) and (not name or belongs(alarm.app, name))
        ]
        lines += [
            f"{shown(app)} is silent until {time.strftime(TIME, time.localtime(until))}"
            for app, until in silences.items()
            if until > now and (not name or belongs(name, app) or belongs(app, name))
        ]
        self.reply = "\n".join(lines) or "no alarms"

    def acknowledge(self):
        by, note = self.namespace.by[:LONGEST_NAME], self.namespace.note[:LONGEST_TEXT]
        self.change("acknowledged", acknowledged=by or "somebody", note=note)

    def clear(self):
        self.change("cleared", cleared=True)

    def change(self, what, **values):
        number = self.namespace.id
        with self.guard:
            found = [one for one in self.alarms.values() if one.id == number and not one.cleared]
            for alarm in found:
                vars(alarm).update(values)
                self.changed = True
        if not found:
            self.reply = f"Error! there is no alarm {number}; list shows which there are"
            return
        self.reply = f"{what} alarm {number}"
        log.info("%s", self.reply)

    def silence(self):
        app, now = self.namespace.app[:LONGEST_NAME], time.time()
        with self.guard:
            silences = {one: until for one, until in self.silences.items() if until > now}
            silences[app] = now + 60 * self.namespace.minutes
            self.silences = dict([*silences.items()][-self.most :])
            self.changed = True
        self.reply = f"{shown(app)} is silent for {self.namespace.minutes:g} minutes"
        log.info("%s", self.reply)

    # --- by itself, in the thread that accepts clients -----------------------------------------

    def service_actions(self):
        for severity, text in self.take_due():
            escalation.log(max(severity, logging.ERROR), "nobody takes care of alarm %s", text)
        try:
            self.save()
        except OSError as error:  # the next change tries again
            log.warning("cannot write %s: %s", self.state, error)

    def take_due(self):
        """Return severity and text of the alarms that escalate now."""
        now = time.time()
        with self.guard:
            silent = [app for app, until in self.silences.items() if until > now]
            due = [
                alarm
                for alarm in self.alarms.values()
                if alarm.due is not None
                and alarm.due <= now
                and not (alarm.acknowledged or alarm.cleared)
                and not any(belongs(alarm.app, app) for app in silent)
            ]
            for alarm in due:
                alarm.due = now + self.repeat if self.repeat else None
                self.changed = True
            return [(alarm.severity, str(alarm)) for alarm in due]

    def save(self):
        """Write the file if something has changed: wholly or, if that fails, not at all."""
        with self.guard:
            if not (self.state and self.changed):
                return
            self.changed = False
            alarms = [dict(vars(alarm)) for alarm in self.alarms.values() if not alarm.cleared]
            content = {"last_id": self.last_id, "silences": self.silences, "alarms": alarms}
        new = self.state.with_name(self.state.name + ".new")
        with new.open("w", encoding="utf-8") as file:
            json.dump(content, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        new.replace(self.state)

    def load(self, path):
        """Take what the run before has left in a file, and keep the alarms there."""
        if not path:
            return
        self.state, self.changed = Path(path), True
        try:
            content = json.loads(self.state.read_text(encoding="utf-8"))
            alarms = [Alarm(**fields) for fields in content["alarms"]]
            self.alarms = {alarm.key: alarm for alarm in alarms}
            self.silences, self.last_id = dict(content["silences"]), int(content["last_id"])
        except FileNotFoundError:
            log.info("%s is new", self.state)
        except (ValueError, TypeError, KeyError) as error:
            raise ConfigError(f"{self.state} is not from an alarm manager: {error!r}") from error


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--config", help="settings, as in server.ini")
    parser.add_argument("--host", help="address to listen on; default: localhost")
    parser.add_argument("--port", type=int, help="default: 9020")
    parser.add_argument("--logging", metavar="INI", help="where to log and how to escalate")
    parser.add_argument("--state", metavar="FILE", help="keeps the alarms over a restart")
    parser.add_argument("--escalate-level", choices=LEVELS, default="ERROR", help="and above")
    parser.add_argument("--escalate-after", type=minutes, default=10, metavar="MINUTES")
    parser.add_argument("--repeat", type=minutes, default=60, metavar="MINUTES", help="0: never")
    options = parser.parse_args()
    try:
        if options.logging:
            custom_logging.configure_logging(options.logging, logger_name=log.name)
        else:
            for name in ("lab_utils_mt", log.name):
                logging.getLogger(name).addHandler(custom_logging.console_handler())
                logging.getLogger(name).setLevel("INFO")
        manager = AlarmManager(options.config, host=options.host, port=options.port)
        manager.escalate_level = logging.getLevelName(options.escalate_level)
        manager.escalate_after, manager.repeat = 60 * options.escalate_after, 60 * options.repeat
        manager.load(options.state)
        manager.save()  # or say now that it cannot be written
        manager.start_daemon()
        manager.save()
    except (LabUtilsError, OSError, KeyboardInterrupt) as error:
        sys.exit(f"alarm_manager: {str(error).strip() or 'stopped'}")


if __name__ == "__main__":
    main()
