"""How does one mail reach its server, whatever that server does?

::

    connect --> [TLS] --> EHLO --> [STARTTLS --> EHLO] --> [login] --> mail --> QUIT

Each step has a time, and all of them together have one; a reply has a length.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import io
import smtplib
import socket
import ssl

from .bounded import LONGEST_WORDS, Bound, Undelivered, connect, network_reason
from .letters import Letter
from .redaction import redact
from .sink import Refused

_CHUNK = 16384  # bytes that are sent between two looks at the clock
_LONGEST_REPLY = 65536  # bytes
_READY, _GOODBYE = 220, 221
_LOGGED_IN = 235
_PERMANENT = 500  # replies from here on are final
_TOO_LARGE = 552


class TooLarge(Undelivered):
    """The server does not take a mail of this size; or its disk, or a mailbox, is full.

    Args:
        reason: Its words.
        for_ever: Whether the mail is larger than the server says it takes.
    """

    def __init__(self, reason: str, for_ever: bool) -> None:
        super().__init__(reason)
        self.for_ever = for_ever


class InDoubt(Undelivered):
    """The connection broke after the mail, before the answer: the server may have it or not."""


@dataclasses.dataclass(frozen=True)
class Account:
    """Where mails are handed in, and how."""

    host: str
    port: int
    tls: str  #: "starttls", "implicit" or "off".
    context: ssl.SSLContext | None  #: None if TLS is off.
    username: str | None
    password: str = dataclasses.field(repr=False)
    timeout: float  #: Seconds for a step.
    limit: float  #: Seconds for everything.


class _Ear(io.RawIOBase):
    """Reads from a session's socket, within its bound."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        return self._session.receive_into(buffer)


class Session(smtplib.SMTP):
    """One conversation with a server."""

    def __init__(self, account: Account, bound: Bound) -> None:
        # No host: that would connect at once. A name: without one, a name server would be asked.
        super().__init__(local_hostname="localhost")
        self._account = account
        self._bound = bound
        self._patience = account.timeout
        self._unheard = 0  # bytes that the reply may still have
        self.in_doubt = False
        bound.begin(account.limit)

    # --- within the bound ------------------------------------------------------------------

    def connected(self) -> socket.socket:
        """Return the socket."""
        if self.sock is None:
            raise smtplib.SMTPServerDisconnected("the connection is closed")
        return self.sock

    def receive_into(self, buffer: memoryview) -> int:
        """Receive a part of a reply."""
        if self._unheard <= 0:
            raise OSError("its reply does not end")
        sock = self.connected()
        count = self._bound.step(sock, self._patience, lambda: sock.recv_into(buffer))
        self._unheard -= count
        return count

    def getreply(self) -> tuple[int, bytes]:
        """Read a reply."""
        self._unheard = _LONGEST_REPLY
        if self.file is None:
            self.file = io.BufferedReader(_Ear(self))
        return super().getreply()

    def send(self, s: object) -> None:
        """Send text or bytes."""
        rest = memoryview(s.encode("ascii") if isinstance(s, str) else s)  # type: ignore[arg-type]
        sock = self.connected()
        try:
            while rest:
                rest = rest[self._send_some(sock, rest[:_CHUNK]) :]
        except OSError as error:
            self.close()
            raise smtplib.SMTPServerDisconnected("the connection broke") from error

    def _send_some(self, sock: socket.socket, data: memoryview) -> int:
        return self._bound.step(sock, self._patience, lambda: sock.send(data))

    def data(self, msg: bytes | str) -> tuple[int, bytes]:  # type: ignore[override]
        """Send a mail's content. Filters may think about it: giving up early sends it twice."""
        self._patience = self._account.limit
        self.in_doubt = True
        reply = super().data(msg)
        self.in_doubt = False
        return reply

    @property
    def most_size(self) -> int:
        """The largest mail that the server says it takes, in bytes; 0 if it does not say."""
        words = self.esmtp_features.get("size", "")
        return int(words) if words.isdecimal() else 0

    # --- the steps -------------------------------------------------------------------------

    def open(self) -> None:
        """Connect, encrypt, log in."""
        account = self._account
        self.sock = connect(self._bound, (account.host, account.port), account.timeout)
        self.local_hostname = _own_name(self.sock)
        if account.tls == "implicit":
            self._encrypt()
        self._expect(_READY, self.getreply())
        self.ehlo_or_helo_if_needed()
        if account.tls == "starttls":
            self._start_tls()
        if account.username is not None:
            self._log_in(account.username, account.password)

    def _start_tls(self) -> None:
        if not self.has_extn("starttls"):
            raise Undelivered(
                'it offers no STARTTLS: use tls="implicit" if it has a port for that (often 465);'
                ' tls="off" only without a password, in a network that you trust'
            )
        self._expect(_READY, self.docmd("STARTTLS"))
        self._encrypt()
        # What was said in clear may have been said by anybody.
        self.helo_resp = self.ehlo_resp = None
        self.esmtp_features, self.does_esmtp = {}, False
        self.ehlo_or_helo_if_needed()

    def _encrypt(self) -> None:
        context, sock = self._account.context, self.connected()
        assert context is not None
        # The handshake later: the bound must hold the socket by then.
        self.sock = secured = context.wrap_socket(
            sock, server_hostname=self._account.host, do_handshake_on_connect=False
        )
        self.file = None
        self._bound.hold(secured)
        self._bound.step(secured, self._patience, secured.do_handshake)

    def _log_in(self, username: str, password: str) -> None:
        if not isinstance(self.sock, ssl.SSLSocket):
            raise Undelivered("a password is never sent without TLS")
        if (username + password).isascii():
            self.login(username, password)
            return
        # smtplib knows ASCII only; the standard (RFC 4616) has UTF-8.
        plain = base64.b64encode(f"\0{username}\0{password}".encode()).decode()
        code, words = self.docmd("AUTH", f"PLAIN {plain}")
        if code != _LOGGED_IN:
            raise smtplib.SMTPAuthenticationError(code, words)

    def _expect(self, wanted: int, reply: tuple[int, bytes]) -> None:
        if reply[0] != wanted:
            raise smtplib.SMTPResponseException(*reply)

    def leave(self) -> None:
        """Say goodbye; whether that is heard does not matter any more."""
        self._patience = self._account.timeout
        with contextlib.suppress(OSError, smtplib.SMTPException):
            self.docmd("QUIT")


