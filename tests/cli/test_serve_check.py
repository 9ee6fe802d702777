"""Is everything that a daemon needs checked, and is nothing started?"""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path

import pytest
import trustme
from served import THERMOMETER, TIMEOUT, Done, Project, thermometer
from systems import ROOT, needs_umask

from lab_utils_mt._cli.checking_files import check_room
from lab_utils_mt.exceptions import LabUtilsError
from lab_utils_mt.socket_comm import Client

TARGET = "thermometer:Thermometer"
IS_ROOT = hasattr(os, "geteuid") and os.geteuid() == 0
ALL = ("--config", "server.ini", "--database", "database.ini", "--logging", "logging.ini")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Return a folder with a thermometer."""
    return Project(tmp_path)


def check(project: Project, *words: str, **environment: str) -> Done:
    """Run ``serve --check``; see that nothing is left and nothing is said elsewhere."""
    before = project.files()
    done = project.serve(TARGET, "--check", *words, **environment)
    assert project.files() == before, done
    assert done.errors == "", done
    assert done.status == (1 if "FAILED" in done.output else 0), done
    assert all(re.match("ok .+: .|FAILED .+: .", one) for one in done.output.splitlines()), done
    return done


def verdicts(done: Done) -> dict[str, str]:
    """Return what was checked, and how it went."""
    lines = [line.split(":")[0].partition(" ") for line in done.output.splitlines()]
    return {what: verdict for verdict, _, what in lines}


def failure(done: Done, what: str) -> str:
    """Return why a check failed."""
    (line,) = [one for one in done.output.splitlines() if one.startswith(f"FAILED {what}: ")]
    return line.partition(": ")[2]


def certificate(project: Project) -> str:
    """Write the certificate of an authority."""
    trustme.CA().cert_pem.write_to_path(str(project.folder / "ca.pem"))
    return "ca.pem"


def test_all_is_well(project: Project, database_dsn: str) -> None:
    """A line for each, and status 0."""
    ca_file = certificate(project)
    project.write("database.ini", f"[Overall]\ndsn = {database_dsn}\n")
    project.write(
        "logging.ini",
        "[FileLogger]\nactive = yes\nlog_path = logs\nlog_basename = thermo\nkeep_days = 1\n"
        "[MailHandler]\nactive = yes\nmail_host = mail.lab\nsender = a@b.lab\n"
        f"recipients = c@d.lab\nca_file = {ca_file}\n[AlarmLogger]\nactive = yes\n",
    )
    done = check(project, *ALL)
    assert verdicts(done) == dict.fromkeys(
        [
            "folder",
            "import",
            "class",
            "database configuration",
            "logging",
            "configuration",
            "commands",
            "PID file",
            "port",
            "database",
            "TLS file",
            "free disk",
        ],
        "ok",
    )
    assert "ok commands: read, help, ping, status, quit" in done.output
    assert re.search(r"ok database: PostgreSQL \d.*TimescaleDB", done.output)
    assert re.search(r"ok free disk: .* GB for \S+logs\n", done.output)


def test_one_failure_does_not_hide_the_others(project: Project) -> None:
    """They are mended in one go."""
    project.write("thermometer.py", "def x(:\n")
    project.write("server.ini", "[Overall]\nprot = 1\n")
    project.write("database.ini", "[Overall]\ndns = 1\n")
    project.write(
        "logging.ini",
        "[SlackLogger]\nactive = yes\napi_file = none\n[MailHandler]\nactive = yes\nmail_host = m\n"
        "sender = a@b.lab\nrecipients = c@d.lab\nca_file = ca.pem\n",
    )
    done = check(project, *ALL)
    assert "(thermometer.py, line 1)" in failure(done, "import")
    assert "unknown key 'prot'" in failure(done, "configuration")
    assert "unknown key 'dns'" in failure(done, "database configuration")
    assert "api_file" in failure(done, "logging")
    assert re.search("ca_file .*ca.pem", failure(done, "logging"))
    assert re.search("cannot read .*ca.pem: .*; check where", failure(done, "TLS file"))
    assert {failure(done, what) for what in ("commands", "PID file", "port")} == {
        "first mend the class"
    }


@pytest.mark.parametrize(
    ("module", "what", "words"),
    [
        ("import nosuchlib\n", "import", "imports 'nosuchlib', which is not there"),
        ("1 / 0\n", "import", r"ZeroDivisionError: .* \(thermometer.py, line 1\)"),
        ("raise SystemExit\n", "import", "put what runs it below"),
        (f"{THERMOMETER}\nThermometer('server.ini').start_daemon()\n", "import", "it makes a"),
        ("class Thermometer:\n    pass\n", "class", "it is no subclass of"),
        (thermometer("max_clients = 0"), "configuration", "max_clients = 0 must be at"),
        (
            thermometer("def create_parser(self):", "    pass"),
            "commands",
            "must set self.parser and self.sp",
        ),
        (
            thermometer(
                "def create_parser(self):",
                "    super().create_parser()",
                "    self.sp.add_parser('read')",
            ),
            "commands",
            "read",
        ),
        (
            thermometer("def __init__(self, config_file=None, port=1, *, where):", "    pass"),
            "class",
            "needs 'where': give it a default",
        ),
    ],
)
def test_a_class_that_cannot_be_served(
    project: Project, module: str, what: str, words: str
) -> None:
    """Each fault has its line."""
    project.write("thermometer.py", module)
    assert re.search(words, failure(check(project, "--config", "server.ini"), what))


def test_the_instruments_are_left_alone(project: Project) -> None:
    """The daemon that runs just now may hold them."""
    project.write(
        "thermometer.py",
        thermometer(
            "def __init__(self, config_file=None):",
            "    open('touched', 'w').close()",
            "    super().__init__(config_file)",
        ),
    )
    done = check(project, "--config", "server.ini")
    assert done.status == 0
    assert (
        "ok class: Thermometer; what its __init__() does will be seen at the start" in done.output
    )


def test_a_parser_that_needs_what_the_constructor_makes(project: Project) -> None:
    """That is no fault."""
    project.write(
        "thermometer.py",
        thermometer(
            "def __init__(self, config_file=None):",
            "    self.word = 'x'",
            "    super().__init__(config_file)",
            "def create_parser(self):",
            "    super().create_parser()",
            "    self.sp.add_parser(self.word)",
        ),
    )
    done = check(project, "--config", "server.ini")
    assert done.status == 0
    assert "ok commands: create_parser() needs self.word of __init__()" in done.output


def test_a_class_that_looks_after_its_subclasses(project: Project) -> None:
    """The check makes none."""
    project.write(
        "thermometer.py",
        thermometer(
            "def __init_subclass__(cls, *, kind, **kwargs):",
            "    super().__init_subclass__(**kwargs)",
        ),
    )
    assert check(project, "--config", "server.ini").status == 0


def test_a_daemon_that_runs_is_not_disturbed(project: Project) -> None:
    """It holds PID file and port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    project.write(
        "server.ini", f"[Overall]\nhost = 127.0.0.1\nport = {port}\npid_file_name = it.pid\n"
    )
    with project.start(TARGET, "--config", "server.ini") as running:
        running.port()
        with Client(host="127.0.0.1", port=port, timeout=TIMEOUT) as client:
            client.send_message("read")
            done = check(project, "--config", "server.ini")
            assert client.send_message("read") == "4.2"
        assert re.search("it.pid is held by .*: stop that server", failure(done, "PID file"))
        assert re.search(
            f"cannot listen on 127.0.0.1:{port}: .*; stop the other program, or choose another"
            " port$",
            failure(done, "port"),
        )
        assert running.stop().status == 0
    # Its lock file has stayed.
    assert check(project, "--config", "server.ini").status == 0


