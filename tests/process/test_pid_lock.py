"""Is there exactly one winner, and can nothing that lies at the path be harmed?"""

import contextlib
import gc
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import fasteners
import pytest
from systems import needs_fork

import lab_utils_mt.exceptions
from lab_utils_mt._process import pid_file, pid_lock
from lab_utils_mt._process.pid_lock import PidLock
from lab_utils_mt.exceptions import LockError

STARTER = Path(__file__).with_name("starter.py")
PACKAGE_FOLDER = Path(lab_utils_mt.exceptions.__file__).parent.parent
ME = f"{os.getpid()};{socket.gethostname()}"

ON_WINDOWS = sys.platform == "win32"
# How many processes try at once, and how often; on Windows a process takes long to start.
STARTERS, ROUNDS = (8, 10) if ON_WINDOWS else (50, 20)

no_modes = pytest.mark.skipif(ON_WINDOWS, reason="Windows has no owners and modes of this kind")
no_fifo = pytest.mark.skipif(ON_WINDOWS, reason="Windows has no FIFOs in folders")
open_stays = pytest.mark.skipif(ON_WINDOWS, reason="Windows removes no file that is open")
stock_is_posix = pytest.mark.skipif(
    ON_WINDOWS, reason="the fault of the stock lock that is shown is that of POSIX' record locks"
)


class Starter:
    """Another process that can try to acquire a PID file."""

    def __init__(self):
        command = [sys.executable, str(STARTER), str(PACKAGE_FOLDER)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8"
        )

    def answer(self):
        return self.process.stdout.readline().rstrip("\n")

    def order(self, *words):
        self.process.stdin.write("\t".join(map(str, words)) + "\n")
        self.process.stdin.flush()

    def acquire(self, path):
        self.order("acquire", path, 0)
        return self.answer()

    def release(self):
        self.order("release")
        return self.answer()

    def kill(self):
        self.process.kill()
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait(10)


@pytest.fixture
def start():
    """Start other processes; none is left."""
    starters = []

    def start_one():
        starters.append(Starter())
        return starters[-1]

    yield start_one
    for starter in starters:
        starter.kill()


@pytest.fixture
def other(start):
    """One other process, ready."""
    starter = start()
    assert starter.answer() == "ready"
    return starter


@pytest.fixture
def path(tmp_path):
    """A path for a PID file."""
    return tmp_path / "server.pid"


@pytest.fixture
def lock(path):
    """A lock that is released at the end."""
    lock = PidLock(path)
    yield lock
    lock.release()


class StockLock:
    """The obvious way: fasteners on the PID file itself."""

    def __init__(self, path):
        self.path = path
        self.lock = fasteners.InterProcessLock(path)

    def acquire(self):
        if not self.lock.acquire(blocking=False):
            raise LockError("held")
        with open(self.path, "w") as file:  # noqa: PTH123
            file.write(ME)

    def release(self):
        if self.lock.acquired:
            self.path.unlink()
            self.lock.release()


def in_child(question):
    """Answer a question in a forked child."""
    read_end, write_end = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # a thread of the test runner
        pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(10)  # a child that hangs ends, and its answer is empty
        try:
            os.write(write_end, str(question()).encode())
        finally:
            os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end, encoding="utf-8") as pipe:
        answer = pipe.read()
    os.waitpid(pid, 0)
    return answer


def make_link(link, target):
    """Make a symbolic link; on Windows not everybody may."""
    try:
        link.symlink_to(target)
    except (OSError, NotImplementedError):
        if not ON_WINDOWS:
            raise
    if not link.is_symlink():
        link.unlink(missing_ok=True)
        pytest.skip("this user may not make symbolic links on Windows")


def refused(path, lock_class=PidLock):
    """Tell why a path is refused; empty if it is not."""
    lock = lock_class(path)
    try:
        lock.acquire()
    except LockError as error:
        return str(error)
    lock.release()
    return ""


def test_the_pid_file_holds_pid_and_host_until_the_release(lock, path):
    """What an operator reads."""
    lock.acquire()
    assert path.read_bytes() == f"{ME}\n".encode()
    assert lock.acquired
    assert repr(lock) == f"<PidLock {str(path)!r}, acquired>"
    lock.release()
    assert not path.exists()
    assert not lock.acquired
    assert "not acquired" in repr(lock)


