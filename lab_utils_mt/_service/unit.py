"""How does systemd hear of a lab daemon: what is in its unit file, and why?

The text is a pure function of the :class:`.description.Service`: ``service install`` writes it, and
anybody may write it by hand.
"""

from __future__ import annotations

import math
import string
import sys
from pathlib import Path

from .._config import read_section
from .._settings import AFTER_STOP_TIMEOUT, ServerSettings
from ..exceptions import ConfigError
from .description import Service

MARK = "# Written by lab_utils_mt"
"""How a line of every unit file begins that is ours."""

_UNSAFE_IN_PROGRAM = set("\"'\\")  # systemd takes no program whose path has one of these

_HEAD = string.Template("""\
# $name.service: the lab daemon $target.
$mark: "lab-utils-mt service install". "service remove" takes it away.
# After a change by hand: $systemctl daemon-reload

[Unit]
Description=Lab daemon $name ($target)
""")

_ONLINE = """\
# An address or a database may be elsewhere in the network.
Wants=network-online.target
After=network-online.target
"""

_LIMIT = """\
# It is tried again without end: what it needs, such as a database, may come back in an hour, when
# nobody is there.
StartLimitIntervalSec=0

[Service]
"""

_MAIN = string.Template("""\
# It counts as started when it listens: the daemon tells that itself, and when it begins to stop.
# Only the daemon is believed, not what its commands start.
Type=notify
NotifyAccess=main
# The first connection to a database may take a while.
TimeoutStartSec=120
# The daemon's main loop gives a sign of life every 15 s; without one for 30 s it is replaced.
WatchdogSec=30

# The interpreter that installed it; relative paths and modules are those of its folder.
WorkingDirectory=$folder
ExecStart=$command
# Log lines reach the journal at once, and under this name.
Environment=PYTHONUNBUFFERED=1
SyslogIdentifier=$name

# After a fault, a kill or a missed sign of life; not after "service stop" or the command quit.
Restart=on-failure
RestartSec=10
# Status 2: the words of ExecStart make no sense. That would not get better.
RestartPreventExitStatus=2

# SIGTERM goes to the daemon alone: it stops in order, what it has started too. Running commands
# get its stop_timeout ($stop_timeout s), the rest of the stop $rest s; then all of it is killed. If
# its stop_timeout has been made longer since, the daemon asks for more.
KillMode=mixed
TimeoutStopSec=$stop
""")

_OF_USER = """\

# A PID file lies in the user's runtime folder, as for a daemon started by hand: so the one excludes
# the other. What it dies of, it leaves in the user's state folder.
"""

_OF_SYSTEM = string.Template("""\

# It may do what the owner of its folder may do, and no more.
User=$user
# Its PID file lies in /run/lab_utils_mt/$name. What it dies of, it leaves in
# /var/lib/lab_utils_mt/$name.
RuntimeDirectory=lab_utils_mt/$name
StateDirectory=lab_utils_mt/$name
""")

_HARDENING = """\

# What a daemon of a laboratory never needs, so that a fault in it harms nothing else. Not among
# them: PrivateDevices, RestrictAddressFamilies and ProtectKernelTunables, which would keep it from
# serial ports, GPIB, CAN and what is set in /sys; MemoryDenyWriteExecute, which stops libraries
# that compile while they run; and ProtectHome, for its folder often lies there.
# No program that it starts gets more rights than it has (sudo, for one, does not work in it).
NoNewPrivileges=yes
# It makes no file that would lend its rights to others.
RestrictSUIDSGID=yes
# The programs it runs are for this processor, and need no older interfaces.
LockPersonality=yes
# It makes no containers.
RestrictNamespaces=yes
"""

_HARDENING_OF_SYSTEM = string.Template("""\
# /usr, /boot and /etc are read-only, but not its own folder, should that lie in one of them. Data
# may be anywhere else.
ProtectSystem=full
ReadWritePaths=$folder
# Its /tmp is its own: nobody can put a file in its way there. Take this line out if it shares files
# in /tmp with other programs.
PrivateTmp=yes
# Modules and messages of the kernel, and the name of the computer, are not its business.
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectHostname=yes
""")