def test_a_pid_file_that_cannot_be_written(project: Project) -> None:
    """The folder is missing, or something else lies there."""
    for name, words in (("no/it.pid", "cannot write .*it.pid"), ("it", "it is not a regular file")):
        project.write("server.ini", f"[Overall]\nport = 0\npid_file_name = {name}\n")
        (project.folder / "it").mkdir(exist_ok=True)
        assert re.search(words, failure(check(project, "--config", "server.ini"), "PID file"))


def test_a_pid_file_of_no_name(project: Project) -> None:
    """Not even its folder is made; whether it could be is told."""
    runtime = project.folder / "run" / "user"
    project.write("server.ini", "[Overall]\nport = 0\nhost = 127.0.0.1\n")
    done = check(project, "--config", "server.ini", RUNTIME_DIRECTORY=str(runtime))
    assert done.status == 0
    assert f"ok PID file: {runtime / 'lab_utils_mt' / 'thermometer.pid'}" in done.output

    project.write("run", "")
    done = check(project, "--config", "server.ini", RUNTIME_DIRECTORY=str(runtime))
    words = f"the folder {runtime / 'lab_utils_mt'} cannot be made: "
    assert failure(done, "PID file").startswith(words)
    assert failure(done, "PID file").endswith(f" in {project.folder / 'run'}")