def test_both_calls_may_be_repeated(lock, path, other):
    """A second acquire or release changes nothing."""
    lock.release()
    lock.acquire()
    lock.acquire()
    assert other.acquire(path).startswith("lost")
    lock.release()
    lock.release()
    assert other.acquire(path) == "won"


def test_the_error_names_the_owner(lock, path, other):
    """Both ways: seen from here and from there."""
    lock.acquire()
    assert f"held by {ME}" in other.acquire(path)
    lock.release()
    assert other.acquire(path) == "won"
    with pytest.raises(LockError, match=f"held by {other.process.pid};{socket.gethostname()}"):
        lock.acquire()


def test_of_many_simultaneous_starters_exactly_one_wins_each_round(start, tmp_path):
    """Real processes that all try at one moment."""
    starters = [start() for _ in range(STARTERS)]
    assert {starter.answer() for starter in starters} == {"ready"}
    for number in range(ROUNDS):
        path = tmp_path / f"{number % 2}.pid"
        moment = time.monotonic() + 0.05
        for starter in starters:
            starter.order("acquire", path, moment)
        answers = [starter.answer() for starter in starters]
        winners = [
            starter for starter, text in zip(starters, answers, strict=True) if text == "won"
        ]
        assert len(winners) == 1, answers
        owner = f"held by {winners[0].process.pid};{socket.gethostname()}"
        assert sum(owner in text for text in answers) == len(starters) - 1, answers
        assert winners[0].release() == "released"


