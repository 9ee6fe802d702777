"""Do alarms reach a server whole, in order and all of them, whatever happens on the way?"""

from __future__ import annotations

import ast
import contextlib
import itertools
import logging
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from daemons import TIMEOUT, serving, wait_until
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from logs.sinks import await_counts, listening, logging_to
from original import Original
from systems import needs_linux

from lab_utils_mt._logs.alarm import alarm_line
from lab_utils_mt._logs.redaction import hide, redact
from lab_utils_mt._wire.text import split
from lab_utils_mt.custom_logging import NonPickledSocketHandler
from lab_utils_mt.exceptions import ConfigError
from lab_utils_mt.socket_comm import Client, Server

OPTIONS = ("date", "level", "app", "module", "function", "message")


class Collector(Server):
    """Takes alarms, and keeps their words and their lines."""

    def __init__(self, *args, **kwargs):
        self.taken = []
        self.lines = []
        super().__init__(*args, **kwargs)

    def create_parser(self):
        super().create_parser()
        for name in ("alarm", "cryostat"):  # the second: as 0.5.x names the command
            alarm = self.sp.add_parser(name)
            if name == "alarm":
                alarm.add_argument("name")
            for option in OPTIONS:
                alarm.add_argument(f"--{option}")
            alarm.set_defaults(func=self.take, which="alarm")

    def take(self):
        self.taken.append(self.namespace)
        self.lines.append(self.message)
        self.reply = "taken"

    @property
    def texts(self):
        return [words.message for words in self.taken]


@pytest.fixture
def collector(pid_file):
    """Return a server that takes alarms."""
    with serving(Collector(pid_file_name=pid_file, port=0)) as server:
        yield server


class Peer:
    """A server that keeps the lines it gets, and answers in a manner that can be changed."""

    def __init__(self, manner: str = "taken", port: int = 0) -> None:
        self.manner = manner  #: A reply, or one of: deaf, slow, reset, hang up.
        self.lines: list[str] = []
        self._listener = socket.create_server(("127.0.0.1", port))
        self.port = self._listener.getsockname()[1]
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                self._open.append(sock)
                self._threads.append(threading.Thread(target=self._serve, args=[sock]))
                self._threads[-1].start()

    def _serve(self, sock: socket.socket) -> None:
        with contextlib.suppress(OSError), sock, sock.makefile("rb") as file:
            for line in file:
                self.lines.append(line.decode("ascii").removesuffix("\n"))
                if self.manner == "slow":
                    time.sleep(0.02)
                if self.manner == "reset":
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                if self.manner in ("reset", "hang up"):
                    return
                if self.manner != "deaf":
                    sock.sendall(self.manner.encode("utf-8", "surrogateescape") + b"\n")

    @property
    def texts(self) -> list[str]:
        """The messages, without those that came twice in a row."""
        return [text for text, _ in itertools.groupby(split(line)[-1] for line in self.lines)]

    def close(self) -> None:
        """End all connections."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._threads[0].join(TIMEOUT)
        for sock in self._open:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads[1:]:
            thread.join(TIMEOUT)

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def await_delivery(handler: NonPickledSocketHandler, **counts: int) -> None:
    """Wait until nothing is queued; does not wait for the handler's own pauses."""

    def delivered() -> bool:
        handler.hurry()
        return handler.counts.queued == 0

    wait_until(delivered, f"the delivery of all: {handler.status()}")
    await_counts(handler, **counts)


def record_of(message, name="cryostat", **fields):
    """A record as the sink's thread gets it."""
    made = {
        "name": name,
        "msg": message,
        "levelno": 40,
        "levelname": "ERROR",
        "module": "main",
        **fields,
    }
    return logging.makeLogRecord({"funcName": "read", "created": 0.0, **made})


# --- the line ---------------------------------------------------------------------------------


def test_a_record_becomes_a_command(collector):
    """Name, date, level, app, module, function, message."""
    with logging_to(NonPickledSocketHandler("localhost", collector.port)) as logger:
        logger.error("too warm: %.1f K", 6.1)
        wait_until(lambda: collector.taken)
    words = collector.taken[0]
    assert (words.name, words.app, words.level) == ("lab", "lab", "ERROR")
    assert (words.module, words.function) == ("test_alarm", "test_a_record_becomes_a_command")
    assert words.message == "too warm: 6.1 K"
    then = time.mktime(time.strptime(words.date, "%Y-%m-%d %H:%M:%S.%f"))
    assert abs(then - time.time()) < 600


