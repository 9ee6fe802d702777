"""How does an event reach people by mail, without a storm of mails?

The first event goes out at once. What follows within the interval waits, and goes as one mail.
"""

from __future__ import annotations

import base64
import logging
import math
import os
import time
from collections.abc import Sequence
from logging.handlers import SMTPHandler
from typing import TYPE_CHECKING, Any

from ..exceptions import ConfigError
from .bounded import Bound, Undelivered, tls_context
from .health import ABOUT
from .redaction import hide
from .rendering import message_formatter, render
from .sink import Refused, SinkHandler

if TYPE_CHECKING:
    import ssl

    from .letters import Letter
    from .smtp import Account

_LONGEST_RECORD = 10_000  # characters
_LARGEST_MAIL = 1_000_000  # bytes of records
_MODES = ("starttls", "implicit", "off")
_PORTS = {"starttls": 25, "implicit": 465, "off": 25}
_MOST_PORT = 65535
_PAIR = 2

logger = logging.getLogger("lab_utils_mt.logging")


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
        host, port = _place(mailhost, tls)
        username, password = _login(credentials, tls)
        recipients = _checked(fromaddr, toaddrs)
        _check_seconds(timeout=timeout, interval=interval)
        context = _context(secure, tls, ca_file)
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
        self._bound.forget_parent()
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
        from .smtp import TooLarge, hand_in  # noqa: PLC0415

        dropped = self.counts.dropped
        letter, size = self._letter(records, dropped - self._dropped_told)
        try:
            refused = hand_in(self._account(), letter, self._bound)
        except TooLarge as error:
            if letter.count == 1:
                raise Refused(str(error)) from None
            self._largest = size // 2
            raise Undelivered(f"{error}; smaller ones follow") from None
        except Refused:
            self._begin_interval()
            raise
        self._begin_interval()
        self._dropped_told = dropped
        self._tell_refused(refused)
        return letter.count

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
            _hide(username, password)
        port = self.mailport or _PORTS[self._tls]
        return Account(
            self.mailhost, port, self._tls, self._context,
            username, password, self.timeout, self.delivery_limit,
        )  # fmt: skip

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
            logger.warning(
                "%s does not reach %s, but the others: %s",
                self.title, name, refused[name], extra={ABOUT: id(self)},
            )  # fmt: skip


def _place(mailhost: str | tuple[str, int], tls: str) -> tuple[str, int]:
    if tls not in _MODES:
        raise ConfigError(f"mail: tls = {tls!r} must be one of {', '.join(_MODES)}")
    host, port = (mailhost, _PORTS[tls]) if isinstance(mailhost, str) else mailhost
    if not isinstance(host, str) or not host or not host.isprintable() or " " in host:
        raise ConfigError(f"mail: host {host!r} must be a name or an address")
    if not isinstance(port, int) or not 0 < port <= _MOST_PORT:
        raise ConfigError(f"mail: port {port!r} must be between 1 and {_MOST_PORT}")
    return host, port


def _login(credentials: Sequence[str] | None, tls: str) -> tuple[str | None, str]:
    if not credentials:
        return None, ""
    if len(credentials) != _PAIR or not all(map(_usable, credentials)):
        raise ConfigError("mail: credentials must be user name and password, one line of text each")
    username, password = credentials
    _hide(username, password)
    if tls == "off":
        raise ConfigError('mail: with tls="off" the password would be sent in clear: use TLS')
    return username, password


def _usable(text: object) -> bool:
    return isinstance(text, str) and text != "" and text.isprintable()


def _hide(username: str, password: str) -> None:
    hide(password)
    hide(f"\0{username}\0{password}")  # in base64, what AUTH PLAIN sends
    hide(base64.b64encode(username.encode()).decode())  # AUTH LOGIN


def _checked(fromaddr: str, toaddrs: str | Sequence[str]) -> list[str]:
    from .letters import address, addresses  # noqa: PLC0415

    address(fromaddr)
    return [str(one) for one in addresses(toaddrs)]


def _check_seconds(**values: float) -> None:
    for name, value in values.items():
        is_number = isinstance(value, (int, float)) and math.isfinite(value)
        if not is_number or value < 0 or (name == "timeout" and value == 0):
            raise ConfigError(f"mail: {name} = {value!r} must be a positive number of seconds")


def _context(secure: Any, tls: str, ca_file: str | None) -> ssl.SSLContext | None:
    import ssl  # noqa: PLC0415

    if tls == "off":
        if secure is not None or ca_file is not None:
            raise ConfigError('mail: tls="off" leaves no use for secure and ca_file')
        return None
    given = secure if isinstance(secure, (list, tuple)) else [secure] if secure is not None else []
    contexts = [one for one in given if isinstance(one, ssl.SSLContext)]
    files = [one for one in given if one and not isinstance(one, ssl.SSLContext)]
    if len(contexts) > 1 or len(files) > _PAIR or not all(map(_is_path, files)):
        raise ConfigError(
            "mail: secure must be None, (), (keyfile, certfile), (file with both,)"
            " or an ssl.SSLContext"
        )
    context = _verifying(contexts[0], ca_file) if contexts else tls_context(ca_file)
    if files:
        _identify(context, files[0], files[-1])
    return context


def _is_path(value: object) -> bool:
    return isinstance(value, (str, os.PathLike))


def _verifying(context: ssl.SSLContext, ca_file: str | None) -> ssl.SSLContext:
    import ssl  # noqa: PLC0415

    if ca_file is not None:
        raise ConfigError("mail: give either ca_file or an ssl.SSLContext that knows it")
    is_new = context.minimum_version >= ssl.TLSVersion.TLSv1_2
    if context.verify_mode != ssl.CERT_REQUIRED or not context.check_hostname or not is_new:
        raise ConfigError(
            "mail: the ssl.SSLContext must verify certificate and host name, with TLS 1.2 or"
            " later: make it by ssl.create_default_context()"
        )
    return context


def _identify(context: ssl.SSLContext, key_file: Any, certificate_file: Any) -> None:
    try:
        # Without a password, one would be asked for at the terminal, where nobody may be.
        context.load_cert_chain(certificate_file, key_file, password="")
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"mail: secure: {key_file} and {certificate_file} are not a key and its certificate"
            f" in PEM, without a pass phrase: {error}"
        ) from error
