"""How do a threaded server and what it answers belong together?"""

from __future__ import annotations

import contextlib
import time
from typing import Any, TypeVar

from .._commands.dispatch import Reply
from .._commands.repertoire import Declared, Repertoire
from .._commands.request import CurrentRequest
from .._wire.text import is_delimiter
from ..exceptions import ConfigError
from .outbox import Outbox
from .registry import ClientRecord
from .server import ThreadedServer

_Self = TypeVar("_Self", bound="AnsweringServer")


class AnsweringServer(ThreadedServer):
    """A threaded server that answers with a :class:`.Repertoire`.

    Subclasses set ``_repertoire`` before they serve, and the delimiters of a word with blanks.
    """

    delimiter_left: str
    delimiter_right: str
    _repertoire: Repertoire
    _current_request: CurrentRequest
    # Without a value here: settle_names() would take those of a subclass for another meaning.
    _declared: Declared

    def __new__(cls: type[_Self], *_: Any, **__: Any) -> _Self:
        """Make what a subclass may use before it calls our constructor."""
        server = super().__new__(cls)
        server._current_request = CurrentRequest()
        if not hasattr(cls, "_declared"):
            server._declared = Declared()
        return server

    def _start_listening(self) -> None:
        for name in ("delimiter_left", "delimiter_right"):
            if not is_delimiter(getattr(self, name)):
                raise ConfigError(f"{name} must be one character, no blank and no quotation mark")
        self._repertoire.get_ready()
        super()._start_listening()

    @property
    def is_stopping(self) -> bool:
        """Whether no further command may begin."""
        return self._client_registry.is_stopping

    def _answer_text(self, text: str) -> Reply:
        return self._repertoire.dispatcher.answer(text)

    def _refuse_text(self, text: str) -> Reply:
        return self._repertoire.dispatcher.refuse(text)

    def _introduce(self, client: ClientRecord, outbox: Outbox) -> None:
        def note(fraction: float, text: str) -> None:
            client.progress = f"{fraction:.0%} {text}".rstrip()

        current = self._current_request.record
        current.peer, current.note = client.address, note
        current.push, current.audience = outbox.send, outbox

    def _is_own_thread(self) -> bool:
        monitoring = self._repertoire.monitoring
        return super()._is_own_thread() or (monitoring is not None and monitoring.is_here)

    def _begin_serving(self) -> None:
        if self._repertoire.monitoring is not None:
            self._repertoire.monitoring.start()

    def _describe(self) -> list[str]:
        return [*super()._describe(), *self._repertoire.status()]

    def _tear_down(self) -> None:
        monitoring, deadline = self._repertoire.monitoring, time.monotonic() + self.stop_timeout
        with contextlib.ExitStack() as stack:  # runs all of it, the last one first
            if monitoring is not None:
                stack.callback(monitoring.stop, deadline, lambda: self._life.hurried)
            stack.callback(super()._tear_down)
            stack.callback(self._repertoire.devices.close)
            if monitoring is not None:
                stack.callback(monitoring.ask_to_stop)

    def _drain(self) -> None:
        """Store what pollers have read, once the last command is done."""
        if self._repertoire.monitoring is not None:
            self._repertoire.monitoring.drain(self.stop_timeout, lambda: self._life.hurried)
