"""Do two processes that write to one file lose nothing?"""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from logs.crowds import start_together
from systems import needs_atomic_append, needs_file_limit, needs_pipes, needs_umask

import lab_utils_mt.exceptions
from lab_utils_mt._logs.appending import AppendingFile

PACKAGE_FOLDER = str(Path(lab_utils_mt.exceptions.__file__).parent.parent)

TAKE_TURNS = """
import sys
sys.path.insert(0, sys.argv[1])
from lab_utils_mt._logs.appending import AppendingFile

path, name = sys.argv[2:]
file = AppendingFile(path)
sys.stdin.readline()
for number in range(5000):
    length = 70_000 if number % 100 == 0 else 9_000 if number % 10 == 0 else 20 + number % 300
    line = f"{name} {number} ".encode() + b"x" * length + b"."
    assert file.write_lines([line]) == 1
file.close()
"""

FILL = """
import resource, sys
sys.path.insert(0, sys.argv[1])
from lab_utils_mt._logs.appending import AppendingFile

_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))  # what is beyond fails, as on a full disk
with AppendingFile(sys.argv[2]) as file:
    print(file.write_lines([b"%03d" % number + b"-" * 95 for number in range(20)]))
    for _ in range(2):
        try:
            file.write_lines([b"does not fit"])
        except OSError:
            print("full")
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    print(file.write_lines([b"back", b"last"]))
"""


def run(program, *args, **options):
    """Run a program in a process of its own; return what it prints."""
    command = [sys.executable, "-c", program, PACKAGE_FOLDER, *map(str, args)]
    return subprocess.run(
        command, check=True, capture_output=True, text=True, timeout=60, **options
    ).stdout.split()


def whole_lines(path):
    """Return who wrote which line, of those that are whole."""
    found = []
    for line in path.read_bytes().splitlines():
        name, number, rest = (*line.split(b" ", 2), b"", b"")[:3]
        if rest.strip(b"x") == b"." and number.isdigit():
            found.append((name.decode(), int(number)))
    return found


@needs_atomic_append
def test_four_processes_lose_no_line(tmp_path):
    """5,000 lines each, of 20 bytes to 70 kB; and each finds its own in order."""
    path = tmp_path / "log"
    start_together(TAKE_TURNS, PACKAGE_FOLDER, str(path))
    found = whole_lines(path)
    lines = path.read_bytes().splitlines()
    # A process may take what another one is just writing for torn, and begin with an empty line.
    assert lines.count(b"") <= 4
    assert len(lines) - lines.count(b"") == len(found) == 20_000
    for name in "abcd":
        assert [number for who, number in found if who == name] == list(range(5000))


def test_seeking_to_the_end_first_loses_lines(tmp_path):
    """This is what is avoided: it is how files are opened for appending on Windows."""
    path = tmp_path / "log"
    path.write_bytes(b"")
    with path.open("r+b", buffering=0) as one, path.open("r+b", buffering=0) as other:
        one.seek(0, os.SEEK_END)
        other.seek(0, os.SEEK_END)
        one.write(b"lost\n")
        other.write(b"kept\n")
    assert path.read_bytes() == b"kept\n"


def test_many_lines_go_out_whole(tmp_path):
    """In several writes, if they are many; an empty line is a line, and none is nothing."""
    lines = [b"x" * length for length in (0, 10, 70_000, 65_535, 0, 65_536, 30_000, 30_000, 6_000)]
    with AppendingFile(str(tmp_path / "log")) as file:
        assert file.write_lines(lines) == len(lines)
        assert file.write_lines([]) == 0
    assert (tmp_path / "log").read_bytes() == b"".join(line + b"\n" for line in lines)


def test_a_torn_line_stays_alone(tmp_path):
    """Whoever wrote it was killed."""
    path = tmp_path / "log"
    path.write_bytes(b"whole\ntor")
    with AppendingFile(str(path)) as file:
        file.write_lines([b"next"])
        file.write_lines([b"last"])
    with AppendingFile(str(path)) as file:
        file.write_lines([b"more"])
    assert path.read_bytes() == b"whole\ntor\nnext\nlast\nmore\n"


