"""What is in a mail about log records, and can their text make it another mail?

No header is made of unchecked text: addresses are checked, the subject is escaped, and the rest is
our own. ``email`` decodes what looks like an encoded word (``=?utf-8?q?...?=``) wherever it stands,
line ends and all: no text of others keeps its ``=?``.
"""

from __future__ import annotations

import dataclasses
import email.utils
import logging
import re
from collections.abc import Sequence
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP

from ..exceptions import ConfigError
from .line import escape
from .redaction import redact

_LONGEST_SUBJECT = 200  # characters
_ENCODED = "=?"  # begins an encoded word
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?"
_ADDRESS = re.compile(rf"({_ATOM}(?:\.{_ATOM})*)@({_LABEL}(?:\.{_LABEL})*)")
# Not 8bit: not every server on the way takes it.
_POLICY = SMTP.clone(cte_type="7bit")


@dataclasses.dataclass(frozen=True)
class Letter:
    """A mail, ready to be sent."""

    sender: str
    recipients: tuple[str, ...]
    content: bytes
    count: int  #: How many records it tells of.


def address(text: str) -> Address:
    """Read an address, with or without a name: ``Cryostat <cryostat@example.org>``.

    Raises:
        ConfigError: It is none; names it.
    """
    name, plain = "", str(text).strip() if str(text).count("@") == 1 else ""
    if plain.endswith(">"):
        name, _, plain = plain[:-1].rpartition("<")
    match = _ADDRESS.fullmatch(plain)
    if not match or not name.isprintable() or _ENCODED in plain + name:
        shown = escape(redact(str(text)))
        raise ConfigError(
            f"mail address '{shown}' cannot be used: write it like name@example.org, in ASCII"
        )
    return Address(name.strip().strip('"'), match[1], match[2])


def addresses(texts: str | Sequence[str]) -> list[Address]:
    """Read recipients: a sequence, or one text with commas.

    Raises:
        ConfigError: One is no address, or there is none.
    """
    listed = texts.split(",") if isinstance(texts, str) else list(texts)
    if not listed:
        raise ConfigError("mail: there is no recipient; name at least one")
    return [address(text) for text in listed]


def compose(sender: str, recipients: Sequence[str], subject: str, body: str, count: int) -> Letter:
    """Write a mail.

    Args:
        sender: Its address.
        recipients: Theirs.
        subject: Any text.
        body: Lines without control characters.
        count: How many records it tells of.
    """
    origin, targets = address(sender), addresses(recipients)
    mail = EmailMessage(_POLICY)
    mail["From"] = origin
    mail["To"] = targets
    mail["Subject"] = _header(subject)
    mail["Date"] = email.utils.format_datetime(datetime.now().astimezone())
    # With a domain, as this machine's own could only be had from a name server, which may be slow.
    mail["Message-ID"] = email.utils.make_msgid(domain=origin.domain)
    # Nobody's absence is told to a daemon. Not "Precedence: bulk": an alarm must not look like it.
    mail["Auto-Submitted"] = "auto-generated"
    mail["X-Auto-Response-Suppress"] = "OOF, AutoReply"
    mail.set_content(body)
    plain = tuple(target.addr_spec for target in targets)
    return Letter(origin.addr_spec, plain, bytes(mail), count)


def _header(text: str) -> str:
    text = escape(redact(text)).replace(_ENCODED, "= ?")
    return text if len(text) <= _LONGEST_SUBJECT else f"{text[:_LONGEST_SUBJECT]}..."


def headline(subject: str, records: Sequence[logging.LogRecord]) -> str:
    """Return a subject that says how many events there are, if there are several."""
    if len(records) == 1:
        return subject
    return f"[{len(records)} events, worst: {worst(records).levelname}] {subject}"


def worst(records: Sequence[logging.LogRecord]) -> logging.LogRecord:
    """Return the first record of the highest level."""
    return max(records, key=lambda record: record.levelno)
