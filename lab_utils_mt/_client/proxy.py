"""How do a server's commands become functions that a person can ask for help?"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from typing import Any

from .remote import Catalogue, RemoteCommand


class Commands:
    """The commands of a server as functions: ``client.commands.set_temperature(4.2)``.

    ``help()``, ``inspect`` and IPython's ``?`` show what the server says of them. A command whose
    name is no identifier is had by ``client.commands["set-temperature"]``.

    Args:
        server: ``host:port``, for messages.
        call: Calls a command by its name.
        catalogue: Returns what is known of the server; asks it if told to.
    """

    def __init__(
        self, server: str, call: Callable[..., Any], catalogue: Callable[[bool], Catalogue | None]
    ) -> None:
        self._server, self._call, self._catalogue = server, call, catalogue

    def __getitem__(self, name: str) -> Callable[..., Any]:
        """Return the function of a command.

        Raises:
            KeyError: The server has no such command.
        """
        try:
            return self._function(name)
        except AttributeError as error:
            raise KeyError(str(error)) from None

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("_"):  # what IPython and others look for; no reason to ask the server
            raise AttributeError(name)
        return self._function(name)

    def _function(self, name: str) -> Callable[..., Any]:
        catalogue = self._catalogue(False)
        if catalogue is not None and name not in catalogue:
            catalogue = self._catalogue(True)
        if catalogue is None:
            return _function(name, self._call)
        if name not in catalogue:
            raise AttributeError(self._unknown(name, catalogue))
        return _described(catalogue.command(name), self._call)

    def _unknown(self, name: str, catalogue: Catalogue) -> str:
        near = difflib.get_close_matches(name, catalogue.methods, 3)
        hint = f"; near to it: {', '.join(near)}" if near else ""
        return f"{self._server} has no command {name!r}{hint}"

    def __dir__(self) -> list[str]:
        return sorted(self)

    def __iter__(self) -> Iterator[str]:
        catalogue = self._catalogue(False)
        names = catalogue.methods if catalogue is not None else ()
        return (name for name in names if not name.startswith("rpc."))

    def __repr__(self) -> str:
        return f"<Commands of {self._server}>"


def _function(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
    def command(*args: Any, **kwargs: Any) -> Any:
        return call(name, *args, **kwargs)

    command.__name__ = command.__qualname__ = name
    return command


def _described(known: RemoteCommand, call: Callable[..., Any]) -> Callable[..., Any]:
    command: Any = _function(known.name, call)
    signature = known.signature
    command.__doc__ = known.doc
    command.__signature__ = signature
    command.__annotations__ = {
        name: parameter.annotation for name, parameter in signature.parameters.items()
    }
    if signature.return_annotation is not signature.empty:
        command.__annotations__["return"] = signature.return_annotation
    return command  # type: ignore[no-any-return]
