"""An alarm manager to copy, with alarm_state.py: collects the alarms of many daemons.

Run it with: python alarm_manager.py --state alarms.json --logging logging.ini

In the logging.ini of each daemon, [AlarmLogger] names its host and port. Ask it with any client:

    python cryostat_client.py --port 9020 list
    python cryostat_client.py --port 9020 acknowledge 7 --by anna --note "pump is off"
    python cryostat_client.py --port 9020 silence cryostat 60

What nobody takes care of in time is logged by the logger alarm_manager.escalation, as an ERROR at
least: by mail or Slack, if the file after --logging says so. What else happens is logged below
that. To acknowledge an alarm keeps it quiet for a day: if it is raised after that, it calls again.
Daemons of lab_utils 0.5.x are understood, too.
"""

import argparse
import contextlib
import logging
import sys
import threading
import time
from typing import Annotated

from alarm_state import LEVELS, Alarm, State, least_important, shown

from lab_utils_mt import custom_logging
from lab_utils_mt.commands import Meta, Unit, command
from lab_utils_mt.exceptions import CommandFailed, LabUtilsError
from lab_utils_mt.socket_comm import ArgumentParser, Server

log = logging.getLogger("alarm_manager")
escalation = logging.getLogger("alarm_manager.escalation")

TIME = "%Y-%m-%d %H:%M:%S"
LONGEST_NAME, LONGEST_TEXT = 200, 5000  # characters
DAY, WEEK = 86_400.0, 604_800.0  # s
CALL = "nobody takes care of alarm"


def minutes(text):
    if not 0 <= 60 * float(text) <= WEEK:
        raise argparse.ArgumentTypeError("from 0 to 10080 minutes, a week")
    return float(text)


