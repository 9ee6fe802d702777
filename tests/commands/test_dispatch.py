"""From a message to a reply, whatever the handler does."""

from __future__ import annotations

import argparse
import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from daemons import wait_until

from lab_utils_mt._commands.devices import Devices
from lab_utils_mt._commands.dispatch import Dispatcher, Turns
from lab_utils_mt._commands.parser import ArgumentParser
from lab_utils_mt._commands.request import CurrentRequest


class Commands:
    """A parser with one command per handler, and the dispatcher for it."""

    def __init__(self, serial: bool = False, **handlers: Callable[[Commands], Any]) -> None:
        self.request = CurrentRequest()
        self.parser = ArgumentParser(prog="daemon", description="Some commands.")
        commands = self.parser.add_subparsers()
        self.funcs = {name: self._bind(handler) for name, handler in handlers.items()}
        for name, func in self.funcs.items():
            command = commands.add_parser(name)
            command.add_argument("word", nargs="?", default="")
            command.set_defaults(func=func, which=name)
        never_wait = tuple(f for name, f in self.funcs.items() if name == "ping")
        self.devices = Devices()
        turns = Turns(self.devices, serial, never_wait)
        self.dispatcher = Dispatcher(self.parser, self.request, turns)

    def _bind(self, handler: Callable[[Commands], Any]) -> Callable[[], None]:
        def func() -> None:
            handler(self)

        return func

    def reply(self, value: Any) -> None:
        self.request.record.reply = value

    @property
    def words(self) -> argparse.Namespace:
        assert self.request.record.namespace is not None
        return self.request.record.namespace


def test_a_handler_finds_its_words_and_leaves_its_reply() -> None:
    """As in 0.5.x, but per request."""
    commands = Commands(say=lambda c: c.reply(f"{c.words.word}!"))

    assert commands.dispatcher.answer("say {good day}").payload == "good day!"


@pytest.mark.parametrize(
    ("value", "payload"),
    [("text", "text"), (4.5, "4.5"), (b"\0", b"\0"), (bytearray(b"a"), b"a"), (None, "None")],
)
def test_what_a_handler_may_reply(value: Any, payload: str | bytes) -> None:
    """Bytes stay bytes; everything else becomes text."""
    assert Commands(get=lambda c: c.reply(value)).dispatcher.answer("get").payload == payload


def test_a_reply_does_not_outlive_its_request() -> None:
    """A handler that says nothing answers with an empty reply."""
    commands = Commands(say=lambda c: c.reply("before"), nothing=lambda c: None)
    commands.dispatcher.answer("say")

    assert commands.dispatcher.answer("nothing").payload == ""


def test_an_invalid_command_is_answered_with_the_manual() -> None:
    """And with the names that were perhaps meant."""
    reply = Commands(status=lambda c: None).dispatcher.answer("staus now")

    assert reply.failed
    assert isinstance(reply.payload, str)
    first, *manual = reply.payload.splitlines()
    assert first == "Error! there is no command 'staus': did you mean status?"
    assert "DAEMON HELP" in manual


@pytest.mark.parametrize("text", ["say {open", "say a b", '{"jsonrpc": "2.0"}', "--what"])
def test_a_malformed_command_is_an_error(text: str) -> None:
    """It reaches no handler."""
    reply = Commands(say=lambda c: c.reply("reached")).dispatcher.answer(text)

    assert reply.failed
    assert str(reply.payload).startswith("Error! ")


