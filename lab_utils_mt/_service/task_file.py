"""How does the Task Scheduler of Windows hear of a lab daemon: what is in its file, and why?

The text is a pure function of the :class:`.description.Service` and of the user it is for.
"""

from __future__ import annotations

import dataclasses
import json
import re
import string
import subprocess
from pathlib import Path
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from ..exceptions import ConfigError, LabUtilsError
from .description import Service

_SPACE = "{http://schemas.microsoft.com/windows/2004/02/mit/task}"
# What the Task Scheduler replaces, in a command, its arguments and its folder alike.
_REPLACED = re.compile(r"%[^%]+%|\$\(")
_PATHS = ("folder", "config", "database", "logging", "python")

_TEXT = string.Template("""\
<?xml version="1.0" encoding="UTF-16"?>
<!-- Written by lab_utils_mt: "lab-utils-mt service install". "service remove" takes it away. -->
<Task version="1.2" xmlns="http://schemas.microsoft.com/windows/2004/02/mit/task">
  <RegistrationInfo>
    <Source>lab_utils_mt</Source>
    <Description>Lab daemon $name ($target)</Description>
    <!-- What "lab-utils-mt service" was told, for its other verbs. -->
    <Documentation>$data</Documentation>
  </RegistrationInfo>
  <Triggers>$trigger</Triggers>
  <Principals>
    <Principal id="Daemon">$principal</Principal>
  </Principals>
  <Settings>
    <!-- One instance only: whoever starts it again gets the one that runs. -->
    <MultipleInstancesPolicy>IgnoreNew</MultipleInstancesPolicy>
    <!-- A notebook that loses its power supply goes on measuring. -->
    <DisallowStartIfOnBatteries>false</DisallowStartIfOnBatteries>
    <StopIfGoingOnBatteries>false</StopIfGoingOnBatteries>
    <!-- By default a task is ended after three days; this one never. -->
    <ExecutionTimeLimit>PT0S</ExecutionTimeLimit>
    <!-- Again a minute after a failure, the shortest time that there is. -->
    <RestartOnFailure>
      <Interval>PT1M</Interval>
      <Count>255</Count>
    </RestartOnFailure>
    <!-- A start that was missed, because the computer was off, is made up for. -->
    <StartWhenAvailable>true</StartWhenAvailable>
    <AllowStartOnDemand>true</AllowStartOnDemand>
    <AllowHardTerminate>true</AllowHardTerminate>
    <Enabled>true</Enabled>
    <!-- 7, the default, would give it less of processor and disk than other programs have. -->
    <Priority>4</Priority>
  </Settings>
  <Actions Context="Daemon">
    <Exec>
      <Command>$command</Command>
      <Arguments>$arguments</Arguments>
      <WorkingDirectory>$folder</WorkingDirectory>
    </Exec>
  </Actions>
</Task>
""")

_AT_LOGON = "<LogonTrigger><Enabled>true</Enabled><UserId>{user}</UserId></LogonTrigger>"
_AT_BOOT = "<BootTrigger><Enabled>true</Enabled></BootTrigger>"
# As this user, while logged in, without the rights of an administrator: no password is stored.
_AS_USER = (
    "<UserId>{user}</UserId><LogonType>InteractiveToken</LogonType>"
    "<RunLevel>LeastPrivilege</RunLevel>"
)
_AS_SYSTEM = "<UserId>S-1-5-18</UserId><RunLevel>HighestAvailable</RunLevel>"


def task_text(service: Service, user: str) -> str:
    """Return the XML of a service's task.

    Args:
        service: The service; it starts with the computer if it is the system's, else at the login.
        user: ``DOMAIN\\name`` of whose login that is.

    Raises:
        ConfigError: A path cannot be written there.
    """
    for text in (str(service.python), str(service.folder), *service.serve_words()):
        if _REPLACED.search(text):
            raise ConfigError(
                f"{text!r} cannot be written in a task, where %...% and $() mean something else:"
                " rename it"
            )
    trigger, principal = (_AT_BOOT, _AS_SYSTEM) if service.system else (_AT_LOGON, _AS_USER)
    texts = {
        "name": service.name,
        "target": service.target,
        "data": json.dumps(_as_told(service)),
        "command": str(service.python),
        "arguments": subprocess.list2cmdline(service.serve_words()),
        "folder": str(service.folder),
    }
    return _TEXT.substitute(
        {key: _safe(text) for key, text in texts.items()},
        trigger=trigger.format(user=_safe(user)),
        principal=principal.format(user=_safe(user)),
    )


def service_of(text: str) -> Service:
    """Return the service of a task, from the XML that the Task Scheduler gives back.

    Raises:
        LabUtilsError: It is not one of ours.
    """
    try:
        # Its declaration says UTF-16, but this is text already.
        root = ElementTree.fromstring(text.partition("?>")[2].strip() or text)  # noqa: S314
        told = json.loads(root.findtext(f".//{_SPACE}Documentation") or "")
        for key in _PATHS:
            told[key] = None if told[key] is None else Path(told[key])
        return Service(**told)
    except (ElementTree.ParseError, ValueError, TypeError, KeyError, ConfigError) as error:
        raise LabUtilsError(
            "the task was not written by lab_utils_mt, or was changed:"
            " use Windows' Task Scheduler for it"
        ) from error


def _as_told(service: Service) -> dict[str, object]:
    told = dataclasses.asdict(service)
    return {key: str(value) if isinstance(value, Path) else value for key, value in told.items()}


def _safe(text: str) -> str:
    if not text.isprintable():
        raise ConfigError(
            f"{text!a} cannot be written in a task: rename it, without odd characters"
        )
    return escape(text)
