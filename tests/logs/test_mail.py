"""Do mails arrive, over TLS, few, harmless, and without anybody's password?"""

from __future__ import annotations

import base64
import datetime
import email
import email.policy
import logging
import logging.handlers
import ssl
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from canaries import PASSWORD, USER
from daemons import wait_until
from hypothesis import given, settings
from hypothesis import strategies as st
from logs.peers import MailServer, authority, ca_file, server_context
from logs.sinks import await_counts, listening, logging_to
from logs.tcp_proxy import DEAF, TcpProxy, talking

from lab_utils_mt._logs import stragglers
from lab_utils_mt._logs.letters import addresses, compose
from lab_utils_mt._logs.mail import TlsSMTPHandler
from lab_utils_mt._logs.redaction import redact
from lab_utils_mt.exceptions import ConfigError, LabUtilsError

SENDER, RECIPIENT = "cryostat@lab.example", "crew@lab.example"
HOSTILE = "".join(map(chr, [*range(32), *range(127, 160), 0x2028, 0x2029, 0x202E, 0xFEFF, 0xD800]))


def mail_handler(port: int, ca: str | None, **options: Any) -> TlsSMTPHandler:
    """Return a handler with a login, unless something else is asked for."""
    usual: dict[str, Any] = {"credentials": (USER, PASSWORD), "interval": 0.0, "ca_file": ca}
    usual.update(options)
    handler = TlsSMTPHandler(("127.0.0.1", port), SENDER, [RECIPIENT], "Cryostat", **usual)
    handler.longest_pause = 0.2
    return handler


@pytest.fixture
def ca(tmp_path: Path) -> str:
    """Return the file of the lab's CA."""
    return ca_file(tmp_path)


@pytest.fixture
def server() -> Iterator[MailServer]:
    """Return a server with STARTTLS and login."""
    with MailServer() as running:
        yield running


def first_mail(server: MailServer, number: int = 1) -> Any:
    """Wait for a mail and return it."""
    wait_until(lambda: len(server.mails) >= number, f"mail {number}")
    return server.mails[number - 1]


# --- TLS and login -------------------------------------------------------------------------------


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
def test_a_record_arrives_over_tls_after_a_login(tls: str, ca: str) -> None:
    """With sender, recipient, subject and text as they were given."""
    with (
        MailServer(tls) as server,
        logging_to(handler := mail_handler(server.port, ca, tls=tls)) as log,
    ):
        log.warning("Ω → ✓ %s", "cold")
        mail = first_mail(server)
        await_counts(handler, raised=1, sent=1)
    assert mail.secure
    assert (mail.user, mail.sender, mail.recipients) == (USER, SENDER, [RECIPIENT])
    assert mail.message["Subject"] == "Cryostat"
    assert mail.text.startswith("WARNING  ")
    assert mail.text.endswith(" Ω → ✓ cold\n")
    assert mail.text.count("\n") == 1


def test_a_mail_says_that_a_machine_wrote_it(server: MailServer, ca: str) -> None:
    """And has the fields that a mail must have; no name server is asked for them."""
    with logging_to(mail_handler(server.port, ca)) as log:
        log.error("hot")
        message = first_mail(server).message
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Message-ID"].endswith("@lab.example>")
    assert message["Date"].datetime.tzinfo is not None
    assert abs(message["Date"].datetime.timestamp() - time.time()) < 600
    assert message["From"].addresses[0].addr_spec == SENDER
    assert "localhost" not in server.greetings[0]


@pytest.mark.parametrize("word", ["Grüße-canary", "温度-canary-1"])
def test_a_password_of_any_language_works(word: str, ca: str) -> None:
    """Also one that smtplib cannot encode."""
    with (
        MailServer(login=("jürg", word)) as server,
        logging_to(mail_handler(server.port, ca, credentials=("jürg", word))) as log,
    ):
        log.error("hot")
        assert first_mail(server).user == "jürg"