def test_the_line_is_that_of_the_protocol():
    """Words are quoted where need be; without a command, it is the line of 0.5.x."""
    date = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(0))
    assert alarm_line(record_of("two words", created=0.25), "alarm") == (
        f'alarm cryostat --date "{date}.250000" --level ERROR --app cryostat --module main'
        ' --function read --message "two words"'
    )
    assert alarm_line(record_of("two words"), "") == (
        f"{{cryostat}} --date {{{date}}} --level {{ERROR}} --app {{cryostat}} --module {{main}}"
        " --function {read} --message {two words}"
    )
    assert alarm_line(record_of("{a}\n}\x1b{"), "").endswith(r" --message {(a)\n)\x1b(}")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(text=st.text(st.characters()), name=st.text(st.characters(), min_size=1, max_size=20))
def test_any_text_arrives_whole(collector, text, name):
    """And nothing on the wire can drive a terminal, or end the line."""
    client = Client(host="127.0.0.1", port=collector.port, timeout=TIMEOUT)
    with client:
        assert client.send_message(alarm_line(record_of(text, name), "alarm")) == "taken"
    line, words = collector.lines[-1], collector.taken[-1]
    assert line.isascii()
    assert line.isprintable()
    assert words.message == (redact(text) if text != "--" else "-- ")
    assert words.app == (redact(name) if name != "--" else "-- ")
    sent = split(line)[-1]
    assert sent.removeprefix("--message=") == words.message or sent == words.message


@pytest.mark.parametrize(
    "text", ["", "-", "--", "-x", "--level=INFO", "--app x", "-5", "[1]", '{"a":1}', "a\nb\r\n\0\t"]
)
def test_what_looks_like_an_option_is_text(collector, text):
    """Also through the handler, and beside the other words."""
    with logging_to(NonPickledSocketHandler("127.0.0.1", collector.port)) as logger:
        logger.error(text)
        logger.name = "-x"
        logger.error("%s", "next")
        wait_until(lambda: len(collector.taken) == 2)
    assert [words.message.rstrip(" ") for words in collector.taken] == [text.rstrip(" "), "next"]
    assert [words.level for words in collector.taken] == ["ERROR", "ERROR"]
    assert collector.taken[1].app == "-x"


def test_a_traceback_is_part_of_the_message(collector):
    """With the stack, if it was asked for."""
    with logging_to(NonPickledSocketHandler("127.0.0.1", collector.port)) as logger:
        try:
            int("a {brace}")
        except ValueError:
            logger.exception("failed", stack_info=True)
        wait_until(lambda: collector.taken)
    lines = collector.texts[0].split("\n")
    assert lines[:2] == ["failed", "Traceback (most recent call last):"]
    assert "ValueError: invalid literal for int() with base 10: 'a {brace}'" in lines
    assert "Stack (most recent call last):" in lines


@pytest.mark.parametrize("text", ["x" * 200_000, "Ω\n" * 100_000, "\U0001f321" * 20_000])
@pytest.mark.parametrize(("command", "longest"), [("alarm", 60_000), ("", 4000)])
def test_a_long_message_is_cut_and_says_so(text, command, longest):
    """To what the server takes."""
    line = alarm_line(record_of(text, "n" * 5000, exc_text="end"), command)
    assert longest - 100 < len(line.encode()) <= longest
    message = split(line)[-1]
    assert message.endswith(" (cut)")
    if command:
        assert text.startswith(message.removesuffix(" (cut)"))
    assert f"{'n' * 100} (cut)" in line


def test_a_message_that_just_fits_is_not_cut():
    """Not one byte too early."""
    room = 60_000 - len(alarm_line(record_of(""), "alarm")) + 2
    assert len(alarm_line(record_of("x" * room), "alarm")) == 60_000
    assert alarm_line(record_of("x" * room), "alarm").endswith("xxx")
    assert alarm_line(record_of("x" * (room + 1)), "alarm").endswith(' (cut)"')


