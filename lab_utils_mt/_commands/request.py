"""Which request is this thread answering?

Code of ``lab_utils`` 0.5.x keeps ``message``, ``namespace`` and ``reply`` on the server. Here many
requests are answered at once, so these names lead each thread to a request of its own.
"""

from __future__ import annotations

import argparse
import threading
from typing import Any


class CurrentRequest(threading.local):
    """What belongs to the request that the calling thread answers.

    Attributes:
        message: The text that came, as it came.
        reply: What the handler wants to send back.
        namespace: The words, parsed.
    """

    message: str = ""
    reply: Any = ""
    namespace: argparse.Namespace | None = None

    def begin(self, message: str) -> None:
        """Forget the request before."""
        self.message, self.reply, self.namespace = message, "", None


def per_request(name: str, doc: str) -> Any:
    """Return a property that keeps its value in the owner's ``_current_request``."""

    def get(owner: Any) -> Any:
        return getattr(owner._current_request, name)

    def put(owner: Any, value: Any) -> None:
        setattr(owner._current_request, name, value)

    return property(get, put, doc=doc)
