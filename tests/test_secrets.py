"""Do secrets stay secret? A program has one in every place for one, and much goes wrong."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from canaries import (
    CANARIES,
    DATABASE_PASSWORD,
    PASSWORD,
    TOKEN,
    USER,
    WEBHOOK_PATH,
    found_in,
)
from daemons import Stage, serving
from logs.peers import MailServer, SlackServer, ca_file
from logs.tcp_proxy import bound_socket

import lab_utils_mt.exceptions

PACKAGE_FOLDER = str(Path(lab_utils_mt.exceptions.__file__).parent.parent)
PROGRAM = """
import logging, sys, threading, traceback
sys.path.insert(0, sys.argv[1])
from lab_utils_mt import custom_logging
from lab_utils_mt._logs import living
from lab_utils_mt.database import Database

# A user's own handler, which knows nothing of secrets, sees what all libraries say.
logging.basicConfig(level=logging.DEBUG, stream=sys.stderr)

def attempt(act):
    try:
        act()
    except Exception:
        traceback.print_exc()
        logging.exception("failed")

attempt(lambda: custom_logging.configure_logging(sys.argv[2]))
logging.getLogger().setLevel(logging.DEBUG)
logger = custom_logging.getLogger("lab")
database = Database(dsn=sys.argv[3])
attempt(database.connect)
attempt(lambda: Database(dsn=sys.argv[3] + " port=nonsense").connect())
logger.error("it goes on: %r %r", database, living.all_sinks())
for sink in living.all_sinks():
    logger.error("%s", sink)
    print(sink, repr(sink), sink.status(), sink.formatter)
print("\\n".join(custom_logging.logging_status()))
thread = threading.Thread(target=lambda: 1 / 0)
thread.start()
thread.join()
sinks = living.all_sinks()
living.settle(sinks, 15)
custom_logging.unconfigure_logging()
"""


def secret(path: Path, text: str) -> Path:
    """Write a secret into a file of its own."""
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)
    return path


def run(ini: Path, dsn: str) -> str:
    """Run the program; return all that it wrote."""
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM, PACKAGE_FOLDER, str(ini), dsn],
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
        timeout=100,
    )
    files = [path.read_text("utf-8") for path in ini.parent.glob("lab_*.log")]
    assert "it goes on" in result.stderr
    return "\n".join([result.stdout, result.stderr, *files])


@pytest.mark.parametrize("trouble", ["none", "refused", "down"])
@pytest.mark.parametrize("way", ["token", "webhook"])
def test_no_output_of_a_program_shows_a_secret(tmp_path: Path, way: str, trouble: str) -> None:
    """Whether its peers are well, refuse the login, or are not there."""
    nobody = bound_socket()
    with (
        MailServer() as mail,
        SlackServer() as slack,
        serving(Stage(pid_file_name=str(tmp_path / "pid"), port=0)) as server,
        nobody,
    ):
        if trouble == "refused":
            mail.answers["AUTH"] = "535 no: " + PASSWORD  # as some servers do
            slack.script.extend([(401, TOKEN if way == "token" else WEBHOOK_PATH, {})] * 5)
        down = nobody.getsockname()[1] if trouble == "down" else None
        url = slack.url(port=down or slack.port)
        token = TOKEN if way == "token" else slack.url(WEBHOOK_PATH, down or slack.port)
        ini = tmp_path / "logging.ini"
        ini.write_text(
            "[ConsoleLogger]\nlog_level = DEBUG\n"
            f"[FileLogger]\nactive = 1\nlog_level = DEBUG\nlog_path = {tmp_path}\n"
            "log_basename = lab\n"
            f"[AlarmLogger]\nactive = 1\nhost = 127.0.0.1\nport = {server.port}\n"
            f"[SlackLogger]\nactive = 1\napi_file = {secret(tmp_path / 'api', token)}\n"
            f"channel = c\napi_url = {url if way == 'token' else ''}\ntimeout = 2\n"
            "[MailHandler]\nactive = 1\nmail_host = 127.0.0.1\ntimeout = 2\n"
            f"credentials_file = {secret(tmp_path / 'login', USER + chr(10) + PASSWORD)}\n"
            f"port = {down or mail.port}\nca_file = {ca_file(tmp_path)}\n"
            "sender = a@b.org\nrecipients = c@d.org\n",
            encoding="utf-8",
        )
        dsn = f"host=127.0.0.1 port={nobody.getsockname()[1]} dbname=x user=u "
        output = run(ini, dsn + "password='" + DATABASE_PASSWORD.replace("'", "\\'") + "'")
        sent = [each.content.decode("utf-8", "replace") for each in mail.mails] + slack.texts
        if trouble == "none":
            assert sent
    assert found_in(output) == []
    assert found_in("\n".join([*sent, *server.executed])) == []


def test_the_search_can_find() -> None:
    """Each of them, in the middle of a text."""
    assert len(CANARIES) > 10
    for canary in CANARIES:
        assert canary in found_in(f"before {canary} after")