def test_of_16_threads_exactly_one_wins(path):
    """Record locks alone would let all of them in."""
    barrier = threading.Barrier(16)
    locks = [PidLock(path) for _ in range(16)]

    def run(lock):
        barrier.wait(10)
        with contextlib.suppress(LockError):
            lock.acquire()

    threads = [threading.Thread(target=run, args=(lock,)) for lock in locks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    winners = [lock for lock in locks if lock.acquired]
    assert len(winners) == 1
    winners[0].release()


def test_after_kill_9_the_next_start_succeeds(lock, path, other):
    """The PID file stays behind, the lock does not."""
    assert other.acquire(path) == "won"
    other.kill()
    assert path.exists()
    with pytest.raises(FileExistsError):  # the way of a PID file without a lock
        os.open(path, os.O_CREAT | os.O_EXCL)
    lock.acquire()
    assert path.read_text() == f"{ME}\n"


def test_what_a_killed_owner_with_the_same_pid_left_does_not_block(lock, path):
    """The system gives a pid again."""
    for name in ("server.pid", "server.pid.new", f"server.pid.{os.getpid()}"):
        path.with_name(name).write_text(f"{ME}\n")
    path.with_name("server.pid.lock").touch(0o600)
    lock.acquire()
    assert path.read_text() == f"{ME}\n"
    assert not path.with_name("server.pid.new").exists()


def test_a_second_lock_in_the_same_process_is_refused_and_harms_nothing(lock, path, other):
    """The failed attempt does not drop the first one's lock, as another process can tell."""
    lock.acquire()
    with pytest.raises(LockError, match=f"this very process \\({ME}\\)"):
        PidLock(path).acquire()
    assert other.acquire(path).startswith("lost")
    lock.release()
    assert other.acquire(path) == "won"


@stock_is_posix
def test_the_stock_lock_does_not_exclude_its_own_process(path, other):
    """And its own PID file's closing drops the lock."""
    stock = StockLock(path)
    stock.acquire()
    assert refused(path, StockLock) == ""
    stock.lock.release()


def test_two_spellings_of_one_path_are_one_lock(lock, path, other):
    """With a dot in between; and in capitals where that is the same file."""
    spellings = [f"{path.parent}/./server.pid"]
    if ON_WINDOWS:
        spellings.append(str(path).upper())
    lock.acquire()
    for spelling in spellings:
        assert "this very process" in refused(spelling)
        assert os.path.normcase(PidLock(spelling).path) == os.path.normcase(lock.path)
        assert other.acquire(spelling).startswith("lost")


def test_a_link_to_the_folder_makes_no_second_lock(lock, path, other):
    """It leads to the same file."""
    alias = path.parent / "alias"
    make_link(alias, path.parent)
    lock.acquire()
    assert "this very process" in refused(alias / "server.pid")
    assert PidLock(alias / "server.pid").path == lock.path
    assert other.acquire(alias / "server.pid").startswith("lost")


@pytest.mark.parametrize("name", ["server.pid", "server.pid.lock"])
@pytest.mark.parametrize("exists", [True, False])
def test_a_symbolic_link_is_refused_and_its_target_untouched(path, name, exists):
    """The stock way writes through the link, or makes the target."""
    target = path.with_name("precious")
    make_link(path.with_name(name), target)
    if exists:
        target.write_text("precious")
    assert f"{name} is a symbolic link" in refused(path)
    assert target.exists() is exists
    assert not exists or target.read_text() == "precious"
    if name == "server.pid" and not ON_WINDOWS:  # where nobody can write in a locked file
        stock = StockLock(path)
        stock.acquire()
        stock.lock.release()
        assert target.read_text() == ME


@pytest.mark.skipif(ON_WINDOWS, reason="Windows has no O_NOFOLLOW")
def test_a_link_that_appears_after_the_look_is_not_followed(path):
    """Opening is what refuses, for between look and opening there is time."""
    path.symlink_to(path.with_name("precious"))
    with pytest.raises(OSError, match="symbolic link"):
        os.open(path, os.O_RDWR | os.O_CREAT | pid_file.CAUTIOUS, 0o600)
    assert not path.with_name("precious").exists()


def test_the_other_name_of_a_hard_linked_pid_file_is_untouched(lock, path):
    """Its content, that is; the PID file is another file then."""
    target = path.with_name("precious")
    target.write_text("1;precious")
    path.hardlink_to(target)
    lock.acquire()
    assert target.read_text() == "1;precious"
    lock.release()
    assert target.read_text() == "1;precious"


@stock_is_posix
def test_the_stock_way_harms_the_other_name_of_a_hard_linked_pid_file(path):
    """The fault that replacing the file avoids."""
    target = path.with_name("precious")
    target.write_text("precious")
    path.hardlink_to(target)
    stock = StockLock(path)
    stock.acquire()
    stock.release()
    assert target.read_text() == ME


def test_a_hard_link_as_lock_file_is_refused(path):
    """Locking it would lock some other file."""
    target = path.with_name("precious")
    target.write_text("precious")
    path.with_name("server.pid.lock").hardlink_to(target)
    assert "hard link" in refused(path)
    assert target.read_text() == "precious"


@pytest.mark.timeout(20)
@pytest.mark.parametrize("name", ["server.pid", "server.pid.lock", "server.pid.new"])
@pytest.mark.parametrize("make", ["mkdir", pytest.param("mkfifo", marks=no_fifo)])
def test_a_directory_or_fifo_is_refused_without_waiting(path, name, make):
    """Plainly opening a FIFO waits for ever."""
    getattr(os, make)(path.with_name(name))
    if name.endswith(".new") and make == "mkfifo":
        assert refused(path) == ""  # rubbish of an earlier owner
    else:
        assert name in refused(path)
        assert path.with_name(name).exists()
    assert os.path.normcase(path) not in pid_lock._held


@no_modes
@pytest.mark.parametrize("name", ["server.pid", "server.pid.lock"])
def test_a_file_of_another_user_is_refused(path, name, monkeypatch):
    """The stock way, as root, uses it."""
    foreign = path.with_name(name)
    foreign.write_text("")
    user = os.geteuid()
    if user == 0:
        os.chown(foreign, 65534, -1)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: user + 1)
    assert "another user" in refused(path)
    assert foreign.read_text() == ""


def test_a_missing_folder_is_named_and_not_made(tmp_path):
    """The stock way makes it."""
    path = tmp_path / "missing" / "server.pid"
    text = refused(path)
    assert f"cannot use {path}.lock" in text
    assert f"make the folder {path.parent}" in text
    assert not path.parent.exists()
    stock = fasteners.InterProcessLock(path)
    assert stock.acquire(blocking=False)
    stock.release()
    assert path.parent.exists()


@no_modes
def test_missing_rights_are_explained(tmp_path):
    """As an ordinary user, also where the tests run as root."""
    tmp_path.chmod(0o555)

    def ask():
        if os.geteuid() == 0:
            os.seteuid(65534)
        return refused(tmp_path / "server.pid")

    text = in_child(ask)
    tmp_path.chmod(0o755)
    assert "Permission denied" in text
    assert f"let this user write in {tmp_path}" in text


