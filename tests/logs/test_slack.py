"""Do records reach Slack, as harmless text, at its pace, and without showing the secret?"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from canaries import TOKEN, WEBHOOK_PATH
from daemons import wait_until
from hypothesis import given, settings
from hypothesis import strategies as st
from logs.peers import SlackServer, ca_file
from logs.sinks import await_counts, listening, logging_to
from logs.tcp_proxy import DEAF, TcpProxy, talking

from lab_utils_mt._logs import slack as slack_module
from lab_utils_mt._logs.redaction import redact
from lab_utils_mt._logs.slack import SlackHandler
from lab_utils_mt.exceptions import ConfigError

HOSTILE = "".join(map(chr, [*range(32), *range(127, 160), 0x2028, 0x2029, 0x202E, 0xFEFF, 0xD800]))
WAYS = pytest.mark.parametrize("way", ["token", "webhook"])


@pytest.fixture(autouse=True)
def no_detour(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no proxy of this machine stand between; and do not wait a second for each message."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(slack_module, "_APART", 0.01)


@pytest.fixture
def server() -> Iterator[SlackServer]:
    """Return what stands for Slack."""
    with SlackServer() as running:
        yield running


def slack_handler(way: str, server: SlackServer, **options: Any) -> SlackHandler:
    """Return a handler that goes one of the two ways."""
    port = options.pop("port", None)
    secret = TOKEN if way == "token" else server.url(WEBHOOK_PATH, port)
    handler = SlackHandler(secret, "cw-beam", api_url=server.url(port=port), **options)
    handler.longest_pause = 0.2
    return handler


# --- messages ------------------------------------------------------------------------------------


@WAYS
@pytest.mark.parametrize("secure", [False, True])
def test_a_record_arrives(way: str, secure: bool, tmp_path: Path) -> None:
    """With a token or by a webhook, over HTTP and HTTPS."""
    with SlackServer(secure=secure) as server:
        handler = slack_handler(way, server, ca_file=ca_file(tmp_path), user="cw_beam")
        with logging_to(handler) as log:
            log.warning("Ω → ✓ %s", "cold")
            await_counts(handler, sent=1)
    message = server.messages[0]
    assert message["text"].startswith("WARNING  ")
    assert message["text"].endswith(" Ω → ✓ cold")
    assert message["username"] == "cw_beam"
    assert message["mrkdwn"] is message["unfurl_links"] is message["link_names"] is False
    if way == "token":
        assert message["channel"] == "cw-beam"
        assert message["authorization"] == f"Bearer {TOKEN}"
    else:
        assert message["path"] == WEBHOOK_PATH


@WAYS
def test_a_client_cannot_mention_or_link(way: str, server: SlackServer) -> None:
    """What Slack gives a meaning is escaped."""
    with logging_to(handler := slack_handler(way, server)) as log:
        log.warning("<!channel> <http://x.example|click> & <@U1>\nERROR    forged")
        await_counts(handler, sent=1)
    text = server.texts[0]
    assert "<" not in text
    assert "&lt;!channel&gt; &lt;http://x.example|click&gt; &amp; &lt;@U1&gt;\\nERROR" in text
    assert "\n" not in text


def test_records_that_wait_share_messages(server: SlackServer) -> None:
    """In order, none of them too long."""
    with logging_to(handler := slack_handler("token", server)) as log:
        for number in range(200):
            log.info("event %d <", number)
        await_counts(handler, sent=200)
    assert 4 <= len(server.texts) <= 20
    assert all(len(text) <= 3600 for text in server.texts)
    lines = "\n".join(server.texts).splitlines()
    assert [line.split()[-2] for line in lines] == [str(number) for number in range(200)]


@pytest.mark.parametrize("letter", ["x", "&"])
def test_a_long_record_is_cut(letter: str, server: SlackServer) -> None:
    """And says so; its end stays."""
    with logging_to(handler := slack_handler("token", server)) as log:
        log.info("begin %s end", letter * 50_000)
        await_counts(handler, sent=1)
    assert len(server.texts[0]) <= 3600
    assert "characters are left out ...]" in server.texts[0]
    assert server.texts[0].endswith(" end")


def test_messages_keep_their_distance(server: SlackServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Slack takes one per second."""
    monkeypatch.setattr(slack_module, "_APART", 0.5)
    with logging_to(handler := slack_handler("token", server)) as log:
        log.info("one")
        await_counts(handler, sent=1)
        began = time.monotonic()
        log.info("two")
        await_counts(handler, sent=2)
        assert time.monotonic() - began > 0.3