def test_a_trusted_network_may_do_without_tls() -> None:
    """If nobody logs in."""
    with (
        MailServer("off", login=None) as server,
        logging_to(mail_handler(server.port, None, credentials=None, tls="off")) as log,
    ):
        log.error("hot")
        assert not first_mail(server).secure


def bad_certificate(kind: str) -> trustme.LeafCert:
    """Return a certificate that must not be trusted."""
    if kind == "wrong CA":
        return trustme.CA().issue_cert("127.0.0.1")
    if kind == "other host":
        return authority().issue_cert("mail.elsewhere.example")
    past = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(days=1)
    return authority().issue_cert("127.0.0.1", not_after=past)


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
@pytest.mark.parametrize("kind", ["wrong CA", "other host", "expired"])
def test_a_certificate_that_proves_nothing_is_refused(kind: str, tls: str, ca: str) -> None:
    """No password and no mail are sent; the report says why, and what to do."""
    with (
        MailServer(tls, certificate=bad_certificate(kind)) as server,
        listening() as heard,
        logging_to(handler := mail_handler(server.port, ca, tls=tls)) as log,
    ):
        log.error("hot")
        wait_until(lambda: heard, "the report")
        await_counts(handler, queued=1)
        assert not server.mails
    assert "certificate cannot be trusted" in heard[0]
    assert "ca_file" in heard[0]


def test_the_systems_certificates_do_not_include_the_labs(server: MailServer) -> None:
    """Without ca_file, the lab's own server is not trusted."""
    with listening() as heard, logging_to(mail_handler(server.port, None)) as log:
        log.error("hot")
        wait_until(lambda: heard, "the report")
        assert not server.mails
    assert "certificate cannot be trusted" in heard[0]


def test_a_server_without_starttls_gets_nothing() -> None:
    """The stripped offer is reported, with what to do."""
    with (
        MailServer("off", login=None) as server,
        listening() as heard,
        logging_to(mail_handler(server.port, None)) as log,
    ):
        log.error("hot")
        wait_until(lambda: heard, "the report")
        assert not server.mails
    assert "offers no STARTTLS" in heard[0]
    assert 'tls="implicit"' in heard[0]


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
def test_the_wrong_kind_of_tls_is_reported(tls: str, ca: str) -> None:
    """With a hint at the port."""
    other = "implicit" if tls == "starttls" else "starttls"
    handler = None
    with MailServer(other) as server, listening() as heard:
        handler = mail_handler(server.port, ca, tls=tls, timeout=0.3)
        with logging_to(handler) as log:
            log.error("hot")
            wait_until(lambda: heard, "the report")
    assert "kind of TLS" in heard[0]


def test_an_own_context_is_used(server: MailServer, ca: str) -> None:
    """As the third part of the standard library's ``secure``, or alone."""
    context = ssl.create_default_context(cafile=ca)
    for secure in (context, (context,)):
        with logging_to(mail_handler(server.port, None, secure=secure)) as log:
            log.error("hot")
            mail = first_mail(server)
        assert mail.secure
        assert mail.text.endswith(" hot\n")
        server.mails.clear()


def test_a_client_certificate_is_shown(ca: str, tmp_path: Path) -> None:
    """The two files of ``secure``, in the standard library's order."""
    certificate = authority().issue_cert("cryostat.lab.example")
    key, chain = tmp_path / "key.pem", tmp_path / "chain.pem"
    certificate.private_key_pem.write_to_path(str(key))
    certificate.cert_chain_pems[0].write_to_path(str(chain))
    server = MailServer()
    server._context = server_context()
    server._context.verify_mode = ssl.CERT_REQUIRED
    authority().configure_trust(server._context)
    with server, logging_to(mail_handler(server.port, ca, secure=(str(key), str(chain)))) as log:
        log.error("hot")
        assert first_mail(server).secure