@pytest.mark.parametrize("name", ["", "/", "a\0b", "x.lock", "x.NEW"])
def test_a_path_that_cannot_be_a_pid_file_is_refused(name, tmp_path):
    """One lock's own files are not another's PID file."""
    with pytest.raises(LockError, match="cannot be a PID file"):
        PidLock(name if name in ("", "/") else str(tmp_path / name))


def open_files():
    """How many files this process has open, where the system tells."""
    return len(list(Path("/proc/self/fd").iterdir())) if sys.platform == "linux" else 0


def test_a_refused_attempt_leaves_no_file_open(path, other):
    """The stock lock's stays open until it is collected."""
    assert other.acquire(path) == "won"
    stock = fasteners.InterProcessLock(f"{path}.lock")
    assert not stock.acquire(blocking=False)
    assert not stock.lockfile.closed
    stock.lockfile.close()
    before = open_files()
    for _ in range(3):
        assert "held by" in refused(path)
    assert open_files() == before
    assert other.release() == "released"
    Path(f"{path}.lock").unlink()  # which Windows does to no file that is open


@open_stays
def test_a_lock_file_that_was_replaced_meanwhile_is_not_trusted(lock, path, monkeypatch):
    """Locked is then a file without a name, and a second starter locks another one."""
    real_open = pid_lock._open_lock_file
    opened = []

    def open_and_lose(lock_path):
        opened.append(real_open(lock_path))
        if len(opened) == 1:
            Path(lock_path).unlink()
        return opened[-1]

    monkeypatch.setattr(pid_lock, "_open_lock_file", open_and_lose)
    lock.acquire()
    assert [file.closed for file in opened] == [True, False]
    assert os.fstat(opened[1].fileno()).st_ino == Path(f"{path}.lock").stat().st_ino


@open_stays
def test_a_lock_file_that_is_always_replaced_is_given_up(lock, path, monkeypatch):
    """Bounded, and nothing stays reserved."""
    real_open = pid_lock._open_lock_file

    def open_and_lose(lock_path):
        file = real_open(lock_path)
        Path(lock_path).unlink()
        return file

    monkeypatch.setattr(pid_lock, "_open_lock_file", open_and_lose)
    with pytest.raises(LockError, match="removed again and again"):
        lock.acquire()
    monkeypatch.undo()
    lock.acquire()


def test_the_lock_file_is_never_written_and_never_removed(lock, path):
    """On Windows its position decides what is locked."""
    lock.acquire()
    lock.release()
    status = Path(f"{path}.lock").stat()
    assert status.st_size == 0
    if not ON_WINDOWS:
        assert stat.filemode(status.st_mode) == "-rw-------"


@pytest.mark.timeout(20)
def test_an_unsigned_lock_is_reported_in_bounded_time(path, other):
    """The winner was killed or stopped before it wrote its name."""
    assert other.acquire(path) == "won"
    path.write_text("")
    assert "held by an unknown process" in refused(path)


def test_a_loser_waits_for_the_winners_name(path, other):
    """And does not name the dead owner before."""
    assert other.acquire(path) == "won"
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        gone.wait(10)
    content = path.read_text()
    # On Windows nobody can ask harmlessly whether a process lives.
    path.write_text("" if ON_WINDOWS else f"{gone.pid};{socket.gethostname()}\n")
    replaced = threading.Timer(0.1, lambda: path.write_text(content))
    replaced.start()
    text = refused(path)
    replaced.join(10)
    assert f"held by {content.strip()}" in text


def test_on_windows_no_signal_asks_whether_an_owner_lives(monkeypatch):
    """There, the number 0 is a Ctrl-C for a whole group of processes, and others kill."""
    asked = []
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(os, "kill", lambda *words: asked.append(words))
    stale = pid_file.is_stale(f"1;{socket.gethostname()}")
    monkeypatch.undo()
    assert (stale, asked) == (False, [])


def test_who_reads_the_pid_file_just_now_does_no_harm(lock, path):
    """Windows neither replaces nor removes a file that somebody has open: it is tried again."""
    path.write_text("1;old")
    for step in (lock.acquire, lock.release):
        reader = path.open()
        leaving = threading.Timer(0.3, reader.close)
        leaving.start()
        step()
        leaving.join(10)
        reader.close()
    assert not path.exists()


