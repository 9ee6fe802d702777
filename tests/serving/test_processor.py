"""Clients are served on the processors that the settings say."""

from __future__ import annotations

import logging
import os
import sys
import threading

import pytest
from daemons import Line, Stage, serving

from lab_utils_mt._serving.processor import one_processor


class Where(Stage):
    """Tells the processors that a command may use."""

    def create_parser(self) -> None:
        """Add the command."""
        super().create_parser()
        self.sp.add_parser("where", description="tells").set_defaults(
            func=self.where, which="where"
        )

    def where(self) -> None:
        """Tell them."""
        self.reply = str(sorted(os.sched_getaffinity(0)))


linux = pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux lets a thread choose its processor"
)
several = pytest.mark.skipif(os.cpu_count() == 1, reason="there is one processor to choose")


@linux
@several
def test_all_clients_share_one_processor_if_told_so(pid_file: str) -> None:
    """All that are served at once; the rest of the program keeps its own."""
    before = os.sched_getaffinity(0)
    server = Where(pid_file_name=pid_file, port=0)
    server.one_processor = True
    with serving(server), Line(server) as one, Line(server) as two, Line(server) as three:
        told = {client.ask("where") for client in (one, two, three)}
        assert told == {f"[{one_processor()}]"}
        others = [thread for thread in threading.enumerate() if "-conn-" not in thread.name]
        assert all(os.sched_getaffinity(thread.native_id or 0) == before for thread in others)


@linux
def test_by_default_the_system_chooses(pid_file: str) -> None:
    """A command may compute while another one does."""
    with serving(Where(pid_file_name=pid_file, port=0)) as server, Line(server) as client:
        assert client.ask("where") == str(sorted(os.sched_getaffinity(0)))


def test_where_no_processor_can_be_chosen_the_log_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """And the server serves."""
    monkeypatch.setattr(sys, "platform", "darwin")
    with caplog.at_level(logging.WARNING):
        assert one_processor() is None
    assert "no effect" in caplog.text