@settings(deadline=None, max_examples=200)
@given(st.text(), st.text(st.sampled_from(HOSTILE + "ab<>&@\u0085")), st.booleans())
def test_no_text_is_more_than_text(text: str, hostile: str, stock_formatter: bool) -> None:
    """Message, level, exception, and a formatter of the user's."""
    handler = SlackHandler(TOKEN, "c")
    try:
        if stock_formatter:
            handler.setFormatter(logging.Formatter("%(name)s\n%(message)s"))
        record = logging.LogRecord(hostile, 40, "p", 1, text + hostile, None, None)
        record.levelname, record.exc_text = hostile, hostile + text
        message, count = handler._message([record, record])
        assert count >= 1
        assert all(line.isprintable() for line in message.split("\n"))
        assert not {"<", ">"} & set(message)
    finally:
        handler.close()


# --- what Slack says -----------------------------------------------------------------------------


@WAYS
@pytest.mark.parametrize("headers", [{"Retry-After": "1"}, {"retry-after": "1"}])
def test_too_many_requests_means_patience(
    way: str, headers: dict[str, str], server: SlackServer
) -> None:
    """No failure: it waits as long as it is told, and sends again."""
    server.script.append((429, '{"ok": false, "error": "ratelimited"}', headers))
    with listening() as heard, logging_to(handler := slack_handler(way, server)) as log:
        began = time.monotonic()
        log.info("one")
        log.info("two")
        await_counts(handler, sent=2)
        assert time.monotonic() - began > 0.95
    assert heard == []
    assert len(server.messages) == 1


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [({}, 30), ({"Retry-After": "x"}, 30), ({"retry-after": "999999"}, 3600)],
)
def test_the_patience_that_is_asked_for_is_bounded(headers: dict[str, str], seconds: int) -> None:
    """And usual, if nobody says how much."""
    assert slack_module._patience(headers) == seconds


@WAYS
@pytest.mark.parametrize("error", ["invalid_payload", "msg_too_long", "no_text", "invalid_blocks"])
def test_a_message_that_slack_never_takes_is_dropped(
    way: str, error: str, server: SlackServer
) -> None:
    """And told; the next one goes."""
    text = json.dumps({"ok": False, "error": error}) if way == "token" else error
    server.script.append((200 if way == "token" else 400, text, {}))
    with listening() as heard, logging_to(handler := slack_handler(way, server)) as log:
        log.info("one")
        await_counts(handler, dropped=1)
        log.info("two")
        await_counts(handler, sent=1, dropped=1)
    assert error in heard[0]
    assert len(heard) == 1


@pytest.mark.parametrize(
    ("way", "status", "text", "told"),
    [
        ("token", 200, '{"ok": false, "error": "invalid_auth"}', "check the token"),
        ("token", 200, '{"ok": false, "error": "not_in_channel"}', "invite the app"),
        ("token", 200, '{"ok": false, "error": "channel_not_found"}', "channel's name"),
        ("token", 200, '{"ok": false, "error": "account_inactive"}', "new token"),
        ("token", 200, '{"ok": false, "error": "brand_new"}', "brand_new"),
        ("token", 200, "<html>log in to the network</html>", "non-JSON"),
        ("token", 503, "<html>", "fault of its own (503"),
        ("webhook", 404, "no_service", "make a new one"),
        ("webhook", 403, "invalid_token", "webhook's address"),
        ("webhook", 200, "<html>log in to the network</html>", "Slack refuses"),
        ("webhook", 500, "", "fault of its own (500"),
    ],
)
def test_other_refusals_are_tried_again(
    way: str, status: int, text: str, told: str, server: SlackServer
) -> None:
    """They are about Slack or the settings: one report, with what to do, and one when it works."""
    server.script.extend([(status, text, {})] * 2)
    with listening() as heard, logging_to(handler := slack_handler(way, server)) as log:
        log.info("one")
        await_counts(handler, sent=1)
        wait_until(lambda: len(heard) == 2, "both reports")
    assert told in heard[0]
    assert "works again" in heard[1]