def test_secrets_do_not_travel(collector):
    """Neither in a message, nor in a traceback, nor through a formatter of the user's."""
    hide("canary/in-a-coalmine")
    with logging_to(NonPickledSocketHandler("127.0.0.1", collector.port)) as logger:
        try:
            int("canary/in-a-coalmine")
        except ValueError:
            logger.exception("login with canary/in-a-coalmine")
        wait_until(lambda: len(collector.taken) == 1)
        logger.handlers[0].setFormatter(logging.Formatter("alarm x --message {%(message)s}"))
        logger.error("canary/in-a-coalmine")
        wait_until(lambda: len(collector.taken) == 2)
    assert "canary" not in "".join(collector.lines)
    assert collector.texts[0].startswith("login with ***\n")
    assert collector.texts[1] == "***"


def test_a_formatter_of_the_users_is_honoured(collector):
    """Its text is the command, in one line; the one of 0.5.x still works."""
    handler = NonPickledSocketHandler("127.0.0.1", collector.port)
    layout = "{%(name)s} --level {%(levelname)s} --message {%(message)s}"
    handler.setFormatter(logging.Formatter(layout))
    with logging_to(handler) as logger:
        logger.name = "cryostat"
        logger.error("a\nb\x1b[2J")
        wait_until(lambda: collector.taken)
    assert collector.lines == [r"{cryostat} --level {ERROR} --message {a\nb\x1b[2J}"]


def test_a_formatter_leaves_the_record_as_it_is(collector):
    """Other sinks have the same one."""
    handler = NonPickledSocketHandler("127.0.0.1", collector.port)
    handler.setFormatter(logging.Formatter("alarm %(asctime)s --message {%(message)s}", "now"))
    record = record_of("x")
    before = dict(vars(record))
    with contextlib.closing(handler):
        handler.accept(record)
        await_delivery(handler, sent=1)
    assert vars(record) == before


def test_a_formatter_that_fails_costs_its_record_only(collector):
    """The next ones arrive; it is told once."""
    handler = NonPickledSocketHandler("127.0.0.1", collector.port)
    handler.setFormatter(logging.Formatter("alarm x --message {%(message)s} --app %(pump)s"))
    with listening() as reports, logging_to(handler) as logger:
        logger.error("one")
        logger.error("two", extra={"pump": "p1"})
        await_delivery(handler, sent=1, dropped=1)
    assert collector.texts == ["two"]
    assert len(reports) == 1
    assert "refuses what is logged: a record cannot be formatted: " in reports[0]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("h", 70_000, {}), "port = 70000"),
        (("h", "x", {}), "port"),
        (("h", 1, {"timeout": 0}), "timeout"),
        (("h", 1, {"command": "two words"}), "must be one word"),
    ],
)
def test_arguments_are_checked(arguments, complaint):
    """Before anything is logged."""
    host, port, others = arguments
    with pytest.raises(ConfigError, match=complaint):
        NonPickledSocketHandler(host, port, **others)


# --- the way ----------------------------------------------------------------------------------


def break_it(peer: Peer, fault: str) -> None:
    """Let a peer be down, deaf, slow or rude."""
    peer.manner = fault
    if fault == "down":
        peer.close()


@pytest.mark.parametrize("fault", ["down", "deaf", "reset", "hang up"])
def test_nothing_is_lost_while_the_server_fails(fault):
    """Order is kept, calls return at once; failure and recovery are told once each."""
    with contextlib.ExitStack() as stack:
        reports = stack.enter_context(listening())
        peer = stack.enter_context(Peer())
        handler = NonPickledSocketHandler("127.0.0.1", peer.port, timeout=0.3)
        logger = stack.enter_context(logging_to(handler))
        logger.error("0")
        await_delivery(handler, sent=1)
        break_it(peer, fault)
        began = time.monotonic()
        for number in range(1, 25):
            logger.error("%d", number)
        assert time.monotonic() - began < 5  # a stock handler connects, and waits, in each call
        wait_until(lambda: reports)
        await_counts(handler, raised=25, sent=1, queued=24, dropped=0)
        assert "down for" in handler.status()
        mended = stack.enter_context(Peer(port=peer.port)) if fault == "down" else peer
        mended.manner = "taken"
        await_delivery(handler, raised=25, sent=25, dropped=0)
        wait_until(lambda: len(reports) == 2)
        texts = peer.texts + mended.texts if mended is not peer else peer.texts
        assert texts == [str(number) for number in range(25)]
        assert f"alarms to 127.0.0.1:{peer.port} does not work: " in reports[0]
        assert f"alarms to 127.0.0.1:{peer.port} works again after " in reports[1]
        assert handler.status().endswith("; ok")