# --- what is refused at the start ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"tls": "off", "credentials": (USER, PASSWORD)}, "sent in clear"),
        ({"tls": "ssl"}, "starttls, implicit, off"),
        ({"credentials": (USER,)}, "user name and password"),
        ({"credentials": (USER, f"{PASSWORD}\nX")}, "user name and password"),
        ({"fromaddr": "cryostat"}, "'cryostat'"),
        ({"toaddrs": ["a@b", "x y@c"]}, "'x y@c'"),
        ({"toaddrs": ["a@b\r\nBcc: c@d"]}, "a@b\\r\\nBcc"),
        ({"toaddrs": ["<a@b> <c@d>"]}, "<a@b>"),
        ({"toaddrs": ["Jürg@b"]}, "Jürg@b"),
        ({"toaddrs": ["=?utf-8?q?x=0D=0AX-Evil:_1?= <d@e.f>"]}, "X-Evil"),
        ({"fromaddr": "=?utf-8?q?=0D=0AX-Evil:_1?=@e.f"}, "X-Evil"),
        ({"toaddrs": []}, "no recipient"),
        ({"mailhost": "mail host"}, "'mail host'"),
        ({"mailhost": ("h", 0)}, "port 0"),
        ({"secure": "yes"}, "keyfile"),
        ({"secure": ("/none/key", "/none/cert")}, "/none/cert"),
        ({"ca_file": "/none/ca.pem"}, "/none/ca.pem"),
        ({"secure": (), "tls": "off"}, "no use"),
        ({"interval": -1.0}, "interval"),
        ({"interval": float("nan")}, "interval"),
        ({"timeout": 0.0}, "timeout"),
        ({"timeout": "5"}, "timeout"),
    ],
)
def test_what_cannot_work_is_refused(options: dict[str, Any], told: str) -> None:
    """By an error that names it and never holds the password."""
    usual = {"mailhost": "h", "fromaddr": "a@b", "toaddrs": "c@d", "subject": "s", **options}
    if usual.get("secure") == "yes":
        usual["secure"] = ["a", "b", "c"]
    with pytest.raises(ConfigError) as caught:
        TlsSMTPHandler(**usual)
    assert isinstance(caught.value, LabUtilsError)
    assert told in str(caught.value)
    assert PASSWORD not in str(caught.value)


def test_a_context_that_does_not_verify_is_refused() -> None:
    """Whoever made it."""
    careless = ssl.create_default_context()
    careless.check_hostname = False
    careless.verify_mode = ssl.CERT_NONE
    for secure in (careless, (careless,)):
        with pytest.raises(ConfigError, match="must verify"):
            TlsSMTPHandler("h", "a@b", "c@d", "s", secure=secure)


def test_documented_attributes_are_those_of_the_standard_library() -> None:
    """And both constructors take the same positions."""
    arguments = (("h", 26), "a@b", ["c@d"], "s", ("u", "p"), (), 2.5)
    ours, stock = TlsSMTPHandler(*arguments), logging.handlers.SMTPHandler(*arguments)
    assert isinstance(ours, logging.handlers.SMTPHandler)
    for name in ("mailhost", "mailport", "fromaddr", "toaddrs", "subject", "username", "password"):
        assert getattr(ours, name) == getattr(stock, name), name
    ours.close()
    for tls, port in (("starttls", 25), ("implicit", 465)):
        handler = TlsSMTPHandler("h", "a@b", "c@d, Jürg <e@f>", "s", tls=tls)
        assert handler.mailport == port
        assert [one.addr_spec for one in addresses(handler.toaddrs)] == ["c@d", "e@f"]
        handler.close()


# --- storms --------------------------------------------------------------------------------------


def test_a_storm_is_one_mail_per_interval(server: MailServer, ca: str) -> None:
    """The first record at once, the others together, the oldest first, counted."""
    with logging_to(handler := mail_handler(server.port, ca, interval=600.0)) as log:
        log.info("event 0")
        first_mail(server)
        for number in range(1, 500):
            log.log(logging.CRITICAL if number == 7 else logging.INFO, "event %d", number)
        await_counts(handler, raised=500, sent=1, queued=499)
        assert len(server.mails) == 1
        handler.flush()  # as at the end: nobody waits for the interval
        mail = first_mail(server, 2)
    assert len(server.mails) == 2
    assert mail.message["Subject"] == "[499 events, worst: CRITICAL] Cryostat"
    assert [line.rpartition(" ")[2] for line in mail.text.splitlines()] == [
        str(number) for number in range(1, 500)
    ]