@WAYS
def test_a_certificate_that_proves_nothing_is_refused(way: str) -> None:
    """The lab's CA is not the system's; no secret is sent."""
    with SlackServer(secure=True) as server, listening() as heard:
        with logging_to(slack_handler(way, server)) as log:
            log.info("one")
            wait_until(lambda: heard, "the report")
        assert server.bodies == []
    assert "certificate cannot be trusted" in heard[0]


# --- other hosts ---------------------------------------------------------------------------------


@WAYS
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(way: str, status: int, server: SlackServer) -> None:
    """Whoever sends one would get the token, and could say that the alarm has arrived."""
    with SlackServer() as other, listening() as heard:
        place = other.url(WEBHOOK_PATH).replace("127.0.0.1", "localhost")
        server.script.append((status, '{"ok": true}', {"Location": place}))
        with logging_to(handler := slack_handler(way, server)) as log:
            log.critical("quench")
            await_counts(handler, sent=1)
            wait_until(lambda: len(heard) == 2, "both reports")
        assert other.visits == other.messages == []
    assert f"is redirected ({status}): check the address" in heard[0]
    assert len(server.messages) == 1


@WAYS
@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY", "all_proxy"])
def test_what_is_not_encrypted_goes_to_no_proxy(
    way: str, name: str, server: SlackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is for this machine only."""
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with SlackServer() as proxy:
        monkeypatch.setenv(name, proxy.url(""))
        with logging_to(handler := slack_handler(way, server)) as log:
            log.critical("quench")
            await_counts(handler, sent=1)
        assert proxy.visits == proxy.bodies == []
    assert len(server.messages) == 1


@WAYS
def test_a_proxy_sees_only_the_name_of_the_host(
    way: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Of an https address; and what it may say instead of making the connection is no success."""
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with SlackServer() as proxy, SlackServer(secure=True) as server, listening() as heard:
        monkeypatch.setenv("https_proxy", proxy.url(""))
        handler = slack_handler(way, server, ca_file=ca_file(tmp_path), timeout=0.5)
        with logging_to(handler) as log:
            log.critical("quench")
            wait_until(lambda: heard, "the report")
            await_counts(handler, queued=1)
        assert set(proxy.visits) == {f"127.0.0.1:{server.port}"}
        assert proxy.bodies == server.bodies == []


# --- what is refused at the start ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("secret", "options", "told"),
    [
        ("canary-of-no-kind", {}, "neither a token"),
        ("", {}, "neither a token"),
        (f"{TOKEN}\nX-Canary: 1", {}, "neither a token"),
        (TOKEN, {"channel": ""}, "channel"),
        (TOKEN, {"api_url": "http://slack.example/api/"}, "https://"),
        (TOKEN, {"api_url": "https://"}, "host"),
        ("http://hooks.slack.com/services/T/B/canarycanary", {}, "https://"),
        ("https://hooks.slack.com:port/services/T/B/canarycanary", {}, "no address"),
        ("https://u:canary@hooks.slack.com/services/T/B/c", {}, "no user"),
        ("https://hooks.slack.com/services/T/B/canary\tcanary", {}, "characters"),
        (TOKEN, {"ca_file": "/none/ca.pem"}, "/none/ca.pem"),
        (TOKEN, {"api_url": ""}, "host"),
        (TOKEN, {"timeout": 0.0}, "timeout"),
        (TOKEN, {"timeout": float("inf")}, "timeout"),
    ],
)
def test_what_cannot_work_is_refused(secret: str, options: dict[str, Any], told: str) -> None:
    """By an error that does not show the secret."""
    with pytest.raises(ConfigError) as caught:
        SlackHandler(secret, **{"channel": "c", **options})
    assert told in str(caught.value)
    assert "canary" not in str(caught.value)


