"""How does what a command returns travel?

In text, a text travels as it is, bytes and numpy arrays as a block, everything else as JSON.
In JSON, bytes are base64, and a numpy array is an object with ``dtype`` (numpy's ``str``),
``shape`` and ``data`` (base64, C order). JSON has no NaN and no infinity: they travel as null.
"""

from __future__ import annotations

import base64
import datetime
import math
import types
from collections.abc import Mapping
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import msgspec

_TIME = msgspec.Meta(extra_json_schema={"format": "date-time"})
_ARRAY = {
    "type": "object",
    "x-ndarray": True,
    "properties": {
        "dtype": {"type": "string"},
        "shape": {"type": "array", "items": {"type": "integer"}},
        "data": {"type": "string", "contentEncoding": "base64"},
    },
    "required": ["dtype", "shape", "data"],
}


def reply_of(value: Any) -> str | bytes:
    """Return what a text client gets.

    Raises:
        TypeError: The value cannot be sent.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return float.__repr__(value)  # numpy's says what it is
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    if value is None:
        return "OK"
    if _is_array(value):
        return _array_bytes(value)
    return to_json(value).decode()


def to_json(value: Any) -> bytes:
    """Return a value as JSON.

    Raises:
        TypeError: It cannot be sent.
    """
    return _encoder.encode(value)


def is_finite(value: Any) -> bool:
    """Tell whether there is no NaN and no infinity in a value, however deep."""
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, Mapping):
        return all(is_finite(one) for one in value.values())
    if isinstance(value, list | tuple | set | frozenset):
        return all(is_finite(one) for one in value)
    if hasattr(value, "__dataclass_fields__") or isinstance(value, msgspec.Struct):
        return all(is_finite(getattr(value, name)) for name in _fields(value))
    return True


def schema_of(hint: Any) -> dict[str, Any]:
    """Return the JSON schema of an annotation.

    Raises:
        TypeError: Such a value cannot be sent.
    """
    if _is_array_type(hint) or _is_array_type(get_origin(hint)):
        return dict(_ARRAY)
    try:
        schema = _schema(_dated(hint))
    except TypeError as error:
        raise TypeError(str(error).splitlines()[-1]) from None
    definitions = schema.pop("$defs", {})
    _date_fields(hint, definitions, [])
    inlined: dict[str, Any] = _inlined(schema, definitions, ())
    return inlined


def _schema(hint: Any) -> dict[str, Any]:
    return msgspec.json.schema(hint, schema_hook=_schema_of_foreign)


def _date_fields(hint: Any, definitions: Mapping[str, Any], seen: list[Any]) -> None:
    """Let the fields of the classes within an annotation say it of times, too."""
    for argument in get_args(hint):
        _date_fields(argument, definitions, seen)
    properties = definitions.get(getattr(hint, "__name__", ""), {}).get("properties")
    if not properties or hint in seen:
        return
    seen.append(hint)
    for name, kind in get_type_hints(hint, include_extras=True).items():
        _date_fields(kind, definitions, seen)
        dated = _dated(kind)
        if name in properties and dated != kind:
            made = _schema(dated)
            made.pop("$defs", None)
            properties[name] = {**properties[name], **made}


def _dated(hint: Any) -> Any:
    """Return an annotation in which times say what they are; msgspec's say so if they are aware."""
    if hint is datetime.datetime:
        return Annotated[hint, _TIME]
    arguments = get_args(hint)
    origin = get_origin(hint)
    if origin is Annotated:
        return Annotated[(_dated(arguments[0]), *arguments[1:])]
    if origin in (Union, types.UnionType):
        return Union[tuple(map(_dated, arguments))]  # noqa: UP007  (3.10: Annotated | None fails)
    if origin in (list, dict, tuple, set, frozenset):
        return origin[tuple(map(_dated, arguments))]
    if getattr(origin, "_name", "") in {"Required", "NotRequired"}:
        return _dated(arguments[0])
    return hint


def _fields(value: Any) -> tuple[str, ...]:
    return tuple(getattr(value, "__dataclass_fields__", None) or value.__struct_fields__)


def _is_array_type(kind: Any) -> bool:
    return isinstance(kind, type) and (kind.__module__, kind.__name__) == ("numpy", "ndarray")


def _is_array(value: Any) -> bool:
    return any(_is_array_type(base) for base in type(value).__mro__)


def _foreign(value: Any) -> Any:
    """Return what JSON has for a value that msgspec does not know: numpy's."""
    if _is_array(value):
        data = base64.b64encode(_array_bytes(value)).decode()
        return {"dtype": value.dtype.str, "shape": list(value.shape), "data": data}
    if type(value).__module__ == "numpy" and hasattr(value, "item"):
        plain = value.item()
        return float(value) if type(plain) is type(value) else plain  # a longdouble
    if isinstance(value, float):
        return float(value)
    raise TypeError(f"a result of type {type(value).__name__} cannot be sent")


def _array_bytes(array: Any) -> bytes:
    # Of objects there are addresses, of a structured array the names would be lost, of a masked
    # one the mask.
    if array.dtype.kind not in "biufcmMSU" or hasattr(array, "mask"):
        raise TypeError(f"{type(array).__name__} of {array.dtype} cannot be sent")
    return bytes(array.tobytes())


def _schema_of_foreign(kind: type) -> dict[str, Any]:
    if _is_array_type(kind):
        return _ARRAY
    raise NotImplementedError


def _inlined(schema: Any, definitions: Mapping[str, Any], within: tuple[str, ...]) -> Any:
    """Return a schema with what it refers to in its place, but a type within itself as any."""
    if isinstance(schema, list):
        return [_inlined(one, definitions, within) for one in schema]
    if not isinstance(schema, dict):
        return schema
    name = schema.get("$ref", "").rpartition("/")[2] if "$ref" in schema else ""
    if not name:
        return {key: _inlined(one, definitions, within) for key, one in schema.items()}
    rest = {key: one for key, one in schema.items() if key != "$ref"}
    target = {} if name in within else _inlined(definitions[name], definitions, (*within, name))
    return {**target, **rest}


_encoder = msgspec.json.Encoder(enc_hook=_foreign)
