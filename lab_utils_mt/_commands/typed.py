"""What happens when a typed command is called?"""

from __future__ import annotations

import argparse
import logging
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

from .._wire.text import Dialect
from .declaring import CommandNote, Declaration
from .parser import ArgumentParser
from .request import CurrentRequest, Report, Request
from .results import is_finite, reply_of
from .signature import Values
from .telling import shown
from .words import WordPlan, words_of

logger = logging.getLogger("lab_utils_mt.commands")

_NAN_WARNING_EVERY = 60.0  # s


class Host(Protocol):
    """What a command needs of its server."""

    @property
    def device_timeout(self) -> float:
        """Seconds to wait for a device."""

    @property
    def is_stopping(self) -> bool:
        """Whether the server stops."""


class TypedCommand:
    """A declared command of one server.

    Args:
        declaration: What the class says.
        method: The bound method.
        request: The request that the calling thread answers.
        host: The server.
    """

    reply_of = staticmethod(reply_of)

    def __init__(
        self,
        declaration: Declaration[CommandNote],
        method: Callable[..., Any],
        request: CurrentRequest,
        host: Host,
    ) -> None:
        self.name = declaration.name
        self.signature = declaration.signature
        self.devices = declaration.note.devices
        self.idempotent = declaration.note.idempotent
        self.wants_request = declaration.signature.request is not None
        self._timeout = declaration.note.timeout
        self._method = method
        self._request = request
        self._host = host
        self._plan = WordPlan(declaration.signature)
        self._nan_told = float("-inf")

    @property
    def timeout(self) -> float:
        """Seconds to wait for the devices."""
        return self._host.device_timeout if self._timeout is None else self._timeout

    def add_to(self, commands: argparse._SubParsersAction[ArgumentParser]) -> None:
        """Make it known to the parser that 0.5.x code uses.

        Raises:
            TypeError: There is a command of this name.
        """
        docstring = self.signature.docstring
        if self.name in commands.choices:
            raise TypeError(
                f"the command {self.name!r} is declared with @command and added by create_parser()"
            )
        text = " ".join(f"{docstring.summary} {docstring.description}".split())
        parser = commands.add_parser(self.name, description=text, allow_abbrev=False)
        self._plan.add_arguments(parser)
        parser.set_defaults(func=self, which=self.name)

    def bind_words(self, words: list[str]) -> Values | None:
        """Return the arguments that plain words say; None if argparse must assign them.

        Args:
            words: The command's name, and what follows it.

        Raises:
            InvalidArgument: The words are no arguments of this command.
        """
        values = self._plan.read_plain(words)
        if values is not None:
            return values
        assigned = self._plan.assign(words[1:])
        return None if assigned is None else self.signature.from_words(assigned)

    def bind_namespace(self, namespace: argparse.Namespace) -> Values:
        """Return the arguments that argparse has assigned.

        Raises:
            InvalidArgument: They are no arguments of this command.
        """
        return self.signature.from_words(words_of(namespace))

    def call(
        self, values: Values, dialect: Dialect, deadline: float | None, report: Report | None = None
    ) -> Any:
        """Run the method and return its result."""
        if self.wants_request:
            result = self._call_with_request(values, dialect, deadline, report)
        else:
            result = self._method(**values)
        if result is None and self._request.record.reply != "":
            return self._request.record.reply
        return result

    def _call_with_request(
        self, values: Values, dialect: Dialect, deadline: float | None, report: Report | None
    ) -> Any:
        current = self._request.record
        is_over = threading.Event()  # a method may keep its request, and its client ask more

        def tell(fraction: float, text: str, whom: Report = report or current.note) -> None:
            if not is_over.is_set():
                whom(fraction, text)

        values[str(self.signature.request)] = Request(
            current.peer, None, dialect.value, deadline, tell, lambda: self._host.is_stopping
        )
        try:
            return self._method(**values)
        finally:
            is_over.set()

    def warn_of_null(self, result: Any) -> None:
        """Log, once a minute, that a result has NaN or infinity, which JSON has not."""
        now = time.monotonic()
        if now - self._nan_told > _NAN_WARNING_EVERY and not is_finite(result):
            self._nan_told = now
            logger.warning("command %s: NaN or infinity is sent as null", shown(self.name))

    def __call__(self) -> None:
        """Run it for 0.5.x code that calls ``namespace.func()`` itself."""
        assert self._request.record.namespace is not None
        values = self.bind_namespace(self._request.record.namespace)
        self._request.record.reply = self.reply_of(self.call(values, Dialect.TEXT, None))