def test_a_slow_server_gets_everything():
    """Threads that log do not wait for it, and at any moment the counts add up."""
    with Peer("slow") as peer, listening() as reports:
        handler = NonPickledSocketHandler("127.0.0.1", peer.port)
        with logging_to(handler) as logger:
            threads = [
                threading.Thread(target=lambda: [logger.error("%d", n) for n in range(10)])
                for _ in range(4)
            ]
            for thread in threads:
                thread.start()
            await_counts(handler, raised=40, sent=40)  # looks at them all the time
            for thread in threads:
                thread.join(TIMEOUT)
        texts = [split(line)[-1] for line in peer.lines]
        assert sorted(texts) == sorted([*map(str, range(10))] * 4)
        assert reports == []


def test_what_does_not_fit_the_queue_is_counted():
    """The oldest go, and it is told."""
    with Peer("deaf") as peer, listening() as reports:
        handler = NonPickledSocketHandler("127.0.0.1", peer.port, timeout=0.2, capacity=5)
        with logging_to(handler) as logger:
            logger.error("0")
            wait_until(lambda: peer.lines)
            for number in range(1, 21):
                logger.error("%d", number)
            counts = handler.counts
            assert (counts.raised, counts.sent) == (21, 0)
            assert counts.dropped >= 15
            peer.manner = "taken"
            await_delivery(handler, raised=21)
            assert peer.texts[-5:] == [str(number) for number in range(16, 21)]
            # What was under way may have lost its place meanwhile.
            assert handler.counts.sent in (5, 6)
            wait_until(lambda: any("caught up" in report for report in reports))


@pytest.mark.parametrize("timeout", [0.2, 3.0])
def test_close_is_bounded_with_a_deaf_server(timeout):
    """What waits is lost, and that is told."""
    with Peer("deaf") as peer, listening() as reports:
        handler = NonPickledSocketHandler("127.0.0.1", peer.port, timeout=timeout)
        with logging_to(handler) as logger:
            logger.error("one")
            wait_until(lambda: peer.lines)
            logger.error("two")
            began = time.monotonic()
        assert time.monotonic() - began < 10
        assert str(handler.counts) == "2 raised = 0 sent + 0 queued + 2 dropped"
        assert reports[-1].endswith("is closed: 2 records are lost, or not confirmed")


def test_close_ends_the_connection():
    """The one that waits for the next alarm, and the one that is just being used."""
    with Peer() as peer:
        idle = NonPickledSocketHandler("127.0.0.1", peer.port)
        used = NonPickledSocketHandler("127.0.0.1", peer.port, timeout=TIMEOUT)
        used.flush_timeout = 0.1
        with logging_to(idle) as logger:
            logger.error("one")
            await_delivery(idle, sent=1)
        with logging_to(used) as logger:
            peer.manner = "deaf"
            logger.error("two")
            wait_until(lambda: len(peer.lines) == 2)
        for sock in list(peer._open):
            with contextlib.suppress(OSError):  # the first one is closed
                sock.sendall(b"late\n")
        wait_until(lambda: all(not thread.is_alive() for thread in peer._threads[1:]))
    assert idle.closed
    assert used.closed


def test_a_closed_handler_takes_no_more(collector):
    """And counts it."""
    handler = NonPickledSocketHandler("127.0.0.1", collector.port)
    with logging_to(handler) as logger:
        logger.error("one")
        await_delivery(handler, sent=1)
    logger.error("two")
    assert str(handler.counts) == "2 raised = 1 sent + 0 queued + 1 dropped"