@needs_umask
def test_a_lock_file_that_is_a_link(project: Project) -> None:
    """Also one that leads nowhere."""
    (project.folder / "it.pid.lock").symlink_to("nowhere")
    done = check(project, "--config", "server.ini")
    assert "it.pid.lock is a symbolic link: remove it" in failure(done, "PID file")


def test_an_address_of_another_computer(project: Project) -> None:
    """No program here can listen there."""
    project.write("server.ini", "[Overall]\nhost = 192.0.2.1\nport = 0\npid_file_name = it.pid\n")
    words = failure(check(project, "--config", "server.ini"), "port")
    assert re.search("cannot listen on 192.0.2.1:0: .*; check the address", words)


def test_a_database_that_is_down(project: Project) -> None:
    """And whose certificate is missing; its password is not told."""
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    dsn = f"host=127.0.0.1 port={port} dbname=x user=me password=geheim sslrootcert=ca.pem"
    project.write("database.ini", f"[Overall]\ndsn = {dsn}\n")
    done = check(project, "--config", "server.ini", "--database", "database.ini")
    assert re.search("cannot open database 'x' on host 127.0.0.1", failure(done, "database"))
    assert re.search("cannot read .*ca.pem", failure(done, "TLS file"))
    assert "geheim" not in repr(done)


def test_a_database_that_is_not_there(project: Project, database_dsn: str) -> None:
    """The server runs, but does not know it."""
    project.write("database.ini", f"[Overall]\ndsn = {database_dsn} dbname=no_such_one\n")
    done = check(project, "--config", "server.ini", "--database", "database.ini")
    assert "check the database's name, or create it" in failure(done, "database")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("nothing", "not in PEM form"),
        ("-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n", "are damaged: copy it"),
    ],
)
def test_a_certificate_that_is_none(project: Project, text: str, words: str) -> None:
    """It would be noticed at the first mail only."""
    project.write("ca.pem", text)
    project.write("database.ini", "[Overall]\ndsn = host=127.0.0.1 port=1 sslrootcert=ca.pem\n")
    done = check(project, "--config", "server.ini", "--database", "database.ini")
    assert re.search(words, failure(done, "TLS file"))


def test_a_log_that_cannot_be_written(project: Project) -> None:
    """A file is in the way; old files are left where they are."""
    project.write("logs", "")
    text = "[FileLogger]\nactive = yes\nlog_basename = thermo\nkeep_days = 1\nlog_path = "
    project.write("logging.ini", f"{text}logs/today\n")
    done = check(project, "--config", "server.ini", "--logging", "logging.ini")
    assert re.search(r"section \[FileLogger\]: .*logs", failure(done, "logging"))

    (project.folder / "old").mkdir()
    for day in range(1, 5):
        project.write(f"old/thermo_2020-01-0{day}.log", "")
    project.write("logging.ini", f"{text}old\n")
    assert check(project, "--config", "server.ini", "--logging", "logging.ini").status == 0


def test_a_folder_that_is_none(project: Project) -> None:
    """The other files may be there all the same."""
    config = str(project.folder / "server.ini")
    done = check(project, "--folder", "nowhere", "--config", config)
    assert re.search("cannot work in .*nowhere: .*; check --folder", failure(done, "folder"))
    assert "ok configuration: " in done.output


@needs_umask
@pytest.mark.skipif(IS_ROOT, reason=ROOT)
def test_folders_that_this_user_may_not_use(project: Project) -> None:
    """Unreadable, or not writable."""
    closed = project.folder / "closed"
    closed.mkdir(mode=0o500)
    project.write("server.ini", "[Overall]\nport = 0\npid_file_name = closed/it.pid\n")
    done = check(project, "--config", "server.ini")
    assert "Permission denied" in failure(done, "PID file")
    closed.chmod(0o300)
    assert "Permission denied" in failure(check(project, "--folder", "closed"), "folder")
    closed.chmod(0o700)


def test_a_full_disk(tmp_path: Path) -> None:
    """It is said how much is needed, for folders that are not there yet, too."""
    with pytest.raises(LabUtilsError, match=r"only .* left for .*, and 1000000.0 GB are needed"):
        check_room(tmp_path / "logs" / "new", 10**15)
    assert "GB for" in check_room(tmp_path / "logs", 1)
