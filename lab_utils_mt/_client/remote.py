"""What does a client know of a server's commands?

What ``rpc.discover`` tells: an OpenRPC document, of which signatures, help texts and the types of
results are made.
"""

from __future__ import annotations

import inspect
import math
from typing import Any

from ..exceptions import MessageError
from .arguments import to_json
from .conversation import Request
from .schemas import Convert, Schema, Schemas

_EITHER, _BY_NAME = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY
_ANY_PARAMETERS = [
    inspect.Parameter("args", inspect.Parameter.VAR_POSITIONAL),
    inspect.Parameter("kwargs", inspect.Parameter.VAR_KEYWORD),
]
DISCOVER = Request("rpc.discover", lambda: None, True)


class RemoteCommand:
    """One command of a server, or what is assumed of one that the server does not describe.

    Attributes:
        name: As the server calls it.
        idempotent: Whether it may be sent again if its reply is lost.
        convert: From the result as JSON to the value that it stands for.
        signature: As if it were a function of Python.
        doc: A docstring with units and ranges.
    """

    def __init__(self, method: dict[str, Any], schemas: Schemas) -> None:
        self.name: str = method["name"]
        self.idempotent = bool(method.get("x-idempotent"))
        self._params: list[dict[str, Any]] = method.get("params") or []
        self._known = method.get("params") is not None
        self._method, self._schemas = method, schemas
        self._takes_words = bool(method.get("x-old-style"))
        self.convert: Convert = schemas.converter(method.get("result", {}).get("schema", {}))

    def request(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Request:
        """Return the request for a call; the server checks the arguments, but for their form."""
        return Request(self.name, lambda: self._encoded(args, kwargs), self.idempotent)

    def _encoded(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if self._takes_words and args and all(isinstance(word, str) for word in args):
            args = (args,)  # ``help("ping")`` as well as ``help(["ping"])``
        if args and kwargs:
            kwargs, args = {**self._named(args, kwargs), **kwargs}, ()
        if kwargs:
            return {key: to_json(value, f"{self.name}: {key}") for key, value in kwargs.items()}
        names = [param["name"] for param in self._params]
        labels = [*names[: len(args)], *(f"argument {n + 1}" for n in range(len(names), len(args)))]
        return [to_json(v, f"{self.name}: {k}") for k, v in zip(labels, args, strict=True)]

    def _named(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        names = [param["name"] for param in self._params]
        if not self._known:
            raise MessageError(f"{self.name}: give all arguments by name, or none")
        if len(args) > len(names):
            raise MessageError(f"{self.name} takes {len(names)} arguments, not {len(args)}")
        given = dict(zip(names, args, strict=False))
        for name in kwargs:
            if name in given:
                raise MessageError(f"{self.name}: {name} is given by position and by name")
        return given

    # --- for people --------------------------------------------------------------------------

    @property
    def signature(self) -> inspect.Signature:
        """The parameters with their types and defaults; of other languages', names may not do."""
        result = self._method.get("result")
        answer = (
            self._schemas.annotation(result.get("schema", {}))
            if result
            else inspect.Signature.empty
        )
        try:
            return inspect.Signature(self._parameters(), return_annotation=answer)
        except ValueError:
            return inspect.Signature(_ANY_PARAMETERS, return_annotation=answer)

    def _parameters(self) -> list[inspect.Parameter]:
        if self._takes_words:
            return [inspect.Parameter("words", inspect.Parameter.VAR_POSITIONAL, annotation=str)]
        made: list[inspect.Parameter] = []
        is_by_name = is_after_default = False
        for param in self._params:
            schema, default = param.get("schema", {}), inspect.Parameter.empty
            if not param.get("required"):
                default, is_after_default = self._default(schema), True
            elif is_after_default:
                is_by_name = True
            is_by_name = is_by_name or bool(param.get("x-keyword-only"))
            kind = _BY_NAME if is_by_name else _EITHER
            annotation = self._schemas.annotation(schema)
            made.append(
                inspect.Parameter(param["name"], kind, default=default, annotation=annotation)
            )
        return made

    def _default(self, schema: Schema) -> Any:
        value = schema.get("default", None if "default" in schema or _nullable(schema) else ...)
        return value if value is None or value is ... else self._schemas.converter(schema)(value)

    @property
    def doc(self) -> str:
        """What the command does, what it takes and what it returns."""
        method = self._method
        summary, description = method.get("summary") or "", method.get("description") or ""
        if summary and not description.startswith(summary):
            description = f"{summary}\n\n{description}".strip()
        parts = [description or f"Run the server's command {self.name}."]
        if self._params:
            parts.append("Args:\n" + "\n".join(self._param_line(param) for param in self._params))
        result = method.get("result")
        if result and (text := _told(result, self._schemas.resolve(result.get("schema", {})))):
            parts.append(f"Returns:\n    {text}")
        return "\n\n".join([*parts, *self._remarks()])

    def _param_line(self, param: dict[str, Any]) -> str:
        text = _told(param, self._schemas.resolve(param.get("schema", {})))
        return f"    {param['name']}: {text}".rstrip(": ")

    def _remarks(self) -> list[str]:
        method, remarks = self._method, []
        if devices := method.get("x-device"):
            names = devices if isinstance(devices, str) else ", ".join(devices)
            patience = method.get("x-timeout")
            until = f", for which it waits up to {patience:g} s" if patience else ""
            remarks.append(f"Uses {names}{until}.")
        if self.idempotent:
            remarks.append("Is sent again if its reply is lost.")
        return remarks


class Catalogue:
    """All commands of a server.

    Args:
        document: What ``rpc.discover`` returned; empty if the server describes nothing.
    """

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document
        self._schemas = Schemas(document.get("components", {}).get("schemas", {}))
        methods = document.get("methods", [])
        self.methods = {m["name"]: m for m in methods if isinstance(m, dict) and "name" in m}
        self._commands: dict[str, RemoteCommand] = {}
        self._pollers = {poller["name"]: poller for poller in document.get("x-pollers", [])}

    def __contains__(self, name: object) -> bool:
        return name in self.methods

    def command(self, name: str) -> RemoteCommand:
        """Return what is known of a command; of an unknown one, only its name."""
        found = self._commands.get(name)
        if found is None:
            method = self.methods.get(name, {"name": name})
            found = self._commands[name] = RemoteCommand(method, self._schemas)
        return found

    def convert_values(self, poller: str) -> Convert:
        """Return what makes Python values of a poller's readings."""
        return self._schemas.converter(self._pollers.get(poller, {}).get("schema", {}))


def _nullable(schema: Schema) -> bool:
    kinds = [choice.get("type") for choice in schema.get("anyOf", ())]
    return "null" in kinds or "null" in (schema.get("type") or ())


def _told(item: dict[str, Any], schema: Schema) -> str:
    """Return description, range and unit in one line."""
    text = " ".join((item.get("description") or schema.get("description") or "").split())
    choices = [schema, *schema.get("anyOf", ())]
    facts = [fact for choice in choices for fact in _facts(choice)]
    unit = next((one["x-unit"] for one in choices if "x-unit" in one), None)
    limits = f"{', '.join(facts)} {unit or ''}".strip()
    return f"{text.rstrip('.')} ({limits}).".lstrip() if limits else text


def _facts(schema: Schema) -> list[str]:
    least, most = schema.get("minimum"), schema.get("maximum")
    if _is_number(least) and _is_number(most):
        return [f"{least:g} to {most:g}"]
    names = {
        "minimum": "at least",
        "exclusiveMinimum": "above",
        "maximum": "at most",
        "exclusiveMaximum": "below",
        "minLength": "length at least",
        "maxLength": "length at most",
    }
    found = [f"{words} {schema[key]:g}" for key, words in names.items() if key in schema]
    return found + [f"matching {schema.get('pattern')}"] * ("pattern" in schema)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
