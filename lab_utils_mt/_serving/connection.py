"""How is one client served, from its first byte to its last?"""

from __future__ import annotations

import logging
import socketserver
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from .._commands.dispatch import Reply
from .._commands.telling import text_of
from .._sockets import INHERITED, prepare, say_goodbye, wait_readable
from .._wire.foreign import LATER_LINES_BEGIN, foreign_line, foreign_opening
from .._wire.framing import BUFFER_SIZE, LineReader
from .._wire.replies import encode_reply
from .._wire.text import BLANKS, decode_line
from ..exceptions import MessageError
from .looking_up import LOOKS_UP, SLICE, receive, wait_for_input
from .outbox import Outbox

if TYPE_CHECKING:
    from .server import ThreadedServer

logger = logging.getLogger("lab_utils_mt.connection")


_NO_REPLY = Reply("", failed=True)


class ForeignProtocol(Exception):
    """The client speaks another protocol; the text names it."""


class ConnectionHandler(socketserver.BaseRequestHandler):
    """Answer the requests of one client, in their order."""

    server: ThreadedServer

    def setup(self) -> None:
        """Prepare the connection."""
        settings = self.server
        if not INHERITED:
            prepare(self.request, None if LOOKS_UP else settings.send_timeout)
        if LOOKS_UP:
            self.request.settimeout(SLICE)
        self._client = settings._client_registry.get(self.request)
        self._reader = LineReader(settings.max_message)
        self._line_began = 0.0
        self._is_old_style = False  # the request had no newline, so the reply has none
        submit = settings._client_threads.submit
        self._outbox = Outbox(self._client, settings.send_timeout, submit)
        settings._introduce(self._client, self._outbox)

    def finish(self) -> None:
        """Let nobody send any more."""
        self._outbox.close()

    def handle(self) -> None:
        """Serve until the client, a malformed request or the server ends the connection."""
        try:
            for line in self._lines():
                if not self._answer(line) or self._is_old_style:
                    break
        except MessageError as error:
            logger.warning("%s: %s", self._client.address, error)
            self.server._client_registry.count_error(self._client)
            self._send(Reply(f"Error! {error}"))
            say_goodbye(self.request)
        except ForeignProtocol as protocol:
            self.server._note_foreign(self._client.address, str(protocol))

    def _lines(self) -> Iterator[bytes]:
        """Yield each request."""
        reader = self._reader
        is_first = True
        while True:
            data = self._receive()
            if not data:
                rest = reader.take_rest() if data is None else self._rest_at_end()
                self._is_old_style = self._outbox.is_last_reply = True
                if rest:
                    yield rest
                return
            line = None if is_first else reader.whole_line(data)
            if line:
                if line[0] in LATER_LINES_BEGIN:
                    self._refuse_foreign(foreign_line(line, is_first))
                yield line
                continue
            if not reader.is_partial:
                self._line_began = time.monotonic()
            reader.receive_data(data)
            self._refuse_foreign(foreign_opening(reader.opening))
            while (line := reader.next_line()) is not None:
                self._line_began = time.monotonic()  # of the next one, if some of it is there
                if line:
                    self._refuse_foreign(foreign_line(line, is_first))
                    is_first = False
                    yield line

    def _receive(self) -> bytes | None:
        """Return more bytes, none at the end of the stream, None if a pause ends the message.

        Raises:
            MessageError: The rest of the line does not come.
        """
        if self.server.idle_timeout is None and not self._reader.is_partial:
            if LOOKS_UP:
                return receive(self._client, BUFFER_SIZE)
            whole: bytes = self.request.recv(BUFFER_SIZE)
            return whole
        patience, pause = self._patience()
        if self._waits_for_input(patience):
            data: bytes = self.request.recv(BUFFER_SIZE)
            return data
        if self._client.has_ended:
            return b""
        if pause:
            return None
        if self._reader.is_partial:
            limit = self.server.line_timeout
            raise MessageError(f"the message was not complete after {limit:g} s")
        return b""

    def _waits_for_input(self, patience: float | None) -> bool:
        if LOOKS_UP:
            return wait_for_input(self._client, patience)
        return patience is None or wait_readable(self.request, patience)

    def _patience(self) -> tuple[float | None, bool]:
        """Return how long to wait for bytes, and whether that ends an unterminated message."""
        if not self._reader.is_partial:
            return None if self._outbox.is_watching else self.server.idle_timeout, False
        left = self._line_began + self.server.line_timeout - time.monotonic()
        pause = self.server.unterminated_pause
        if pause is not None and self._reader.may_be_unterminated and pause <= left:
            return pause, True
        return left, False

    def _rest_at_end(self) -> bytes | None:
        """Return the message that the end of the stream completes.

        Raises:
            MessageError: The stream ends within a line that is not the first.
        """
        rest = None
        if self.server.unterminated_pause is not None:
            rest = self._reader.take_at_end()
        if rest is None and self._reader.is_partial:
            raise MessageError("the last line has no newline and was not executed")
        return rest

    def _refuse_foreign(self, protocol: str | None) -> None:
        if protocol:
            raise ForeignProtocol(protocol)

    def _answer(self, line: bytes) -> bool:
        """Answer one request; return whether the connection goes on."""
        text = decode_line(line)
        if not text.strip(BLANKS):
            return True
        registry = self.server._client_registry
        if not registry.begin(self._client, text):
            self._send(self.server._refuse_text(text))
            say_goodbye(self.request, patience=0.2)
            return False
        reply = _NO_REPLY
        try:
            reply = self._dispatch(text)
            self._send(reply)
            self._outbox.answered()
        finally:
            registry.end(self._client, reply.failed)
            if reply.quits:  # also if nobody is there any more to hear the reply
                self.server._life.request_stop()
        return not (reply.quits or reply.ends)

    def _dispatch(self, text: str) -> Reply:
        try:
            return self.server._answer_text(text)
        except BaseException as error:  # such as asyncio.CancelledError: it ends this thread
            self._send(Reply(f"Error! {type(error).__name__}: {text_of(error)}"))
            raise

    def _send(self, reply: Reply) -> None:
        try:
            data = self._encoded(reply)
        except ValueError as error:
            logger.error("a reply cannot be sent: %s", error)  # noqa: TRY400  (no bug of ours)
            data = self._encoded(Reply(f"Error! {type(error).__name__}: {error}"))
        self._outbox.send(data)

    def _encoded(self, reply: Reply) -> bytes:
        payload = reply.payload
        if not (self._is_old_style or reply.is_json):
            return encode_reply(payload)
        # A 0.5.x client takes all bytes up to the end of the stream.
        return payload.encode() if isinstance(payload, str) else payload