def test_the_stock_file_goes_on_in_the_torn_line(tmp_path):
    """This is what is avoided."""
    path = tmp_path / "log"
    path.write_bytes(b"whole\ntor")
    with path.open("a") as file:
        file.write("next\n")
    assert path.read_text().splitlines() == ["whole", "tornext"]


@needs_file_limit
def test_a_full_disk_tears_one_line_at_most(tmp_path):
    """The lines that fitted are counted; when there is room again, a new line begins."""
    path = tmp_path / "log"
    assert run(FILL, path) == ["10", "full", "full", "2"]
    *lines, back, last = path.read_bytes().splitlines()
    whole = [line for line in lines if len(line) == 98]
    assert [line[:3] for line in whole] == [b"%03d" % number for number in range(10)]
    assert len(lines) - len(whole) == 1
    assert (back, last) == (b"back", b"last")


@needs_file_limit
def test_a_line_that_does_not_fit_at_all_raises(tmp_path):
    """Also if the disk takes a part of it; the next one begins on a line of its own."""
    program = FILL.replace("range(20)", "[]").replace("does not fit", "y" * 2000)
    path = tmp_path / "log"
    assert run(program, path) == ["0", "full", "full", "2"]
    assert path.read_bytes() == b"y" * 1000 + b"\nback\nlast\n"


@needs_pipes
def test_a_failed_write_raises_what_the_system_says(tmp_path):
    """With the real device for it, behind an open file."""
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    with AppendingFile(str(tmp_path / "log")) as file:
        full = os.open("/dev/full", os.O_WRONLY)
        os.dup2(full, file.fileno())
        os.close(full)
        with pytest.raises(OSError, match="No space left") as caught:
            file.write_lines([b"x"])
    assert caught.value.errno == errno.ENOSPC


@needs_pipes
@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_only_a_regular_file_is_written(tmp_path, kind):
    """A pipe without a reader would hold up its writer for ever."""
    path = tmp_path / "log"
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/null")
    with pytest.raises(OSError, match="not a regular file") as caught:
        AppendingFile(str(path))
    assert str(path) in str(caught.value)


def test_a_folder_is_not_written(tmp_path):
    """The error names it."""
    with pytest.raises(OSError, match=r".") as caught:
        AppendingFile(str(tmp_path))
    assert caught.value.filename == str(tmp_path)


def test_no_folder_no_file(tmp_path):
    """Who opens it decides whether to make one."""
    with pytest.raises(FileNotFoundError):
        AppendingFile(str(tmp_path / "none" / "log"))


def test_a_file_is_missed_when_it_is_moved_or_deleted(tmp_path):
    """Another one may have taken its name."""
    path = tmp_path / "log"
    with AppendingFile(str(path)) as file:
        assert file.in_place()
        path.rename(tmp_path / "moved")
        assert not file.in_place()
        path.write_bytes(b"")
        assert not file.in_place()
        (tmp_path / "moved").replace(path)
        assert file.in_place()
    assert not file.in_place()


def test_others_may_read_rename_and_delete_it_meanwhile(tmp_path):
    """On Windows an open file usually forbids that."""
    path = tmp_path / "log"
    with AppendingFile(str(path)) as file, AppendingFile(str(path)) as other:
        file.write_lines([b"a"])
        other.write_lines([b"b"])
        file.write_lines([b"c"])
        assert path.read_bytes() == b"a\nb\nc\n"
        path.rename(tmp_path / "moved")
        (tmp_path / "moved").unlink()


@needs_umask
def test_the_file_may_be_read_by_all_as_far_as_the_umask_lets(tmp_path):
    """And is not inherited by programs that are started."""
    before = os.umask(0o027)
    try:
        with AppendingFile(str(tmp_path / "log")) as file:
            assert os.fstat(file.fileno()).st_mode & 0o777 == 0o640
            assert not os.get_inheritable(file.fileno())
    finally:
        os.umask(before)