def test_the_interval_passes(server: MailServer, ca: str) -> None:
    """Then what waited goes, without anybody asking."""
    with logging_to(mail_handler(server.port, ca, interval=0.3)) as log:
        log.info("one")
        first_mail(server)
        log.info("two")
        log.info("three")
        assert first_mail(server, 2).message["Subject"].startswith("[2 events")


def test_a_mail_tells_of_records_that_are_lost(server: MailServer, ca: str) -> None:
    """Once, with their number."""
    with logging_to(handler := mail_handler(server.port, ca, capacity=10, interval=600.0)) as log:
        log.info("first")
        first_mail(server)
        for number in range(25):
            log.info("event %d", number)
        assert handler.counts.dropped == 15
        handler.flush()
        mail = first_mail(server, 2)
        log.info("last")
        handler.flush()
        last = first_mail(server, 3)
    assert mail.text.startswith("15 records are lost since the last mail")
    assert "event 24" in mail.text
    assert last.text.count("\n") == 1


def test_long_records_are_cut_and_large_mails_divided(server: MailServer, ca: str) -> None:
    """A record's end, where a traceback says why, stays."""
    handler = mail_handler(server.port, ca, interval=600.0)
    handler.flush_timeout = 20.0
    with logging_to(handler) as log:
        log.info("first")
        first_mail(server)
        for _ in range(120):
            log.info("begin %s end", "x" * 20_000)
        handler.flush()
        await_counts(handler, sent=121)
    assert len(server.mails) == 3
    assert all(len(mail.text) < 1_100_000 for mail in server.mails)
    line = server.mails[1].text.split("INFO  ")[1]
    assert "characters are left out ...]" in line
    assert line.endswith(" end\n")
    assert len(line) < 10_200


def test_a_mail_that_is_too_large_for_the_server_is_divided(ca: str) -> None:
    """Until single records are refused; nothing blocks the queue for ever."""
    with MailServer(most_size=4000) as server, listening() as heard:
        handler = mail_handler(server.port, ca)
        with logging_to(handler) as log:
            log.info("too large %s", "x" * 8000)
            for number in range(40):
                log.info("event %d %s", number, "x" * 200)
            await_counts(handler, sent=40, dropped=1)
    assert any("refuses what is logged" in report for report in heard)
    assert all(len(mail.content) <= 4000 for mail in server.mails)
    assert len(server.mails) < 40


def test_a_full_mailbox_costs_no_record(server: MailServer, ca: str) -> None:
    """It is told by the number of a mail that is too large. Then a storm is one mail again."""
    server.answers["DATA"] = "552 5.2.2 mailbox full"
    with listening() as heard, logging_to(handler := mail_handler(server.port, ca)) as log:
        log.info("first")
        wait_until(lambda: heard, "the report")
        for number in range(60):
            log.info("event %d", number)
        greeted = len(server.greetings)
        wait_until(lambda: len(server.greetings) > greeted + 4, "more attempts")
        await_counts(handler, queued=61, dropped=0)
        server.answers.clear()
        await_counts(handler, sent=61, dropped=0)
    assert len(server.mails) <= 2
    assert "mailbox full" in heard[0]


def test_a_full_mailbox_is_asked_once_per_interval(server: MailServer, ca: str) -> None:
    """As with any other mail."""
    server.answers["DATA"] = "552 5.2.2 mailbox full"
    with listening() as heard:
        handler = mail_handler(server.port, ca, interval=600.0)
        with logging_to(handler) as log:
            log.info("first")
            wait_until(lambda: heard, "the report")
            assert handler.pause() > 500.0


