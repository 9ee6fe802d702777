"""How does an event reach people by mail, without a storm of mails?

The first event goes out at once. What follows within the interval waits, and goes as one mail.
"""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Iterable, Sequence
from logging.handlers import SMTPHandler
from typing import TYPE_CHECKING, Any

from .bounded import Bound, Undelivered, check_seconds
from .health import ABOUT, logger
from .mail_account import PORTS, context_of, hide_login, login_of, place_of, recipients_of
from .rendering import message_formatter, render
from .sink import Refused, SinkHandler

if TYPE_CHECKING:
    from .letters import Letter
    from .smtp import Account, TooLarge

_LONGEST_RECORD = 10_000  # characters
_LARGEST_MAIL = 1_000_000  # bytes of records
_LEAST_LARGEST = 20_000  # bytes; every server takes as much, unless it is full


@dataclasses.dataclass(frozen=True)
class _Draft:
    """A mail, and what it was made of."""

    letter: Letter
    records: list[logging.LogRecord]
    size: int  #: Bytes of records.
    dropped: int  #: How many records had been dropped by then.


class TlsSMTPHandler(SinkHandler, SMTPHandler):
    """Sends records by mail, over TLS, without holding up those who log.

    Attributes:
        mailhost: The server.
        mailport: Its port.
        fromaddr: The sender's address.
        toaddrs: The recipients' addresses.
        subject: The subject; :meth:`getSubject` may give each record another.
        username: For the login; None if there is none.
        password: The same.
        delivery_limit: Seconds for one mail at most, however slow the server.

    Args:
        mailhost: The server's name, or its name and port; the port is 25 by default, 465 for
            ``tls="implicit"``.
        fromaddr: The sender, like ``cryostat@example.org`` or ``Cryostat <cryostat@example.org>``.
        toaddrs: The recipients: a list, or one text with commas.
        subject: The subject.
        credentials: User name and password for a login; None for none.
        secure: As in the standard library, a client certificate: ``(keyfile, certfile)``, or one
            file with both; an :class:`ssl.SSLContext` in it is used. TLS does not depend on it.
        timeout: Seconds for the connection and for each silence of the server.
        tls: ``"starttls"``, ``"implicit"`` (from the first byte), or ``"off"``; without TLS there
            can be no login.
        ca_file: Certificates to trust, as PEM, instead of the system's: the lab's own CA.
        interval: Seconds between mails; the events of that time go as one mail.
        capacity: Most records that wait; then the oldest ones below ERROR make room.

    Raises:
        ConfigError: An argument cannot be used; the text never holds the password.
    """

    longest_pause = 300.0
    delivery_limit = 60.0

    def __init__(
        self,
        mailhost: str | tuple[str, int],
        fromaddr: str,
        toaddrs: str | Sequence[str],
        subject: str,
        credentials: tuple[str, str] | None = None,
        secure: Any = None,
        timeout: float = 5.0,
        *,
        tls: str = "starttls",
        ca_file: str | None = None,
        interval: float = 60.0,
        capacity: int = 1000,
    ) -> None:
        # All checks come first: what fails here leaves no handler behind.
        host, port = place_of(mailhost, tls)
        username, password = login_of(credentials, tls)
        recipients = recipients_of(fromaddr, toaddrs)
        check_seconds("mail: timeout", timeout)
        check_seconds("mail: interval", interval, may_be_zero=True)
        context = context_of(secure, tls, ca_file)
        super().__init__("mail", capacity)
        self.mailhost, self.mailport, self.timeout = host, port, timeout
        self.fromaddr, self.toaddrs, self.subject = fromaddr, recipients, subject
        self.username, self.password = username, password
        self.secure = secure
        self.batch = capacity
        self._tls, self._context, self._interval = tls, context, interval
        self._bound = Bound()
        self._forget_deliveries()
        self.setFormatter(message_formatter())

    def _forget_deliveries(self) -> None:
        from .stragglers import Stragglers  # noqa: PLC0415

        self._bound.forget_parent()
        self._stragglers = Stragglers()
        self._in_doubt: _Draft | None = None
        self._not_until = float("-inf")
        self._dropped_told = 0
        self._refused_told: frozenset[str] = frozenset()
        self._largest = _LARGEST_MAIL

    # --- SinkHandler -----------------------------------------------------------------------

    def pause(self) -> float:
        """Return the seconds until the next mail is due."""
        return self._not_until - time.monotonic()

    def deliver(self, records: list[logging.LogRecord]) -> int:
        """Send one mail about as many of the records as it can hold."""
        from .smtp import InDoubt, TooLarge  # noqa: PLC0415

        draft = self._draft_of(records)
        try:
            refused = self._hand_in(draft.letter)
        except InDoubt:
            self._in_doubt = draft
            raise
        except (TooLarge, Refused) as error:
            self._in_doubt = None
            self._begin_interval()
            raise (self._divide(draft, error) if isinstance(error, TooLarge) else error) from None
        self._begin_interval()
        self._note(draft, refused)
        return draft.letter.count

    def _hand_in(self, letter: Letter) -> dict[str, str]:
        from .smtp import hand_in  # noqa: PLC0415

        return hand_in(self._account(), letter, self._bound)

    def _divide(self, draft: _Draft, error: TooLarge) -> Exception:
        if draft.letter.count == 1:
            return Refused(str(error)) if error.for_ever else error
        if not error.for_ever and draft.size <= _LEAST_LARGEST:
            return error
        half = draft.size // 2
        self._largest = half if error.for_ever else max(half, _LEAST_LARGEST)
        return Undelivered(f"{error}; smaller ones follow")

    def _note(self, draft: _Draft, refused: dict[str, str]) -> None:
        self._in_doubt = None
        self._dropped_told = draft.dropped
        self._largest = min(2 * self._largest, _LARGEST_MAIL)
        self._tell_refused(refused)
        # In this order: what was refused just now is not tried again at once.
        self.chores()
        self._tell_given_up(self._stragglers.add(draft.letter, refused))

    def idle(self) -> float | None:
        """Return the seconds until a mail is due for those who do not have it yet."""
        return self._stragglers.due()

    def chores(self) -> None:
        """Try again to mail those who could not get one, if it is time."""
        self._tell_given_up(self._stragglers.serve(self._hand_in))

    def _tell_given_up(self, given_up: Iterable[tuple[str, str]]) -> None:
        for name, words in given_up:
            self._warn("%s gives up a mail for %s: %s", name, words)

    def _begin_interval(self) -> None:
        self._not_until = time.monotonic() + self._interval

    def interrupt(self) -> None:
        """Break off a mail that is on its way."""
        self._bound.cut()

    def forget_parent(self) -> None:
        """Start anew in a forked child."""
        super().forget_parent()
        self._forget_deliveries()

    # --- one mail --------------------------------------------------------------------------

    def _account(self) -> Account:
        from .smtp import Account  # noqa: PLC0415

        # From the attributes, which are documented: they may have been changed meanwhile.
        username, password = self.username, self.password
        if username is not None:
            hide_login(username, password)
        port = self.mailport or PORTS[self._tls]
        return Account(
            self.mailhost, port, self._tls, self._context,
            username, password, self.timeout, self.delivery_limit,
        )  # fmt: skip

    def _draft_of(self, records: list[logging.LogRecord]) -> _Draft:
        kept = self._in_doubt
        # The server may have it: only the same mail again, not the same text in another one, lets
        # those who read it see one.
        if kept and records[: len(kept.records)] == kept.records:
            return kept
        self._in_doubt = None
        dropped = self.counts.dropped
        letter, size = self._letter(records, dropped - self._dropped_told)
        return _Draft(letter, records[: letter.count], size, dropped)

    def _letter(self, records: list[logging.LogRecord], lost: int) -> tuple[Letter, int]:
        from .letters import compose, headline, worst  # noqa: PLC0415

        texts, size = self._texts(records)
        told = records[: len(texts)]
        subject = headline(self._subject(worst(told)), told)
        if lost > 0:
            texts.insert(0, f"{lost} records are lost since the last mail; see the log for why.\n")
        body = "\n".join(texts) + "\n"
        return compose(self.fromaddr, self.toaddrs, subject, body, len(told)), size

    def _texts(self, records: list[logging.LogRecord]) -> tuple[list[str], int]:
        texts: list[str] = []
        size = 0
        for record in records:
            text = render(self, record, _LONGEST_RECORD)
            length = len(text.encode())
            if texts and size + length > self._largest:
                break
            texts.append(text)
            size += length
        return texts, size

    def _subject(self, record: logging.LogRecord) -> str:
        try:
            return str(self.getSubject(record))
        except Exception:  # noqa: BLE001  (a hook of the user's; the mail is not lost)
            return self.subject

    def _tell_refused(self, refused: dict[str, str]) -> None:
        news = refused.keys() - self._refused_told
        self._refused_told = frozenset(refused)
        for name in sorted(news):
            self._warn("%s does not reach %s, but the others: %s", name, refused[name])

    def _warn(self, text: str, name: str, words: str) -> None:
        logger.warning(text, self.title, name, words, extra={ABOUT: id(self)})