# --- the reply --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "reply",
    [
        "Error! there is no command 'alarm': did you mean alert?",
        "Error! KeyError: 'pump'",
        "Unknown exception! Check daemon log!",
    ],
)
def test_what_the_server_will_never_take_is_dropped(reply):
    """What follows is sent; the refusal is told once a minute, in one line."""
    with Peer(f"{reply}\x1b[2J") as peer, listening() as reports:
        handler = NonPickledSocketHandler("127.0.0.1", peer.port)
        with logging_to(handler) as logger:
            logger.error("one")
            logger.error("two")
            await_delivery(handler, sent=0, dropped=2)
            peer.manner = "taken"
            logger.error("three")
            await_delivery(handler, sent=1, dropped=2)
    assert len(reports) == 1
    assert f"refuses what is logged: {reply.removeprefix('Error! ')}\\x1b" in reports[0]


@pytest.mark.parametrize(
    "reply",
    [
        "Error! server full (64 clients)",
        "Error! shutting down",
        "Error! not authorised",
        "Error! DatabaseUnavailable: no session",
    ],
)
def test_what_the_server_cannot_take_now_is_sent_again(reply):
    """It counts as a failure of the server."""
    with Peer(reply) as peer, listening() as reports:
        handler = NonPickledSocketHandler("127.0.0.1", peer.port)
        with logging_to(handler) as logger:
            logger.error("one")
            wait_until(lambda: reports)
            assert f"the server says: {reply.removeprefix('Error! ')}" in reports[0]
            peer.manner = "taken"
            await_delivery(handler, sent=1, dropped=0)


def test_a_full_server_gets_the_alarm_once_there_is_room(pid_file):
    """A real one."""
    with serving(Collector(pid_file_name=pid_file, port=0)) as server:
        server.max_clients = 1
        handler = NonPickledSocketHandler("127.0.0.1", server.port)
        with listening() as reports, logging_to(handler) as logger:
            with Client(host="127.0.0.1", port=server.port, timeout=TIMEOUT) as client:
                assert client.send_message("ping") == "pong"
                logger.error("one")
                wait_until(lambda: reports)
                assert "server full (1 clients)" in reports[0]
            await_delivery(handler, sent=1, dropped=0)
        assert server.texts == ["one"]


def test_all_arrive_while_the_server_is_restarted(tmp_path):
    """Ten of ten, in order, none twice: each server answers what it took."""
    texts, port = [], 0
    handler = None
    with contextlib.ExitStack() as stack:
        for turn in range(3):
            server = Collector(pid_file_name=str(tmp_path / f"{turn}.pid"), port=port)
            with serving(server):
                port = server.port
                if handler is None:
                    handler = NonPickledSocketHandler("127.0.0.1", port)
                    logger = stack.enter_context(logging_to(handler))
                logger.error("%d up", turn)
                await_delivery(handler, dropped=0)
            texts += server.texts
            for number in range(3 if turn < 2 else 1):
                logger.error("%d down %d", turn, number)
        with serving(Collector(pid_file_name=str(tmp_path / "last.pid"), port=port)) as server:
            await_delivery(handler, raised=10, sent=10, dropped=0)
            texts += server.texts
    assert texts[:4] == ["0 up", "0 down 0", "0 down 1", "0 down 2"]
    assert texts[4:8] == ["1 up", "1 down 0", "1 down 1", "1 down 2"]
    assert texts[8:] == ["2 up", "2 down 0"]


@pytest.mark.parametrize(
    "reply",
    [
        "",
        "  ",
        "HTTP/1.1 400 Bad Request",
        "<html>",
        "220 mail.example.org ESMTP",
        "220-mail.example.org",
        "SSH-2.0-OpenSSH_9.6",
        "-ERR unknown command",
        "\x00\x01taken",
        "\udcff\udcfe",
    ],
)
def test_what_another_server_says_confirms_nothing(reply):
    """The alarm waits until an alarm manager is there; for 0.5.x, any reply confirms."""
    with Peer(reply) as peer, listening() as reports:
        handler = NonPickledSocketHandler("127.0.0.1", peer.port)
        with logging_to(handler) as logger:
            logger.error("one")
            wait_until(lambda: reports)
            assert "which no alarm manager does: check host and port" in reports[0]
            peer.manner = "alarm 7"
            await_delivery(handler, sent=1, dropped=0)
        peer.manner = reply
        old = NonPickledSocketHandler("127.0.0.1", peer.port, command="")
        with logging_to(old) as logger:
            logger.error("one")
            await_delivery(old, sent=1)