def test_a_refused_size_is_forgotten_after_success(server: MailServer, ca: str) -> None:
    """Mails were small for a while; then they may be large again."""
    with logging_to(handler := mail_handler(server.port, ca, interval=600.0)) as log:
        log.info("first")
        first_mail(server)
        server.answers["DATA"] = "552 5.3.4 too large"
        for _ in range(100):
            log.info("event %s", "x" * 5000)
        for _ in range(12):
            handler.flush()
        assert 20_000 <= handler._largest < 300_000
        server.answers.clear()
        while handler.counts.queued:
            handler.flush()
        await_counts(handler, sent=101, dropped=0)
        assert handler._largest > 300_000


# --- what the server says ------------------------------------------------------------------------


def test_a_mail_that_the_server_never_takes_is_dropped(server: MailServer, ca: str) -> None:
    """And counted, and told; the next one goes."""
    server.answers["DATA"] = "554 5.7.1 looks like spam"
    with listening() as heard, logging_to(handler := mail_handler(server.port, ca)) as log:
        log.info("one")
        await_counts(handler, dropped=1)
        del server.answers["DATA"]
        log.info("two")
        await_counts(handler, sent=1, dropped=1)
    assert "looks like spam" in heard[0]


@pytest.mark.parametrize(
    ("command", "answer", "told"),
    [
        ("DATA", "451 4.3.0 later", "451"),
        ("MAIL", "530 5.7.0 Authentication required", "want a login"),
        ("RCPT", "550 5.1.1 unknown", "refuses all recipients"),
        ("AUTH", "535 5.7.8 no", "user name or the password"),
        ("DATA", "", "check"),
    ],
)
def test_other_refusals_are_tried_again(
    command: str, answer: str, told: str, server: MailServer, ca: str
) -> None:
    """They are about the server or the settings: the record waits, and one report is made."""
    server.answers[command] = answer
    with listening() as heard, logging_to(handler := mail_handler(server.port, ca)) as log:
        log.info("one")
        wait_until(lambda: heard, "the report")
        await_counts(handler, queued=1)
        server.answers.clear()
        await_counts(handler, sent=1)
        wait_until(lambda: len(heard) == 2, "the report of the recovery")
    assert told in heard[0]
    assert "works again" in heard[1]
    assert len(server.mails) == 1


def test_one_good_recipient_is_enough(server: MailServer, ca: str) -> None:
    """The other one is told, once; that is no failure."""
    server.answers["RCPT gone@lab.example"] = "550 5.1.1 unknown"
    with listening() as heard:
        handler = TlsSMTPHandler(
            ("127.0.0.1", server.port), SENDER, ["gone@lab.example", RECIPIENT], "s",
            (USER, PASSWORD), ca_file=ca, interval=0.0,
        )  # fmt: skip
        with logging_to(handler) as log:
            for number in range(3):
                log.info("event %d", number)
                await_counts(handler, sent=number + 1)
            assert handler.status().endswith("ok")
    assert len(heard) == 1
    assert "gone@lab.example" in heard[0]
    assert server.mails[0].recipients == [RECIPIENT]


@pytest.fixture
def for_two(server: MailServer, ca: str) -> TlsSMTPHandler:
    """Return a handler with two recipients, of whom one must wait."""
    server.answers["RCPT slow@lab.example"] = "451 4.7.1 greylisted"
    handler = mail_handler(server.port, ca)
    handler.toaddrs = ["slow@lab.example", RECIPIENT]
    return handler


