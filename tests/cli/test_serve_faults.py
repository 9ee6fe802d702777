"""Is it said why a class does not become a daemon: in one line, or for a bug with its traceback?"""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from served import PACKAGE, THERMOMETER, TIMEOUT, Done, Project, ask, thermometer
from systems import ROOT, WINDOWS, needs_pty, needs_umask

TARGET = "thermometer:Thermometer"
IS_ROOT = hasattr(os, "geteuid") and os.geteuid() == 0


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Return a folder with a thermometer."""
    return Project(tmp_path)


def assert_mistake(done: Done, words: str) -> None:
    """Make sure that one line says what the user has to do, here and in the log."""
    assert done.status == 1, done
    lines = done.errors.splitlines()
    assert len(lines) == 1, done
    assert lines[0].startswith("serve: "), done
    assert re.search(words, lines[0]), done
    assert lines[0].removeprefix("serve: ") in done.output, done
    assert "Traceback" not in done.output, done


def assert_bug(done: Done, words: str) -> None:
    """Make sure that the last line is told, and that the traceback is in the log."""
    assert done.status == 1, done
    (line,) = done.errors.splitlines()
    assert re.search(rf"^serve: .*{words}.*; the log has the traceback$", line), done
    assert "Traceback (most recent call last)" in done.output, done
    assert "loading.py" not in done.output, done  # how we came there


# --- what its user did wrong ---------------------------------------------------------------

NO_DATABASE = thermometer(
    "def __init__(self, config_file=None):", "    super().__init__(config_file)"
)
NEEDY = thermometer(
    "def __init__(self, serial_port, config_file=None):", "    super().__init__(config_file)"
)


@pytest.mark.parametrize(
    ("module", "target", "words"),
    [
        (THERMOMETER, "thermometr:Thermometer", "no module 'thermometr' in .*mean thermometer"),
        (THERMOMETER, "oven:Oven", "no module 'oven' in .*; check its name, and --folder"),
        (THERMOMETER, "thermometer.old:Oven", "no module 'thermometer.old' in"),
        (f"import nosuchlib\n{THERMOMETER}", TARGET, "imports 'nosuchlib', which is not there"),
        (thermometer("def x(:"), TARGET, r"\(thermometer.py, line 1[45]\)"),
        (
            THERMOMETER,
            "thermometer:Thermo",
            "no class Thermo; did you mean thermometer:Thermometer",
        ),
        (THERMOMETER, "thermometer:command", "command of thermometer.py cannot be served"),
        (THERMOMETER, "thermometer:Server", "did you mean thermometer:Thermometer"),
        ("class Oven:\n    pass\n", "thermometer:Oven", "it is no subclass of .*Server; check"),
        (NEEDY, TARGET, r"__init__\(\) needs 'serial_port': give it a default"),
        (
            "raise SystemExit(3)\n",
            TARGET,
            r"ends the program \(3\) \(thermometer.py, line 1\); put what",
        ),
        (
            f"{THERMOMETER}\nThermometer('server.ini').start_daemon()\n",
            TARGET,
            r"it makes a server itself \(thermometer.py, line 14\); put what runs it below",
        ),
        (
            thermometer("@command", "def heat(self, to: complex): pass"),
            TARGET,
            r"method heat: parameter to: complex is no .*\(thermometer.py, line 6\)",
        ),
        (
            thermometer("def create_parser(self):", "    pass"),
            TARGET,
            r"create_parser\(\) must set self.parser .*: call super\(\)",
        ),
        (thermometer("port = 'x'"), TARGET, "class Thermometer: port = 'x' must be int"),
        (
            thermometer("def __init__(self):", "    pass"),
            TARGET,
            r"Thermometer.__init__\(\) made no server: let it call super\(\)",
        ),
    ],
)
def test_a_class_that_cannot_be_had(project: Project, module: str, target: str, words: str) -> None:
    """One line, and no traceback."""
    project.write("thermometer.py", module)
    assert_mistake(project.serve(target), words)


def test_a_module_that_is_hidden(
    project: Project, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Python has one of that name, and has imported it already."""
    project.write("logging.py", THERMOMETER)
    done = project.serve(
        "logging:Thermometer",
        *("--folder", str(project.folder)),
        cwd=tmp_path_factory.mktemp("elsewhere"),  # or it would hide Python's own from Python
    )
    assert_mistake(done, r"no class Thermometer; it hides \S+logging.py: give that another name")