@pytest.mark.parametrize("reply", ["ok", "alarm 7\tΩ → ✓", "Erreur", "200", "\U0001f321"])
def test_any_words_confirm(reply):
    """What a server of this package may say."""
    with Peer(reply) as peer:
        handler = NonPickledSocketHandler("127.0.0.1", peer.port)
        with logging_to(handler) as logger:
            logger.error("one")
            await_delivery(handler, sent=1, dropped=0)
            assert handler.status().endswith("; ok")
    assert len(peer.lines) == 1
    assert peer.lines[0].endswith(" --message one")


def test_a_fault_of_the_server_that_may_pass_is_waited_for():
    """A few times; then the record goes, as it may be its own fault, and the next ones go on."""
    with Peer("Error! OSError: [Errno 28] No space left") as peer, listening() as reports:
        handler = NonPickledSocketHandler("127.0.0.1", peer.port)
        with logging_to(handler) as logger:
            logger.error("one")
            wait_until(lambda: reports)
            assert "the server says: OSError: [Errno 28] No space left" in reports[0]
            handler.hurry()
            wait_until(lambda: len(peer.lines) >= 2)
            peer.manner = "taken"
            await_delivery(handler, sent=1, dropped=0)
            peer.lines.clear()
            peer.manner = "Error! PumpStuck: the pump"
            logger.error("two")
            logger.error("three")
            await_delivery(handler, sent=1, dropped=2)
            texts = [split(line)[-1] for line in peer.lines]
            assert texts == [*["two"] * 5, *["three"] * 5]
            assert any("refuses what is logged: 5 times, the server" in text for text in reports)


def test_an_endless_reply_costs_little_memory():
    """It is cut off, and the server is one that does not work."""
    sent = [0]

    def drown(listener: socket.socket) -> None:
        with contextlib.suppress(OSError), listener.accept()[0] as sock:
            while sent[0] < 100_000_000:
                sock.sendall(b"x" * 65536)
                sent[0] += 65536

    with socket.create_server(("127.0.0.1", 0)) as listener, listening() as reports:
        thread = threading.Thread(target=drown, args=[listener])
        thread.start()
        port = listener.getsockname()[1]
        handler = NonPickledSocketHandler("127.0.0.1", port, timeout=TIMEOUT)
        with logging_to(handler) as logger:
            logger.error("one")
            wait_until(lambda: reports)
            assert "longer than 1000000 bytes" in reports[0]
            handler.flush_timeout = 0.0
        thread.join(TIMEOUT)
    assert sent[0] < 50_000_000


@pytest.mark.parametrize("manner", ["deaf", "down"])
def test_close_breaks_off_what_the_thread_does(manner):
    """However long it would wait for a server."""
    with Peer("deaf") as peer:
        handler = NonPickledSocketHandler("127.0.0.1", peer.port, timeout=3000)
        handler.flush_timeout = 0.1
        with logging_to(handler) as logger:
            logger.error("one")
            wait_until(lambda: peer.lines)
            break_it(peer, manner)
        thread = handler._thread
        wait_until(lambda: thread is None or not thread.is_alive())
        assert not handler._transport._caller._busy


# --- 0.5.4 ------------------------------------------------------------------------------------

MANAGER = """
from lab_utils.socket_comm import Server

class Manager(Server):
    def create_parser(self):
        super().create_parser()
        alarm = self.sp.add_parser("lab", description="takes an alarm")
        for option in {options!r}:
            alarm.add_argument("--" + option, help=option)
        alarm.set_defaults(func=self.take, which="alarm")

    def take(self):
        print(repr(self.namespace.message), flush=True)
        self.reply = {reply!r}

manager = Manager(host="127.0.0.1", port={port}, pid_file_name={pid_file!r})
print("up", flush=True)
manager.start_daemon()
"""