def test_a_recipient_who_must_wait_gets_the_mail_later(
    server: MailServer, for_two: TlsSMTPHandler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The very same, and the others once only; no further record has to come for that."""
    monkeypatch.setattr(stragglers, "APART", 0.1)
    with listening() as heard, logging_to(for_two) as log:
        log.info("one")
        await_counts(for_two, sent=1)
        log.info("two")
        await_counts(for_two, sent=2)
        server.answers.clear()
        wait_until(lambda: len(server.mails) == 4, "the mails that waited")
    to_slow = [mail for mail in server.mails if "slow@lab.example" in mail.recipients]
    assert [mail.text.split()[-1] for mail in to_slow] == ["one", "two"]
    both = [mail for mail in server.mails if mail.text.endswith(" one\n")]
    assert [mail.recipients for mail in both] == [[RECIPIENT], ["slow@lab.example"]]
    assert len({mail.message["Message-ID"] for mail in both}) == 1
    assert len(heard) == 1


def test_a_recipient_who_waits_too_long_is_given_up(
    server: MailServer, for_two: TlsSMTPHandler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And that is told; so it is if too many mails wait."""
    monkeypatch.setattr(stragglers, "APART", 0.1)
    monkeypatch.setattr(stragglers, "MOST", 2)
    with listening() as heard, logging_to(for_two) as log:
        for number in range(3):
            log.info("event %d", number)
            await_counts(for_two, sent=number + 1)
        wait_until(lambda: "too many mails wait" in heard[-1], "the report")
        monkeypatch.setattr(stragglers, "LONGEST", 0.0)
        log.info("last")
        await_counts(for_two, sent=4)
        wait_until(lambda: "greylisted" in heard[-1], "the report")
        assert for_two.status().endswith("ok")
    assert "gives up a mail for slow@lab.example" in heard[-1]
    assert len(server.mails) == 4


def test_a_mail_whose_confirmation_is_lost_stays_the_same(server: MailServer, ca: str) -> None:
    """So that who has it twice can tell."""
    server.unconfirmed = 2
    with listening() as heard, logging_to(handler := mail_handler(server.port, ca)) as log:
        log.info("one")
        wait_until(lambda: heard, "the report")
        log.info("two")
        await_counts(handler, sent=2)
    assert len({mail.content for mail in server.mails[:3]}) == 1
    assert server.mails[3].message["Message-ID"] != server.mails[0].message["Message-ID"]
    assert server.mails[3].text.endswith(" two\n")
    assert len(server.mails) == 4


def test_a_server_that_hangs_up_instead_of_saying_goodbye(server: MailServer, ca: str) -> None:
    """The mail is delivered, and not sent again."""
    server.answers["QUIT"] = ""
    with listening() as heard, logging_to(handler := mail_handler(server.port, ca)) as log:
        log.info("one")
        await_counts(handler, sent=1)
        log.info("two")
        await_counts(handler, sent=2)
    assert len(server.mails) == 2
    assert heard == []


def test_a_server_that_restarts_gets_what_waited(server: MailServer, ca: str) -> None:
    """On its port, in order."""
    with listening() as heard, logging_to(handler := mail_handler(server.port, ca)) as log:
        server.stop()
        for number in range(20):
            log.info("event %d", number)
        wait_until(lambda: heard, "the report")
        server.start()
        await_counts(handler, sent=20)
    lines = [line for mail in server.mails for line in mail.text.splitlines()]
    assert [line.rpartition(" ")[2] for line in lines] == [str(number) for number in range(20)]


# --- time ----------------------------------------------------------------------------------------


def test_a_dripping_server_does_not_hold_a_mail_for_ever(ca: str) -> None:
    """Each byte comes in time, and all of them never end."""
    with talking(b"2", b"2", 0.02) as peer, listening() as heard:
        handler = mail_handler(peer.port, ca, timeout=5.0)
        handler.delivery_limit = 0.5
        with logging_to(handler) as log:
            log.info("one")
            wait_until(lambda: heard, "the report")
    assert "no answer in time" in heard[0]


def test_a_reply_without_end_is_not_read(ca: str) -> None:
    """Not until the memory is full."""
    line = b"250-" + b"x" * 1000 + b"\r\n"
    with (
        talking(b"220 hello\r\n", line * 64) as peer,
        listening() as heard,
        logging_to(mail_handler(peer.port, ca)) as log,
    ):
        log.info("one")
        wait_until(lambda: heard, "the report")
        assert peer.said < 50_000_000  # what the system takes on the way
    assert "does not end" in heard[0]


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
def test_close_is_bounded_while_the_server_is_deaf(tls: str, ca: str) -> None:
    """And the thread that waits for it is woken; what was not sent is dropped."""
    with MailServer(tls) as server, TcpProxy(server.port, DEAF) as proxy:
        handler = mail_handler(proxy.port, ca, tls=tls, timeout=3600.0)
        handler.delivery_limit = 3600.0
        handler.flush_timeout = 0.2
        with logging_to(handler) as log:
            log.info("one")
            wait_until(lambda: proxy.arrivals, "the connection")
            thread = handler._thread
            handler.close()
            assert thread is not None
            wait_until(lambda: not thread.is_alive(), "the end of the thread")
        assert handler.counts.dropped == 1
        proxy.close()


# --- hostile text --------------------------------------------------------------------------------


def assert_harmless(content: bytes) -> None:
    """No header but ours, no control character in header or text."""
    head, _, body = content.partition(b"\r\n\r\n")
    for raw in (*head.split(b"\r\n"), *body.split(b"\r\n")):
        assert raw.decode("ascii").isprintable(), raw
    message = email.message_from_bytes(content, policy=email.policy.default)
    assert set(message.keys()) == {
        "From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted",
        "X-Auto-Response-Suppress", "Content-Type", "Content-Transfer-Encoding", "MIME-Version",
    }  # fmt: skip
    assert len(message.keys()) == 10
    assert str(message["Subject"]).isprintable()
    assert message["To"].addresses[0].addr_spec == RECIPIENT
    for line in str(message.get_content()).splitlines():  # at every character that may end one
        assert line.isprintable(), line


class Subjects(TlsSMTPHandler):
    """Takes the subject from the record, as users do."""

    def getSubject(self, record: logging.LogRecord) -> str:
        return f"{record.levelname}: {record.getMessage()}"


def harmless_mail_about(text: str, server: MailServer, ca: str) -> Any:
    """Send one whose subject is a client's text; return what arrived, if it is harmless."""
    handler = Subjects(
        ("127.0.0.1", server.port), SENDER, RECIPIENT, "s", (USER, PASSWORD), ca_file=ca
    )
    with logging_to(handler) as log:
        log.error(text)
        mail = first_mail(server)
    assert mail.recipients == [RECIPIENT]
    assert_harmless(mail.content)
    return mail


def test_a_subject_from_a_client_adds_no_header(server: MailServer, ca: str) -> None:
    """Where the stock handler writes it as it is."""
    attempt = f"hot\r\nBcc: spy@elsewhere.example\r\n\r\nbody{HOSTILE}"
    mail = harmless_mail_about(attempt, server, ca)
    assert mail.message["Subject"].startswith("ERROR: hot\\r\\nBcc: spy")
    assert mail.text.count("\n") == 1


def test_an_encoded_word_from_a_client_stays_one(server: MailServer, ca: str) -> None:
    """The library decodes what stands in a subject: line ends, recipients, another body."""
    attempt = (
        "=?utf-8?q?x=0D=0ABcc:_spy@elsewhere.example=0D=0AContent-Type:_text/html=0D=0A=0D=0A"
        "<b>pay=1B=00</b>?="
    )
    mail = harmless_mail_about(attempt, server, ca)
    assert mail.message["Subject"] == "ERROR: " + attempt.replace("=?", "= ?")


PIECES = [
    "=?", "?=", "utf-8", "q", "?", "b", "=0D=0A", "X-Evil:", "_", " ", "=", "ä", "\x1b", "\r\n",
    "=?utf-8?q?a=0D=0AX-Evil:_1?=", "=?utf-8?b?DQpYLUV2aWw6IDE=?=", "=?utf-8?q?=E2=80=AE=1B?=",
]  # fmt: skip


@settings(deadline=None, max_examples=300)
@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=40))
def test_no_pieces_of_encoded_words_make_a_header(pieces: list[str]) -> None:
    """However they are put together, and folded."""
    assert_harmless(compose(SENDER, [RECIPIENT], "".join(pieces), "text\n", 1).content)


