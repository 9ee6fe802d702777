"""Does a bad line to a mail server or to Slack hurt anybody but the line?"""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from canaries import PASSWORD, TOKEN, USER
from daemons import wait_until
from logs.peers import MailServer, SlackServer, ca_file
from logs.sinks import await_counts, listening, logging_to
from logs.tcp_proxy import DEAF, DOWN, OPEN, RESET, SLOW, TcpProxy

from lab_utils_mt._logs import slack as slack_module
from lab_utils_mt._logs.mail import TlsSMTPHandler
from lab_utils_mt._logs.outbox import Counts
from lab_utils_mt._logs.sink import SinkHandler
from lab_utils_mt._logs.slack import SlackHandler

THREADS, EACH = 4, 50
TIMEOUT = 0.5  # s; of the handlers
World = tuple[SinkHandler, TcpProxy, Callable[[], str]]


@contextlib.contextmanager
def mail_world(ca: str) -> Iterator[World]:
    """Give a handler for mail, the line to its server, and what arrived there."""
    with MailServer() as server, TcpProxy(server.port) as proxy:
        handler = TlsSMTPHandler(
            ("127.0.0.1", proxy.port), "a@lab.example", "b@lab.example", "s", (USER, PASSWORD),
            timeout=TIMEOUT, ca_file=ca, interval=0.05,
        )  # fmt: skip
        yield handler, proxy, lambda: "".join(mail.text for mail in server.mails)


@contextlib.contextmanager
def slack_world(ca: str) -> Iterator[World]:
    """Give a handler for Slack, the line to it, and what arrived there."""
    with SlackServer(secure=True) as server, TcpProxy(server.port) as proxy:
        handler = SlackHandler(
            TOKEN, "c", api_url=server.url(port=proxy.port), timeout=TIMEOUT, ca_file=ca
        )
        yield handler, proxy, lambda: "\n".join(server.texts)


@pytest.fixture(params=[mail_world, slack_world], ids=["mail", "Slack"])
def world(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[World]:
    """Return a handler, its line and what arrived."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(slack_module, "_APART", 0.02)
    with request.param(ca_file(tmp_path)) as made:
        made[0].longest_pause = 0.2
        yield made


@pytest.mark.parametrize(
    ("fault", "after"),
    [(DOWN, 0), (DEAF, 0), (SLOW, 0), (RESET, 0), (RESET, 400), (RESET, 900)],
)
def test_a_bad_line_hurts_nobody_who_logs(fault: str, after: int, world: World) -> None:
    """The equation holds, nobody waits, everything arrives later, and there are two reports."""
    handler, proxy, arrived = world
    proxy.turn(fault, after)
    with listening() as heard, logging_to(handler) as log:
        longest = [0.0] * THREADS
        wrong: list[Counts] = []

        def work(number: int) -> None:
            for count in range(EACH):
                began = time.monotonic()
                log.error("event %d.", number * EACH + count)
                longest[number] = max(longest[number], time.monotonic() - began)
                counts = handler.counts
                if counts.raised != counts.sent + counts.queued + counts.dropped:
                    wrong.append(counts)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert wrong == []
        assert max(longest) < TIMEOUT * 0.8  # the stock handlers wait for the whole timeout
        if fault == SLOW:
            wait_until(lambda: handler.counts.sent, "a delivery over the slow line")
        else:
            wait_until(lambda: heard, "the report of the failure")
            await_counts(handler, raised=THREADS * EACH, dropped=0)
        proxy.turn(OPEN)
        await_counts(handler, sent=THREADS * EACH, queued=0, dropped=0)
        if fault != SLOW:
            wait_until(lambda: len(heard) > 1, "the report of the recovery")
        assert handler.status().endswith("; ok")
    assert ["does not work" in report for report in heard] == (
        [] if fault == SLOW else [True, False]
    )
    events = {int(number) for number in re.findall(r"event (\d+)\.", arrived())}
    assert events == set(range(THREADS * EACH))


def test_a_line_that_breaks_again_and_again_loses_nothing(world: World) -> None:
    """At each byte number in turn, while records come."""
    handler, proxy, arrived = world
    with listening(), logging_to(handler) as log:
        for number, after in enumerate(range(0, 1500, 150)):
            proxy.turn(RESET, after)
            log.error("event %d.", number)
            arrivals = proxy.arrivals
            wait_until(lambda seen=arrivals: proxy.arrivals > seen, "an attempt")  # type: ignore[misc]
        proxy.turn(OPEN)
        await_counts(handler, sent=10, dropped=0)
    assert {int(number) for number in re.findall(r"event (\d+)\.", arrived())} == set(range(10))


def test_closing_on_a_bad_line_is_bounded(world: World) -> None:
    """What could not be delivered is counted as dropped, and told."""
    handler, proxy, _ = world
    proxy.turn(DEAF)
    handler.flush_timeout = 0.3
    with listening() as heard, logging_to(handler) as log:
        for number in range(100):
            log.info("event %d", number)
        began = time.monotonic()
        handler.close()
        assert time.monotonic() - began < 5.0
        counts = handler.counts
    assert counts.raised == counts.dropped == 100
    assert any("100 records are lost" in report for report in heard)