def belongs(app, name):
    """Whether an app, such as cryostat.pump, is the named one or a part of it."""
    return app == name or app.startswith(name + ".")


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
    quiet = DAY  # s for which an acknowledgement holds
    capacity = 1000  # alarms, and silent apps, that are remembered

    def __init__(self, *args, **kwargs):
        self.guard = threading.Lock()  # of what follows, and each Alarm
        self.alarms = {}  # by key, the oldest first
        self.silences = {}  # app: until when, time.time()
        self.last_id = 0
        self.changed = threading.Event()  # since the file was written
        self.told_full = False
        super().__init__(*args, **kwargs)

    def create_parser(self):
        self.parser = AlarmParser(prog="alarm_manager", description=self.__doc__)
        self.sp = self.parser.add_subparsers(title="command", description="Actions")

    # --- commands, each in its client's thread -------------------------------------------------

    @command(name="alarm")
    def take(
        self,
        name: str,
        *,
        date: str = "",
        level: str = "",
        app: str = "",
        module: str = "",
        function: str = "",
        message: str = "",
    ) -> str:
        """Take an alarm; daemons send it.

        Args:
            name: Of the daemon.
        """
        names = [one[:LONGEST_NAME] for one in (app or name, level, module, function)]
        date = date[:LONGEST_NAME] or f"{time.strftime(TIME)}.{time.time_ns()}"
        with self.guard:
            alarm = self.enter(Alarm(*names, message[:LONGEST_TEXT], date, date))
            self.changed.set()
            number, is_news, text = alarm.id, alarm.count == 1, str(alarm)
        # Of alarm managers, nothing is told: two of them could tell each other the same for ever.
        if is_news and not belongs(alarm.app, log.name) and not belongs(alarm.app, "lab_utils_mt"):
            log.info("new: %s", text)
        self.make_room()
        return f"alarm {number}"

    def make_room(self):
        with self.guard:
            if len(self.alarms) <= self.capacity:
                return
            least = least_important(self.alarms.values())
            del self.alarms[least.key]
            is_news, self.told_full = not (least.cleared or self.told_full), True
        if is_news:
            log.warning("there are over %d alarms: forgot %s, then others", self.capacity, least)

    def enter(self, new):
        """Enter an alarm or count it, and return it. Call it under the guard."""
        now = time.time()
        alarm = self.alarms.get(new.key)
        if alarm is None or alarm.cleared:
            self.alarms.pop(new.key, None)
            self.last_id += 1
            alarm, new.id = new, self.last_id
            self.alarms[new.key] = new
            self.set_due(new, now)
        elif alarm.last != new.last:  # the very same is the same, sent again for a lost reply
            alarm.count, alarm.last = alarm.count + 1, new.last
            if alarm.acknowledged and abs(now - alarm.acknowledged_at) > self.quiet:
                alarm.acknowledged = ""
                self.set_due(alarm, now)
        return alarm

    def set_due(self, alarm, now):
        # Managers may call each other. A call about a call about an alarm ends that.
        if alarm.severity >= self.escalate_level and alarm.message.count(CALL) < 2:
            alarm.due = now if alarm.severity >= logging.CRITICAL else now + self.escalate_after

    @command(name="list")
    def show(self, *, all: bool = False, app: str | None = None) -> str:  # noqa: A002  (the option)
        """List the alarms and who is silent.

        Args:
            all: With alarms that were cleared.
            app: Only of this app and its parts.
        """
        now = time.time()
        with self.guard:
            lines = [
                str(alarm)
                for alarm in self.alarms.values()
                if (all or not alarm.cleared) and (not app or belongs(alarm.app, app))
            ]
            silences = dict(self.silences)
        for name, until in silences.items():
            if until > now and (not app or belongs(app, name) or belongs(name, app)):
                date = time.strftime(TIME, time.localtime(until))
                lines.append(f"{shown(name)} is silent until {date}")
        return "\n".join(lines) or "no alarms"

    @command
    def acknowledge(self, id: int, *, by: str = "somebody", note: str = "") -> str:  # noqa: A002  (an option)
        """Say: I take care.

        Args:
            id: The alarm's number.
            by: Who.
            note: For the others.
        """
        until = time.strftime(TIME, time.localtime(time.time() + self.quiet))
        return self.change(
            id,
            f"acknowledged alarm {id}; it is quiet until {until}",
            acknowledged=by[:LONGEST_NAME] or "somebody",
            acknowledged_at=time.time(),
            note=note[:LONGEST_TEXT],
        )

    @command
    def clear(self, id: int) -> str:  # noqa: A002
        """Say: it is over.

        Args:
            id: The alarm's number.
        """
        return self.change(id, f"cleared alarm {id}", cleared=True)

    def change(self, number, reply, **values):
        with self.guard:
            found = [a for a in self.alarms.values() if a.id == number and not a.cleared]
            for alarm in found:
                vars(alarm).update(values)
        if not found:
            raise CommandFailed(f"there is no alarm {number}; list shows which there are")
        self.changed.set()
        log.info("%s", reply)
        return reply

    @command
    def silence(
        self, app: str, minutes: Annotated[float, Meta(ge=0, le=10080), Unit("min")]
    ) -> str:
        """Let no alarm of an app escalate.

        Args:
            app: The app; its parts are silent, too.
            minutes: For how long; 0 ends it.
        """
        app = app[:LONGEST_NAME]
        with self.guard:
            self.silences.pop(app, None)
            self.silences[app] = time.time() + 60 * minutes
            if len(self.silences) > self.capacity:
                del self.silences[next(iter(self.silences))]  # the oldest
            self.changed.set()
        reply = f"{shown(app)} is silent for {minutes:g} minutes"
        log.info("%s", reply)
        return reply

    # --- by itself, in the thread that accepts clients -----------------------------------------

    def service_actions(self):
        try:
            for severity, text in self.take_due():
                escalation.log(max(severity, logging.ERROR), "%s %s", CALL, text)
        except Exception:  # or no client would be served any more
            log.exception("cannot look at what is due")

    def take_due(self):
        """Return severity and text of the alarms that call for people now."""
        now, due = time.time(), []
        # If the clock was set back, all times are too far away: none can be farther than this.
        latest = now + max(self.escalate_after, self.repeat)
        with self.guard:
            silences = {app: min(now + WEEK, until) for app, until in self.silences.items()}
            self.silences = {app: until for app, until in silences.items() if until > now}
            for alarm in self.alarms.values():
                is_silent = any(belongs(alarm.app, app) for app in self.silences)
                if alarm.due is None or alarm.acknowledged or alarm.cleared or is_silent:
                    continue
                alarm.due = min(latest, alarm.due)
                if alarm.due <= now:
                    alarm.due = now + self.repeat if self.repeat else None
                    self.changed.set()
                    due.append((alarm.severity, str(alarm)))
        return due


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--config", help="settings, as in server.ini")
    parser.add_argument("--host", help="address to listen on; default: localhost")
    parser.add_argument("--port", type=int, help="default: 9020")
    parser.add_argument("--logging", metavar="INI", help="where to log and escalate; default: here")
    state_help = "keeps the alarms over a restart; a power cut may cost the last second's"
    parser.add_argument("--state", metavar="FILE", help=state_help)
    parser.add_argument("--escalate-level", choices=LEVELS, default="ERROR", help="and above")
    parser.add_argument("--escalate-after", type=minutes, default=10, metavar="MINUTES")
    parser.add_argument("--repeat", type=minutes, default=60, metavar="MINUTES", help="0: never")
    options = parser.parse_args()
    try:
        custom_logging.configure_logging(options.logging, logger_name=log.name)
        manager = AlarmManager(options.config, host=options.host, port=options.port)
        manager.escalate_level = LEVELS[options.escalate_level]
        manager.escalate_after, manager.repeat = 60 * options.escalate_after, 60 * options.repeat
        with State(manager, options.state) if options.state else contextlib.nullcontext():
            manager.start_daemon()
    except (LabUtilsError, OSError, KeyboardInterrupt) as error:
        sys.exit(f"alarm_manager: {str(error).strip() or 'stopped'}")


if __name__ == "__main__":
    main()
