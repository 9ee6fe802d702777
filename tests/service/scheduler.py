"""Does what ``schtasks`` does with one task at a time: a stand-in for systems that have none.

Its tasks are files in the folder that LAB_TASKS names.
"""

import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

SPACE = "{http://schemas.microsoft.com/windows/2004/02/mit/task}"
words = dict(zip(sys.argv[2::2], [*sys.argv[3::2], ""], strict=False))
verb, title = sys.argv[1], words["/TN"]
place = Path(os.environ["LAB_TASKS"], re.sub(r"\W", "_", title))
task, running = place.with_suffix(".xml"), place.with_suffix(".pid")


def fail(text):
    sys.stderr.write(f"ERROR: {text}\n")
    sys.exit(1)


def create():
    if os.environ.get("LAB_TASKS_DENIED"):
        fail("Access is denied.")
    text = Path(words["/XML"]).read_text(encoding="utf-16")
    ElementTree.fromstring(text.partition("?>")[2])
    task.write_text(text, encoding="utf-8")


def run():
    execution = ElementTree.fromstring(task.read_text(encoding="utf-8").partition("?>")[2])
    execution = execution.find(f"{SPACE}Actions/{SPACE}Exec")
    command = execution.findtext(f"{SPACE}Command")
    process = subprocess.Popen(
        [command, *shlex.split(execution.findtext(f"{SPACE}Arguments"))],
        cwd=execution.findtext(f"{SPACE}WorkingDirectory"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    running.write_text(str(process.pid), encoding="utf-8")


def runs():
    try:
        os.kill(int(running.read_text(encoding="utf-8")), 0)
    except (FileNotFoundError, ProcessLookupError):
        return False
    return True


def end():
    try:
        os.kill(int(running.read_text(encoding="utf-8")), signal.SIGKILL)
    except (FileNotFoundError, ProcessLookupError):
        fail("There is no running instance of the task.")


if verb != "/Create" and not task.exists():
    fail("The system cannot find the file specified.")
if verb == "/Create":
    create()
elif verb == "/Run":
    run()
elif verb == "/End":
    end()
elif verb == "/Delete":
    task.unlink()
elif "/V" in sys.argv and os.environ.get("LAB_TASKS_MUTE"):
    pass
elif "/V" in sys.argv:
    result = 267009 if runs() else 0
    sys.stdout.write(f'"LAB","{title}","N/A","Bereit","Interaktiv","01.01.2026","{result}","me"\n')
elif "/XML" in sys.argv:
    sys.stdout.write(task.read_text(encoding="utf-8"))
else:
    sys.stdout.write(f"\nTaskName: {title}\nStatus:   Ready\n")