_END = string.Template("""\

[Install]
WantedBy=$target
""")


def unit_text(service: Service) -> str:
    """Return the unit file of a service, for the user's systemd or the system's.

    Raises:
        ConfigError: A path cannot be written there, or the server's settings cannot be read.
    """
    stop_timeout = stop_timeout_of(service)
    main = _MAIN.substitute(
        folder=_plain(str(service.folder)),
        command=_command(service),
        name=service.name,
        stop_timeout=f"{stop_timeout:g}",
        rest=AFTER_STOP_TIMEOUT,
        stop=math.ceil(stop_timeout) + AFTER_STOP_TIMEOUT,
    )
    return "".join(
        [
            _head(service),
            _ONLINE if service.system else "",
            _LIMIT,
            main,
            _of_system(service) if service.system else _OF_USER,
            _HARDENING,
            _hardening_of_system(service) if service.system else "",
            _END.substitute(target="multi-user.target" if service.system else "default.target"),
        ]
    )


def stop_timeout_of(service: Service) -> float:
    """Return for how many seconds running commands may go on when the daemon stops.

    Raises:
        ConfigError: The server's settings cannot be read.
    """
    default = ServerSettings.stop_timeout
    if service.config is None:
        return default
    values = read_section(str(service.config), "Overall", ServerSettings)
    return float(values.get("stop_timeout", default))


def stop_timeout_if_known(service: Service) -> float:
    """Return the same; the default if the settings cannot be read any more."""
    try:
        return stop_timeout_of(service)
    except ConfigError:
        return ServerSettings.stop_timeout


def _head(service: Service) -> str:
    return _HEAD.substitute(
        name=service.name,
        target=_plain(service.target),
        mark=MARK,
        systemctl="systemctl" if service.system else "systemctl --user",
    )


def _of_system(service: Service) -> str:
    return _OF_SYSTEM.substitute(user=_plain(_owner(service.folder)), name=service.name)


def _hardening_of_system(service: Service) -> str:
    return _HARDENING_OF_SYSTEM.substitute(folder=_quoted(str(service.folder)))


def _owner(folder: Path) -> str:
    if sys.platform == "win32":
        raise ConfigError("Windows has no systemd")
    import pwd  # noqa: PLC0415  (Windows has none)

    try:
        number = folder.stat().st_uid
    except OSError as error:
        raise ConfigError(f"cannot use the folder {folder}: {error.strerror}") from error
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:  # of a network drive, for example
        return str(number)


def _command(service: Service) -> str:
    """Return the command line as systemd reads it."""
    words = [str(service.python), *service.serve_words()]
    if _UNSAFE_IN_PROGRAM & set(words[0]):
        words = ["/usr/bin/env", "--", *words]
    # Without the colon, $x in a path would be a variable; systemd knows it since version 244.
    free = ":" if any("$" in word for word in words) else ""
    return " ".join(map(_quoted, [free + words[0], *words[1:]]))


def _quoted(word: str) -> str:
    """Return a word as systemd reads it in a list: blanks, quotes and ``%`` mean themselves."""
    plain = _plain(word)
    if word and not set(word) & set(" \"'\\;"):
        return plain
    inner = plain.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{inner}"'


def _plain(text: str) -> str:
    """Return a text that is a line's rest: only ``%`` would mean something else.

    Raises:
        ConfigError: It cannot be on a line of UTF-8.
    """
    if not text.isprintable() or text != text.strip() or text.endswith("\\"):
        raise ConfigError(
            f"{text!a} cannot be written in a unit file: rename it, without line breaks, control"
            " characters, bytes that are no UTF-8, and blanks or a backslash at its end"
        )
    return text.replace("%", "%%")
