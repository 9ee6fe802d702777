"""Is another program asked without waiting for ever, and is it the one that is meant?"""

from __future__ import annotations

import contextlib
import socket
import sys
import tempfile
from pathlib import Path

import pytest
from daemons import TIMEOUT

from lab_utils_mt._service.programs import ask
from lab_utils_mt.exceptions import LabUtilsError


def test_what_it_says_is_returned() -> None:
    """With its exit status, and the first line that says something as its complaint."""
    code = "import sys; print('out'); print('\\n wrong \\n', file=sys.stderr); sys.exit(3)"
    answer = ask([sys.executable, "-c", code], timeout=60)
    assert (answer.status, answer.output.split(), answer.complaint) == (3, ["out"], "wrong")


def test_one_that_hangs_is_ended() -> None:
    """And told by its words."""
    code = "import time; time.sleep(600)"
    with pytest.raises(LabUtilsError, match=r"time\.sleep\(600\)' did not end in 0\.5 s; try it"):
        ask([sys.executable, "-c", code], timeout=0.5)


@pytest.mark.parametrize("ends", [True, False])
def test_what_it_has_started_is_not_waited_for(ends: bool) -> None:
    """Although that has the same output, and keeps it open, here for as long as the test wants."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(TIMEOUT)
        lasting = f"import socket; socket.create_connection({listener.getsockname()}).recv(1)"
        code = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {lasting!r}])"
        if ends:
            assert ask([sys.executable, "-c", code], timeout=TIMEOUT).status == 0
        else:
            with pytest.raises(LabUtilsError, match="did not end in 8 s"):
                ask([sys.executable, "-c", f"{code}; import time; time.sleep(600)"], timeout=8)
        with contextlib.suppress(TimeoutError):  # it was ended before it could start anything
            listener.accept()[0].close()


def test_one_that_is_not_there_is_told() -> None:
    """By its name alone."""
    with pytest.raises(LabUtilsError, match=r"this computer has no nobody-has-this$"):
        ask(["nobody-has-this"], timeout=60)


def test_a_temporary_folder_that_takes_no_file_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here it is not there; it may also be full."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    with pytest.raises(LabUtilsError, match=r"^no place for the answers of other programs: No s"):
        ask([sys.executable, "-c", ""], timeout=60)


@pytest.mark.skipif(sys.platform != "win32", reason="only Windows looks in the current folder")
def test_one_in_the_current_folder_is_not_meant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An administrator may say ``service`` in a folder where others write."""
    (tmp_path / "schtasks.exe").write_bytes(b"no program")
    monkeypatch.chdir(tmp_path)
    ask(["schtasks", "/Query", "/TN", "nobody-has-this"], timeout=60)  # that it runs is enough