def _own_name(sock: socket.socket) -> str:
    name = socket.gethostname()
    if "." in name and name.isascii() and name.isprintable() and " " not in name:
        return name
    own = sock.getsockname()[0]
    return f"[IPv6:{own.partition('%')[0]}]" if ":" in own else f"[{own}]"


def hand_in(account: Account, letter: Letter, bound: Bound) -> dict[str, str]:
    """Hand a mail in.

    Returns:
        The recipients that the server refuses, with its words; not all of them.

    Raises:
        TooLarge: The mail is too large for the server, at least now.
        InDoubt: It may have the mail: hand in the very same one again.
        Refused: The server will never take this mail.
        Undelivered: It does not take it now.
    """
    session = Session(account, bound)
    try:
        session.open()
        refused = session.sendmail(letter.sender, letter.recipients, letter.content)
        session.leave()
    except Undelivered as error:
        raise Undelivered(f"{account.host}:{account.port}: {error}") from None
    except (OSError, ValueError, smtplib.SMTPException) as error:
        # Not `from error`: its text or its frames may hold what was sent.
        raise _told(error, session, account, letter) from None
    finally:
        bound.end()
        session.close()
    return {name: _words(reply) for name, reply in refused.items()}


def _told(error: Exception, session: Session, account: Account, letter: Letter) -> Exception:
    where = f"{account.host}:{account.port}"
    if isinstance(error, (smtplib.SMTPDataError, smtplib.SMTPSenderRefused)):
        text = f"{where} refuses the mail: {_code_and_words(error)}"
        if error.smtp_code == _TOO_LARGE:
            return TooLarge(text, for_ever=0 < session.most_size < len(letter.content))
        if error.smtp_code >= _PERMANENT and isinstance(error, smtplib.SMTPDataError):
            return Refused(text, letter.count)
    is_answer = isinstance(error, smtplib.SMTPResponseException)
    kind = InDoubt if session.in_doubt and not is_answer else Undelivered
    return kind(f"{where}{_reason(error, account)}")


def _reason(error: Exception, account: Account) -> str:
    if isinstance(error, smtplib.SMTPAuthenticationError):
        return f" refuses the user name or the password: {_code_and_words(error, account)}"
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        told = ", ".join(f"{name} ({_words(reply)})" for name, reply in error.recipients.items())
        return f" refuses all recipients, check them and the sender: {told}"
    if isinstance(error, smtplib.SMTPSenderRefused):
        return f" refuses the sender; does it want a login? It says: {_code_and_words(error)}"
    if isinstance(error, smtplib.SMTPResponseException):
        return f" answers {_code_and_words(error)}: check host and port"
    return f": {network_reason(_cause(error))}"


def _cause(error: Exception) -> Exception:
    """Return what smtplib has wrapped as a "disconnected"."""
    wrapped = error.__context__
    is_wrapper = isinstance(error, smtplib.SMTPServerDisconnected)
    return wrapped if is_wrapper and isinstance(wrapped, OSError) else error


def _code_and_words(error: smtplib.SMTPResponseException, account: Account | None = None) -> str:
    reply = error.smtp_error
    words = _words((error.smtp_code, reply if isinstance(reply, bytes) else reply.encode()))
    # The server may say what it was told; redact() leaves very short passwords alone.
    return words.replace(account.password, "***") if account and account.password else words


def _words(reply: tuple[int, bytes]) -> str:
    code, words = reply
    return f"{code} {redact(words.decode('utf-8', 'replace'))[:LONGEST_WORDS]}".rstrip()
