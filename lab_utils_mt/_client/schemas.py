"""Which Python value does a JSON value of a schema stand for, and which type has it?"""

from __future__ import annotations

import base64
import binascii
import datetime
import decimal
import importlib
import math
import types
import uuid
from collections.abc import Callable
from functools import partial
from typing import Any, Literal, Union

from .._wire.jsonrpc import value_of
from ..exceptions import MessageError

Schema = dict[str, Any]
Convert = Callable[[Any], Any]

_FORMATS: dict[str, type] = {
    "date-time": datetime.datetime,
    "date": datetime.date,
    "time": datetime.time,
    "duration": datetime.timedelta,
    "uuid": uuid.UUID,
    "decimal": decimal.Decimal,
}
_TYPES: dict[str, Any] = {
    "number": float,
    "integer": int,
    "string": str,
    "boolean": bool,
    "null": None,
    "array": list,
    "object": dict,
}


class Schemas:
    """The schemas of one server.

    Args:
        components: Those that others refer to, by name.
    """

    def __init__(self, components: dict[str, Schema]) -> None:
        self._components = components
        self._of_references: dict[str, Convert] = {}

    def resolve(self, schema: Schema) -> Schema:
        """Return what a schema refers to, itself if it refers to nothing."""
        name = schema.get("$ref")
        return self._components.get(name.rsplit("/", 1)[-1], {}) if name else schema

    # --- types -------------------------------------------------------------------------------

    def annotation(self, schema: Schema) -> Any:
        """Return the type of the values, for a signature."""
        target = self.resolve(schema)
        if target is not schema:  # may refer to itself, so its inside is not looked at
            return _TYPES.get(target.get("type", ""), Any)
        if target.get("x-ndarray"):
            return "numpy.ndarray"
        values = target.get("enum") or ([target["const"]] if "const" in target else [])
        if values:
            return Literal[tuple(values)]
        choices = target.get("anyOf") or target.get("oneOf")
        if choices:
            return _union([self.annotation(choice) for choice in choices])
        return self._annotation_of(target.get("type", ""), target)

    def _annotation_of(self, kind: str | list[str], schema: Schema) -> Any:
        if isinstance(kind, list):
            return _union([_TYPES.get(name, Any) for name in kind])
        if kind == "string":
            if schema.get("contentEncoding") == "base64":
                return bytes
            return _FORMATS.get(schema.get("format", ""), str)
        if kind == "array" and isinstance(schema.get("items"), dict):
            return types.GenericAlias(list, (self.annotation(schema["items"]),))
        if kind == "object" and isinstance(schema.get("additionalProperties"), dict):
            values = self.annotation(schema["additionalProperties"])
            return types.GenericAlias(dict, (str, values))
        return _TYPES.get(kind, Any)

    # --- values ------------------------------------------------------------------------------

    def converter(self, schema: Schema) -> Convert:
        """Return a function from a JSON value to the Python value that it stands for.

        A value that does not fit its schema stays as it is: the server may be a newer one.
        """
        reference = schema.get("$ref")
        if reference is not None:
            return self._converter_of(reference, schema)
        if schema.get("x-ndarray"):
            return _array
        choices = schema.get("anyOf") or schema.get("oneOf")
        if choices:
            return self._one_of(choices)
        makers: dict[str, Callable[[Schema], Convert]] = {
            "number": lambda _: _number,
            "string": _text,
            "array": self._list,
            "object": self._object,
        }
        maker = makers.get(str(schema.get("type")))
        return _same if maker is None else maker(schema)

    def _converter_of(self, reference: str, schema: Schema) -> Convert:
        found = self._of_references.get(reference)
        if found is None:
            # A schema may refer to itself: its own converter is looked up when it is used.
            self._of_references[reference] = partial(self._convert_by, reference)
            found = self._of_references[reference] = self.converter(self.resolve(schema))
        return found

    def _convert_by(self, reference: str, value: Any) -> Any:
        return self._of_references[reference](value)

    def _one_of(self, choices: list[Schema]) -> Convert:
        known = [(self._is_for(choice), self.converter(choice)) for choice in choices]
        kinds = {self.resolve(choice).get("type") for choice in choices}

        def convert(value: Any) -> Any:
            if type(value) is int and "integer" in kinds:  # not a float, if that is possible too
                return value
            for is_for, converter in known if value is not None else ():
                if is_for(value):
                    converted = converter(value)
                    if converted is not value:
                        return converted
            return value

        return convert

    def _is_for(self, schema: Schema) -> Callable[[Any], bool]:
        target = self.resolve(schema)
        if target.get("x-ndarray"):
            return _is_array
        kinds = _JSON.get(str(target.get("type")), object)
        return lambda value: isinstance(value, kinds)

    def _list(self, schema: Schema) -> Convert:
        first = [self.converter(item) for item in schema.get("prefixItems", ())]
        if first:
            return lambda value: (
                tuple(convert(item) for convert, item in zip(first, value, strict=True))
                if isinstance(value, list) and len(value) == len(first)
                else value
            )
        items = schema.get("items")
        convert = self.converter(items) if isinstance(items, dict) else _same
        if convert is _same:
            return _same
        return lambda value: [convert(item) for item in value] if isinstance(value, list) else value

    def _object(self, schema: Schema) -> Convert:
        others = schema.get("additionalProperties")
        rest = self.converter(others) if isinstance(others, dict) else _same
        own = {key: self.converter(one) for key, one in schema.get("properties", {}).items()}
        own = {key: convert for key, convert in own.items() if convert is not _same}
        if rest is _same and not own:
            return _same
        return lambda value: (
            {key: own.get(key, rest)(item) for key, item in value.items()}
            if isinstance(value, dict)
            else value
        )


_JSON: dict[str, Any] = {
    "number": (int, float),
    "integer": int,
    "string": str,
    "boolean": bool,
    "array": list,
    "object": dict,
    "null": type(None),
}


def _union(types: list[Any]) -> Any:
    return Any if Any in types else Union[tuple(types)]  # noqa: UP007  (made at run time)


def _same(value: Any) -> Any:
    return value


def _number(value: Any) -> Any:
    return math.nan if value is None else float(value) if type(value) is int else value


def _text(schema: Schema) -> Convert:
    if schema.get("contentEncoding") == "base64":
        return _bytes
    kind = _FORMATS.get(schema.get("format", ""))
    if kind is None:
        return _same

    def convert(value: Any) -> Any:
        try:
            return value_of(value, kind) if isinstance(value, str) else value
        except ValueError:
            return value

    return convert


def _bytes(value: Any) -> Any:
    try:
        return base64.b64decode(value, validate=True) if isinstance(value, str) else value
    except binascii.Error:
        return value


def _is_array(value: Any) -> bool:
    return isinstance(value, dict) and {"dtype", "shape", "data"} <= value.keys()


def _array(value: Any) -> Any:
    """Return the numpy array that an object stands for.

    Raises:
        MessageError: It cannot be one, or there is no numpy.
    """
    if not _is_array(value):
        return value
    try:
        numpy = importlib.import_module("numpy")
        data = numpy.frombuffer(base64.b64decode(value["data"]), numpy.dtype(value["dtype"]))
        return data.reshape(value["shape"]).copy()
    except ImportError:
        raise MessageError("the command returned an array; reading it needs numpy") from None
    except (TypeError, ValueError) as error:
        raise MessageError(f"the command returned an array that cannot be read: {error}") from None
