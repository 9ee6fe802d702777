"""Mail and Slack servers that the tests talk to: real ones, over real sockets, with real TLS."""

from __future__ import annotations

import asyncio
import dataclasses
import email
import email.policy
import functools
import json
import ssl
import threading
from collections import deque
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import trustme
from aiosmtpd.smtp import SMTP, AuthResult
from canaries import PASSWORD, USER
from logs.tcp_proxy import bound_socket


@functools.cache
def authority() -> trustme.CA:
    """Return the lab's own CA."""
    return trustme.CA()


def ca_file(folder: Path) -> str:
    """Write the lab's CA as a file."""
    path = folder / "ca.pem"
    authority().cert_pem.write_to_path(str(path))
    return str(path)


def server_context(certificate: trustme.LeafCert | None = None) -> ssl.SSLContext:
    """Return what a server on 127.0.0.1 encrypts with."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    (certificate or authority().issue_cert("127.0.0.1")).configure_cert(context)
    return context


@dataclasses.dataclass(frozen=True)
class Mail:
    """A mail that arrived."""

    sender: str
    recipients: list[str]
    content: bytes
    secure: bool
    user: str | None

    @property
    def message(self) -> EmailMessage:
        """The mail, taken apart."""
        return email.message_from_bytes(self.content, policy=email.policy.default)  # type: ignore[return-value]

    @property
    def text(self) -> str:
        """Its body."""
        return str(self.message.get_content()).replace("\r\n", "\n")


class MailServer:
    """An SMTP server. Begin and end with ``with``; may be stopped and started on its port.

    ``answers`` says how a command fares: ``{"DATA": "554 no"}``; ``"RCPT"`` may be followed by an
    address; an empty answer hangs up. So many as ``unconfirmed`` says are taken without a word.
    """

    def __init__(
        self,
        tls: str = "starttls",
        *,
        login: tuple[str, str] | None = (USER, PASSWORD),
        certificate: trustme.LeafCert | None = None,
        most_size: int = 33_554_432,
    ) -> None:
        self.most_size = most_size
        self.unconfirmed = 0
        self.mails: list[Mail] = []
        self.answers: dict[str, str] = {}
        self.greetings: list[str] = []
        self._tls, self._login = tls, login
        self._context = None if tls == "off" else server_context(certificate)
        self._connections: list[_Connection] = []
        self._socket = bound_socket()
        self.port: int = self._socket.getsockname()[1]
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread()

    def start(self) -> MailServer:
        """Take connections."""
        self._loop = asyncio.new_event_loop()
        door = self._loop.create_server(
            lambda: _Connection(self),
            sock=self._socket,
            ssl=self._context if self._tls == "implicit" else None,
        )
        self._server = self._loop.run_until_complete(door)
        self._thread = threading.Thread(target=self._loop.run_forever, name="mail-server")
        self._thread.start()
        return self

    def stop(self) -> None:
        """Break all connections, and refuse further ones."""
        assert self._loop is not None
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(20)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._loop = None
        self._socket = bound_socket(self.port)

    async def _end(self) -> None:
        self._server.close()
        for connection in self._connections:
            for transport in connection.transports:
                transport.abort()
        self._connections.clear()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for _ in range(5):  # a connection is closed some turns after it was told so
            await asyncio.sleep(0)

    def __enter__(self) -> MailServer:
        return self.start()

    def __exit__(self, *_: object) -> None:
        if self._loop is not None:
            self.stop()
        self._socket.close()

    # --- what aiosmtpd calls, in the loop's thread -------------------------------------------

    def authenticate(
        self, server: SMTP, session: Any, envelope: Any, mechanism: str, data: Any
    ) -> AuthResult:
        """Judge a login."""
        given = (data.login.decode(), data.password.decode())
        if "AUTH" in self.answers:
            answer = self.answers["AUTH"].format(*given)
            return AuthResult(success=False, handled=False, message=answer)
        return AuthResult(success=given == self._login, handled=False, auth_data=given[0])

    def connect(self, connection: _Connection) -> None:
        """Note a connection."""
        self._connections.append(connection)

    def answer(self, server: SMTP, command: str, otherwise: str) -> str:
        """Return how a command fares."""
        answer = self.answers.get(command, otherwise)
        if not answer:
            assert server.transport is not None
            server.transport.abort()
        return answer or "421 gone"

    async def handle_EHLO(
        self, server: SMTP, session: Any, envelope: Any, hostname: str, lines: list[str]
    ) -> list[str]:
        """Note who greets."""
        session.host_name = hostname
        self.greetings.append(hostname)
        return lines

    async def handle_MAIL(
        self, server: SMTP, session: Any, envelope: Any, address: str, options: list[str]
    ) -> str:
        """Take the sender, after a login if that is wanted."""
        if self._login and not session.authenticated:
            return "530 5.7.0 Authentication required"
        envelope.mail_from = address
        return self.answer(server, "MAIL", "250 OK")

    async def handle_RCPT(
        self, server: SMTP, session: Any, envelope: Any, address: str, options: list[str]
    ) -> str:
        """Take a recipient."""
        answer = self.answer(server, f"RCPT {address}", self.answers.get("RCPT", "250 OK"))
        if answer.startswith("250"):
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(self, server: SMTP, session: Any, envelope: Any) -> str:
        """Take the mail."""
        answer = self.answer(server, "DATA", "250 OK")
        if answer.startswith("250"):
            secure = session.ssl is not None or self._tls == "implicit"
            user = session.auth_data if session.authenticated else None
            mail = Mail(envelope.mail_from, envelope.rcpt_tos, envelope.content, secure, user)
            self.mails.append(mail)
            if self.unconfirmed:
                self.unconfirmed -= 1
                server.transport.abort()
        return answer

    async def handle_QUIT(self, server: SMTP, session: Any, envelope: Any) -> str:
        """Say goodbye."""
        return self.answer(server, "QUIT", "221 Bye")


class _Connection(SMTP):
    """One connection; remembers its transports, to be broken at the end."""

    def __init__(self, owner: MailServer) -> None:
        self.transports: list[Any] = []
        super().__init__(
            owner,
            hostname="mail.test",
            data_size_limit=owner.most_size,
            tls_context=owner._context if owner._tls == "starttls" else None,
            authenticator=owner.authenticate,
            auth_require_tls=owner._tls == "starttls",
        )
        owner.connect(self)

    def connection_made(self, transport: Any) -> None:
        self.transports.append(transport)
        super().connection_made(transport)


class _Request(BaseHTTPRequestHandler):
    """One message, as Slack would take it."""

    timeout = 20.0
    server: SlackServer  # type: ignore[assignment]

    def do_POST(self) -> None:
        """Answer as the script says, or that all is well."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        is_webhook = self.path.startswith("/services/")
        status, text, headers = self.server.next_answer("ok" if is_webhook else '{"ok": true}')
        if status == 200 and text in ("ok", '{"ok": true}'):
            message = {**json.loads(body), "path": self.path}
            message["authorization"] = self.headers.get("Authorization")
            self.server.messages.append(message)
        self.server.bodies.append(body)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text.encode())

    def do_GET(self) -> None:
        """Note who comes by a redirect, or takes this for a proxy."""
        self.server.visits.append(self.path)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"ok": true}')

    do_CONNECT = do_GET

    def log_message(self, *args: Any) -> None:
        """Say nothing."""