@pytest.mark.parametrize(
    ("error", "payload"),
    [
        (ValueError("too hot"), "Error! ValueError: too hot"),
        (SystemExit(2), "Error! SystemExit: 2"),
        (AttributeError("volt"), "Error! AttributeError: volt"),
    ],
)
def test_a_failing_handler_is_an_error_without_traceback(
    error: BaseException, payload: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The traceback is in the log."""

    def fail(_: Commands) -> None:
        raise error

    reply = Commands(fail=fail).dispatcher.answer("fail")

    assert (reply.payload, reply.failed) == (payload, True)
    assert caplog.records[-1].levelno == logging.ERROR
    assert caplog.records[-1].exc_info


def test_a_command_without_handler_is_an_error() -> None:
    """0.5.x forgot to send this reply."""
    commands = Commands(say=lambda c: None)
    commands.parser._defaults.clear()
    commands.parser.commands["say"]._defaults.clear()

    assert "no default 'func'" in str(commands.dispatcher.answer("say").payload)


def test_quit_stops_only_when_it_succeeds() -> None:
    """By the ``which`` of the command, as in 0.5.x."""

    def fail(_: Commands) -> None:
        raise RuntimeError("not now")

    assert Commands(quit=lambda c: c.reply("bye")).dispatcher.answer("quit").quits
    assert not Commands(quit=fail).dispatcher.answer("quit").quits
    assert not Commands(say=lambda c: None).dispatcher.answer("say").quits


def answer_at_once(commands: Commands, texts: list[str]) -> None:
    threads = [threading.Thread(target=commands.dispatcher.answer, args=(t,)) for t in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@pytest.mark.parametrize("serial", [True, False])
def test_serial_commands_run_one_at_a_time(serial: bool) -> None:
    """And all others at once."""
    running, most = [], []

    def work(_: Commands) -> None:
        running.append(1)
        most.append(len(running))
        time.sleep(0.05)
        running.pop()

    answer_at_once(Commands(serial, work=work), ["work"] * 4)

    assert (max(most) == 1) is serial


def test_some_commands_never_wait_for_their_turn() -> None:
    """A ping is answered while a serial command hangs."""
    gate, begun = threading.Event(), threading.Event()

    def hang(_: Commands) -> None:
        begun.set()
        assert gate.wait(20)

    commands = Commands(True, hang=hang, ping=lambda c: c.reply("pong"))
    thread = threading.Thread(target=commands.dispatcher.answer, args=("hang",))
    thread.start()
    assert begun.wait(20)

    assert commands.dispatcher.answer("ping").payload == "pong"
    gate.set()
    thread.join()


def test_requests_of_many_threads_do_not_mix() -> None:
    """Message, words and reply belong to the thread that answers."""
    barrier = threading.Barrier(8)

    def meet(commands: Commands) -> None:
        commands.reply(commands.words.word)
        barrier.wait(20)
        assert commands.request.record.message == f"meet {commands.request.record.reply}"

    commands = Commands(meet=meet)
    replies: dict[int, Any] = {}

    def ask(number: int) -> None:
        replies[number] = commands.dispatcher.answer(f"meet {number}").payload

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert replies == {n: str(n) for n in range(8)}
    assert commands.request.record.reply == ""


def test_an_argument_called_which_does_not_stop_the_server() -> None:
    """The command decides, not what a client sends."""
    commands = Commands(select=lambda c: None)
    commands.parser.commands["select"].add_argument("which")

    assert not commands.dispatcher.answer("select a quit").quits


def test_a_flat_parser_may_stop_the_server() -> None:
    """It has no commands, only words."""
    request = CurrentRequest()
    parser = ArgumentParser(prog="daemon")
    parser.add_argument("which")
    parser.set_defaults(func=lambda: None)

    assert Dispatcher(parser, request).answer("quit").quits


def test_a_command_whose_turn_comes_after_the_stop_is_refused() -> None:
    """What it needs may be closed by then."""
    gate, begun = threading.Event(), threading.Event()
    ran: list[str] = []

    def hang(commands: Commands) -> None:
        begun.set()
        assert gate.wait(20)

    commands = Commands(True, hang=hang, late=lambda c: ran.append("late"))
    first = threading.Thread(target=commands.dispatcher.answer, args=("hang",))
    first.start()
    assert begun.wait(20)
    replies: list[Any] = []
    second = threading.Thread(target=lambda: replies.append(commands.dispatcher.answer("late")))
    second.start()
    wait_until(lambda: "1 waiting" in str(commands.devices.status()))
    commands.devices.close()
    gate.set()
    first.join()
    second.join()
    assert ran == []
    assert replies[0].payload == "Error! shutting down"


def test_an_idle_thread_keeps_no_reply() -> None:
    """It may be large."""
    commands = Commands(get=lambda c: c.reply(b"x" * 1000))
    assert len(commands.dispatcher.answer("get").payload) == 1000
    assert (commands.request.record.reply, commands.request.record.namespace) == ("", None)


def test_client_text_cannot_forge_log_lines_or_fill_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Whatever formatter the lab uses."""
    commands = Commands(ping=lambda c: None)
    commands.dispatcher.answer('ping a "\\nCRITICAL magnet quenched"')
    commands.dispatcher.answer("ping " + "x " * 900)

    assert all("\n" not in r.getMessage() for r in caplog.records)
    assert all(len(r.getMessage()) < 600 for r in caplog.records)


def test_too_many_words_are_refused() -> None:
    """argparse would take seconds for them."""
    reply = Commands(ping=lambda c: None).dispatcher.answer("ping " + "-z " * 2000)
    assert str(reply.payload).startswith("Error! more than 1000 words")


def test_an_error_does_not_list_choices_without_end() -> None:
    """argparse names them all."""
    commands = Commands(go=lambda c: None)
    commands.parser.commands["go"].add_argument("step", choices=[str(n) for n in range(100_000)])

    assert len(str(commands.dispatcher.answer("go x y").payload)) < 10_000