def test_recipients_that_are_changed_later_are_checked_too(server: MailServer, ca: str) -> None:
    """The attribute is documented, so somebody changes it."""
    with listening() as heard, logging_to(handler := mail_handler(server.port, ca)) as log:
        handler.toaddrs.append("x@y.example\r\nBcc: spy@elsewhere.example")
        log.error("hot")
        wait_until(lambda: heard, "the report")
        handler.toaddrs = ["other@lab.example"]
        assert first_mail(server).recipients == ["other@lab.example"]
    assert "cannot be used" in heard[0]


@settings(deadline=None, max_examples=200)
@given(st.text(), st.text(st.sampled_from(HOSTILE + "ab: ;=?@<>\u0085")), st.booleans())
def test_no_text_makes_another_mail(text: str, hostile: str, stock_formatter: bool) -> None:
    """Message, subject, level, exception, and a formatter of the user's."""
    handler = Subjects("h", SENDER, RECIPIENT, hostile, tls="off")
    try:
        if stock_formatter:
            handler.setFormatter(logging.Formatter("%(name)s\n%(message)s"))
        record = logging.LogRecord(hostile, 40, "p", 1, text + hostile + text, None, None)
        record.levelname = hostile
        record.exc_text = hostile + text
        letter, _ = handler._letter([record, record], 3)
        assert_harmless(letter.content)
    finally:
        handler.close()