@pytest.mark.parametrize("content", [b"[Overall]\nport = 1507\n", b"\xff", b"x" * 1000])
def test_a_file_of_another_kind_is_kept(path, content):
    """Whoever writes ``pid_file_name = server.ini`` has the settings still."""
    path.write_bytes(content)
    assert "is no PID file, and would be lost: choose another PID file" in refused(path)
    assert path.read_bytes() == content
    assert not list(path.parent.glob("*.new"))


@pytest.mark.parametrize(
    "content",
    [b"", b"\r\n", bytes(12), b"17\n", b"4711;elsewhere\n", b" 4711;lab\n", b"17;h\xff"],
)
def test_what_a_killed_server_left_is_replaced(lock, path, content):
    """Also what is left of it after a power failure, and what other programs write."""
    path.write_bytes(content)
    lock.acquire()
    assert path.read_text() == f"{ME}\n"
    lock.release()


def test_hostile_content_does_not_get_into_the_message(path, other):
    """What lies there was not necessarily written by a server."""
    assert other.acquire(path) == "won"
    path.write_bytes(b"1;\x1b[2J\xff" * 100)
    assert "held by an unknown process" in refused(path)


def test_a_reader_never_sees_half_a_pid_file(path):
    """The stock way shows an empty one."""
    with path.open("w") as file:
        file.write(ME)
        assert path.read_text() == ""
    path.unlink()
    pause = 0.001 if ON_WINDOWS else 0.0  # there, nobody replaces a file while it is read
    seen = set()
    done = threading.Event()

    def look():
        while not done.is_set():
            with contextlib.suppress(FileNotFoundError, PermissionError):
                seen.add(path.read_text())
            time.sleep(pause)

    reader = threading.Thread(target=look)
    reader.start()
    for _ in range(200):
        lock = PidLock(path)
        lock.acquire()
        lock.release()
    done.set()
    reader.join(10)
    assert seen <= {f"{ME}\n"}


@needs_fork
def test_a_forked_child_does_not_own_the_lock(lock, path, other):
    """Its release leaves the file, its acquire is refused; the stock child removes the file."""
    lock.acquire()

    def ask():
        lock.release()
        return f"{lock.acquired} {refused(path)}"

    answer = in_child(ask)
    assert answer.startswith("False")
    assert f"held by {ME}" in answer
    assert path.read_text() == f"{ME}\n"
    assert other.acquire(path).startswith("lost")
    stock = StockLock(path.with_name("stock.pid"))
    stock.acquire()
    in_child(stock.release)
    assert not stock.path.exists()
    stock.lock.release()


@needs_fork
def test_a_fork_while_another_thread_is_inside_does_not_block_the_child(path):
    """The lock of the registry is new in the child."""
    inside, leave = threading.Event(), threading.Event()

    def hold():
        with pid_lock._registry_lock:
            inside.set()
            leave.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    assert inside.wait(10)
    answer = in_child(lambda: refused(path) or "free")
    leave.set()
    thread.join(10)
    assert answer == "free"


@pytest.mark.timeout(20)
def test_a_finalizer_may_release_while_the_registry_is_locked(path):
    """With a plain lock the thread would wait for itself."""

    class Owner:
        def __init__(self):
            self.itself = self
            self.lock = PidLock(path)
            self.lock.acquire()

        def __del__(self):
            self.lock.release()

    stock = threading.Lock()
    with stock:
        assert not stock.acquire(blocking=False)
    owner = Owner()
    with pid_lock._registry_lock:
        del owner
        gc.collect()
    assert refused(path) == ""


def test_a_forgotten_lock_stays_locked(path, other):
    """Collecting it would close the file, and with it the lock, without anybody knowing."""
    PidLock(path).acquire()
    gc.collect()
    assert other.acquire(path).startswith("lost")
    pid_lock._held[os.path.normcase(os.path.realpath(path))].release()
    assert other.acquire(path) == "won"


def test_an_unwritable_pid_file_releases_everything(lock, path, other):
    """A failed start leaves the path to the next one."""
    path.mkdir()
    with pytest.raises(LockError, match="not a regular file"):
        lock.acquire()
    path.rmdir()
    assert other.acquire(path) == "won"


def test_a_pid_file_that_cannot_be_removed_is_only_logged(lock, path, other, caplog):
    """The lock is released all the same."""
    lock.acquire()
    path.unlink()
    path.mkdir()
    lock.release()
    assert "stays behind" in caplog.text
    path.rmdir()
    assert other.acquire(path) == "won"