STOCK = """
import logging, time
from lab_utils.custom_logging import NonPickledSocketHandler

handler = NonPickledSocketHandler("127.0.0.1", {port})
handler.setFormatter(logging.Formatter("{{%(name)s}} --message {{%(message)s}}"))
logger = logging.Logger("lab")
logger.addHandler(handler)
for number in range(10):
    logger.error("number %d", number)
    time.sleep(0.2)
handler.close()
"""


@contextlib.contextmanager
def old_manager(original: Original, port: int, folder: Path, reply: str) -> Iterator[list[str]]:
    """Run an alarm manager with 0.5.4; the messages that it took are there at the end."""
    code = MANAGER.format(
        options=OPTIONS, reply=reply, port=port, pid_file=str(folder / "original.pid")
    )
    taken: list[str] = []
    command, environment = original._command(code), original._environment
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, env=environment, text=True) as process:
        try:
            # A visit would disturb: it looks at the system's table.
            listens = f":{port:04X} 00000000:0000 0A"
            wait_until(lambda: listens in Path("/proc/net/tcp").read_text())
            yield taken
            with Client(host="127.0.0.1", port=port, timeout=TIMEOUT) as client:
                assert client.send_message("quit") == "Goodbye!"
            output, _ = process.communicate(timeout=TIMEOUT)
        finally:
            process.kill()
    taken += map(ast.literal_eval, output.splitlines()[1:])


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@needs_linux
def test_the_original_handler_loses_alarms(original: Original, tmp_path: Path) -> None:
    """It writes into connections that the server has closed: 4 of 10 arrive."""
    port = free_port()
    with old_manager(original, port, tmp_path, "ok") as taken:
        code = STOCK.format(port=port)
        command = original._command(code)
        subprocess.run(
            command, env=original._environment, timeout=60, check=True, capture_output=True
        )
    assert 0 < len(taken) < 10


@needs_linux
@pytest.mark.parametrize("reply", ["ok", ""])
def test_this_handler_loses_none_with_an_original_server(
    original: Original, tmp_path: Path, reply: str
) -> None:
    """In the form of 0.5.x: ten of ten, in order, though the server is restarted in between."""
    port = free_port()
    handler = NonPickledSocketHandler("127.0.0.1", port, command="")
    with logging_to(handler) as logger:
        with old_manager(original, port, tmp_path, reply) as first:
            for number in range(4):
                logger.error("number %d", number)
            await_delivery(handler, sent=4, dropped=0)
        for number in range(4, 7):
            logger.error("number %d", number)
        with old_manager(original, port, tmp_path, reply) as second:
            for number in range(7, 10):
                logger.error("number %d", number)
            await_delivery(handler, raised=10, sent=10, dropped=0)
    assert first + second == [f"number {number}" for number in range(10)]


@needs_linux
def test_hostile_text_reaches_an_original_server(original: Original, tmp_path: Path) -> None:
    """Escaped, as braces cannot carry it, and not longer than it reads."""
    port = free_port()
    handler = NonPickledSocketHandler("127.0.0.1", port, command="")
    with logging_to(handler) as logger, old_manager(original, port, tmp_path, "ok") as taken:
        for text in ("a {b} c}", "a\nb \x1b[2J", "--level x", "-x", "Ω" * 9000, ""):
            logger.error("%s", text)
        await_delivery(handler, sent=6, dropped=0)
    assert taken[:4] == ["a (b) c)", r"a\nb \x1b[2J", "--level x", "-x"]
    assert taken[4].startswith("Ω" * 1500)
    assert taken[4].endswith("Ω (cut)")
    assert taken[5] == ""


def test_an_old_server_that_says_nothing_does_not_hold_up_the_queue():
    """If it has answered before, it is asked again, and then the record is given up."""
    with Peer() as peer, listening() as reports:
        handler = NonPickledSocketHandler("127.0.0.1", peer.port, command="")
        with logging_to(handler) as logger:
            logger.error("one")
            await_delivery(handler, sent=1)
            peer.manner = "hang up"
            logger.error("two")
            await_delivery(handler, sent=1, dropped=1)
            assert [split(line)[-1] for line in peer.lines] == ["one", *["two"] * 3]
            wait_until(lambda: "without a reply" in reports[-1])
            peer.manner = "taken"
            logger.error("three")
            await_delivery(handler, sent=2, dropped=1)
