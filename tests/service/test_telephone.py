"""Is a daemon spoken to only if it is the right one?"""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from daemons import TIMEOUT, Stage, serving, wait_until
from services import a_service

from lab_utils_mt._cli import telephone
from lab_utils_mt._cli.telephone import answers, ask_to_quit


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_the_daemon_of_a_service_answers_and_quits(tmp_path: Path, stage: Stage, host: str) -> None:
    """At the address of its settings; all addresses include this computer's own."""
    ini = tmp_path / "server.ini"
    ini.write_text(f"[Overall]\nhost = {host}\nport = {stage.port}\n", encoding="utf-8")
    service = a_service(tmp_path, target="lab.stage:Outer.Stage", config=ini)
    wait_until(lambda: answers(service), "an answer")  # not at once, if the processors are busy
    wait_until(lambda: ask_to_quit(service) or stage.quit_flag, "the wish to be heard")
    wait_until(lambda: stage.quit_flag, "the wish to stop")  # set after the reply is sent


def test_a_daemon_that_stops_without_a_word_was_told(
    tmp_path: Path, pid_file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may take long; who thought that it was not told would end it by force."""
    begun, gate = threading.Event(), threading.Event()

    class Slow(Stage):
        def quit(self) -> None:
            begun.set()
            gate.wait(TIMEOUT)

    monkeypatch.setattr(telephone, "_PATIENCE", 1.0)
    ini = tmp_path / "server.ini"
    with serving(Slow(pid_file_name=pid_file, port=0)) as server:
        ini.write_text(f"[Overall]\nhost = 127.0.0.1\nport = {server.port}\n", encoding="utf-8")
        service = a_service(tmp_path, target="stage:Slow", config=ini)
        wait_until(lambda: ask_to_quit(service) or begun.is_set(), "the wish to be heard")
        assert begun.is_set()
        wait_until(lambda: ask_to_quit(service), "to be told")
        gate.set()


def test_a_daemon_of_another_class_is_not_meant(tmp_path: Path, stage: Stage) -> None:
    """And is left alone."""
    ini = tmp_path / "server.ini"
    ini.write_text(f"[Overall]\nhost = 127.0.0.1\nport = {stage.port}\n", encoding="utf-8")
    service = a_service(tmp_path, target="stage:OtherStage", config=ini)
    assert not answers(service)
    assert not ask_to_quit(service)
    assert not stage.quit_flag


@pytest.mark.parametrize("text", ["[Overall]\nport = 0\n", "[Overall]\nport = 1\n", "nonsense"])
def test_nobody_answers_where_nobody_can(tmp_path: Path, text: str) -> None:
    """No port, no daemon, no settings."""
    ini = tmp_path / "server.ini"
    ini.write_text(text, encoding="utf-8")
    service = a_service(tmp_path, config=ini)
    assert not answers(service)
    assert not ask_to_quit(service)
