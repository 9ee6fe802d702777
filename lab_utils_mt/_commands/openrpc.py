"""What can a server do, for programs: an OpenRPC document (https://spec.open-rpc.org)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from .declaring import Declaration, PollNote
from .results import schema_of
from .signature import Parameter
from .typed import TypedCommand

_VERSION = "1.3.2"
_WORDS = {"type": "array", "items": {"type": "string"}}


def document(
    title: str,
    version: str,
    description: str,
    typed: Mapping[str, TypedCommand],
    old: Mapping[str, str],
    pollers: Iterable[Declaration[PollNote]] = (),
    more: Iterable[Mapping[str, Any]] = (),
) -> bytes:
    """Return the document as JSON.

    Args:
        title: The server's name.
        version: Of the server.
        description: What it is.
        typed: The typed commands.
        old: The other commands: names and descriptions.
        pollers: What can be watched.
        more: Descriptions of methods that are no commands.
    """
    return msgspec.json.encode(
        {
            "openrpc": _VERSION,
            "info": {"title": title, "version": version, "description": description},
            "methods": [
                *(_method(command) for command in typed.values()),
                *(_old_method(name, text) for name, text in old.items() if name not in typed),
                *more,
            ],
            "x-pollers": [_poller(one) for one in pollers],
        }
    )


def _method(command: TypedCommand) -> dict[str, Any]:
    signature = command.signature
    docstring = signature.docstring
    return {
        "name": command.name,
        "summary": docstring.summary,
        "description": docstring.description,
        "paramStructure": "either",
        "params": [_param(one) for one in signature.parameters.values()],
        "result": {
            "name": "result",
            "description": docstring.returns,
            "schema": signature.result,
        },
        "x-device": list(command.devices),
        "x-timeout": command.timeout,
        "x-idempotent": command.idempotent,
    }


def _param(one: Parameter) -> dict[str, Any]:
    schema = schema_of(one.kind.type)
    if not one.required:
        schema["default"] = msgspec.to_builtins(one.default)
    return {
        "name": one.name,
        "description": one.text,
        "required": one.required,
        "schema": schema,
        "x-keyword-only": one.is_option,
    }


def _old_method(name: str, text: str) -> dict[str, Any]:
    return {
        "name": name,
        "summary": text,
        "paramStructure": "either",
        "params": [
            {
                "name": "words",
                "description": "As in a message.",
                "required": False,
                "schema": _WORDS,
            }
        ],
        "result": {"name": "reply", "schema": {"type": "string"}},
        "x-old-style": True,
    }


def _poller(one: Declaration[PollNote]) -> dict[str, Any]:
    docstring = one.signature.docstring
    return {
        "name": one.name,
        "description": f"{docstring.summary} {docstring.description}".strip(),
        "every": one.note.every,
        "device": list(one.note.devices),
        "table": one.note.table,
        "schema": one.signature.result,
    }