def test_a_class_that_takes_no_database(project: Project) -> None:
    """It is told what to write."""
    project.write("thermometer.py", NO_DATABASE)
    project.write("database.ini", "[Overall]\ndsn = dbname=x\n")
    done = project.serve(TARGET, "--config", "server.ini", "--database", "database.ini")
    assert_mistake(done, r"takes no 'database': let it take database=None .*or leave --database")


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("config", "[Overall]\nprot = 1\n", r"cold.ini, section \[Overall\]: unknown key 'prot'"),
        ("config", "[Overall]\nport = x\n", "port = 'x' is not a whole number"),
        ("config", "port = 1\n", "not a valid ini file: look at line 1"),
        ("config", None, "cannot read .*cold.ini: "),
        ("database", "[Overall]\ndns = x\n", "unknown key 'dns'"),
        ("database", "[Overall]\nhost = x\n", "key 'port' is missing"),
        ("database", None, "cannot read .*cold.ini: "),
        ("logging", "[ConsoleLogger]\nlog_levle = INFO\n", "unknown key 'log_levle'"),
        ("logging", "[Flie]\nx = 1\n", "sections are missing"),
        ("logging", None, "cannot read .*cold.ini: "),
    ],
)
def test_settings_that_cannot_be_used(
    project: Project, name: str, text: str | None, words: str
) -> None:
    """File, section and key are named."""
    if text is not None:
        project.write("cold.ini", text)
    assert_mistake(project.serve(TARGET, f"--{name}", "cold.ini"), words)


def test_a_second_daemon(project: Project) -> None:
    """It is told who holds the PID file; the first one goes on."""
    with project.start(TARGET, "--config", "server.ini") as running:
        port = running.port()
        done = project.serve(TARGET, "--config", "server.ini")
        pid = (project.folder / "it.pid").read_text().partition(";")[0]
        assert_mistake(done, rf"it.pid is held by {pid};.*: stop that server first")
        assert ask(port, "read") == "4.2"
        running.stop()