class SlackServer(ThreadingHTTPServer):
    """Stands for Slack. Begin and end with ``with``.

    ``script`` holds the next answers: status, text, headers; then all is well.
    """

    daemon_threads = False

    def __init__(self, *, secure: bool = False) -> None:
        super().__init__(("127.0.0.1", 0), _Request)
        self.messages: list[dict[str, Any]] = []
        self.bodies: list[bytes] = []
        self.visits: list[str] = []
        self.script: deque[tuple[int, str, dict[str, str]]] = deque()
        self.port: int = self.server_address[1]
        self._scheme = "https" if secure else "http"
        self._context = server_context() if secure else None
        self._thread = threading.Thread(
            target=self.serve_forever, kwargs={"poll_interval": 0.01}, name="slack-server"
        )

    def url(self, path: str = "/api/", port: int | None = None) -> str:
        """Return an address at this server, or at what stands before it."""
        return f"{self._scheme}://127.0.0.1:{port or self.port}{path}"

    @property
    def texts(self) -> list[str]:
        """The texts of the messages that arrived."""
        return [message["text"] for message in self.messages]

    def next_answer(self, usual: str) -> tuple[int, str, dict[str, str]]:
        """Return the next answer of the script."""
        return self.script.popleft() if self.script else (200, usual, {})

    def get_request(self) -> tuple[Any, Any]:
        """Accept; the handshake is made in the connection's own thread."""
        sock, address = super().get_request()
        if self._context is not None:
            sock = self._context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        return sock, address

    def handle_error(self, *args: Any) -> None:
        """Say nothing of clients that are gone."""

    def __enter__(self) -> SlackServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()