def test_a_formatter_that_fails_loses_no_record(server: MailServer, ca: str) -> None:
    """The default one takes its place, and the mail says so."""
    handler = mail_handler(server.port, ca)
    handler.setFormatter(logging.Formatter("%(no_such_field)s"))
    with logging_to(handler) as log:
        log.error("hot")
        text = first_mail(server).text
    assert "hot\n" in text
    assert "formatter of this handler raises" in text


# --- secrets -------------------------------------------------------------------------------------


@pytest.mark.parametrize("password", [PASSWORD, "pw1"])
def test_the_password_is_in_no_output(
    password: str, server: MailServer, ca: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """Not if the server repeats it, in clear or in base64, and not if a user logs everything."""
    plain = base64.b64encode(f"\0{USER}\0{password}".encode()).decode()
    login = base64.b64encode(password.encode()).decode()
    server.answers["AUTH"] = f"535 5.7.8 you said {{1}} {plain} {login}"
    with listening() as heard:
        handler = mail_handler(server.port, ca, credentials=(USER, password))
        with logging_to(handler) as log:
            log.error("hot")
            wait_until(lambda: heard, "the report")
            status = handler.status()
            server.answers.clear()
            server._login = (USER, password)
            if len(password) > 3:
                log.error("%r and %s", handler, vars(handler))
            handler.flush()
            await_counts(handler, queued=0)
    shown = "".join([*heard, status, repr(handler), *capfd.readouterr()])
    shown += "".join(mail.content.decode() + mail.text for mail in server.mails)
    for secret in (password, plain, login):
        assert secret not in shown
    if len(password) > 3:
        assert PASSWORD not in redact(str(vars(handler)))


def test_the_stock_handler_blocks_where_this_one_does_not(
    ca: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A deaf server costs whoever logs the whole timeout there, and nothing here."""
    monkeypatch.setattr(logging, "raiseExceptions", False)
    record = logging.LogRecord("n", 40, "p", 1, "hot", None, None)
    with MailServer() as server, TcpProxy(server.port, DEAF) as proxy:
        stock = logging.handlers.SMTPHandler(
            ("127.0.0.1", proxy.port), SENDER, [RECIPIENT], "s", timeout=1.0
        )
        began = time.monotonic()
        stock.handle(record)
        assert time.monotonic() - began >= 0.99
        stock.close()
        handler = mail_handler(proxy.port, ca, timeout=1.0)
        handler.flush_timeout = 0.1
        began = time.monotonic()
        for _ in range(100):
            handler.handle(record)
        assert time.monotonic() - began < 0.9
        handler.close()


def test_importing_the_handler_loads_no_mail_library() -> None:
    """The facade is quick; what is heavy comes with the first handler."""
    import subprocess

    code = (
        "import sys, lab_utils_mt._logs.mail, lab_utils_mt._logs.slack;"
        "print({'smtplib', 'ssl', 'email', 'slack_sdk'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "set()"