def test_without_slack_sdk_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is an extra."""
    monkeypatch.setitem(sys.modules, "slack_sdk", None)
    with pytest.raises(ConfigError, match=r"lab_utils_mt\[slack\]"):
        SlackHandler(TOKEN, "c")


# --- time and secrets ----------------------------------------------------------------------------


@WAYS
@pytest.mark.parametrize("place", ["server", "proxy"])
def test_a_dripping_server_does_not_hold_a_message_for_ever(
    way: str, place: str, server: SlackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does a proxy: each byte comes in time, and all of them never end."""
    with talking(b"H", b"T", 0.02) as peer, listening() as heard:
        if place == "proxy":
            monkeypatch.delenv("no_proxy", raising=False)
            monkeypatch.delenv("NO_PROXY", raising=False)
            monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{peer.port}")
            server._scheme = "https"
        handler = slack_handler(way, server, port=peer.port, timeout=5.0)
        handler.delivery_limit = 0.5
        with logging_to(handler) as log:
            log.info("one")
            wait_until(lambda: heard, "the report")
            handler.delivery_limit = 3600.0
            wait_until(lambda: handler._bound._end - time.monotonic() > 60, "another attempt")
            thread = handler._thread
            handler.flush_timeout = 0.1
            handler.close()
            assert thread is not None
            wait_until(lambda: not thread.is_alive(), "the end of the thread")
    assert "no answer in time" in heard[0]


@WAYS
def test_an_answer_without_end_is_not_read(way: str, server: SlackServer) -> None:
    """Not until the memory is full."""
    with (
        talking(b"HTTP/1.0 200 OK\r\n\r\n", b"x" * 100_000) as peer,
        listening() as heard,
        logging_to(slack_handler(way, server, port=peer.port)) as log,
    ):
        log.info("one")
        wait_until(lambda: heard, "the report")
        assert peer.said < 50_000_000  # what the system takes on the way


@WAYS
def test_close_is_bounded_while_slack_is_deaf(way: str, tmp_path: Path) -> None:
    """And the thread that waits for it is woken; what was not sent is dropped."""
    with SlackServer(secure=True) as server, TcpProxy(server.port, DEAF) as proxy:
        handler = slack_handler(
            way, server, port=proxy.port, ca_file=ca_file(tmp_path), timeout=3600.0
        )
        handler.delivery_limit = 3600.0
        handler.flush_timeout = 0.2
        with logging_to(handler) as log:
            log.info("one")
            wait_until(lambda: handler._bound._socket is not None, "the handshake")
            thread = handler._thread
            handler.close()
            assert thread is not None
            wait_until(lambda: not thread.is_alive(), "the end of the thread")
        assert handler.counts.dropped == 1


@WAYS
def test_the_secret_is_in_no_output(
    way: str,
    server: SlackServer,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Not if Slack repeats it, if a library logs everything, or if a user does."""
    caplog.set_level(logging.DEBUG)
    secret = TOKEN if way == "token" else server.url(WEBHOOK_PATH)
    text = json.dumps({"ok": False, "error": f"bad {secret}"}) if way == "token" else secret
    server.script.extend([(403, text, {}), (500, text, {})])
    with listening() as heard, logging_to(handler := slack_handler(way, server)) as log:
        log.error("hot")
        wait_until(lambda: heard, "the report")
        status = handler.status()
        log.error("%r %s %s", handler, vars(handler), secret)
        await_counts(handler, sent=2)
    shown = "".join([*heard, status, repr(handler), *server.texts, *capfd.readouterr()])
    shown += redact(str(vars(handler)))
    shown += "".join(record.getMessage() for record in caplog.records)
    for part in (secret, "canarywebhooksecret", WEBHOOK_PATH[10:], TOKEN):
        assert part not in shown