def test_a_port_in_use(project: Project) -> None:
    """It is named, with what to do; the PID file is free again."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        project.write(
            "server.ini", f"[Overall]\nhost = 127.0.0.1\nport = {port}\npid_file_name = it.pid\n"
        )
        done = project.serve(TARGET, "--config", "server.ini")
    assert_mistake(done, f"cannot listen on 127.0.0.1:{port}: .*; stop the other program")
    assert "it.pid" not in project.files()


def test_a_database_that_is_down(project: Project) -> None:
    """It is named, with what to do."""
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    dsn = f"host=127.0.0.1 port={port} dbname=cryo user=me password=geheim connect_timeout=5"
    project.write("database.ini", f"[Overall]\ndsn = {dsn}\n")
    done = project.serve(TARGET, "--config", "server.ini", "--database", "database.ini")
    assert_mistake(done, "cannot open database 'cryo' on host 127.0.0.1.*; check that the server")
    assert "geheim" not in repr(done)


@needs_pty
@pytest.mark.parametrize(
    ("logging", "in_log", "beside"),
    [
        (None, 1, 0),
        ("[FileLogger]\nactive = no\n[ConsoleLogger]\nactive = no\n", 0, 1),
        ("[ConsoleLogger]\nlog_level = CRITICAL\n", 0, 1),
    ],
)
def test_a_terminal_shows_the_fault_once(
    project: Project, logging: str | None, in_log: int, beside: int
) -> None:
    """In the log, if it is shown there."""
    words = ["serve", "thermometer:Oven"]
    if logging is not None:
        project.write("logging.ini", logging)
        words += ["--logging", "logging.ini"]
    shown = on_a_terminal(project, words)
    assert len(re.findall("has no class Oven", shown)) == in_log + beside, shown
    assert len(re.findall("(?m)^serve: ", shown)) == beside, shown


def test_one_pipe_has_the_fault_once(project: Project) -> None:
    """As after 2>&1, and as the journal has it of a service; Windows cannot tell."""
    both = run_into(project, ["serve", "thermometer:Oven"], subprocess.PIPE, subprocess.STDOUT)
    assert both.count("has no class Oven") == (2 if WINDOWS else 1)


def on_a_terminal(project: Project, words: list[str]) -> str:
    """Run a command line that ends by itself; return what its terminal shows."""
    assert sys.platform != "win32"
    ours, theirs = os.openpty()
    try:
        run_into(project, words, theirs, theirs)
        return os.read(ours, 65536).decode()
    finally:
        os.close(ours)
        os.close(theirs)


def run_into(project: Project, words: list[str], output: int, errors: int) -> str:
    """Run a command line that ends by itself; return its output, if that goes into a pipe."""
    done = subprocess.run(
        [sys.executable, "-m", "lab_utils_mt", *words],
        cwd=project.folder,
        env={**os.environ, "PYTHONPATH": PACKAGE, "NO_COLOR": "1"},
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=errors,
        encoding="utf-8",
        timeout=TIMEOUT,
        check=False,
    )
    return done.stdout or ""


def test_a_folder_that_is_none(project: Project) -> None:
    """There is no log yet; the line is not told twice."""
    for name in ("nowhere", "thermometer.py"):
        done = project.serve(TARGET, "--folder", name)
        assert done.status == 1
        assert re.fullmatch(
            rf"serve: cannot work in \S+{name}: .*; check --folder\n", done.errors
        ), done
        assert done.output == ""


@needs_umask
@pytest.mark.skipif(IS_ROOT, reason=ROOT)
def test_a_module_that_may_not_be_read(project: Project) -> None:
    """It is named; also one that it imports."""
    project.write("bridge.py", "").chmod(0)
    assert_mistake(project.serve("bridge:Oven"), "Permission denied: .*bridge.py; let this user")
    project.write("thermometer.py", "import bridge\n")
    assert_mistake(project.serve(TARGET), "Permission denied: .*bridge.py; let this user read it")


@needs_umask
@pytest.mark.skipif(IS_ROOT, reason=ROOT)
def test_an_unreadable_folder(project: Project) -> None:
    """The same line."""
    closed = project.folder / "closed"
    closed.mkdir(mode=0o300)
    done = project.serve(TARGET, "--folder", "closed")
    assert re.search("cannot work in .*closed: Permission denied; check", done.errors), done


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ([], "required: MODULE:CLASS"),
        (["thermometer"], "is not MODULE:CLASS, as in thermometer:Thermometer"),
        ([":Thermometer"], "is not MODULE:CLASS"),
        (["lab/thermometer.py:Oven"], "write the module, thermometer:Oven, and --folder where"),
        (["C:\\lab\\thermometer.py:Oven"], "write the module, thermometer:Oven, and --folder"),
        (["1st:Oven"], "'1st' cannot be a name in Python"),
        ([TARGET, "--config", ""], "argument --config"),
        ([TARGET, "--conf", "x"], "unrecognized arguments"),
    ],
)
def test_words_that_make_no_sense(project: Project, words: list[str], complaint: str) -> None:
    """Status 2."""
    done = project.serve(*words)
    assert done.status == 2
    assert complaint in " ".join(done.errors.split())


# --- what the lab's code did wrong ---------------------------------------------------------


@pytest.mark.parametrize(
    ("module", "words"),
    [
        (
            "x = 1 / 0\n",
            r"cannot import thermometer: ZeroDivisionError: .* \(thermometer.py, line 1\)",
        ),
        (
            thermometer("def __init__(self):", "    super().__init__(pid_file_name='a', prot=3)"),
            r"TypeError: .*'prot' \(thermometer.py, line 15\)",
        ),
        (
            thermometer("def __init__(self):", "    open('/no/such/device')"),
            r"cannot make Thermometer: FileNotFoundError: .* \(thermometer.py, line 15\)",
        ),
        (
            thermometer("def __init__(self):", "    raise SystemExit('no device')"),
            r"cannot make Thermometer: it ends the program \('no device'\)",
        ),
        (
            thermometer(
                "def service_actions(self):",
                "    raise ValueError('hot')",
                "pid_file_name, port = 'b.pid', 0",
            ),
            r"Thermometer failed: ValueError: hot \(thermometer.py, line 15\)",
        ),
    ],
)
def test_code_that_fails(project: Project, module: str, words: str) -> None:
    """Its user needs the last line, its author the traceback."""
    project.write("thermometer.py", module)
    assert_bug(project.serve(TARGET), words)
    assert not project.files() & {"a.pid", "b.pid"}
