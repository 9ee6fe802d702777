"""Does the default PID file lie where nobody else can touch it?"""

import os
import re
import stat
import sys
import tempfile
from pathlib import Path

import platformdirs
import pytest

from lab_utils_mt._process.pid_lock import PidLock
from lab_utils_mt._process.runtime_folder import default_pid_file
from lab_utils_mt.exceptions import LockError

posix_only = pytest.mark.skipif(
    sys.platform == "win32", reason="Windows has no owners and modes of this kind"
)


@pytest.fixture
def runtime(tmp_path, monkeypatch):
    """The folder that the service manager made for us."""
    folder = tmp_path / "run"
    folder.mkdir(0o700)
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(folder))
    return folder


@pytest.fixture
def user_runtime(tmp_path, monkeypatch):
    """A fallback in a shared folder, as platformdirs gives it without a login session."""
    shared = tmp_path / "tmp"
    shared.mkdir()
    shared.chmod(0o1777)
    folder = shared / "runtime-0"
    monkeypatch.delenv("RUNTIME_DIRECTORY", raising=False)
    monkeypatch.setattr(platformdirs, "user_runtime_path", lambda: folder)
    return folder


def give_away(path, monkeypatch):
    """Let another user own it, not only from our point of view if we are root."""
    if os.geteuid() == 0:
        os.chown(path, 65534, -1, follow_symlinks=False)
        return
    status = Path.lstat
    monkeypatch.setattr(os, "geteuid", lambda: status(path).st_uid + 1)


def test_the_pid_file_lies_in_a_private_folder_and_can_be_locked(runtime):
    """$RUNTIME_DIRECTORY comes first."""
    path = default_pid_file("cryostat")
    assert path == str(runtime / "lab_utils_mt" / "cryostat.pid")
    if sys.platform != "win32":
        assert stat.filemode((runtime / "lab_utils_mt").stat().st_mode) == "drwx------"
    lock = PidLock(path)
    lock.acquire()
    lock.release()


def test_the_first_of_several_runtime_directories_is_used(runtime, monkeypatch):
    """systemd gives them as a list, in the form of PATH."""
    monkeypatch.setenv("RUNTIME_DIRECTORY", f"{runtime}{os.pathsep}/nonexistent")
    assert default_pid_file("a") == str(runtime / "lab_utils_mt" / "a.pid")


def test_without_runtime_directory_the_users_folder_is_used(tmp_path, monkeypatch):
    """As platformdirs names it."""
    tmp_path.chmod(0o700)
    monkeypatch.delenv("RUNTIME_DIRECTORY", raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    folder = platformdirs.user_runtime_path() if sys.platform == "win32" else tmp_path
    assert default_pid_file("a") == str(folder / "lab_utils_mt" / "a.pid")


def test_without_any_session_there_is_a_folder_and_no_warning(tmp_path, monkeypatch):
    """cron, ssh without a login, containers."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for name in ("RUNTIME_DIRECTORY", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    path = Path(default_pid_file("a"))
    assert path.parent.name == "lab_utils_mt"
    assert path.parent.is_dir()


@pytest.mark.parametrize(
    ("name", "reduced"),
    [("Cryo 1", "cryo_1"), ("../../etc/x", "______etc_x"), ("", "server"), ("CON", "con_"),
     ("a:b", "a_b"), ("Ω", "_"), ("a-b_c9", "a-b_c9"), ("x" * 300, "x" * 100), ("\0\n", "__")],
)  # fmt: skip
def test_names_are_reduced(runtime, name, reduced):
    """To what every file system takes, in one folder."""
    assert default_pid_file(name) == str(runtime / "lab_utils_mt" / f"{reduced}.pid")


def test_who_only_asks_changes_nothing(runtime):
    """Neither what is missing, nor what is there."""
    path = Path(default_pid_file("a", make=False))
    assert path.parent == runtime / "lab_utils_mt"
    assert list(runtime.iterdir()) == []
    path.parent.mkdir()
    path.parent.chmod(0o755)
    before = path.parent.stat().st_mode
    default_pid_file("a", make=False)
    assert path.parent.stat().st_mode == before
    path.parent.rmdir()
    path.parent.write_text("")
    with pytest.raises(LockError, match="a link or a file"):
        default_pid_file("a", make=False)


@posix_only
def test_an_open_folder_of_ours_is_closed(runtime):
    """Made by hand, with the usual umask."""
    folder = runtime / "lab_utils_mt"
    folder.mkdir()
    folder.chmod(0o777)
    default_pid_file("a")
    assert stat.filemode(folder.stat().st_mode) == "drwx------"


def test_a_file_in_place_of_the_folder_is_refused(runtime):
    """It is not removed."""
    folder = runtime / "lab_utils_mt"
    folder.write_text("")
    with pytest.raises(LockError, match=re.escape(str(folder))):
        default_pid_file("a")
    assert folder.read_text() == ""


@posix_only
def test_a_link_in_place_of_the_folder_is_refused(runtime, tmp_path):
    """Also one to a folder of ours."""
    target = tmp_path / "target"
    target.mkdir()
    folder = runtime / "lab_utils_mt"
    folder.symlink_to(target)
    with pytest.raises(LockError, match="a link or a file"):
        default_pid_file("a")
    assert list(target.iterdir()) == []


@posix_only
def test_somebody_elses_folder_is_refused(runtime, monkeypatch):
    """It is not used and not changed."""
    folder = runtime / "lab_utils_mt"
    folder.mkdir(0o755)
    give_away(folder, monkeypatch)
    with pytest.raises(LockError, match="another user"):
        default_pid_file("a")


@posix_only
def test_the_fallback_in_a_shared_folder_is_made_private(user_runtime):
    """Nobody made it yet."""
    default_pid_file("a")
    assert stat.filemode(user_runtime.stat().st_mode) == "drwx------"


@posix_only
def test_a_fallback_that_somebody_else_made_first_is_refused(user_runtime, monkeypatch):
    """Its owner could swap our folder for another."""
    user_runtime.mkdir()
    give_away(user_runtime, monkeypatch)
    with pytest.raises(LockError, match="another user"):
        default_pid_file("a")
    assert not (user_runtime / "lab_utils_mt").exists()


@posix_only
def test_a_fallback_that_is_somebody_elses_link_is_refused(user_runtime, tmp_path, monkeypatch):
    """Even if it points to a folder of ours today."""
    target = tmp_path / "target"
    target.mkdir(0o700)
    user_runtime.symlink_to(target)
    give_away(user_runtime, monkeypatch)
    with pytest.raises(LockError, match="another user"):
        default_pid_file("a")
    assert list(target.iterdir()) == []


@posix_only
def test_a_runtime_folder_that_others_may_change_is_refused(runtime):
    """Without the sticky bit they could swap ours."""
    runtime.chmod(0o777)
    with pytest.raises(LockError, match="changed by other users"):
        default_pid_file("a")


def test_a_runtime_folder_that_cannot_be_made_is_explained(tmp_path, monkeypatch):
    """The path is named."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path / "file" / "run"))
    with pytest.raises(LockError, match="cannot use"):
        default_pid_file("a")
